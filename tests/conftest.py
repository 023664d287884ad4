"""What many tests stand on: a clock that is set by hand, and a fresh database of either kind."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.contracts.summary import pytest_terminal_summary  # noqa: F401 - a hook
from tests.flow.trouble.postgres import PostgresServer, new_home
from tests.flow.trouble.postgres import postgres_programs as postgres_programs
from tests.guard import (  # noqa: F401 - hooks and fixtures that look at every test's output
    _what_programs_say_is_looked_at,
    capsys,
    pytest_configure,
    pytest_runtest_makereport,
)
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import metadata

START = 1_790_000_000.0
# These tests end with the machine up: that commits survive a power cut is the server's promise.
_CARELESS = {"fsync": "off", "full_page_writes": "off"}


@dataclass
class Clock:
    """Stands still until it is told to go on."""

    now: float = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def pytest_sessionstart() -> None:
    """Who runs the tests in the background may have them ignore Ctrl-C, and so would every program that they start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The two minutes of the soak come first, so that in the end nobody waits for them alone."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(store_url: str, clock: Clock) -> Iterator[SqlStore]:
    """A migrated store, once on each database; its time is `clock`."""
    opened = SqlStore(store_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def open_store(store_url: str, clock: Clock) -> Iterator[Callable[[], SqlStore]]:
    """Opens further stores on the database of `store_url`, as another process would have them."""
    opened: list[SqlStore] = []

    def another() -> SqlStore:
        opened.append(SqlStore(store_url, clock=clock))
        return opened[-1]

    yield another
    for one in opened:
        one.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of this test's own, once of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return _create_database(request.getfixturevalue("_postgres"), "template0")


@pytest.fixture(scope="session")
def fresh_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes a migrated database that no other test knows: of "sqlite" or of "postgres"."""

    def fresh(kind: str) -> str:
        if kind == "postgres":
            template = request.getfixturevalue("_postgres_template")
            return _create_database(request.getfixturevalue("_postgres"), template)
        path = tmp_path_factory.mktemp("fresh") / "store.db"
        shutil.copy(request.getfixturevalue("_sqlite_template"), path)
        return f"sqlite:///{path}"

    return fresh


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    shutil.copy(_sqlite_template, tmp_path / "store.db")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def postgres_url(_postgres: str, _postgres_template: str, _postgres_idle: list[str]) -> Iterator[str]:
    """A migrated Postgres database of this test's own. Skips where Postgres is not installed."""
    url = _postgres_idle.pop() if _postgres_idle else _create_database(_postgres, _postgres_template)
    yield url
    _empty(url)
    _postgres_idle.append(url)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _postgres_template(_postgres: str) -> str:
    url = _create_database(_postgres, "template0")
    _migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def _postgres_idle() -> list[str]:
    """Databases of earlier tests, empty again: emptying takes 1 ms, creating 200."""
    return []


@pytest.fixture(scope="session")
def _postgres() -> Iterator[str]:
    """The address of a server that lives as long as this run, without the name of a database."""
    programs = postgres_programs()
    if programs is None:
        reason = "Postgres is not installed: no initdb and pg_ctl on PATH, in /usr/lib/postgresql or by pg_config"
        if "postgres" in os.environ.get("WEBHOOK_SVC_REQUIRE", ""):
            pytest.fail(reason)
        pytest.skip(reason)
    with postgres_server(programs) as url:
        yield url


@contextmanager
def postgres_server(programs: Path) -> Iterator[str]:
    """The address of a new server, which ends and is deleted afterwards."""
    home = new_home()
    try:
        with PostgresServer(home, programs, settings=_CARELESS) as server:
            yield server.url
    finally:
        shutil.rmtree(home)


def _create_database(server: str, template: str) -> str:
    import psycopg  # an extra: who has it not, tests on SQLite

    name = f"t{uuid4().hex[:12]}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return f"{server}/{name}"


def _empty(url: str) -> None:
    """Whoever is still connected belongs to a test that is over."""
    store = SqlStore(url)
    with store.database.write() as tx:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        backends = sa.select(sa.text("pg_terminate_backend(pid)")).select_from(sa.text("pg_stat_activity"))
        tx.connection.execute(backends.where(sa.text(others)))
        for table in reversed(metadata.sorted_tables):
            emptied = table.update().values(owner="", until=0) if table.name == "lease" else table.delete()
            tx.connection.execute(emptied)
    store.close()


def _migrate(url: str) -> None:
    store = SqlStore(url)
    store.migrate()
    store.close()
