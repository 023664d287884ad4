"""The two databases: how to connect, how to begin a write, what time it is, how one process wakes another."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Dialect, Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

CHANNEL = "webhook_svc"
# A process that vanished inside its transaction keeps its row locks until the server ends its session; who meets them
# gives up soon, so that the writes behind it go on.
_BEGIN = (
    "SELECT extract(epoch FROM clock_timestamp())::float8, set_config('synchronous_commit', 'on', true),"
    " set_config('statement_timeout', '20000', true), set_config('lock_timeout', '3000', true),"
    " set_config('idle_in_transaction_session_timeout', '20000', true)"
)
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', '')"

_LOOK = 0.02
"""Seconds between two looks at a file: each costs some 100 µs, nearly all of it to wake up."""


@dataclass(slots=True)
class Tx:
    """One write transaction: its connection and the driver's own below it (for what is prepared), the database's time,
    and whether it made work for a worker."""

    connection: Connection
    driver: Any
    now: float
    made_work: bool = False


class Database(Protocol):
    """What the store needs to know of its database."""

    reader: Engine

    def write(self) -> Any:
        """Context manager yielding a Tx; commits at its end. What the driver raises comes out as SQLAlchemy's."""

    def glance(self) -> Any:
        """Context manager yielding the driver's connection, for a read of what is prepared; errors likewise."""

    def lock(self) -> Any:
        """Context manager that orders writers of several processes before they begin; may wait long."""

    def now(self, connection: Connection) -> float: ...

    @property
    def own_time(self) -> float | None:
        """The time for a statement that is prepared; None where the database has it at hand itself."""

    def listen(self, wake: Callable[[], None], stopped: threading.Event) -> None:
        """Calls `wake` when another process may have made work; returns when `stopped` is set."""

    def reset(self) -> None:
        """After a fork, in the child: forgets the connections it inherited."""

    def close(self) -> None: ...


def open_database(url: str, clock: Callable[[], float] | None = None) -> "SqliteDatabase | PostgresDatabase":
    """`clock` replaces the database's clock in tests."""
    parsed = normal_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDatabase(parsed, clock or _machines_clock)
    return PostgresDatabase(parsed, clock)


@contextmanager
def _translated(dialect: Dialect, driver: Any = None, invalidate: Callable[[Exception], None] | None = None) -> Any:
    """Where an error of the driver itself becomes SQLAlchemy's. A connection that died is not used again."""
    base = dialect.loaded_dbapi.Error
    try:
        yield
    except base as error:
        lost = driver is not None and dialect.is_disconnect(error, driver, None)
        if lost and invalidate is not None:
            invalidate(error)
        wrapped: Any = DBAPIError.instance(
            None, None, error, base, hide_parameters=True, connection_invalidated=lost, dialect=dialect
        )
        raise wrapped from error


@contextmanager
def _connected(opened: AbstractContextManager[Connection]) -> Iterator[tuple[Connection, Any]]:
    """A connection, and the driver's own below it."""
    with opened as connection:
        driver: Any = connection.connection.dbapi_connection
        with _translated(connection.dialect, driver, connection.invalidate):
            yield connection, driver


@contextmanager
def _glance(engine: Engine) -> Iterator[Any]:
    """The driver's connection alone, outside of any transaction, for a read of one statement."""
    with _translated(engine.dialect):
        connection = engine.raw_connection()
    driver: Any = connection.dbapi_connection
    try:
        with _translated(engine.dialect, driver, connection.invalidate):
            yield driver
    finally:
        connection.close()


def normal_url(url: str) -> URL:
    """SQLAlchemy's form of a platform's `postgres://…` or `sqlite:///…`. ValueError for anything else."""
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError("an address such as sqlite:///FILE or postgresql://…") from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database:
        return parsed
    raise ValueError("the store is sqlite:///FILE or postgresql://…")


def _machines_clock() -> float:
    """The same for all processes of this machine, whatever one of them was made to take for the time."""
    return time.clock_gettime(time.CLOCK_REALTIME)


