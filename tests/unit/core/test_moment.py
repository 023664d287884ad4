"""Times as senders write them."""

from typing import Any

import pytest

from webhook_svc.core.moment import moment


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
