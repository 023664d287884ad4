"""As many rows as years of service leave in a store, or as an outage heaps up: made by the database itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from webhook_svc.store.engine import normal_url
from webhook_svc.store.tables import attempt, delivery, event, job, part, payload, signing, signing_event

SOURCE, SINK = "contracts", "archive"
LONG_AGO = 1_700_000_000.0
"""When all of it happened: everything that waits is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Signings that went all the way (`finished`), and such whose delivery waits; each with its event, its part, its
    delivery and its attempts. `body` is the length of a callback in bytes; 0 leaves the other texts short too."""

    finished: int = 0
    waiting: int = 0
    body: int = 1024


def fill(url: str, crowd: Crowd) -> None:
    """Into a migrated, empty store; then what autovacuum would have done on Postgres by then. SQLite has no such
    thing, and is left as it is."""
    engine = sa.create_engine(normal_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        _hurry(connection)
        with _without_indexes(connection):
            for state, rows in (("delivered", range(crowd.finished)), ("waiting", range(crowd.waiting))):
                if rows:
                    _insert(connection, crowd, state, rows)
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
    engine.dispose()


def _hurry(connection: sa.Connection) -> None:
    """Nothing is lost if this is cut short: it is begun again."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET synchronous_commit = off")
        connection.exec_driver_sql("SET session_replication_role = replica")
    else:
        pragmas = "journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -1000000"
        for pragma in (*pragmas, "temp_store = MEMORY"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")


@contextmanager
def _without_indexes(connection: sa.Connection) -> Iterator[None]:
    """Built afterwards in one go, they cost a fraction."""
    tables = (event, payload, signing, signing_event, part, delivery, job, attempt)
    indexes = [index for table in tables for index in table.indexes]
    for index in indexes:
        index.drop(connection)
    yield
    for index in indexes:
        index.create(connection)


def _insert(connection: sa.Connection, crowd: Crowd, state: str, rows: range) -> None:
    line = _Line(connection.dialect.name, state, rows)
    for table, values in _tables(line, crowd, state):
        chosen = line.select(*(_expression(value).label(name) for name, value in values.items()))
        connection.execute(table.insert().from_select(list(values), chosen))


class _Line:
    """The numbers of a range, as the database counts them, and what can be made of one."""

    def __init__(self, dialect: str, name: str, rows: range) -> None:
        self._postgres = dialect == "postgresql"
        self._letter = name[0]
        self._rows = rows
        counting = f"generate_series({rows.start}, {rows.stop - 1})" if self._postgres else None
        if counting is None:
            first = sa.select(sa.literal(rows.start).label("i")).cte("line", recursive=True)
            self._from: Any = first.union_all(sa.select(first.c.i + 1).where(first.c.i < rows.stop - 1))
            self.number: sa.ColumnElement[int] = self._from.c.i
        else:
            self._from = sa.text(f"{counting} AS line(i)")
            self.number = sa.literal_column("line.i", sa.Integer)

    def select(self, *columns: Any) -> sa.Select[Any]:
        return sa.select(*columns).select_from(self._from)

    def id(self, prefix: str) -> sa.ColumnElement[str]:
        """Sorts by number, and before every id that is made today."""
        if self._postgres:
            return sa.func.concat(f"{prefix}_0{self._letter}", sa.func.lpad(sa.cast(self.number, sa.Text), 24, "0"))
        return sa.func.printf(f"{prefix}_0{self._letter}%024d", self.number)

    def digest(self, salt: str) -> sa.ColumnElement[bytes]:
        """As good as random, as a digest is."""
        if self._postgres:
            return sa.func.sha256(sa.cast(sa.cast(self.id(salt), sa.Text), sa.LargeBinary))
        return sa.func.randomblob(32)


def _tables(line: _Line, crowd: Crowd, state: str) -> Iterator[tuple[sa.Table, Mapping[str, Any]]]:
    at = line.number * 0.001 + LONG_AGO
    long = "x" * 300 if crowd.body else ""
    ids = {"event": line.id("evt"), "signing": line.id("sgn"), "delivery": line.id("dlv")}
    done = state == "delivered"
    yield (
        event,
        {
            "id": ids["event"],
            "key": line.digest("evt"),
            "source": SOURCE,
            "state": "parsed",
            "type": "signing_request.completed",
            "sender_id": ids["event"],
            "verified_by": "01234567",
            "hint": False,
            "size": crowd.body,
            "received": at,
            "queued": at,
        },
    )
    yield (
        payload,
        {
            "event_id": ids["event"],
            "request": '{"method":"POST","path":"/hooks/contracts","query":"","headers":[["X-Long","' + long + '"]]}',
            "body": b"x" * crowd.body,
            "received": at,
        },
    )
    yield (
        signing,
        {
            "id": ids["signing"],
            "key": line.digest("sgn"),
            "source": SOURCE,
            "document": ids["signing"],
            "ref": '{"id":"d","round":"","name":"","completed":null,"parts":[],"hints":{}}',
            "title": "Deed",
            "state": "complete",
            "wanted": 1,
            "fetched": 1,
            "version": 1,
            "created": at,
            "updated": at,
        },
    )
    yield signing_event, {"signing_id": ids["signing"], "event_id": ids["event"]}
    yield (
        part,
        {
            "signing_id": ids["signing"],
            "version": 1,
            "position": 0,
            "kind": "document",
            "name": "document.pdf",
            "sha256": line.digest("part"),
            "size": 200_000,
            "content_type": "application/pdf",
            "supplement": 0,
        },
    )
    yield (
        delivery,
        {
            "id": ids["delivery"],
            "key": line.digest("dlv"),
            "signing_id": ids["signing"],
            "source": SOURCE,
            "sink": SINK,
            "version": 1,
            "supplement": 0,
            "state": state,
            "bundle": f'{{"title":"{long}","parts":[],"paths":[],"missing":[],"manifest":"","manifest_path":""}}',
            "receipt": '{"location":"contracts/deed.pdf"}' if done else None,
            "created": at,
            "done": at if done else None,
        },
    )
    for stage in ("parse", "fetch", "deliver") if done else ("parse", "fetch"):
        subject = {"parse": "event", "fetch": "signing", "deliver": "delivery"}[stage]
        yield (
            attempt,
            {
                "stage": stage,
                "ref": ids[subject],
                "claim": 1,
                "worker": "host:1:000000",
                "started": at,
                "ended": at,
                "outcome": "done",
                "error": "",
                "message": "",
            },
        )
    if not done:
        yield (
            job,
            {
                "id": line.id("job"),
                "lane": f"sink:{SINK}",
                "stage": "deliver",
                "ref": ids["delivery"],
                "state": "waiting",
                "run_at": at,
                "created": at,
            },
        )


def _expression(value: Any) -> sa.ColumnElement[Any]:
    return value if isinstance(value, sa.ColumnElement) else sa.literal(value)
