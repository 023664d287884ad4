"""Databases to measure on: SQLite files, and a Postgres of our own that writes to disk as it should."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from webhook_svc.store.engine import normal_url
from webhook_svc.store.sql import SqlStore

_SETTINGS = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "listen_addresses=127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of database. `fresh` makes a migrated one and tells its address; `pids` are its server's processes."""

    name: str
    fresh: Callable[[], str]
    pids: tuple[int, ...] = ()


@contextmanager
def kinds() -> Iterator[list[Kind]]:
    """SQLite, and Postgres where its programs are found."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-sqlite-")))
        found = [Kind(name="SQLite", fresh=lambda: _migrated(f"sqlite:///{home}/{uuid4().hex}/store.db"))]
        programs = _programs()
        if programs is None:
            print("Postgres is left out: no initdb on PATH or below /usr/lib/postgresql")
        else:
            found.append(stack.enter_context(_postgres(programs)))
        yield found


@contextmanager
def _postgres(programs: Path) -> Iterator[Kind]:
    """As a child of ours, so that its CPU time is counted; as somebody else where we are root, whom it refuses."""
    home = Path(tempfile.mkdtemp(prefix="bench-pg-", dir="/var/tmp"))
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    who: Any = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    if user:
        os.chown(home, user.pw_uid, user.pw_gid)
    data, log = home / "data", (home / "log").open("wb")
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-A",
        "trust",
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    subprocess.run(initdb, cwd=home, stdout=log, stderr=log, check=True, **who)
    port = free_port()
    settings = [f"-c{one}" for one in (*_SETTINGS, f"port={port}", f"unix_socket_directories={home}")]
    server = subprocess.Popen([programs / "postgres", "-D", data, *settings], cwd=home, stdout=log, stderr=log, **who)
    url = f"postgresql://postgres@127.0.0.1:{port}"
    try:
        _await(url)
        yield Kind(name="Postgres", fresh=lambda: _created(url), pids=(server.pid,))
    finally:
        server.send_signal(signal.SIGINT)  # not SIGTERM, which waits for whoever is still connected
        server.wait()
        log.close()
        shutil.rmtree(home)


def rows_of(url: str, table: sa.Table) -> int:
    engine = sa.create_engine(normal_url(url))
    with engine.connect() as connection:
        found: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    engine.dispose()
    return found


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(url: str) -> None:
    import psycopg

    for _ in range(200):
        with suppress(psycopg.OperationalError):
            psycopg.connect(f"{url}/postgres").close()
            return
        time.sleep(0.05)
    raise TimeoutError("Postgres did not start")


def _created(url: str) -> str:
    import psycopg

    name = f"b{uuid4().hex[:12]}"
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return _migrated(f"{url}/{name}")


def _migrated(url: str) -> str:
    store = SqlStore(url)
    store.migrate()
    store.close()
    return url


def _programs() -> Path | None:
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in found if (path / "initdb").exists()), None)
