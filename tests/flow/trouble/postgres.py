"""A Postgres server that can be killed as a whole, stopped for a while, and comes back at the same address."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.flow.processes import until

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_ALWAYS = {"listen_addresses": "127.0.0.1", "max_connections": "100", "deadlock_timeout": "100ms"}


class PostgresServer:
    """Runs from `start` on; `close` ends it. Its files are below `home`, which it owns.

    `data` is where the database itself is, such as a small disk; `settings` those of `postgresql.conf`.
    """

    def __init__(
        self,
        home: Path,
        programs: Path,
        *,
        data: Path | None = None,
        settings: Mapping[str, str] = DURABLE,
        segments: int = 16,
    ) -> None:
        """`segments` is the size of a WAL file in MB. What a small disk holds, it holds in those."""
        self._home = home
        self._programs = programs
        self._data = (data or home) / "data"
        self._user = _somebody() if os.geteuid() == 0 else None
        for folder in {home, data or home}:
            if self._user is not None:  # initdb refuses root, and another user cannot enter root's folders
                os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._settings = {**_ALWAYS, **settings, "port": str(port), "unix_socket_directories": str(home)}
        self.url = f"postgresql://postgres@127.0.0.1:{port}"
        made = "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", f"--wal-segsize={segments}"
        self._process: subprocess.Popen[bytes] | None = None
        assert 0 == self._program("initdb", *made).wait(), self.said()

    def start(self) -> None:
        """It takes connections when this returns. One that runs already is left alone."""
        if not self.running:
            settings = (f"-c{key}={value}" for key, value in self._settings.items())
            self._process = self._program("postgres", *settings)
            until(lambda: not self.running or self._is_ready(), "the database to be ready")
        assert self.running, self.said()

    def stop(self, mode: Literal["fast", "immediate"] = "immediate") -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            self._process.wait(60)

    def kill(self) -> None:
        """kill -9 of the server and all that it started. Nothing of it runs when this returns."""
        if self._process is None or not self.running:
            return
        self._process.send_signal(signal.SIGSTOP)  # so that it starts nothing while we look
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        until(lambda: not any(map(_lives, children)), "the killed database to be gone")

    @property
    def running(self) -> bool:
        """It may also have ended by itself, for want of room on its disk."""
        return self._process is not None and self._process.poll() is None

    def absence(self, mode: Literal["fast", "immediate"] = "immediate") -> "Absence":
        return Absence(self, mode)

    def killed(self) -> "Killed":
        return Killed(self)

    def said(self) -> str:
        return (self._home / "log").read_text(errors="replace")

    def close(self) -> None:
        self.stop()

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_ready(self) -> bool:
        """The file of one that was killed may still lie there, and says the same."""
        assert self._process is not None
        try:
            lines = (self._data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return (str(self._process.pid), "ready") == (lines[0], lines[-1]) if lines else False

    def _program(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self._home / "log").open("ab") as output:
            return subprocess.Popen(
                [str(self._programs / name), "-D", str(self._data), *arguments],
                cwd=self._home,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )


@dataclass
class Absence:
    """See `Trouble`. Nobody listens until it ends."""

    server: PostgresServer
    mode: Literal["fast", "immediate"]
    name: str = "database away"
    happened: int = 0

    def start(self) -> None:
        self.happened += self.server.running
        self.server.stop(self.mode)

    def stop(self) -> None:
        self.server.start()


@dataclass
class Killed:
    """See `Trouble`. All its processes at once; they are back at its end."""

    server: PostgresServer
    name: str = "database killed"
    happened: int = 0

    def start(self) -> None:
        self.happened += self.server.running
        self.server.kill()

    def stop(self) -> None:
        self.server.start()


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl, None where Postgres is not installed."""
    found = [Path(program).resolve().parent for program in (shutil.which("initdb"),) if program]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        found.append(Path(told.stdout.strip()))
    return next((path for path in found if (path / "initdb").exists() and (path / "pg_ctl").exists()), None)


def new_home() -> Path:
    """A folder that the server's user can enter; whoever asks for it removes it."""
    folders = (tempfile.gettempdir(), "/tmp", "/var/tmp")
    entered = (one for one in folders if all(path.stat().st_mode & 0o001 for path in (Path(one), *Path(one).parents)))
    return Path(tempfile.mkdtemp(prefix="pg", dir=next(entered)))


def _somebody() -> pwd.struct_passwd:
    """Root's stand-in."""
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _children(parent: int) -> list[int]:
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in shown.splitlines())
    return [int(pid) for pid, its_parent in rows if int(its_parent) == parent]


def _lives(pid: int) -> bool:
    """What nobody has waited for yet lives no more."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return shown.strip()[:1] not in ("", "Z")
