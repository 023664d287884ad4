"""A service as real processes, with a device of trouble at everything that it needs."""

import http.client
import shutil
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from tests.flow.processes import Line, environment, procfile, until
from tests.flow.trouble.clock import ProcessClock
from tests.flow.trouble.disk import SmallDisk, unavailable
from tests.flow.trouble.mail import MailQuirks
from tests.flow.trouble.postgres import DURABLE, PostgresServer, new_home, postgres_programs
from tests.flow.trouble.proxy import Proxy
from tests.flow.trouble.s3 import S3Door, Wsgi
from tests.flow.trouble.workers import Crew
from tests.flow.world import World
from webhook_svc.core.asking import Query
from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.core.types import RawRequest
from webhook_svc.prove.town import Wiring
from webhook_svc.prove.traffic import Tally
from webhook_svc.prove.verdict import Evidence, everything, jobs
from webhook_svc.simulators.serve import send
from webhook_svc.stage.processes import answers, free_port
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import attempt

LEASE = 3.0
SECTIONS: dict[str, dict[str, Any]] = {
    "worker": {"lease": LEASE, "poll": 0.1, "drain": 0.2},
    "retry": {
        "delays": [0.1, 0.2, *[0.5] * 60],
        "not_ready": [0.1, 0.2, 0.5],
        "pause_first": 0.2,
        "pause_longest": 0.5,
    },
    "http": {"read_timeout": 1.0},
}
_SMALL = {"max_wal_size": "8MB", "min_wal_size": "2MB"}


class Scene:
    """A web process and a crew of two workers, each of them with a clock of its own. `stack` ends what is started."""

    def __init__(self, kind: str, home: Path, stack: ExitStack) -> None:
        self.tally = Tally()
        self.quirks = MailQuirks()
        self.wires: dict[str, Proxy] = {}
        self.clocks: list[ProcessClock] = []
        self._stack = stack
        self.vault, self.disk = self._disk(8), self._disk(96)
        self.postgres = self._postgres() if kind == "postgres" else None
        where = self.disk.path if self.disk else home
        url = f"{self.postgres.url}/postgres" if self.postgres else f"sqlite:///{where}/store.db"
        self.store = SqlStore(url)
        stack.callback(self.store.close)
        self.store.migrate()
        wiring = Wiring(before=self._before, address=self._by_wire, post=self.quirks)
        self.world = stack.enter_context(World(home, wiring=wiring))
        self._serve(url)

    # --- what happens -------------------------------------------------------------------------------------------------

    def sign(self, *documents: str, source: str = "contracts", size: int = 0) -> Counter[int]:
        """Each callback is sent once. How often they were answered with which status; 0 where there was no answer."""
        statuses: Counter[int] = Counter()
        for document in documents:
            callbacks = self.world.simulators[source].finish(document, size=size)
            met = [self._send(f"{source}/{document}", callback) for callback in callbacks]
            promise = self.world.promise(source, document, required={200} == set(met))
            self.tally.promises[promise.name] = promise
            statuses.update(met)
        return statuses

    def sign_patiently(self, document: str, *, source: str = "contracts") -> None:
        """Each callback is sent until it is taken."""
        name = f"{source}/{document}"
        for callback in self.world.simulators[source].finish(document):
            until(partial(self._takes, name, callback), f"{name} to be taken")
        self.tally.promises[name] = self.world.promise(source, document)

    def _takes(self, name: str, callback: RawRequest) -> bool:
        return self._send(name, callback) == 200

    def _send(self, name: str, callback: RawRequest) -> int:
        try:
            status, headers, _ = send(f"{self._hooks}/{name.partition('/')[0]}", callback, timeout=10)
        except (OSError, http.client.HTTPException):
            return 0
        if status == 200:
            self.tally.events[headers["webhook-event"]] = name
        else:
            assert (503, True) == (status, "retry-after" in headers)
        return status

    def wrong(self) -> list[str]:
        """When nothing is left to do: what is not right, of all that was ever signed here."""
        until(self._rests, "the service to come to rest", explain=self.web.tail)
        rewritten = tuple(self.door.rewritten())
        evidence = Evidence(
            town=self.world, store=self.store, tally=self.tally, disturbances=[], calm_after=0.0, rewritten=rewritten
        )
        return evidence.verdict().problems()

    def _rests(self) -> bool:
        """The first look after the database came back meets a connection that died."""
        try:
            return jobs(self.store) == 0
        except StoreUnavailable:
            return False

    # --- what was said and written ------------------------------------------------------------------------------------

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.world.home.glob("*.log"))

    def attempts(self, outcome: str) -> int:
        """How many claims ended so, ever."""
        counted = sa.select(sa.func.count()).select_from(attempt).where(attempt.c.outcome == outcome)
        with self.store.database.reader.connect() as connection:
            return int(connection.execute(counted).scalar_one())

    def receipt(self, document: str, sink: str) -> dict[str, Any]:
        rows = everything(self.store, Query(kind="deliveries", limit=500))
        (receipt,) = (row["receipt"] for row in rows if (row["document"], row["sink"]) == (document, sink))
        return dict(receipt)

    # --- how it is built ----------------------------------------------------------------------------------------------

    def _disk(self, megabytes: int) -> SmallDisk | None:
        return None if unavailable() else self._stack.enter_context(SmallDisk(megabytes << 20))

    def _postgres(self) -> PostgresServer:
        home, programs = new_home(), postgres_programs()
        assert programs is not None
        self._stack.callback(shutil.rmtree, home)
        data = self.disk.path if self.disk else None
        server = PostgresServer(home, programs, data=data, settings={**DURABLE, **_SMALL}, segments=1)
        return self._stack.enter_context(server)

    def _before(self, name: str, app: Wsgi) -> Wsgi:
        if name != "bucket":
            return app
        self.door = S3Door(app)
        return self.door

    def _by_wire(self, name: str, url: str) -> str:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.wires[name] = self._stack.enter_context(Proxy((parts.hostname, parts.port)))
        return f"{parts.scheme}://{self.wires[name].address}"

    def _serve(self, url: str) -> None:
        vault = {"vault": {"path": str(self.vault.path / "vault")}} if self.vault else {}
        port = free_port()
        self._environ = environment(self.world.configuration(**SECTIONS, **vault), url, port)
        self._hooks = f"http://127.0.0.1:{port}/hooks"
        self.web = Line(procfile()["web"], self._environ, self.world.home / "web.log")
        self._stack.callback(self.web.kill)
        self.crew = Crew(self._worker, size=2)
        self._stack.callback(self.crew.kill)
        until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the service to be ready", explain=self.web.tail)

    def _worker(self) -> Line:
        name = f"worker-{len(self.clocks)}"
        self.clocks.append(ProcessClock(self.world.home / f"{name}.clock"))
        line = self.clocks[-1].line(procfile()["worker"])
        return Line(line, self._environ, self.world.home / f"{name}.log")
