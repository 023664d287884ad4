"""When to try again."""

import math
from typing import Any

import pytest

from webhook_svc.core.retry import JITTER, RetryPolicy

POLICY = RetryPolicy(delays=(5, 30), not_ready=(1, 2), give_up_after=100, longest=600)


def none() -> float:
    return 0.0


def test_the_delays_are_taken_in_order_until_they_are_used_up() -> None:
    assert [5, 30, None] == [POLICY.next_try(tries, None, none) for tries in (1, 2, 3)]


def test_a_file_that_is_not_ready_is_looked_at_until_the_time_is_over() -> None:
    assert [1, 2, 2] == [POLICY.next_look(waits, 99.9, None, none) for waits in (1, 2, 50)]
    assert POLICY.next_look(1, 100, None, none) is None


def test_jitter_only_lengthens_and_never_by_more_than_a_tenth() -> None:
    assert 30 * (1 + JITTER) == POLICY.next_try(2, None, lambda: 1.0)


def test_a_later_retry_after_is_honoured_and_an_earlier_one_is_not() -> None:
    assert [60, 5] == [POLICY.next_try(1, after, none) for after in (60, 2)]
    assert 60 == POLICY.next_look(1, 0, 60, none)


@pytest.mark.parametrize("after", [601, 1e9, math.inf])
def test_nobody_parks_us_for_a_year(after: float) -> None:
    assert 600 == POLICY.next_try(1, after, none)


def test_a_job_that_never_failed_waits_the_first_delay() -> None:
    assert (5, 1) == (POLICY.next_try(0, None, none), POLICY.next_look(0, 0, None, none))


def test_no_delays_at_all_means_one_try() -> None:
    assert RetryPolicy(delays=()).next_try(1, None, none) is None


@pytest.mark.parametrize(
    "wrong", [{"delays": (-1,)}, {"not_ready": (math.nan,)}, {"longest": math.inf}, {"not_ready": ()}]
)
def test_a_schedule_that_cannot_be_kept_is_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match=r"finite|at least one"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_each_pause_is_twice_as_long_as_the_last_up_to_the_longest() -> None:
    policy = RetryPolicy(pause_first=5.0, pause_longest=15.0)
    assert [5.0, 10.0, 15.0, 15.0] == [policy.next_pause(last) for last in (0.0, 5.0, 10.0, 15.0)]


@pytest.mark.parametrize("wrong", [{"pause_after": 0}, {"pause_first": 0}, {"pause_longest": 4.0}])
def test_pauses_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pause"):
        RetryPolicy(**wrong)
