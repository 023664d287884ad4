"""How a database carries out what it is told: the plans and the effort of the statements that a store really sends,
whichever way they go to the driver."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from webhook_svc.store.engine import normal_url
from webhook_svc.store.sql import SqlStore

STEP = 100
"""SQLite tells its effort by so many steps of its virtual machine at a time."""

_EXPLAIN_ALL = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    "client_min_messages": "notice",
}
_SCANNED, _USED = re.compile(r"SCAN (\w+)\b(?! USING)"), re.compile(r"USING (?:COVERING )?INDEX (\w+)")


@dataclass(slots=True, kw_only=True)
class Plan:
    """One statement: the tables it reads from end to end, the indexes it goes by, and how many rows it looked at
    (Postgres) or steps it took (SQLite)."""

    statement: str
    scanned: frozenset[str] = frozenset()
    indexes: frozenset[str] = frozenset()
    effort: int = 0


class Watched(Protocol):
    """A store whose statements are written down."""

    store: SqlStore

    def plans(self, act: Callable[[SqlStore], object]) -> list[Plan]:
        """Of every statement that `act` leads to."""


@contextmanager
def watched(url: str) -> Iterator[Watched]:
    kind = WatchedSqlite if url.startswith("sqlite") else WatchedPostgres
    with closing(SqlStore(url)) as plain:
        plain.ready()  # what is looked up once in a process is no matter of plans
    one = kind(url)
    with closing(one.store):
        yield one


@dataclass
class WatchedSqlite:
    """Its statements with their values filled in; they are explained afterwards."""

    url: str
    store: SqlStore = field(init=False)
    _ran: list[Plan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = SqlStore(self.url)
        _at_connect(self.store, self._listen)

    def plans(self, act: Callable[[SqlStore], object]) -> list[Plan]:
        self._ran.clear()
        act(self.store)
        ran = [one for one in self._ran if one.statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))]
        engine = sa.create_engine(normal_url(self.url))
        with engine.connect() as connection:
            for one in ran:
                explained = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {one.statement}")
                words = "\n".join(row[3] for row in explained)
                one.scanned, one.indexes = frozenset(_SCANNED.findall(words)), frozenset(_USED.findall(words))
        engine.dispose()
        return ran

    def _listen(self, connection: Any) -> None:
        connection.set_trace_callback(lambda statement: self._ran.append(Plan(statement=statement)))
        connection.set_progress_handler(self._count, STEP)

    def _count(self) -> int:
        if self._ran:
            self._ran[-1].effort += STEP
        return 0


@dataclass
class WatchedPostgres:
    """The server explains each statement as it ran, with the rows that it looked at."""

    url: str
    store: SqlStore = field(init=False)
    _ran: list[Plan] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in _EXPLAIN_ALL.items())
        url = normal_url(self.url).update_query_dict({"options": options})
        self.store = SqlStore(url.render_as_string(hide_password=False))
        _at_connect(self.store, lambda connection: connection.add_notice_handler(self._note))

    def plans(self, act: Callable[[SqlStore], object]) -> list[Plan]:
        self._ran.clear()
        act(self.store)
        return list(self._ran)

    def _note(self, notice: Any) -> None:
        _, found, told = notice.message_primary.partition("plan:\n")
        if found:
            explained = json.loads(told)
            nodes = list(_nodes(explained["Plan"]))
            self._ran.append(
                Plan(
                    statement=explained["Query Text"],
                    scanned=frozenset(node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"),
                    indexes=frozenset(name for node in nodes for name in _index_names(node)),
                    effort=sum(_rows(node) for node in nodes),
                )
            )


def _at_connect(store: SqlStore, listen: Callable[[Any], None]) -> None:
    for engine in (store.database.reader, store.database._writer):
        sa.event.listen(engine, "connect", lambda connection, _record: listen(_driver(connection)))


def _driver(connection: Any) -> Any:
    return getattr(connection, "driver_connection", connection)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _index_names(node: Mapping[str, Any]) -> Sequence[str]:
    return [*node.get("Conflict Arbiter Indexes", ()), *([node["Index Name"]] if "Index Name" in node else [])]


def _rows(node: Mapping[str, Any]) -> int:
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter")
    each = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
    return int(each * node["Actual Loops"])