class SqliteDatabase:
    """A file. Writers of several processes queue at a blocking flock beside it; `busy_timeout` is the backstop."""

    def __init__(self, url: URL, clock: Callable[[], float]) -> None:
        self.path = Path(url.database or "")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(self.path)
        self._clock = clock
        self.reader = self._engine(url, "BEGIN", size=8)
        self._writer = self._engine(url, "BEGIN IMMEDIATE", size=1)
        self._lock_file: int | None = None
        self._threads = threading.Lock()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """flock does not tell threads of one process apart, hence the second lock."""
        with self._threads:
            if self._lock_file is None:
                self._lock_file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    @contextmanager
    def write(self) -> Iterator[Tx]:
        with _connected(self._writer.begin()) as (connection, driver):
            yield Tx(connection, driver, self._clock())

    def glance(self) -> AbstractContextManager[Any]:
        return _glance(self.reader)

    def now(self, _connection: Connection) -> float:
        """The file is on this machine, so this machine's clock is the database's."""
        return self._clock()

    @property
    def own_time(self) -> float | None:
        return self._clock()

    def listen(self, wake: Callable[[], None], stopped: threading.Event) -> None:
        connection = self.reader.raw_connection()
        try:
            cursor = connection.cursor()
            seen = None
            while not stopped.is_set():
                time.sleep(_LOOK)  # half of what waiting for the event costs
                version = cursor.execute("PRAGMA data_version").fetchone()
                if version != seen:
                    seen = version
                    wake()
        finally:
            connection.close()

    def reset(self) -> None:
        self.reader.dispose(close=False)
        self._writer.dispose(close=False)
        self._threads = threading.Lock()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def close(self) -> None:
        self.reader.dispose()
        self._writer.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _engine(self, url: URL, begin: str, size: int) -> Engine:
        engine = sa.create_engine(
            url,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=32,
            hide_parameters=True,
            connect_args={"check_same_thread": False, "timeout": 5.0},
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine


def _make_private(path: Path) -> None:
    """Bodies and headers are nobody else's: SQLite gives its further files the rights of the first."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class PostgresDatabase:
    """Any number of processes. Nothing here needs session state, so a transaction-mode pooler may stand between.

    Connections: one that writes, one that reads, and in workers one that listens.
    """

    def __init__(self, url: URL, clock: Callable[[], float] | None) -> None:
        self._clock = clock
        options = {
            "connect_timeout": 5,
            "prepare_threshold": None,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "application_name": "webhook_svc",
        }
        common: dict[str, Any] = {
            "pool_size": 1,
            "max_overflow": 0,
            "hide_parameters": True,
            "connect_args": options,
        }
        self._writer = sa.create_engine(url, pool_timeout=10, **common)
        self.reader = sa.create_engine(url, pool_timeout=20, isolation_level="AUTOCOMMIT", **common)
        self._listen_url = url.set(drivername="postgresql").render_as_string(hide_password=False)

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    @contextmanager
    def write(self) -> Iterator[Tx]:
        with _connected(self._writer.begin()) as (connection, driver):
            now = driver.execute(_BEGIN).fetchone()[0]
            tx = Tx(connection, driver, self._clock() if self._clock else now)
            yield tx
            if tx.made_work:
                driver.execute(_NOTIFY)

    def glance(self) -> AbstractContextManager[Any]:
        return _glance(self.reader)

    def now(self, connection: Connection) -> float:
        if self._clock:
            return self._clock()
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one())

    @property
    def own_time(self) -> float | None:
        return self._clock() if self._clock else None

    def listen(self, wake: Callable[[], None], stopped: threading.Event) -> None:
        """A lost connection is tried again every second; polling stands behind it."""
        import psycopg

        while not stopped.is_set():
            try:
                with psycopg.connect(self._listen_url, autocommit=True, connect_timeout=5) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    wake()
                    while not stopped.is_set():
                        for _ in connection.notifies(timeout=0.25, stop_after=1):
                            wake()
            except psycopg.Error:
                stopped.wait(1.0)

    def reset(self) -> None:
        self._writer.dispose(close=False)
        self.reader.dispose(close=False)

    def close(self) -> None:
        self._writer.dispose()
        self.reader.dispose()
