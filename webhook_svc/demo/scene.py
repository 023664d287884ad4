"""Where it happens: simulated providers, a mailbox, and the real service in a process of its own."""

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import environment
from ..core.ports import Simulator
from ..core.tomltext import table_text
from ..simulators import SIMULATORS
from ..simulators.mailbox import Mailbox
from ..simulators.serve import serve
from ..store.sql import SqlStore
from .contracts import BOTH, CONTRACTS, LOST

PATIENCE = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What runs: a simulator for each source, the mailbox, and the service at `url` with its files below `home`."""

    home: Path
    url: str
    simulators: Mapping[str, Simulator]
    mailbox: Mailbox
    store: SqlStore

    @property
    def archive(self) -> Path:
        return self.home / "archive"


def stage(stack: ExitStack, say: Say) -> Scene:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook-svc-demo-")))
    providers = {one.source: one.provider for one in CONTRACTS}
    simulators: dict[str, Simulator] = {source: SIMULATORS.load(name)() for source, name in providers.items()}
    apis = {source: stack.enter_context(serve(one.wsgi())).url for source, one in simulators.items()}
    mailbox = stack.enter_context(Mailbox())
    port = _free_port()
    say(f"simulated providers: {', '.join(providers.values())}; mailbox at {mailbox.url}")
    scene = Scene(
        home=home,
        url=f"http://127.0.0.1:{port}",
        simulators=simulators,
        mailbox=mailbox,
        store=SqlStore(f"sqlite:///{home}/data/demo.db"),
    )
    stack.callback(scene.store.close)
    stack.enter_context(_service(home, _configuration(scene, apis), port))
    until(lambda: _ready(scene.url), "the service to be ready", lambda: log_tail(home))
    say(f"service at {scene.url}, its files in {home}")
    return scene


def _configuration(scene: Scene, apis: Mapping[str, str]) -> str:
    """Looks at lists and files come in seconds, where in earnest they come in minutes."""
    more = {"parts": list(BOTH), "sinks": ["archive", "legal"]}
    tables: dict[str, dict[str, Any]] = {
        "service": {"public_url": scene.url, "host": "127.0.0.1"},
        "store": {"url": scene.store.url},
        "vault": {"path": f"{scene.home}/data/vault"},
        "retry": {"not_ready": [0.3, 1, 2], "delays": [0.3, 1, 2, 5]},
        **{f"sources.{name}": {**one.source(apis[name]), **more} for name, one in scene.simulators.items()},
        "sinks.archive": {"kind": "folder", "path": str(scene.archive), "name": "{source}/{document}/{filename}"},
        "sinks.legal": {
            "kind": "email",
            "server": scene.mailbox.url,
            "from": "contracts@acme.example",
            "to": ["legal@acme.example"],
            "tls": "none",
        },
    }
    tables[f"sources.{LOST.source}"]["reconcile"] = 1.0
    return "\n".join(table_text(key, table) for key, table in tables.items())


@contextmanager
def _service(home: Path, configuration: str, port: int) -> Iterator[None]:
    """The real thing, `webhook-svc up`, in a process of its own."""
    command = [sys.executable, "-m", "webhook_svc", "up", "--port", str(port)]
    settings = {"WEBHOOK_SVC_CONFIG_TOML": configuration, "LOG_FORMAT": "json"}
    own = {key: value for key, value in environment().items() if not key.startswith("WEBHOOK_SVC_CONFIG")}
    for name in ("PORT", "DATABASE_URL", "VAULT_URL", "DYNO", "PUBLIC_URL"):
        own.pop(name, None)
    with (home / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=own | settings, stdout=log, stderr=log, cwd=home)  # noqa: S603 - us
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def until(condition: Callable[[], bool], what: str, explain: Callable[[], str] = str) -> None:
    """Looks ten times a second. TimeoutError with what was waited for."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"gave up waiting for {what}\n{explain()}".rstrip())
        time.sleep(0.1)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def log_tail(home: Path) -> str:
    return "\n".join((home / "service.log").read_text(errors="replace").splitlines()[-20:])
