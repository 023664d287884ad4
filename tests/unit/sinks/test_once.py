"""What a sink remembers that cannot look whether it was there before."""

from typing import Any

import pytest

from tests.contracts.rigs.base import Bundle, Kept
from webhook_svc.core.errors import ClaimLost
from webhook_svc.sinks.shared.once import Once


@pytest.fixture
def kept() -> Kept:
    return Kept()


def once(kept: Kept, **changes: Any) -> Once:
    """Of a try that knows what the earlier ones kept."""
    return Once(Bundle(**changes).delivery(), kept)


def test_nothing_is_known_before_the_first_try(kept: Kept) -> None:
    assert (None, None, 0) == (once(kept).known, once(kept).begun, once(kept).repeats)


def test_what_was_begun_and_not_ended_is_in_doubt_and_repeated_once(kept: Kept) -> None:
    once(kept).begin(number=1)
    assert {"number": 1} == once(kept).begun
    second = once(kept)
    second.begin(number=2)
    second.done(number=2)
    assert ({"number": 2}, None, 1) == (once(kept).known, once(kept).begun, once(kept).repeats)


def test_what_was_refused_is_not_in_doubt(kept: Kept) -> None:
    first = once(kept)
    first.begin(number=1)
    first.refused()
    assert (None, 0) == (once(kept).begun, once(kept).repeats)


def test_a_refusal_leaves_the_doubt_of_an_earlier_try(kept: Kept) -> None:
    once(kept).begin(number=1)
    for _ in range(2):
        second = once(kept)
        second.begin(number=2)
        second.refused()
        assert ({"number": 1}, 0) == (once(kept).begun, once(kept).repeats)
    once(kept).begin(number=3)
    assert 1 == once(kept).repeats


def test_a_repeat_that_does_nothing_is_not_counted(kept: Kept) -> None:
    once(kept).begin()
    once(kept).begin(True)
    assert 0 == once(kept).repeats


def test_who_lost_the_claim_leaves_a_doubt_at_most(kept: Kept) -> None:
    def lost() -> None:
        raise ClaimLost

    with pytest.raises(ClaimLost):
        once(kept, still_ours=lost).begin(number=1)
    assert {"number": 1} == once(kept).begun
