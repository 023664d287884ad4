"""A document that kills whoever delivers it, among innocents: it is buried, and everybody else arrives once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.flow.processes import Line, environment, procfile, until
from webhook_svc.core.asking import Query
from webhook_svc.core.ids import digest, new_id
from webhook_svc.core.tomltext import table_text
from webhook_svc.core.work import NewEvent
from webhook_svc.simulators.generic import GenericSimulator
from webhook_svc.simulators.serve import serve
from webhook_svc.store.sql import SqlStore

INNOCENTS = [f"innocent-{number}" for number in range(20)]
KILLS_BESIDE, KILLS_ALONE = 2, 3
WORKER = {"lease": 1.0, "poll": 0.1, "concurrency": 32, "per_lane": 32}
FORWARDED = {"parts": ["document"], "wait_for_parts": 0}
PLUGIN = f'''
import os
import signal
import time
from pathlib import Path

from webhook_svc.sinks.folder import Folder


class Deadly(Folder):
    """The killer strikes when all innocents are under way; for the first times they wait for it."""

    def deliver(self, delivery, progress):
        fallen = Path(self.settings.path, "..", "fallen")
        begun = Path(self.settings.path, "..", f"begun-{{os.getpid()}}")
        begun.mkdir(parents=True, exist_ok=True)
        patience = time.monotonic() + 10
        if delivery.document == "killer":
            while deaths(fallen) < {KILLS_BESIDE} and len(list(begun.iterdir())) < {len(INNOCENTS)}:
                assert time.monotonic() < patience
                time.sleep(0.01)
            with fallen.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        begun.joinpath(delivery.document).touch()
        while deaths(fallen) < {KILLS_BESIDE}:
            assert time.monotonic() < patience
            time.sleep(0.01)
        return super().deliver(delivery, progress)


def deaths(fallen):
    return len(fallen.read_text()) if fallen.exists() else 0
'''


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder with an installed package that brings the sink `deadly`."""
    home = tmp_path / "plugins"
    about = home / "deadly-1.0.dist-info"
    about.mkdir(parents=True)
    (home / "deadly.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[webhook_svc.sinks]\ndeadly = deadly:Deadly\n")
    return home


class Ward:
    """A worker that is started again whenever it dies, and two senders: the documents of one go to the deadly sink."""

    def __init__(self, url: str, home: Path, plugins: Path, stack: ExitStack) -> None:
        self.store = stack.enter_context(closing(SqlStore(url)))
        self.archive, self.calm = home / "archive", home / "calm"
        self.restarts = 0
        self._simulators = {"ward": GenericSimulator(), "park": GenericSimulator()}
        tables: dict[str, Mapping[str, Any]] = {
            "vault": {"path": str(home / "vault")},
            "worker": WORKER,
            "sinks.deadly": {"kind": "deadly", "path": str(self.archive), "name": "{document}/{filename}"},
            "sinks.calm": {"kind": "folder", "path": str(self.calm), "name": "{document}/{filename}"},
        }
        for (name, simulator), sink in zip(self._simulators.items(), ("deadly", "calm"), strict=True):
            api = stack.enter_context(serve(simulator.wsgi())).url
            tables[f"sources.{name}"] = {**simulator.source(api), **FORWARDED, "sinks": [sink]}
        toml = "\n".join(table_text(name, table) for name, table in tables.items())
        environ = environment(toml, url, 0)
        environ["PYTHONPATH"] = f"{plugins}:{environ.get('PYTHONPATH', '')}"
        for document in (*INNOCENTS[:10], "killer", *INNOCENTS[10:]):
            self.accept("ward", document)
        self._worker = Line(procfile()["worker"], environ, home / "worker.log")
        stack.callback(self._worker.kill)

    def accept(self, source: str, document: str) -> None:
        callback = self._simulators[source].finish(document)[-1]
        key, some_id = digest("event", source, document), new_id("evt", self.store.now())
        event = NewEvent(
            id=some_id, key=key, source=source, delivery_id="", verified_by="", hint=False, request=callback
        )
        self.store.accept(event, 20.0)

    def go_on(self) -> bool:
        """Starts the worker again where it died, and lets another document be signed for the calm sink."""
        if self._worker.dead:
            self.restarts += 1
            self.accept("park", f"calm-{self.restarts}")
            self._worker.start_again()
        return bool(self.store.list(Query(kind="dead")))

    def states(self, sink: str) -> dict[str, str]:
        return {row["document"]: row["state"] for row in self.store.list(Query(kind="deliveries", sink=sink, limit=50))}

    def at_rest(self) -> bool:
        return not self.store.lanes()

    def delivered(self, row: dict[str, str]) -> list[str]:
        story = self.store.timeline(row["id"]) or {}
        (signing,) = story["signings"]
        (delivery,) = signing["deliveries"]
        return [attempt["outcome"] for attempt in delivery["attempts"]]


@pytest.fixture
def ward(sqlite_url: str, tmp_path: Path, plugins: Path) -> Iterator[Ward]:
    """On one store: that both count and bury alike is held by the contract of claiming."""
    with ExitStack() as stack:
        yield Ward(sqlite_url, tmp_path, plugins, stack)


def test_a_killer_is_buried_and_the_innocents_beside_it_arrive_once(ward: Ward) -> None:
    until(ward.go_on, "the killer to be buried", 90)
    calm_meanwhile = Counter(ward.states("calm").values())["delivered"]
    until(ward.at_rest, "rest")

    (letter,) = ward.store.list(Query(kind="dead"))
    assert f"died or hung {KILLS_BESIDE + KILLS_ALONE} times" in letter["reason"]
    assert KILLS_BESIDE + KILLS_ALONE == ward.restarts
    assert {**dict.fromkeys(INNOCENTS, "delivered"), "killer": "dead"} == ward.states("deadly")
    assert set(INNOCENTS) == {path.name for path in ward.archive.iterdir()}
    for row in ward.store.list(Query(kind="deliveries", sink="deadly", state="delivered", limit=50)):
        assert ["expired"] * KILLS_BESIDE + ["done"] == ward.delivered(row)
    assert {"delivered"} == set(ward.states("calm").values())
    assert ward.restarts - 1 <= calm_meanwhile
