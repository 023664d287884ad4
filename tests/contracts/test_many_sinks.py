"""One callback, eight destinations: all get it, and one that is away holds up none of the others."""

import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.flow.processes import until
from webhook_svc import wiring
from webhook_svc.core.template import Template
from webhook_svc.core.tomltext import table_text
from webhook_svc.core.types import sink_lane
from webhook_svc.pipeline.parties import Target
from webhook_svc.simulators.generic import GenericSimulator
from webhook_svc.simulators.serve import serve

from .rigs import rig_of
from .rigs.base import Rig
from .rigs.front import Fault
from .rigs.servers import Servers

EIGHT = ("dropbox", "email", "folder", "paperless", "s3", "sftp", "sharepoint", "webhook")


@dataclass
class Hall:
    """A running service whose sinks are those of the rigs, and the provider that calls it."""

    made: wiring.Service
    rigs: dict[str, Rig]
    simulator: GenericSimulator

    def call(self, document: str) -> bytes:
        """A signing completes; its bytes."""
        for callback in self.simulator.finish(document, title=document):
            self.made.ingest.receive(self.made.parties.sources["contracts"], callback, "192.0.2.1")
        return self.simulator.document_bytes(document)

    def have(self, content: bytes) -> set[str]:
        return {name for name, rig in self.rigs.items() if content in _seen(rig)}


def _seen(rig: Rig) -> Collection[bytes]:
    """What a look shows at a place that is written to meanwhile."""
    try:
        return rig.visible().values()
    except (FileNotFoundError, RuntimeError):  # what was just there has another name now, or has company
        return ()


@pytest.fixture
def hall(servers: Servers, tmp_path: Path, start: ExitStack) -> Iterator[Hall]:
    rigs = {}
    for name in EIGHT:
        (tmp_path / name).mkdir()
        rigs[name] = rig_of(name)(servers, tmp_path / name, start)
    simulator = GenericSimulator()
    served = start.enter_context(serve(simulator.wsgi()))
    made = _service(tmp_path, {**simulator.source(served.url), "sinks": list(EIGHT), "parts": ["document"]}, rigs)
    worker = made.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield Hall(made, rigs, simulator)
    worker.stop()
    thread.join()
    made.close()


def _service(home: Path, source: dict[str, object], rigs: dict[str, Rig]) -> wiring.Service:
    """Configured with folders in the places of the rigs' sinks, which then take them."""
    tables: dict[str, dict[str, object]] = {
        "store": {"url": f"sqlite:///{home}/store.db"},
        "vault": {"path": f"{home}/vault"},
        "retry": {"delays": [0.1, 0.2, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0], "pause_first": 0.2, "pause_longest": 0.5},
        "sources.contracts": source,
        **{f"sinks.{name}": {"kind": "folder", "path": f"{home}/unused"} for name in rigs},
    }
    text = "\n".join(table_text(name, table) for name, table in tables.items())
    made = wiring.service(wiring.configured({"WEBHOOK_SVC_CONFIG_TOML": text}))
    path = Template.parse("{document}/{filename}")
    targets = {name: Target(name=name, sink=rig.sink, path=path) for name, rig in rigs.items()}
    return replace(made, parties=replace(made.parties, sinks=targets))


def test_one_callback_reaches_eight_sinks_and_one_that_is_away_delays_no_other(hall: Hall) -> None:
    first = hall.call("d1")
    until(lambda: set(EIGHT) == hall.have(first), "all eight to have it", 20)

    hall.rigs["s3"].front.meet(Fault())
    second = hall.call("d2")
    until(lambda: set(EIGHT) - {"s3"} == hall.have(second), "all others to have it", 20)
    until(lambda: {sink_lane("s3"): 1} == hall.made.store.lanes(), "nothing but its delivery to wait", 20)

    hall.rigs["s3"].front.forget()
    until(lambda: set(EIGHT) == hall.have(second), "the one that was away to have it too", 20)
    until(lambda: {} == hall.made.store.lanes(), "all to be settled", 20)
