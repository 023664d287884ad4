"""A Postgres server of our own goes and comes back with what was committed."""

import shutil
from collections.abc import Iterator

import pytest

from tests.flow.trouble import Trouble
from tests.flow.trouble.disk import SmallDisk, unavailable
from tests.flow.trouble.postgres import PostgresServer, new_home, postgres_programs

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.skipif(postgres_programs() is None, reason="Postgres is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    home, programs = new_home(), postgres_programs()
    assert programs is not None
    with PostgresServer(home, programs) as running:
        do(running, "CREATE TABLE kept (n int)")
        yield running
    shutil.rmtree(home)


def do(server: PostgresServer, *statements: str) -> int:
    """The number that the last of them brings."""
    with psycopg.connect(f"{server.url}/postgres", autocommit=True, connect_timeout=5) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return int(row[0]) if row else 0


def fill(server: PostgresServer) -> int:
    """Inserts until that fails. How many rows were committed?"""
    committed = 0
    while True:
        try:
            do(server, "INSERT INTO kept SELECT repeat(md5(n::text), 50) FROM generate_series(1, 100) n")
        except psycopg.OperationalError:
            return committed
        committed += 100


def test_it_keeps_its_promise_to_write_to_the_disk(server: PostgresServer) -> None:
    asked = ("fsync", "synchronous_commit", "full_page_writes")

    assert [1, 1, 1] == [do(server, f"SELECT (current_setting('{name}') = 'on')::int") for name in asked]


@pytest.mark.parametrize("way", ["absence", "killed"])
def test_what_was_committed_is_there_when_it_comes_back_at_the_same_address(server: PostgresServer, way: str) -> None:
    trouble: Trouble = getattr(server, way)()
    before = do(server, "INSERT INTO kept VALUES (1)", "SELECT count(*) FROM kept")
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        trouble.start()
        trouble.start()
        assert not server.running
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        do(server, "SELECT 1")
    trouble.stop()
    trouble.stop()

    assert before == do(server, "SELECT count(*) FROM kept")
    assert 1 == trouble.happened


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_a_server_whose_disk_was_full_comes_back_with_what_was_committed() -> None:
    home, programs = new_home(), postgres_programs()
    assert programs is not None
    with SmallDisk(72 << 20) as disk, PostgresServer(home, programs, data=disk.path, segments=1) as server:
        do(server, "CREATE TABLE kept (t text)")
        full = disk.full()
        full.start()
        committed = fill(server)
        full.stop()
        server.start()

        assert "No space left on device" in server.said()
        assert committed == do(server, "SELECT count(*) FROM kept")
    shutil.rmtree(home)
