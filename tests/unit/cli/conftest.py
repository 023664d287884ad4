"""A service with a store of its own, a simulated Firma, and the command line over both."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from webhook_svc import wiring
from webhook_svc.cli import cli
from webhook_svc.core.errors import Refused
from webhook_svc.core.tomltext import table_text
from webhook_svc.core.types import RawRequest
from webhook_svc.core.work import Wish
from webhook_svc.simulators.firma import FirmaSimulator
from webhook_svc.simulators.mark import MARK
from webhook_svc.simulators.serve import serve

SECRET = (MARK + "ab" * 32)[:64]
API_KEY = f"{MARK}-api-key"


class World:
    """`run` is the command line; the other verbs make things happen in the store it looks at."""

    def __init__(self, folder: Path, api_base: str, simulator: FirmaSimulator) -> None:
        self.folder = folder
        self.simulator = simulator
        self.stranger = FirmaSimulator(secret=SECRET)
        self.extra = ""
        self.tables: dict[str, dict[str, Any]] = {
            "service": {"public_url": "https://hooks.acme.example"},
            "store": {"url": f"sqlite:///{folder}/store.db"},
            "vault": {"path": f"{folder}/vault"},
            "retry": {"delays": [0.0, 0.0]},
            "sources.contracts": {**simulator.source(api_base), "sinks": ["archive"]},
            "sinks.archive": {"kind": "folder", "path": f"{folder}/archive", "name": "{document}/{filename}"},
        }

    @property
    def environ(self) -> dict[str, str]:
        tables = "\n".join(table_text(name, table) for name, table in self.tables.items())
        return {"WEBHOOK_SVC_CONFIG_TOML": tables + self.extra}

    def run(self, *words: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, words, env=self.environ, input=input)

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def callback(self, document: str, *, title: str = "") -> RawRequest:
        return self.simulator.finish(document, title=title)[0]

    def receive(self, *callbacks: RawRequest) -> None:
        """Each callback arrives, and all that follows is worked off."""
        made = wiring.service(wiring.configured(self.environ))
        try:
            for callback in callbacks:
                self._arrive(made, callback)
            runner = made.worker()._runner
            wish = Wish(worker="test", lanes=made.parties.lanes(), total=8, lease=60.0, idle=True)
            while jobs := made.store.claim(wish).jobs:
                for job in jobs:
                    runner.run(job, dict)
        finally:
            made.close()

    def _arrive(self, made: wiring.Service, callback: RawRequest) -> None:
        try:
            made.ingest.receive(made.parties.sources["contracts"], callback, "192.0.2.1")
        except Refused:
            assert self.run("events", "--refused").stdout

    def receive_unknown(self, document: str) -> None:
        """A callback about a document that Firma does not know: its signing is given up."""
        self.receive(self.stranger.finish(document)[0])

    def receive_conflict(self, document: str) -> None:
        """Other bytes stand where the document should go: its delivery is held."""
        place = self.folder / "archive" / document / f"{document}.pdf"
        place.parent.mkdir(parents=True)
        place.write_bytes(b"other bytes")
        self.receive(self.callback(document, title=document))

    def receive_forged(self, document: str) -> None:
        self.simulator.misbehave("wrong_signature")
        self.receive(self.callback(document))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    simulator = FirmaSimulator(secret=SECRET, api_key=API_KEY)
    with serve(simulator.wsgi()) as served:
        yield World(tmp_path, served.url, simulator)
