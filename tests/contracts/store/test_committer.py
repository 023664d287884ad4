"""Group commit over the real databases: who fails alone, who gives up, and what a dead thread or a fork leaves."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.core.types import Stage
from webhook_svc.store.engine import Tx, normal_url
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import event, lease

FORK = """
import os, sys
from webhook_svc.core.types import RawRequest
from webhook_svc.core.work import NewEvent
from webhook_svc.core.ids import digest, new_id
from webhook_svc.store.sql import SqlStore

store = SqlStore(sys.argv[1])

def accept(name):
    key = digest(name)
    item = NewEvent(id=new_id("evt", store.now()), key=key, source="s", delivery_id="", verified_by="", hint=False,
                    request=RawRequest(body=name.encode()))
    return store.accept(item, 20.0)

children = []
assert accept("parent at first").new
for number in range(3):
    child = os.fork()
    if not child:
        assert accept(f"child {number}").new
        assert not accept(f"child {number}").new
        store.wait(0.01)
        assert store.ready() == ""
        store.close()
        os._exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert accept("parent at last").new
store.close()
print(codes)
"""


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else holds what every writer needs."""
    parsed = normal_url(url)
    if parsed.drivername == "sqlite":
        with open(f"{parsed.database}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    engine = sa.create_engine(parsed)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
        yield
    engine.dispose()


def test_one_guilty_unit_of_a_batch_fails_alone(store: SqlStore, at_once: Callable[..., list[Any]]) -> None:
    batches: list[list[str]] = []
    entered = threading.Event()
    go_on = threading.Event()

    def wait(_tx: Tx, items: Sequence[Any]) -> list[None]:
        entered.set()
        assert go_on.wait(20)
        return [None for _ in items]

    def name(tx: Tx, items: Sequence[str]) -> list[str]:
        batches.append(list(items))
        for item in items:
            row = {"name": item, "owner": None if item == "guilty" else "me", "until": 0}
            tx.connection.execute(lease.insert(), row)
        return list(items)

    def submit(item: str) -> Any:
        try:
            return store.committer.submit(name, item)
        except StoreUnavailable as error:
            return error

    def release() -> None:
        while len(store.committer._waiting) < 4:
            pass
        go_on.set()

    blocker = threading.Thread(target=lambda: store.committer.submit(wait, None))
    blocker.start()
    assert entered.wait(20)
    results = at_once(*(lambda item=item: submit(item) for item in ("a", "guilty", "b", "c")), release)
    blocker.join()
    assert ["a", "b", "c"] == [one for one in results if isinstance(one, str)]
    assert isinstance(results[1], StoreUnavailable)
    assert [4, 1, 1, 1, 1] == [len(batch) for batch in batches]
    with store.database.reader.connect() as connection:
        kept = connection.execute(sa.select(lease.c.name).where(lease.c.owner == "me")).scalars()
        assert {"a", "b", "c"} == set(kept)


def test_a_row_that_somebody_keeps_locked_fails_only_who_needs_it(
    life: Any, postgres_url: str, at_once: Callable[..., list[Any]]
) -> None:
    with closing(SqlStore(postgres_url, clock=life.clock)) as store:
        event_id = life.accept(b"locked", store=store).event_id
        engine = sa.create_engine(normal_url(postgres_url))

        def again(body: bytes) -> Any:
            try:
                return life.accept(body, store=store)
            except StoreUnavailable as error:
                return str(error)

        with engine.begin() as foreign:
            foreign.execute(sa.select(event.c.id).where(event.c.id == event_id).with_for_update())
            results = at_once(*(lambda body=body: again(body) for body in (b"locked", b"one", b"two")))
        engine.dispose()
    assert [False, True, True] == ["LockNotAvailable" not in str(one) for one in results]


def test_a_transaction_that_is_left_open_is_ended_by_the_server(postgres_url: str) -> None:
    with closing(SqlStore(postgres_url)) as store, store.database.write() as tx:
        limit = tx.connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
    assert "20s" == limit


def test_a_waiter_gives_up_in_time_and_the_retry_succeeds(life: Any) -> None:
    life.fresh()
    taken, queued = life.event(b"taken"), life.event(b"queued")
    with locked(life.store.url):
        for item in (taken, queued):
            with pytest.raises(StoreUnavailable, match=r"0\.2 s"):
                life.store.accept(item, 0.2)
    retry = life.accept(b"queued")
    assert (True, True) == (retry.new, retry.event_id != queued.id), "the unit was not withdrawn"
    assert life.accept(b"taken").event_id
    assert 3 == len(life.rows(event))


def test_a_connection_that_died_while_idle_is_not_noticed_by_anybody(life: Any, postgres_url: str) -> None:
    with closing(SqlStore(postgres_url, clock=life.clock)) as store:
        assert life.accept(b"before", store=store).new
        with store.database.reader.connect() as connection:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            killed = sa.select(sa.text("pg_terminate_backend(pid)")).select_from(sa.text("pg_stat_activity"))
            assert connection.execute(killed.where(sa.text(others))).all()
        assert life.accept(b"after", store=store).new


def test_a_read_over_a_connection_that_died_is_the_stores_own_error(life: Any, postgres_url: str) -> None:
    with closing(SqlStore(postgres_url, clock=life.clock)) as store:
        life.accept(b"x", store=store)
        store.gauges()
        with store.database.write() as tx:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            killed = sa.select(sa.text("pg_terminate_backend(pid)")).select_from(sa.text("pg_stat_activity"))
            assert tx.connection.execute(killed.where(sa.text(others))).all()
        with pytest.raises(StoreUnavailable):
            store.gauges()
        assert store.gauges()


def test_a_server_that_is_away_is_the_stores_own_error() -> None:
    with closing(SqlStore("postgresql://postgres@127.0.0.1:1/none")) as store:
        assert store.ready()
        with pytest.raises(StoreUnavailable):
            store.give_back([])
        with pytest.raises(StoreUnavailable):
            store.now()


def test_a_committer_that_dies_tells_its_waiters_and_is_never_ready_again(store_url: str, clock: Any) -> None:
    died: list[str] = []
    with closing(SqlStore(store_url, clock=clock, on_death=lambda: died.append("told"))) as store:

        def fatal(_tx: Tx, _items: Sequence[Any]) -> Sequence[Any]:
            raise SystemExit("unforeseen")

        with pytest.raises(StoreUnavailable, match="died"):
            store.committer.submit(fatal, None, timeout=20)
        with pytest.raises(StoreUnavailable):
            store.give_back([])
        assert ("the committer has died", ["told"]) == (store.ready(), died)


def test_a_closed_store_takes_nothing(store_url: str) -> None:
    store = SqlStore(store_url)
    store.give_back([])
    store.close()
    with pytest.raises(StoreUnavailable):
        store.give_back([])


def test_a_store_goes_on_in_parent_and_children_after_forks(store_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, store_url], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert (0, "[0, 0, 0]\n") == (done.returncode, done.stdout), done.stderr
    with closing(SqlStore(store_url)) as store, store.database.reader.connect() as connection:
        assert 5 == connection.execute(sa.select(sa.func.count()).select_from(event)).scalar_one()


def test_work_of_another_process_ends_a_wait(life: Any, open_store: Callable[[], SqlStore]) -> None:
    waiting = open_store()
    waiting.wait(5.0)
    woken = threading.Event()

    def wait() -> None:
        waiting.wait(20.0)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    life.fresh()
    assert woken.wait(10)
    thread.join()
    assert Stage.PARSE is life.claim(store=waiting).jobs[0].stage


def test_poking_ends_a_wait(store: SqlStore) -> None:
    store.wait(5.0)
    store.poke()
    store.wait(60.0)
