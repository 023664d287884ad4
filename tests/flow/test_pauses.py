"""A sink that is down holds up nothing but itself, costs few attempts, and gets everything once it is back."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from tests.flow.processes import Line, environment, procfile, until
from tests.flow.trouble.proxy import Absent, Proxy
from tests.flow.world import World
from webhook_svc.prove.reckoning import Reckoning, reckon, reckon_mail
from webhook_svc.prove.town import Wiring
from webhook_svc.simulators.serve import send
from webhook_svc.stage.processes import answers, free_port
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import attempt

LANE = "sink:legal"
DOCUMENTS, WORKERS, PER_LANE = 30, 2, 4
RETRY = {"delays": [0.2, 1, 5], "pause_first": 0.2, "pause_longest": 1.0}


class Street:
    """A world whose mail server stands behind a wire that can be cut, and a service that delivers to it."""

    def __init__(self, home: Path, url: str, stack: ExitStack) -> None:
        wires: list[Proxy] = []

        def address(name: str, told: str) -> str:
            if name != "mailbox":
                return told
            wires.append(stack.enter_context(Proxy(("127.0.0.1", urlsplit(told).port or 0))))
            return f"smtp://{wires[0].address}"

        self.world = stack.enter_context(World(home, wiring=Wiring(address=address)))
        self.wire = wires[0]
        self.store = SqlStore(url)
        stack.callback(self.store.close)
        port = free_port()
        toml = self.world.configuration(retry=RETRY, worker={"per_lane": PER_LANE})
        self.log = home / "service.log"
        for line in ("web", *["worker"] * WORKERS):
            started = Line(procfile()[line], environment(toml, url, port), self.log)
            stack.callback(started.kill)
        self.web = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{self.web}/readyz"), "the web process to be ready")

    def paused(self) -> list[str]:
        return [row.lane for row in self.store.lane_rows() if row.paused]

    def work(self) -> int:
        return sum(self.store.lanes().values())

    def said(self) -> Counter[str]:
        """How often the log told of a lane, by what it told."""
        return Counter(re.findall(r'"event": ?"(lane\.\w+)"', self.log.read_text()))

    def failed(self) -> Counter[str]:
        """How often each delivery failed."""
        with self.store.database.reader.connect() as connection:
            return Counter(connection.execute(sa.select(attempt.c.ref).where(attempt.c.outcome == "again")).scalars())


@pytest.fixture
def street(tmp_path: Path, sqlite_url: str) -> Iterator[Street]:
    with ExitStack() as stack:
        yield Street(tmp_path, sqlite_url, stack)


def test_a_sink_that_is_away_is_paused_for_all_workers_and_gets_everything_when_it_is_back(street: Street) -> None:
    away = street.wire.trouble(Absent())
    away.start()
    promises = []
    for number in range(DOCUMENTS):
        for callback in street.world.simulators["inhouse"].finish(f"d{number}"):
            assert 200 == send(f"{street.web}/hooks/inhouse", callback)[0]
        promises.append(street.world.promise("inhouse", f"d{number}"))

    until(lambda: DOCUMENTS == street.work(), "all else to be done")
    until(lambda: [LANE] == street.paused(), "the sink to be paused")
    assert Reckoning() == reckon(promises, street.world.in_folder())
    assert Reckoning() == reckon(promises, street.world.in_bucket())
    failed = street.failed()
    assert failed.total() < DOCUMENTS, "most were never tried in vain"

    away.stop()
    until(lambda: not street.work(), "the letters to be sent", 20)
    assert Reckoning() == reckon_mail(promises, street.world.letters(), {})
    assert [] == street.paused()
    said = street.said()
    assert 1 == said["lane.resumed"]
    assert said["lane.probing"] == said["lane.paused"], "each pause ends in a probe"
