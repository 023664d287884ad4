"""`webhook-svc simulate NAME --send N` against a running `webhook-svc up`, for every provider that can be simulated."""

import json
import signal
import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.flow.processes import Line, environment
from tests.flow.world import FORWARDED, World
from tests.guard import check
from tests.kinds import provider_kind
from webhook_svc.core.asking import Query
from webhook_svc.core.errors import Problem
from webhook_svc.core.ports import Provider, Simulator
from webhook_svc.core.settings import build
from webhook_svc.core.tomltext import table_text
from webhook_svc.simulators import SIMULATORS
from webhook_svc.simulators.account import made_up
from webhook_svc.stage.processes import answers, free_port, until
from webhook_svc.store.sql import SqlStore

SENT = 3
PARTS = ("document", "certificate", "audit")
WITH_POSTGRES = ("esignon", "firma", "generic", "indexhealth", "okdokument", "telnyx")
"""What a provider says is the same on both stores: a few show it."""
RETRY = {"delays": [0.2, 1, 5], "not_ready": [0.2, 1, 5]}


class Stand:
    """A provider that the command line is to simulate, as it is configured before the simulator runs."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        # Held until the simulator listens there, or one of many other processes would be given it meanwhile.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port: int = self._held.getsockname()[1]
        self._secret, self._api_key = made_up(64), made_up(32)
        self._tokens = [made_up(32)] if self._built().needs_url_token() else []

    def close(self) -> None:
        self._held.close()

    def table(self) -> str:
        keys = {**FORWARDED, "parts": PARTS, "tokens": self._tokens}
        return table_text(f"sources.{self.provider}", {**self._source(), **keys})

    def brings(self) -> frozenset[str]:
        """The parts that its provider can bring as it is configured."""
        return self._built().offers()

    def _built(self) -> Provider:
        kind, problems = provider_kind(self.provider), list[Problem]()
        settings = {key: value for key, value in self._source().items() if key != "provider"}
        return kind(self.provider, build(kind.Settings, settings, self.provider, problems))

    def _source(self) -> dict[str, Any]:
        simulator: Simulator = SIMULATORS.load(self.provider)(secret=self._secret, api_key=self._api_key)
        return simulator.source(f"http://127.0.0.1:{self.port}")

    def command(self, service: int) -> str:
        given = f"--secret {self._secret} --api-key {self._api_key} --port {self.port} --send {SENT} --serve"
        path = "/".join(("hooks", self.provider, *self._tokens))
        return f"webhook-svc simulate {self.provider} --to http://127.0.0.1:{service}/{path} {given}"


def test_every_simulated_provider_delivers_what_it_sends_to_folder_bucket_and_mailbox(
    tmp_path: Path, empty_url: str
) -> None:
    names = [name for name in SIMULATORS.names() if empty_url.startswith("sqlite") or name in WITH_POSTGRES]
    stands, port = [Stand(name) for name in names], free_port()
    with ExitStack() as stack:
        for stand in stands:
            stack.callback(stand.close)
        world = stack.enter_context(World(tmp_path, known={}))
        store = SqlStore(empty_url)
        stack.callback(store.close)
        toml = "\n".join((world.configuration(retry=RETRY), *(stand.table() for stand in stands)))
        environ = environment(toml, empty_url, port)
        up = Line(f"webhook-svc migrate && exec webhook-svc up --port {port}", environ, tmp_path / "service.log")
        stack.callback(up.kill)
        until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the service to be ready")
        lines = [Line(stand.command(port), environ, tmp_path / f"{stand.provider}.shown") for stand in stands]
        for line in lines:
            stack.callback(line.kill)
        assert world.mailbox.wait_for(len(stands) * SENT, 180), "\n".join(line.text() for line in lines)
        until(lambda: not _jobs(store), "all work to be done")
        for line in lines:
            line.signal(signal.SIGINT)
        assert [0] * len(lines) == [line.wait() for line in lines], "\n".join(line.text() for line in lines)
        for line in lines:
            check("what follows the configuration to paste", line.text().partition("\n\n")[2])

        expected = Counter({stand.provider: SENT for stand in stands})
        assert expected == _bundles([one.path for one in world.in_folder()])
        assert expected == _bundles([one.path for one in world.in_bucket()])
        assert {one.provider: one.brings() for one in stands} == _parts(world.folder)
        assert len(stands) * SENT == len(world.mailbox.mails)
        assert [] == store.list(Query(kind="dead"))
        assert 0 == up.stop()


def _bundles(paths: list[str]) -> Counter[str]:
    """Source → manifests beside at least one other file; that of a round carries the round in its name."""
    places = Counter(path.rpartition("/")[0] for path in paths)
    manifests = (path for path in paths if path.endswith(".json") and "/manifest." in path)
    whole = (path for path in manifests if places[path.rpartition("/")[0]] > 1)
    return Counter(path.partition("/")[0] for path in whole)


def _parts(folder: Path) -> dict[str, set[str]]:
    """Source → the parts that its manifests name in any of their bundles and supplements."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("manifest*.json"):
        told = json.loads(path.read_text())
        found.setdefault(told["source"], set()).update(part["kind"] for part in told["parts"])
    return found


def _jobs(store: SqlStore) -> float:
    return sum(number for (name, _), number in store.gauges().items() if name == "jobs")
