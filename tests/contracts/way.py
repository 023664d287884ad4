"""The whole way in one process: a simulator on a port, ingest, store, worker and folder as they are; the time is ours.

Nothing sleeps: a worker runs what is due, then the clock jumps to the next time that the store names.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from webhook_svc import wiring
from webhook_svc.core.asking import Query, ReplayOrder
from webhook_svc.core.errors import Refused, StoreUnavailable
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.core.tomltext import table_text
from webhook_svc.core.types import EMPTY, RawRequest
from webhook_svc.core.work import Wish
from webhook_svc.download.fetch import Fetcher
from webhook_svc.pipeline.ingest import Ingest, IngestLimits
from webhook_svc.pipeline.run import Runner
from webhook_svc.pipeline.stages import Stages
from webhook_svc.simulators import SIMULATORS
from webhook_svc.simulators.account import made_up
from webhook_svc.simulators.quirks import Quirks
from webhook_svc.simulators.serve import serve
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import attempt, event, job, lane, payload, refused
from webhook_svc.vault.local import LocalVault

EVER = 1_000
"""Times that a quirk is shown: more often than anybody tries."""
POLICY = RetryPolicy(delays=(0.5, 5, 60, 600, 3600), not_ready=(0.5, 5, 60, 600), give_up_after=1200, longest=86400)
SOURCE, SENDER = "contracts", "192.0.2.1"
MOST_ROUNDS = 200
LEASE = 60.0


class Switch:
    """One port for the simulators of many tests. Whoever is plugged in answers, and dates its answers by its clock."""

    def __init__(self) -> None:
        self._served = serve(self)
        self.url = self._served.url
        self._app: Callable[..., Iterable[bytes]] = _nobody
        self._clock: Callable[[], float] = time.time

    def plug(self, app: Callable[..., Iterable[bytes]], clock: Callable[[], float]) -> None:
        self._app, self._clock = app, clock

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        def dated(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, [*headers, ("Date", formatdate(self._clock(), usegmt=True))], *rest)

        return self._app(environ, dated)

    def close(self) -> None:
        self._served.close()


class Way:
    """A source at a simulated provider, and a folder where its documents go. `targets` are further sinks that get them
    too, `more` are keys of the source; `clock` is the store's too."""

    def __init__(
        self,
        name: str,
        home: Path,
        store: SqlStore,
        clock: Any,
        switch: Switch,
        *,
        targets: Mapping[str, dict[str, Any]] = EMPTY,
        **more: Any,
    ) -> None:
        self.clock = clock
        self.store = store
        self.archive = home / "archive"
        self.simulator: Any = SIMULATORS.load(name)(clock=clock, pause=_a_hundredth)
        self.stranger: Any = SIMULATORS.load(name)(clock=clock)
        switch.plug(self.simulator.wsgi(), clock)
        self.made = wiring.service(wiring.configured(_configuration(self.simulator, switch.url, home, targets, more)))
        self.source = self.made.parties.sources[SOURCE]
        self._ingest = Ingest(self.made.parties.sources, self.store, clock, IngestLimits())
        self._runner = self._working(LocalVault(home / "vault"))

    def close(self) -> None:
        self.made.close()

    # --- what happens ---------------------------------------------------------------------------------------------

    def finish(self, document: str = "d-1", *, title: str = "") -> list[int]:
        """The signing completes; the statuses that its callbacks are answered with."""
        return [self.receive(callback) for callback in self.simulator.finish(document, title=title)]

    def receive(self, callback: RawRequest) -> int:
        token = self.source.tokens[0].reveal()
        arrived = replace(callback, path=f"/hooks/{SOURCE}/{token}")
        while True:
            try:
                return self._ingest.receive(self._ingest.find(SOURCE, token), arrived, SENDER).reply.status
            except Refused as refusal:
                return refusal.status
            except StoreUnavailable:
                continue  # a disk that is slow now: a sender comes back

    def work(self) -> None:
        """Runs what is due, and what follows from it at once."""
        wish = Wish(worker="w", lanes=self.made.parties.lanes(), total=8, lease=LEASE, idle=True)
        while jobs := self.store.claim(wish).jobs:
            for one in jobs:
                self._runner.run(one, dict)

    def rest(self) -> None:
        """Works, and jumps from one next time to the other, until nothing waits any more."""
        for _ in range(MOST_ROUNDS):
            self.work()
            due = self.due()
            if not due:
                return
            self.clock.now = max(self.clock.now, min(due))
        raise AssertionError(f"it does not come to rest: {self.said()}")

    def rest_until(self, end: float) -> None:
        """Works, and jumps, up to that time."""
        while (due := min(self.due(), default=end)) < end:
            self.clock.now = max(self.clock.now, due)
            self.work()
        self.clock.now = end

    def behave(self) -> None:
        """No quirk is shown any longer."""
        self.simulator.shown = Quirks(self.simulator.quirks, _a_hundredth)

    def replay(self) -> None:
        ids = tuple(str(letter["id"]) for letter in self.dead())
        replayed = self.store.replay(ReplayOrder(ids=ids, release=True, reason="it behaves again"))
        assert all(one.ok for one in replayed), replayed

    # --- what can be seen -----------------------------------------------------------------------------------------

    def files(self) -> dict[str, bytes]:
        """What stands in the folder but for manifests, by path."""
        found = (path for path in self.archive.rglob("*") if path.is_file() and not path.name.startswith("manifest"))
        return {str(path.relative_to(self.archive)): path.read_bytes() for path in found}

    def manifests(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.archive.rglob("manifest*.json"))]

    def document(self, document: str = "d-1", part: str = "document") -> bytes:
        content: bytes = self.simulator.document_bytes(document, part)
        return content

    def jobs(self) -> list[Mapping[str, Any]]:
        return self.rows(job)

    def due(self) -> list[float]:
        """When what is not done may be claimed: at its time, though not while its lane is paused."""
        paused = {one["name"]: max(one["until"], one["probe_until"]) for one in self.rows(lane)}
        return [max(one["run_at"], paused.get(one["lane"], 0.0)) for one in self.jobs()]

    def waits(self) -> list[tuple[str, str, float]]:
        """(stage, state, seconds from now) of what is not done."""
        return [(one["stage"], one["state"], round(one["run_at"] - self.clock(), 3)) for one in self.jobs()]

    def dead(self) -> list[dict[str, Any]]:
        return self.store.list(Query(kind="dead"))

    def deliveries(self) -> list[str]:
        return [str(one["state"]) for one in self.store.list(Query(kind="deliveries"))]

    def said(self) -> list[str]:
        """Every sentence on what went wrong, the oldest first; those of dead letters at the end."""
        messages = [str(one["message"]) for one in self.rows(attempt) if one["message"]]
        return messages + [str(letter["reason"]) for letter in self.dead()]

    def kept(self) -> tuple[int, int]:
        """How many callbacks were accepted and how many refused."""
        return len(self.rows(event)), len(self.rows(refused))

    def stored(self) -> str:
        """Every row that people or the next stage read, and the callbacks as they are kept."""
        requests = [f"{one['request']} {one['body']}" for table in (payload, refused) for one in self.rows(table)]
        return "\n".join(
            [*requests, *map(str, self.rows(event)), *map(str, self.rows(attempt)), *map(str, self.dead())]
        )

    def rows(self, table: sa.Table) -> list[Mapping[str, Any]]:
        with self.store.database.reader.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    def _working(self, vault: LocalVault) -> Runner:
        stages = Stages(
            parties=self.made.parties,
            store=self.store,
            vault=vault,
            fetcher=Fetcher(vault, monotonic=self.clock),
            policy=POLICY,
            clock=self.clock,
        )
        return Runner(
            stages=stages,
            store=self.store,
            policy=POLICY,
            clock=self.clock,
            random=lambda: 0.0,
            worker="w",
            lease=LEASE,
        )


def _configuration(
    simulator: Any, api: str, home: Path, targets: Mapping[str, dict[str, Any]], more: dict[str, Any]
) -> dict[str, str]:
    tables: dict[str, dict[str, Any]] = {
        "vault": {"path": str(home / "vault")},
        "http": {"read_timeout": 2.0, "total_timeout": 5.0},
        f"sources.{SOURCE}": {
            **simulator.source(api),
            "tokens": [made_up(32)],
            "parts": ["document"],
            "sinks": ["archive", *targets],
            **more,
        },
        "sinks.archive": {"kind": "folder", "path": str(home / "archive"), "name": "{document}/{filename}"},
        **{f"sinks.{sink}": table for sink, table in targets.items()},
    }
    return {"WEBHOOK_SVC_CONFIG_TOML": "\n".join(table_text(name, table) for name, table in tables.items())}


def _a_hundredth(seconds: float) -> None:
    time.sleep(seconds / 100)


def _nobody(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:  # noqa: ARG001 - WSGI's signature
    start("503 Service Unavailable", [])
    return []
