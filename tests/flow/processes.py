"""The service as real processes: the lines of the Procfile, run by a shell, stopped and killed."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
_OURS = ("WEBHOOK_SVC_", "PORT", "DATABASE_URL", "VAULT_URL", "DYNO", "PUBLIC_URL", "WEB_", "LOG_FORMAT", "ADMIN_TOKEN")


def procfile() -> dict[str, str]:
    """Name → line."""
    lines = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines() if line.strip())
    return {name.strip(): command.strip() for name, _, command in lines}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def environment(toml: str, url: str, port: int) -> dict[str, str]:
    """Our own without a word of the service, this interpreter's programs first, and what a platform gives."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
    given = {"WEBHOOK_SVC_CONFIG_TOML": toml, "DATABASE_URL": url, "PORT": str(port), "LOG_FORMAT": "json"}
    return {**inherited, "PATH": path, **given}


def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> float:
    """Waits for it; the seconds that it took. TimeoutError with what was waited for."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() > begun + seconds:
            raise TimeoutError(f"gave up after {seconds:g} s waiting for {what}")
        time.sleep(0.02)
    return time.monotonic() - begun


def answers(url: str) -> bool:
    """Does it answer with a 200 now?"""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Line:
    """A command line that bash runs, in a process group of its own, as platforms do; one program takes its place."""

    def __init__(self, line: str, environ: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._line = line
        self._environ = environ
        self._process = self._start()

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
        os.killpg(self._process.pid, number)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and what it exits with."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """kill -9 of the whole group. Nothing of it is left when this returns."""
        try:
            self.signal(signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait(10)
        until(lambda: not self._members(), "the killed processes to be gone")

    def kill_child(self) -> None:
        """kill -9 of the processes that have no child: of gunicorn the one that serves, not its master."""
        members = self._members()
        for pid in members.keys() - set(members.values()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["bash", "-c", self._line], env=self._environ, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def _members(self) -> dict[int, int]:
        """Pid → parent of the living processes of the group."""
        table = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split() for line in table.splitlines()]
        return {int(row[0]): int(row[1]) for row in rows if int(row[2]) == self._process.pid and row[3][0] != "Z"}
