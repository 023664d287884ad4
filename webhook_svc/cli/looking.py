"""Commands that show what happened: events, event, deliveries, dead."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from ..core.asking import Query
from .frame import as_json, fail, opened
from .printing import echo_json, plain, table, when
from .story import tell

Command = TypeVar("Command", bound=Callable[..., Any])
Row = dict[str, Any]
Column = tuple[str, Callable[[Row, float], object]]

_EVENTS: Final[Sequence[Column]] = (
    ("ID", lambda row, _: row["id"]),
    ("RECEIVED", lambda row, now: when(row["received"], now)),
    ("SOURCE", lambda row, _: row["source"]),
    ("STATE", lambda row, _: row["state"]),
    ("COPIES", lambda row, _: row["copies"] or ""),
    ("TYPE", lambda row, _: "found by reconciliation" if row["origin"] == "listed" else row["type"]),
    ("REASON", lambda row, _: row["reason"]),
)
_REFUSED: Final[Sequence[Column]] = (
    ("ID", lambda row, _: row["id"]),
    ("ARRIVED", lambda row, now: when(row["at"], now)),
    ("SOURCE", lambda row, _: row["source"]),
    ("STATUS", lambda row, _: row["status"]),
    ("FROM", lambda row, _: row["address"]),
    ("REASON", lambda row, _: row["reason"]),
)
_DELIVERIES: Final[Sequence[Column]] = (
    ("ID", lambda row, _: row["id"]),
    ("CREATED", lambda row, now: when(row["created"], now)),
    ("SOURCE", lambda row, _: row["source"]),
    ("SINK", lambda row, _: row["sink"]),
    ("STATE", lambda row, _: row["state"]),
    ("TITLE", lambda row, _: row["title"] or row["document"]),
    ("WHERE OR WHY", lambda row, _: row["receipt"]["location"] if row["receipt"] else row["reason"]),
)
_DEAD: Final[Sequence[Column]] = (
    ("ID", lambda row, _: row["id"]),
    ("SINCE", lambda row, now: when(row.get("updated", row.get("created", row.get("received"))), now)),
    ("SOURCE", lambda row, _: row["source"]),
    ("SINK", lambda row, _: row.get("sink", "")),
    ("STATE", lambda row, _: row["state"]),
    ("TITLE", lambda row, _: row.get("title") or row.get("document", row.get("type"))),
    ("REASON", lambda row, _: row["reason"]),
)

_source = click.option("--source", default="", help="Only of this source.")
_sink = click.option("--sink", default="", help="Only for this sink.")


def _state(*known: str) -> Callable[[Command], Command]:
    return click.option("--state", type=click.Choice(known), help="Only in this state.")


def _page(command: Command) -> Command:
    before = click.option("--before", default="", metavar="ID", help="The page that follows this id.")
    return before(click.option("--limit", default=50, type=click.IntRange(1, 1000), help="Rows, at most.")(command))


@click.command()
@click.option("--refused", is_flag=True, help="The callbacks that were refused, instead.")
@_source
@_state("accepted", "parsed", "ignored", "dead")
@_page
@as_json
def events(refused: bool, source: str, state: str | None, limit: int, before: str, as_json: bool) -> None:
    """List what arrived, newest first.

    \b
    Example:
      webhook-svc events --source contracts --state dead
    """
    if refused and state:
        raise click.UsageError("a refused callback has no state: leave out --state or --refused")
    query = Query(kind="refused" if refused else "events", source=source, state=state or "", limit=limit, before=before)
    _list(query, _REFUSED if refused else _EVENTS, as_json)


@click.command()
@_sink
@_source
@_state("waiting", "delivered", "dead", "held")
@_page
@as_json
def deliveries(sink: str, source: str, state: str | None, limit: int, before: str, as_json: bool) -> None:
    """List what went to which sink.

    Newest first; what still waits stands there too.

    \b
    Example:
      webhook-svc deliveries --sink archive --state waiting
    """
    query = Query(kind="deliveries", source=source, sink=sink, state=state or "", limit=limit, before=before)
    _list(query, _DELIVERIES, as_json)


@click.command()
@_source
@_sink
@_page
@as_json
def dead(source: str, sink: str, limit: int, before: str, as_json: bool) -> None:
    """List what is given up or held, and why.

    None of it is tried again by itself. `replay` brings it back to life.

    \b
    Example:
      webhook-svc dead --sink archive
    """
    _list(Query(kind="dead", source=source, sink=sink, limit=limit, before=before), _DEAD, as_json)


@click.command()
@click.argument("id")
@as_json
def event(id: str, as_json: bool) -> None:
    """Tell the story of an event.

    ID may be that of an event, a signing or a delivery (evt_…, sgn_…, dlv_…): what happened when, and what is next.

    \b
    Example:
      webhook-svc event evt_01kb5n3v7q8r9s0t1v2w3x4y5z
    """
    with opened() as made:
        story, now = made.store.timeline(id), time.time()
    if story is None:
        fail(_unknown(id))
    if as_json:
        echo_json(story)
    else:
        click.echo(tell(story, now))


def _unknown(some_id: str) -> str:
    if some_id.startswith("ref_"):
        return f"a refused callback has no story; try: webhook-svc verify SOURCE --refused {plain(some_id)}"
    return f"nothing is known of {plain(some_id)}"


def _list(query: Query, columns: Sequence[Column], as_json: bool) -> None:
    with opened() as made:
        rows = made.store.list(query)
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo("nothing found", err=True)
        return
    now = time.time()
    click.echo(table([name for name, _ in columns], [[cell(row, now) for _, cell in columns] for row in rows]))
    if len(rows) == query.limit:
        click.echo(f"there may be more: --before {rows[-1]['id']}", err=True)
