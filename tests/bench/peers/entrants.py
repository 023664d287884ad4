"""Who takes part: the service on each store, Node-RED, and a hook with Flask, Celery and Redis. Each has processes of
its own, which can all be killed and started again over what they left on disk."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ..databases import Kind, free_port
from ..service import API_KEY, CONCURRENCY, ROOT, SECRET, Site

HERE = Path(__file__).parent
FLAT = """kind = "folder"
path = "{home}/archive"
name = "{{document}}.pdf"
manifest = false
"""
"""The one file that the others write too."""
VISIBILITY = 30
"""Seconds after which Redis hands out a task again whose worker died."""


@dataclass(slots=True, kw_only=True)
class Entrant:
    """`commands` are its processes by name, `ports` where one must answer before the next begins; `database` are the
    processes of a server that is not killed with them."""

    name: str
    home: Path
    commands: Mapping[str, list[str]]
    environ: Mapping[str, str]
    port: int
    folder: Path = ROOT
    ports: Mapping[str, int] = field(default_factory=dict)
    database: tuple[int, ...] = ()
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def pids(self) -> tuple[int, ...]:
        return (*(child.pid for child in self.running.values()), *self.database)

    def files(self) -> int:
        with suppress(FileNotFoundError), os.scandir(self.home / "archive") as entries:
            return sum(entry.name.endswith(".pdf") and not entry.name.startswith(".") for entry in entries)
        return 0

    def start(self) -> None:
        known = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        for name, command in self.commands.items():
            with (self.home / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env={**known, **self.environ},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if name in self.ports:
                _wait(partial(_connect, self.ports[name]), self.home)
        _wait(self._refuse, self.home)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """All its processes and theirs, at once."""
        for child in self.running.values():
            with suppress(ProcessLookupError):
                os.killpg(child.pid, how)
        for child in self.running.values():
            child.wait()
        self.running.clear()

    def _refuse(self) -> None:
        """Whoever refuses a forged callback takes a genuine one. OSError if not."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as line:
            line.request("POST", "/hooks/contracts", b"{}", {"X-Firma-Signature": "t=1,v1=00"})
            if line.getresponse().status != 401:
                raise ConnectionError


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 5).close()


def _wait(act: Callable[[], None], home: Path) -> None:
    for _ in range(600):
        with suppress(OSError, HTTPException):
            return act()
        time.sleep(0.1)
    raise TimeoutError(f"no answer, see {home}")


@contextmanager
def entrants(home: Path, databases: list[Kind], provider: str) -> Iterator[list[Entrant]]:
    """All that can be had here, the service first; who is missing is said."""
    with ExitStack() as stack:
        found = [_service(home / kind.name, kind, provider) for kind in databases]
        for make in (_node_red, _celery, partial(_celery, synced=True)):
            with suppress(_Missing):
                found.append(make(home, provider))
        for one in found:
            (one.home / "archive").mkdir(parents=True, exist_ok=True)
            stack.callback(one.kill)
        yield found


class _Missing(Exception):
    """Printed where it is raised."""


def _service(home: Path, kind: Kind, provider: str) -> Entrant:
    home.mkdir()
    site = Site(home=home, store=kind.fresh(), provider=provider, sink=FLAT)
    python = [sys.executable, "-m"]
    return Entrant(
        name=f"webhook_svc, {kind.name}",
        home=home,
        commands={
            "web": [*python, "gunicorn", "-c", "config/gunicorn.py", "webhook_svc.wiring:wsgi()"],
            "worker": [*python, "webhook_svc", "worker"],
        },
        environ={**site.environ, "PYTHONPATH": str(ROOT)},
        port=site.port,
        database=kind.pids,
    )


def _node_red(parent: Path, provider: str) -> Entrant:
    _needs("Node-RED", "node", "npm")
    home = parent / "nodered"
    shutil.copytree(HERE / "nodered", home)
    _install("Node-RED", home, ["npm", "install", "--no-audit", "--no-fund", "--omit=optional"])
    port = free_port()
    return Entrant(
        name="Node-RED",
        home=home,
        commands={"node-red": ["node", str(home / "node_modules/node-red/red.js"), "--userDir", str(home)]},
        environ=_environ(home, provider) | {"PEER_PORT": str(port)},
        port=port,
        folder=home,
    )


def _celery(parent: Path, provider: str, *, synced: bool = False) -> Entrant:
    name = "Flask + Celery + Redis" + (", its files synced" if synced else "")
    _needs(name, "redis-server")
    home = parent / ("celery-synced" if synced else "celery")
    shutil.copytree(HERE / "celery", home)
    python = home / "venv" / "bin" / "python"
    _install(name, home, [sys.executable, "-m", "venv", "venv"])
    _install(name, home, [str(python), "-m", "pip", "install", "-q", "-r", "requirements.txt"])
    port, redis = free_port(), free_port()
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    listening = ["-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", str(CONCURRENCY)]
    pool = ["--pool", "threads", "--concurrency", str(CONCURRENCY), "--without-gossip", "--without-mingle"]
    return Entrant(
        name=name,
        home=home,
        commands={
            "redis": ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--dir", str(home), *durable],
            "web": [str(python), "-m", "gunicorn", *listening, "hook:flask"],
            "worker": [str(python), "-m", "celery", "-A", "hook", "worker", *pool],
        },
        environ=_environ(home, provider)
        | {"PEER_REDIS": f"redis://127.0.0.1:{redis}/0", "PEER_VISIBILITY": str(VISIBILITY)}
        | ({"PEER_SYNC": "1"} if synced else {}),
        port=port,
        folder=home,
        ports={"redis": redis},
    )


def _environ(home: Path, provider: str) -> dict[str, str]:
    return {
        "PEER_SECRET": SECRET,
        "PEER_API_KEY": API_KEY,
        "PEER_PROVIDER": provider,
        "PEER_ARCHIVE": str(home / "archive"),
    }


def _needs(name: str, *programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        print(f"{name} is left out: no {' and no '.join(missing)} on PATH", file=sys.stderr)
        raise _Missing


def _install(name: str, home: Path, command: list[str]) -> None:
    with (home / "install.log").open("ab") as log:
        done = subprocess.run(command, cwd=home, stdout=log, stderr=log)
    if done.returncode:
        print(f"{name} is left out: it could not be installed ({' '.join(command[:2])})", file=sys.stderr)
        raise _Missing
