"""The schema, on both stores: migrated once however often it is asked, equal to the tables, served by its indexes."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from webhook_svc.core.asking import Query
from webhook_svc.store.engine import normal_url
from webhook_svc.store.migrate import HEAD, alembic_config
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import delivery, event, job, metadata, signing

MIGRATE = "import sys; from webhook_svc.store.sql import SqlStore; print(SqlStore(sys.argv[1]).migrate())"


def test_a_store_without_its_schema_is_not_ready_and_says_what_to_run(empty_url: str) -> None:
    with closing(SqlStore(empty_url)) as store:
        assert "webhook-svc migrate" in store.ready()
        store.migrate()
        assert "" == store.ready()


def test_a_store_whose_schema_is_newer_is_ready_and_left_as_it_is(empty_url: str) -> None:
    with closing(SqlStore(empty_url)) as store:
        store.migrate()
        _revise(store, "9999")
        assert ("", "the schema is at 9999 already") == (store.ready(), store.migrate())


@pytest.mark.parametrize("revision", ["0000", "of others", ""])
def test_a_store_whose_schema_is_older_or_unknown_is_not_ready(empty_url: str, revision: str) -> None:
    with closing(SqlStore(empty_url)) as store:
        store.migrate()
        _revise(store, revision)
        assert "webhook-svc migrate" in store.ready()


def test_migrating_twice_changes_nothing_the_second_time(empty_url: str) -> None:
    with closing(SqlStore(empty_url)) as store:
        assert f"the schema went from nothing to {HEAD}" == store.migrate()
        assert f"the schema is at {HEAD} already" == store.migrate()


def test_two_processes_may_migrate_at_once(empty_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_url]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [0, 0] == [process.returncode for process in both]
    assert [f"the schema is at {HEAD} already", f"the schema went from nothing to {HEAD}"] == sorted(said)


@pytest.mark.parametrize("empty_url", ["postgres"], indirect=True)
def test_a_migration_that_the_running_service_collides_with_begins_again(empty_url: str) -> None:
    with closing(SqlStore(empty_url)) as store, closing(SqlStore(empty_url)) as service, ThreadPoolExecutor(1) as other:
        _migrate_to(store, "0001")
        with service.database.write() as tx:
            tx.connection.execute(sa.text("SET LOCAL deadlock_timeout = '60s'"))  # it is the migration that is ended
            tx.connection.execute(sa.text("LOCK TABLE job IN ROW EXCLUSIVE MODE"))
            said = other.submit(store.migrate)
            _await_a_waiting_lock(service)
            tx.connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
            tx.connection.execute(sa.text("LOCK TABLE event IN ROW EXCLUSIVE MODE"))
        assert f"the schema went from 0001 to {HEAD}" == said.result(60)


def test_the_migrated_schema_is_that_of_the_tables(store: SqlStore) -> None:
    with store.database.reader.connect() as connection:
        # SQLite gives a default back as it was spelt, which Alembic takes for another one.
        defaults = connection.dialect.name == "postgresql"
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": defaults}
        )
        assert [] == compare_metadata(context, metadata)


def test_the_revision_that_the_code_needs_is_the_newest_migration() -> None:
    assert [HEAD] == ScriptDirectory.from_config(alembic_config()).get_heads()


def test_a_commit_waits_for_the_disk(store: SqlStore) -> None:
    with store.database.write() as tx:
        if tx.connection.dialect.name == "postgresql":
            assert "on" == tx.connection.exec_driver_sql("SHOW synchronous_commit").scalar()
        else:
            assert 2 == tx.connection.exec_driver_sql("PRAGMA synchronous").scalar()
            assert "wal" == tx.connection.exec_driver_sql("PRAGMA journal_mode").scalar()


def test_no_error_of_the_database_shows_what_was_written(store: SqlStore) -> None:
    with pytest.raises(sa.exc.IntegrityError) as caught, store.database.write() as tx:
        tx.connection.execute(job.insert().values(id="a secret"))
    assert "a secret" not in str(caught.value).split("DETAIL", 1)[0]
    assert store.database.reader.hide_parameters


def _migrate_to(store: SqlStore, revision: str) -> None:
    with store.database.write() as tx:
        config = alembic_config()
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)


def _await_a_waiting_lock(store: SqlStore) -> None:
    waiting = sa.text("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'job'::regclass")
    until = time.monotonic() + 30
    with store.database.reader.connect() as connection:
        while connection.execute(waiting).first() is None:
            assert time.monotonic() < until
            time.sleep(0.01)


def _revise(store: SqlStore, revision: str) -> None:
    with store.database.write() as tx:
        tx.connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


# --- plans ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowded(life: Any) -> Any:
    """A store of 3000 finished events and jobs for later, in which little is due or dead."""
    later = life.clock() + 1e6
    finished = {"source": "contracts", "state": "parsed", "hint": False, "size": 2, "received": 0, "queued": 0}
    complete = {"source": "contracts", "document": "d", "ref": "{}", "state": "complete", "wanted": 1}
    waiting = {"lane": "source:contracts", "stage": "parse", "state": "waiting", "run_at": later, "created": 0}
    delivered = {"source": "contracts", "sink": "archive", "version": 1, "supplement": 0, "state": "delivered"}
    with life.store.database.write() as tx:

        def fill(table: sa.Table, prefix: str, **values: Any) -> None:
            rows = [{**values, "id": f"{prefix}_{number:06}"} for number in range(3000)]
            if "key" in table.c:
                rows = [{**row, "key": row["id"].encode()} for row in rows]
            if table is job:
                rows = [{**row, "ref": row["id"], "lane": f"source:{index % 100}"} for index, row in enumerate(rows)]
            tx.connection.execute(table.insert(), rows)

        fill(event, "evt", **finished)
        fill(signing, "sgn", **complete, created=0, updated=0)
        fill(delivery, "dlv", **delivered, signing_id="sgn_000000", bundle="{}", receipt="{}", created=0)
        fill(job, "job", **waiting)
        tx.connection.exec_driver_sql("ANALYZE")
    return life


def test_an_idle_worker_looks_and_claims_through_the_partial_indexes(crowded: Any) -> None:
    life = crowded
    assert {"ix_job_claim", "ix_job_suspect"} <= _indexes(life, life.claim)
    life.fresh()
    used = _indexes(life, lambda: life.claim("source:contracts"))
    assert {"ix_job_claim", "ix_job_suspect"} <= used
    assert "ix_job_lease" in _indexes(life, lambda: life.store.sweep("w1"))


def test_dead_letters_are_listed_and_counted_through_their_partial_indexes(crowded: Any) -> None:
    expected = {"ix_event_dead", "ix_signing_dead", "ix_delivery_dead"}
    assert expected <= _indexes(crowded, lambda: crowded.store.list(Query(kind="dead")))
    assert expected <= _indexes(crowded, crowded.store.gauges)


def _indexes(life: Any, act: Callable[[], object]) -> set[str]:
    """The indexes in the plans of every statement that `act` runs."""
    ran: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many and statement.lstrip().split(" ", 1)[0] in ("SELECT", "UPDATE", "WITH", "DELETE"):
            ran.append((statement, parameters))

    engines = (life.store.database.reader, life.store.database._writer)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    act()
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", note)
    engine = sa.create_engine(normal_url(life.store.url))
    explain = "EXPLAIN " if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    with engine.connect() as connection:
        plans = [connection.exec_driver_sql(explain + statement, values).all() for statement, values in ran]
    engine.dispose()
    names = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    return {name for name in names if any(name in str(plan) for plan in plans)}
