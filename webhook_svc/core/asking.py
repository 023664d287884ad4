"""What a person asks: a page of a listing, a decision about work that stopped, a verdict on a saved callback, a look
at a provider's list.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from .types import DocumentRef, SourceEvent

Kind = Literal["events", "refused", "deliveries", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One page of a listing: at most `limit` rows older than the id `before`."""

    kind: Kind
    source: str = ""
    sink: str = ""
    state: str = ""
    before: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOrder:
    """`release` lets held work go, `again` repeats finished work; `reason` is written beside each.

    `lanes` are those of the configured sources and sinks; work of another lane is refused. None: all are taken.
    """

    ids: tuple[str, ...]
    release: bool = False
    again: bool = False
    reason: str = ""
    dry_run: bool = False
    lanes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """To `sink` goes what was fetched since that Unix time, of one `source` ("": of all)."""

    sink: str
    since: float
    source: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a signing would go: the routes that chose (none: its source did), or why it goes nowhere."""

    document: str
    title: str
    sinks: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    nowhere: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What was (or would be) done with one id; `ok` is False where it was left alone, and `what` says why."""

    id: str
    ok: bool
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`status` is what the sender would hear, `reason` the word and `detail` the sentence of a refusal.

    `misread` says why an accepted callback could not be understood, `ignored` why it asks for nothing.
    `handshake` is set where it is no callback at all.
    """

    accepted: bool
    status: int
    reason: str = ""
    detail: str = ""
    handshake: bool = False
    hint: bool = False
    verified_by: str = ""
    delivery_id: str = ""
    misread: str = ""
    ignored: str = ""
    events: tuple[SourceEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a look at a provider's list brought: `listed` signings since then, `known` of them already, `new` ones.

    `error` says why it failed, or why it was not taken. `next_at` is when a worker looks next; None: never.
    """

    source: str
    since: float | None = None
    listed: int = 0
    known: int = 0
    new: tuple[DocumentRef, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    next_at: float | None = None


def pages(ask: Callable[[Query], list[dict[str, Any]]], query: Query) -> Iterator[list[dict[str, Any]]]:
    """Every page of a listing, newest first; what comes in meanwhile is not shown, what goes is not missed."""
    while rows := ask(query):
        yield rows
        query = replace(query, before=str(rows[-1]["id"]))
