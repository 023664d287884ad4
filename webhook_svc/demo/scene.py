"""Where it happens: simulated providers, a mailbox, and the real service in a process of its own."""

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.ports import Simulator
from ..core.tomltext import table_text
from ..simulators import SIMULATORS
from ..simulators.mailbox import Mailbox
from ..simulators.serve import serve
from ..stage.processes import Program, answers, child_environment, free_port, until
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

    @property
    def log(self) -> Path:
        return self.home / "service.log"


def stage(stack: ExitStack, say: Say) -> Scene:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook-svc-demo-")))
    providers = {one.source: one.provider for one in CONTRACTS}
    simulators: dict[str, Simulator] = {source: SIMULATORS.load(name)() for source, name in providers.items()}
    apis = {source: stack.enter_context(serve(one.wsgi())).url for source, one in simulators.items()}
    mailbox = stack.enter_context(Mailbox())
    port = free_port()
    say(f"simulated providers: {', '.join(providers.values())}; mailbox at {mailbox.url}")
    store = SqlStore(f"sqlite:///{home}/data/demo.db")
    stack.callback(store.close)
    scene = Scene(home=home, url=f"http://127.0.0.1:{port}", simulators=simulators, mailbox=mailbox, store=store)
    service = stack.enter_context(_service(scene, _configuration(scene, apis), port))
    until(lambda: answers(f"{scene.url}/readyz"), "the service to be ready", PATIENCE, service.tail)
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


def _service(scene: Scene, configuration: str, port: int) -> Program:
    """The real thing, `webhook-svc up`, in a process of its own."""
    command = [sys.executable, "-m", "webhook_svc", "up", "--port", str(port)]
    return Program(command, child_environment(configuration), scene.log, cwd=scene.home)
