"""A database of an earlier release is migrated: work of every kind in flight is finished, and nothing else moves."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from tests.conftest import START
from tests.contracts.way import LEASE, Switch, Way
from tests.flow.then import Then, in_flight, sha256
from webhook_svc.core.outcomes import Buried, Settlement
from webhook_svc.core.types import Job, Stage
from webhook_svc.store.migrate import HEAD, alembic_config
from webhook_svc.store.sql import SqlStore

EARLIER = [
    one.revision for one in ScriptDirectory.from_config(alembic_config()).walk_revisions() if one.revision < HEAD
]


def migrate_to(store: SqlStore, revision: str) -> None:
    with store.database.lock(), store.database.write() as tx:
        config = alembic_config()
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)


def as_it_stands(store: SqlStore) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    with store.database.reader.connect() as connection:
        known = sa.MetaData()
        known.reflect(bind=connection)
        queries = {table.name: sa.select(table).order_by(*table.primary_key) for table in known.sorted_tables}
        return {name: [dict(row) for row in connection.execute(query).mappings()] for name, query in queries.items()}


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with closing(Switch()) as one:
        yield one


@pytest.fixture
def earlier(empty_url: str, clock: Any, switch: Switch, tmp_path: Path) -> Iterator[Callable[[str], tuple[Way, Then]]]:
    """A database of that revision with work in flight, and the world around it."""
    with ExitStack() as stack:

        def make(revision: str) -> tuple[Way, Then]:
            store = stack.enter_context(closing(SqlStore(empty_url, clock=clock)))
            migrate_to(store, revision)
            way = stack.enter_context(closing(Way("generic", tmp_path, store, clock, switch)))
            then = Then(way)
            in_flight(then, way, tmp_path)
            if revision >= "0002":
                row = {"mark": START, "next_at": START, "owner": "", "until": 0, "looked": START, "note": ""}
                then.put("reconciliation", source="contracts", **row)
                then.put("content", key=sha256(b"round"), signing_id=then.rows["signing"][-1]["id"])
            then.insert(store)
            return way, then

        yield make


@pytest.mark.parametrize("revision", EARLIER)
def test_a_migration_leaves_every_row_as_it_is(earlier: Callable[[str], tuple[Way, Then]], revision: str) -> None:
    store = earlier(revision)[0].store
    before = as_it_stands(store)
    assert revision == before.pop("alembic_version")[0]["version_num"]
    assert f"the schema went from {revision} to {HEAD}" == store.migrate()
    after = as_it_stands(store)
    for name, rows in before.items():
        assert rows == [{key: row[key] for key in (rows or after[name])[0]} for row in after[name]]


@pytest.mark.parametrize("revision", EARLIER)
def test_after_a_migration_everything_in_flight_is_delivered_once_and_what_is_over_stays(
    earlier: Callable[[str], tuple[Way, Then]], revision: str
) -> None:
    way, then = earlier(revision)
    way.store.migrate()
    over = {one["id"] for table in ("event", "signing", "delivery") for one in then.rows[table] if is_over(one)}
    before = rows_of(way.store, over)
    for _ in range(2):
        way.store.sweep("w")
        way.work()
        way.clock.advance(LEASE)
    way.store.sweep("w")
    way.rest()
    due = [name for name in way.simulator.signed if name.startswith("d-")]
    assert Counter(sha256(way.document(name)) for name in due) == Counter(map(sha256, way.files().values()))
    assert (before, 8) == (rows_of(way.store, over), len(due))
    assert ["delivered"] * (len(due) + 2) + ["held"] == sorted(way.deliveries())


@pytest.mark.parametrize("revision", EARLIER[:1])
def test_a_worker_that_began_before_the_migration_ends_its_job_after_it(
    earlier: Callable[[str], tuple[Way, Then]], revision: str
) -> None:
    way, then = earlier(revision)
    way.store.migrate()
    way.store.sweep("w")
    way.work()
    (theirs,) = (row for row in then.rows["job"] if row["lease_until"] and row["lease_until"] > START)
    ended = Buried(reason="no such contract")
    named = {name: theirs[name] for name in ("id", "lane", "ref", "claim", "tries")}
    job = Job(**named, stage=Stage(theirs["stage"]))
    assert way.store.settle(Settlement(job=job, outcome=ended, started=START, ended=START)).ours
    assert "no such contract" in [letter["reason"] for letter in way.dead()]


@pytest.mark.parametrize("revision", EARLIER[:1])
def test_a_callback_that_was_accepted_before_the_migration_is_a_duplicate_after_it(
    earlier: Callable[[str], tuple[Way, Then]], revision: str
) -> None:
    way, then = earlier(revision)
    way.store.migrate()
    again = way.simulator._callback(then.rows["payload"][0]["body"])
    assert 200 == way.receive(again)
    assert (len(then.rows["event"]), 1) == way.kept()


def is_over(row: Mapping[str, Any]) -> bool:
    return row.get("document", "").startswith("x-") or row["state"] in ("delivered", "held", "ignored", "dead")


def rows_of(store: SqlStore, ids: set[str]) -> list[dict[str, Any]]:
    tables = as_it_stands(store)
    return [row for name in ("event", "signing", "delivery") for row in tables[name] if row["id"] in ids]


# --- while the earlier release runs -------------------------------------------------------------------------------

_EVENT = sa.text(
    "INSERT INTO event (id, key, source, state, delivery_id, verified_by, hint, size, received, queued)"
    " VALUES (:id, :key, 'contracts', 'accepted', '', '', false, 2, :now, :now) ON CONFLICT (key) DO NOTHING"
)
_PAYLOAD = sa.text("INSERT INTO payload (event_id, request, body, received) VALUES (:id, '{}', :key, :now)")
_JOB = sa.text(
    "INSERT INTO job (id, lane, stage, ref, state, run_at, created)"
    " VALUES (:id, 'source:contracts', 'parse', :id, 'waiting', :now, :now) ON CONFLICT (stage, ref) DO NOTHING"
)
_CLAIM = sa.text(
    "UPDATE job SET state = 'running', claim = claim + 1, lease_until = :until, worker = :worker WHERE id ="
    " (SELECT id FROM job WHERE state = 'waiting' AND lane = 'source:contracts' ORDER BY run_at, id LIMIT 1)"
    " AND state = 'waiting' RETURNING id, ref, claim"
)
_OURS = sa.text("SELECT id FROM job WHERE id = :id AND claim = :claim AND state = 'running'")
_DONE = sa.text("DELETE FROM job WHERE id = :id")
_PARSED = sa.text("UPDATE event SET state = 'ignored', reason = 'nothing' WHERE id = :ref")
_ATTEMPT = sa.text(
    "INSERT INTO attempt (stage, ref, claim, worker, started, ended, outcome, error, message)"
    " VALUES ('parse', :ref, :claim, 'old', :now, :now, 'done', '', '')"
)
"""What every release from the first on says to the tables of the first."""


def accept_then(tx: Any, ids: Any) -> list[None]:
    for some_id in ids:
        row = {"id": some_id, "key": sha256(some_id.encode()), "now": tx.now}
        for statement in (_EVENT, _PAYLOAD, _JOB):
            tx.connection.execute(statement, row)
    return [None] * len(ids)


def claim_then(tx: Any, workers: Any) -> list[Any]:
    wishes = ({"until": tx.now + 60, "worker": worker} for worker in workers)
    return [tx.connection.execute(_CLAIM, wish).mappings().first() for wish in wishes]


def settle_then(tx: Any, jobs: Any) -> list[bool]:
    return [settle_one_then(tx, {**job, "now": tx.now}) for job in jobs]


def settle_one_then(tx: Any, job: dict[str, Any]) -> bool:
    if tx.connection.execute(_OURS, job).first() is None:
        return False
    for statement in (_DONE, _PARSED, _ATTEMPT):
        tx.connection.execute(statement, job)
    return True


class Earlier:
    """Processes of the earlier release, each with a store of its own: two accept, two work."""

    def __init__(self, url: str) -> None:
        self.accepted: list[str] = []
        self.settled: list[str] = []
        self._stores = [SqlStore(url) for _ in range(4)]
        self._stop = threading.Event()

    def accept(self, number: int) -> None:
        store = self._stores[number]
        while not self._stop.is_set():
            some_id = f"evt_{number}_{len(self.accepted):08}"
            store.committer.submit(accept_then, some_id, timeout=20)
            self.accepted.append(some_id)

    def work(self, number: int) -> None:
        store = self._stores[number]
        while not self._stop.is_set():
            claimed = store.committer.submit(claim_then, f"w{number}", timeout=20)
            if claimed and store.committer.submit(settle_then, dict(claimed), timeout=20):
                self.settled.append(claimed["ref"])

    def go_on(self, further: int, threads: list["Future[None]"]) -> None:
        """Waits until so many more callbacks were accepted and so many jobs settled."""
        accepted, settled = len(self.accepted) + further, len(self.settled) + further
        end = time.monotonic() + 30
        while len(self.accepted) < accepted or len(self.settled) < settled:
            assert time.monotonic() < end, (self.accepted[-1:], self.settled[-1:])
            assert not [one.exception() for one in threads if one.done()]
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.mark.parametrize("revision", EARLIER)
def test_processes_of_the_earlier_release_go_on_while_the_schema_is_migrated(empty_url: str, revision: str) -> None:
    with ExitStack() as stack:
        store = stack.enter_context(closing(SqlStore(empty_url)))
        migrate_to(store, revision)
        earlier = stack.enter_context(closing(Earlier(empty_url)))
        threads = stack.enter_context(ThreadPoolExecutor(4))
        stack.callback(earlier.stop)
        acts = (earlier.accept, earlier.accept, earlier.work, earlier.work)
        running = [threads.submit(act, number) for number, act in enumerate(acts)]
        earlier.go_on(20, running)
        assert f"the schema went from {revision} to {HEAD}" == store.migrate()
        earlier.go_on(20, running)
        earlier.stop()
        for one in running:
            one.result(30)
        assert len(set(earlier.settled)) == len(earlier.settled)
        assert set(earlier.accepted) == {row["id"] for row in as_it_stands(store)["event"]}
        assert set(earlier.settled) == {row["ref"] for row in as_it_stands(store)["attempt"]}
