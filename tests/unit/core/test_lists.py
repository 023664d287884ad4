"""Lists that move while they are read page by page."""

from collections.abc import Callable
from typing import Any

import pytest

from webhook_svc.core.errors import Permanent, Retryable
from webhook_svc.core.lists import Page, newest_first
from webhook_svc.core.outgoing import Listed
from webhook_svc.core.ports import Flow
from webhook_svc.core.types import DocumentRef

SIZE = 3


class Listing:
    """A provider's list, newest first; `between` happens to it before each page but the first of the first reading."""

    def __init__(self, entries: list[int], between: Callable[[list[int]], object] = len, **unsaid: Any) -> None:
        self.entries = sorted(entries, reverse=True)
        self.asked: list[int] = []
        self._between = between
        self._unsaid = unsaid

    def page(self, number: int) -> Flow[Page]:
        if self.asked:
            self._between(self.entries)
        self.asked.append(number)
        yield from ()
        rows = [listed(entry) for entry in self.entries[(number - 1) * SIZE : number * SIZE]]
        counts = {"total": len(self.entries), "pages": -(-len(self.entries) // SIZE)}
        return Page(rows=rows, **{**counts, **self._unsaid})


def listed(entry: int, completed: float | None = None, round: str = "") -> Listed:
    return Listed(ref=DocumentRef(id=str(entry), round=round), completed=entry if completed is None else completed)


def read(listing: Listing, since: float = 0) -> list[int]:
    return [int(step.ref.id) for step in newest_first(listing.page, since) if isinstance(step, Listed)]


@pytest.mark.parametrize("count", [0, 1, SIZE, SIZE + 1, 10])
def test_a_list_that_holds_still_is_read_once_and_whole(count: int) -> None:
    listing = Listing(list(range(count)))
    assert list(range(count))[::-1] == read(listing)
    assert list(range(1, max(1, -(-count // SIZE)) + 1)) == listing.asked


def test_the_first_older_entry_ends_the_reading() -> None:
    listing = Listing(list(range(100)))
    assert [99, 98, 97, 96] == read(listing, since=96)
    assert [1, 2] == listing.asked


@pytest.mark.parametrize("said", [None, "7", 2.5, True, []])
def test_a_list_that_does_not_count_its_pages_ends_at_an_empty_one(said: Any) -> None:
    listing = Listing(list(range(2 * SIZE)), pages=said, total=said)
    assert list(range(2 * SIZE))[::-1] == read(listing)
    assert [1, 2, 3] == listing.asked


def test_an_entry_without_a_time_is_listed_and_ends_nothing() -> None:
    def ask(_: int) -> Flow[Page]:
        yield from ()
        return Page(rows=[Listed(ref=DocumentRef(id="no time")), listed(5), listed(1)], pages=1)

    assert ["no time", "5"] == [step.ref.id for step in newest_first(ask, 2) if isinstance(step, Listed)]


def test_entries_that_come_meanwhile_lose_nothing_and_double_nothing() -> None:
    listing = Listing(list(range(10)), lambda entries: entries.insert(0, entries[0] + 1))
    assert list(range(10))[::-1] == read(listing)


def vanishing(*entries: int) -> Callable[[list[int]], None]:
    """One of these vanishes each time."""
    left = list(entries)

    def vanish(found: list[int]) -> None:
        if left:
            found.remove(left.pop(0))

    return vanish


@pytest.mark.parametrize("gone", range(10))
def test_an_entry_that_vanishes_takes_no_other_with_it(gone: int) -> None:
    listing = Listing(list(range(10)), vanishing(gone))
    found = read(listing)
    assert set(range(10)) - {gone} <= set(found)
    assert len(set(found)) == len(found)


def test_what_moves_past_the_reader_is_found_although_it_would_have_ended_the_reading() -> None:
    listing = Listing([9, 8, 7, 6, 1], vanishing(9))
    assert [9, 8, 7, 6] == read(listing, since=6)


def test_a_list_that_shrinks_in_every_reading_is_tried_again_later() -> None:
    listing = Listing(list(range(50)), lambda entries: entries.pop())
    with pytest.raises(Retryable, match="does not hold still"):
        read(listing)
    assert [1, 2] * 3 == listing.asked


def test_a_list_that_does_not_end_is_permanent() -> None:
    def ask(number: int) -> Flow[Page]:
        yield from ()
        return Page(rows=[listed(number)])

    with pytest.raises(Permanent, match="does not end"):
        list(newest_first(ask, 0))


def test_the_rounds_of_one_document_are_entries_of_their_own() -> None:
    def ask(_: int) -> Flow[Page]:
        yield from ()
        return Page(rows=[listed(1, round="a"), listed(1, round="b"), listed(1, round="a")], pages=1)

    assert ["a", "b"] == [step.ref.round for step in newest_first(ask, 0) if isinstance(step, Listed)]
