"""Programs that are started, stopped and killed here, and never one that somebody else started."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from ..config import environment

_OURS = ("WEBHOOK_SVC_", "PORT", "DATABASE_URL", "VAULT_URL", "DYNO", "PUBLIC_URL", "WEB_", "LOG_FORMAT", "ADMIN_TOKEN")


def child_environment(toml: str, *, url: str = "", port: int = 0) -> dict[str, str]:
    """Our own without a word of the service, this interpreter's programs first, and what a platform gives."""
    inherited = {key: value for key, value in environment().items() if not key.startswith(_OURS)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
    given = {"WEBHOOK_SVC_CONFIG_TOML": toml, "LOG_FORMAT": "json"}
    given |= {"DATABASE_URL": url} if url else {}
    given |= {"PORT": str(port)} if port else {}
    return {**inherited, "PATH": path, **given}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(url: str) -> bool:
    """Does it answer with a 200 now?"""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until(condition: Callable[[], bool], what: str, seconds: float = 30.0, explain: Callable[[], str] = str) -> float:
    """Waits for it; the seconds that it took. TimeoutError with what was waited for, and `explain`."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() > begun + seconds:
            raise TimeoutError(f"gave up after {seconds:g} s waiting for {what}\n{explain()}".rstrip())
        time.sleep(0.02)
    return time.monotonic() - begun


def tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


class Program:
    """A command in a process group of its own, as platforms start it. What it says goes to the end of `log`."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], log: Path, *, cwd: Path | None = None
    ) -> None:
        self.log = log
        self._command = command
        self._environ = environ
        self._cwd = cwd
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """It may finish what it does."""
        try:
            self.stop()
        finally:
            self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def dead(self) -> bool:
        return self._process.poll() is not None

    def wait(self, seconds: float = 60.0) -> int:
        return self._process.wait(seconds)

    def start_again(self) -> None:
        self.kill()
        self._process = self._start()

    def signal(self, number: int) -> None:
        """To all processes of the group."""
        os.killpg(self.pid, number)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and what it exits with."""
        if not self.dead:
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """kill -9 of the whole group. Nothing of it is left when this returns."""
        if self.dead and not _members(self.pid):
            return
        try:
            self.signal(signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait(10)
        until(lambda: not _members(self.pid), "the killed processes to be gone")

    def kill_child(self) -> None:
        """kill -9 of the processes that have no child: of gunicorn the one that serves, not its master."""
        members = _members(self.pid)
        for pid in members.keys() - set(members.values()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        return tail(self.log)

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - what runs is ours
                self._command, env=self._environ, cwd=self._cwd, stdout=log, stderr=log, start_new_session=True
            )


def _members(group: int) -> dict[int, int]:
    """Pid → parent of the living processes of a process group."""
    return {pid: parent for pid, parent, of, state in _processes() if of == group and state != "Z"}


def _processes() -> Iterator[tuple[int, int, int, str]]:
    """(pid, parent, group, state) of all on this machine. Where there is no /proc, `ps` knows."""
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, check=True)  # noqa: S607
        for pid, parent, group, state in map(str.split, shown.stdout.decode().splitlines()):
            yield int(pid), int(parent), int(group), state[0]
        return
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it ended while we looked
        yield int(stat.parent.name), int(parent), int(group), state
