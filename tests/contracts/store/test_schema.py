"""The schema, on both stores: migrated once however often it is asked, equal to the tables, served by its indexes."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from webhook_svc.store.migrate import HEAD, alembic_config
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import job, metadata

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
    # Each looks for a collision once, so long after it began to wait: it is the migration that finds it.
    url = f"{empty_url}?options=-cdeadlock_timeout%3D4s"
    with closing(SqlStore(url)) as store, closing(SqlStore(empty_url)) as service, ThreadPoolExecutor(1) as other:
        _migrate_to(store, "0001")
        with service.database.write() as tx:
            tx.connection.execute(sa.text("SET LOCAL deadlock_timeout = '60s'"))
            tx.connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
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
