"""Reading a provider's list page by page while it moves: `yield from newest_first(ask, since)`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .errors import Permanent, Retryable
from .outgoing import Listed
from .payload import whole
from .ports import Flow

_READINGS: Final = 3
_MOST_PAGES: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a provider's list. `total` entries and `pages` are those of the whole list as the provider counts
    them; what is no whole number counts as not said, and a list without `pages` ends at its first empty page. With them
    a page may be empty: entries that ask for nothing are left out."""

    rows: Sequence[Listed]
    total: Any = None
    pages: Any = None


def newest_first(ask: Callable[[int], Flow[Page]], since: float) -> Flow[None]:
    """A `Listed` step for each entry since then; `ask` brings page 1, 2, … of a list that is sorted newest first.

    An entry that comes meanwhile moves the others down, where they are met again. One that vanishes moves them up, past
    the reader: where the list has become shorter between two pages, it is read from its start.
    """
    seen: set[tuple[str, str]] = set()
    for _ in range(_READINGS):
        if (yield from _read_once(ask, since, seen)):
            return
    raise Retryable("the list does not hold still")


def _read_once(ask: Callable[[int], Flow[Page]], since: float, seen: set[tuple[str, str]]) -> Flow[bool]:
    """False where something may have been skipped."""
    before = 0
    for number in range(1, _MOST_PAGES + 1):
        page = yield from ask(number)
        total, pages = whole(page.total), whole(page.pages)
        if total is not None and total < before:
            return False
        before = total or 0
        for row in page.rows:
            if row.completed is not None and row.completed < since:
                return True
            if (key := (row.ref.id, row.ref.round)) not in seen:
                seen.add(key)
                yield row
        if number >= pages if pages is not None else not page.rows:
            return True
    raise Permanent(f"the list does not end: stopped after {_MOST_PAGES} pages, a later start may help")
