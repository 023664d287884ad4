"""Times as senders write them."""

from typing import Any

import pytest

from webhook_svc.core.moment import local_moment, moment


@pytest.mark.parametrize(
    "value",
    [
        "2025-10-03T14:30:00Z",
        "2025-10-03T16:30:00+02:00",
        "2025-10-03T14:30:00",
        1759501800,
        "1759501800",
        1759501800000,
    ],
)
def test_the_same_moment_in_every_writing(value: Any) -> None:
    assert 1759501800.0 == moment(value)


@pytest.mark.parametrize(
    "value",
    [None, True, "", "yesterday", -1, float("inf"), float("nan"), 10**400, "9" * 30, [], {}, "\ud800", "\u0663"],
)
def test_what_is_no_time_is_none(value: Any) -> None:
    assert moment(value) is None


def test_a_date_that_no_calendar_reaches_is_none() -> None:
    assert moment("0001-01-01T00:00:00+23:00") is None
    assert moment("9999-12-31T23:59:59-23:00") is None


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2025-10-03T06:30:00", "-8"),
        ("2025-10-03T06:30:00.0000000", "-8"),
        ("2025-10-03T20:00:00", "5.5"),
        ("2025-10-03T20:15:00", "+5.75"),
        ("2025-10-03T14:30:00", "0"),
        ("2025-10-03T14:30:00", ""),
        ("2025-10-03T14:30:00Z", "-8"),
        ("2025-10-03T14:30:00", "Pacific"),
        ("2025-10-03T14:30:00", "99"),
        ("2025-10-03T14:30:00", "1e1"),
        ("2025-10-03T14:30:00", "\u0663"),
    ],
)
def test_a_time_of_some_place_is_read_with_its_hours_from_utc(text: str, hours: str) -> None:
    assert 1759501800.0 == local_moment(text, hours)


def test_a_day_of_some_place_begins_there() -> None:
    assert 1759449600.0 + 8 * 3600 == local_moment("2025-10-03", "-8")
    assert 1759449600.0 == local_moment("2025-10-03", "")


@pytest.mark.parametrize("hours", ["", "-8", "x"])
def test_what_is_no_time_is_none_in_every_place(hours: str) -> None:
    assert None is local_moment("soon", hours)
