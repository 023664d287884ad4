"""A soak: a steady flow of callbacks through everything that can go wrong, and a reckoning at the end."""

import random
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.flow.soak.faults import Devices, Fault, all_faults, within
from tests.flow.soak.plan import Step, blows, faults, times
from tests.flow.soak.site import Site
from tests.flow.trouble.disk import SmallDisk, unavailable
from tests.flow.trouble.mail import MailQuirks
from tests.flow.trouble.postgres import DURABLE, PostgresServer, new_home, postgres_programs
from tests.flow.trouble.proxy import Proxy
from tests.flow.trouble.s3 import S3Door
from tests.flow.world import World
from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.prove import come_to_rest, opened
from webhook_svc.prove.recovery import Disturbance
from webhook_svc.prove.town import Wiring, accounts
from webhook_svc.prove.traffic import Traffic, steady
from webhook_svc.prove.verdict import Evidence, Verdict, jobs
from webhook_svc.simulators.serve import Wsgi
from webhook_svc.stage.processes import child_environment, free_port
from webhook_svc.store.sql import SqlStore

Say = Callable[[str], None]
PATIENCE = 300.0
STAYS = 120.0
"""Seconds that a fault is given, beyond its time, to meet somebody."""
KILLS = 10
"""Processes that are killed in a minute, at least."""
APART = 1.0
"""Seconds between two blows, at least: what had to wait does not come all at once."""
TOLD_EVERY = 10.0
JUMP = 30.0
"""Seconds by which a clock is off. On SQLite the clock of each process is the database's: so long its work may wait."""
MB = 1 << 20
SECTIONS: dict[str, dict[str, Any]] = {
    "worker": {"lease": 5.0, "poll": 0.5, "drain": 3.0, "job_deadline": 120.0},
    "retry": {
        "delays": [0.5, 1.0, 2.0, *[4.0] * 400],
        "not_ready": [0.5, 1.0, 2.0],
        "pause_first": 1.0,
        "pause_longest": 5.0,
    },
    "http": {"connect_timeout": 2.0, "read_timeout": 5.0, "total_timeout": 60.0},
}
"""Seconds here, where in earnest they are minutes and hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`rate` is in documents a second."""

    store: str = "sqlite"
    minutes: float = 30.0
    workers: int = 3
    seed: int = 1
    rate: float = 2.0


@dataclass(slots=True, kw_only=True)
class Soak:
    """All that runs."""

    order: Order
    say: Say
    store: SqlStore
    town: World
    site: Site
    traffic: Traffic
    door: S3Door
    faults: list[Fault]
    disturbances: list[Disturbance] = field(default_factory=list)
    met: dict[str, int] = field(init=False)
    """How often a fault of which that can be counted met somebody, by its name: once at the most each time it came."""
    _begun: dict[str, float] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.met = {fault.kind.name: 0 for fault in self.faults if fault.counted}

    def run(self) -> Verdict:
        """Sends, strikes and breaks by the plan; then everything is well again, and comes to rest."""
        flow = threading.Thread(target=self._flow, name="flow", daemon=True)
        flow.start()
        try:
            self._break()
        finally:
            for fault in self.faults:
                self._end(fault)
        flow.join()
        calm_after = come_to_rest(self.site, self.traffic, self.store, PATIENCE)
        return Evidence(
            town=self.town,
            store=self.store,
            tally=self.traffic.tally,
            disturbances=self.disturbances,
            calm_after=calm_after,
            rewritten=tuple(self.door.rewritten()),
            met=self.met,
            missing=tuple(self._missing()),
        ).verdict()

    def _flow(self) -> None:
        """Until every fault has had its time."""
        for _ in steady(self.traffic, self.order.rate, inf):
            if self._over.is_set():
                return

    def _missing(self) -> Iterator[str]:
        """Sentences on what the run had promised, and did not do."""
        came = Counter(one.name for one in self.disturbances)
        faults, kills = times(self.order.minutes), came["kill -9 web"] + came["kill -9 worker"]
        for name in (fault.kind.name for fault in self.faults):
            if (met := self.met.get(name, came[name])) < faults:
                yield f"{name}: {met} times, {faults} were to be"
        if kills < KILLS * self.order.minutes:
            yield f"{kills} processes were killed, {KILLS * self.order.minutes:g} were to be"
        if why := unavailable():
            yield f"full disks: {why}"

    def _break(self) -> None:
        """Each device has a thread of its own, for some troubles take their time to begin or to end."""
        begun = time.monotonic()
        rows: dict[str, list[Step]] = defaultdict(list)
        for step in faults([fault.kind for fault in self.faults], self.order.minutes, self.order.seed):
            rows[step.kind.device].append(step)
        with ThreadPoolExecutor(len(rows)) as pool:
            devices = [pool.submit(self._row, steps, begun) for steps in rows.values()]
            try:
                self._beat(begun, devices)
            finally:
                self._over.set()
        for device in devices:
            device.result()

    def _row(self, steps: Iterable[Step], begun: float) -> None:
        """What comes late, for the sake of the one before, lasts for half of its time at least. What has met nobody by
        its end, for the sake of a fault elsewhere, stays until it does."""
        known = {fault.kind.name: fault for fault in self.faults}
        for step in steps:
            if self._over.wait(max(0.0, begun + step.begins - time.monotonic())):
                return
            fault = known[step.kind.name]
            before = fault.trouble.happened
            self._begin(fault)
            self._over.wait(max((step.ends - step.begins) / 2, begun + step.ends - time.monotonic()))
            if fault.counted:
                self._stay(fault, before)
            self._end(fault)

    def _stay(self, fault: Fault, before: int) -> None:
        within(STAYS, lambda: self._over.is_set() or fault.trouble.happened > before)
        self.met[fault.kind.name] += fault.trouble.happened > before

    def _beat(self, begun: float, devices: Sequence["Future[None]"]) -> None:
        """Kills by the plan, and what died starts again, until the time is over and every device is well."""
        chance, due = random.Random(f"strikes {self.order.seed}"), blows(self.order.minutes, self.order.seed)
        told = struck = 0.0
        while (now := time.monotonic() - begun) < self.order.minutes * 60 or not all(map(Future.done, devices)):
            self.site.revive()
            if due and max(due[0], struck + APART) <= now and not self.site.spared:
                due.pop(0)
                struck = now
                self._strike(chance)
            if now > told + TOLD_EVERY:
                told = now
                self.say(self._told(now))
            time.sleep(0.05)

    def _begin(self, fault: Fault) -> None:
        self._begun[fault.kind.name] = time.time()
        fault.trouble.start()

    def _end(self, fault: Fault) -> None:
        begun = self._begun.pop(fault.kind.name, None)
        if begun is not None:
            fault.trouble.stop()
            self.disturbances.append(Disturbance(name=fault.kind.name, begun=begun, ended=time.time()))

    def _strike(self, chance: random.Random) -> None:
        for name in self.site.strike(chance):
            now = time.time()
            kind = "web" if name == "web" else "worker"
            self.disturbances.append(Disturbance(name=f"kill -9 {kind}", begun=now, ended=now))

    def _told(self, now: float) -> str:
        try:
            waiting = f"{jobs(self.store)} jobs"
        except StoreUnavailable:
            waiting = "no store"
        trouble = f"; now: {', '.join(list(self._begun))}" if self._begun else ""
        documents = len(self.traffic.tally.promises)
        return f"{now:5.0f} s  {documents} documents, {waiting}, {len(self.disturbances)} troubles{trouble}"


def soak(order: Order, home: Path, say: Say = lambda _: None) -> Verdict:
    """Everything that it needs is started for it, and ends with it."""
    with ExitStack() as stack:
        disks = _disks(order, stack, say)
        server = _server(stack, disks) if order.store == "postgres" else None
        file = None if server else (disks["database"].path if disks else home) / "store.db"
        url = f"{server.url}/postgres" if server else f"sqlite:///{file}"
        store = stack.enter_context(opened(url))
        store.migrate()
        proxies: dict[str, Proxy] = {}
        doors: list[S3Door] = []
        mail = MailQuirks(seed=order.seed)
        wiring = Wiring(before=_door(doors, order.seed), address=_wire(proxies, stack), post=mail)
        town = stack.enter_context(World(home, known=accounts(), wiring=wiring))
        site = stack.enter_context(_site(order, town, url, disks))
        traffic = stack.enter_context(Traffic(town, f"{site.url}/hooks", order.seed))
        jump = min(JUMP, JUMP * order.minutes / 4)
        devices = Devices(proxies=proxies, door=doors[0], mail=mail, disks=disks, server=server, file=file, jump=jump)
        known = all_faults(devices, site, town, traffic)
        return Soak(
            order=order, say=say, store=store, town=town, site=site, traffic=traffic, door=doors[0], faults=known
        ).run()


def _site(order: Order, town: World, url: str, disks: dict[str, SmallDisk]) -> Site:
    port = free_port()
    sections = {**SECTIONS, "service": {"public_url": f"http://127.0.0.1:{port}", "accept_timeout": 3.0}}
    if disks:
        sections["vault"] = {"path": str(disks["vault"].path / "vault")}
    return Site(child_environment(town.configuration(**sections), url=url, port=port), town.home, workers=order.workers)


def _disks(order: Order, stack: ExitStack, say: Say) -> dict[str, SmallDisk]:
    """Large enough for all that is to come, with some room above it."""
    if reason := unavailable():
        say(f"no disk is filled here: {reason}")
        return {}
    size = {"vault": 32 + 3 * order.minutes * order.rate, "database": 128 + 4 * order.minutes * order.rate}
    return {name: stack.enter_context(SmallDisk(int(mb) * MB)) for name, mb in size.items()}


def _server(stack: ExitStack, disks: dict[str, SmallDisk]) -> PostgresServer:
    programs = postgres_programs()
    if programs is None:
        raise SystemExit("Postgres is not installed: no initdb and pg_ctl here")
    settings = {**DURABLE, "max_wal_size": "48MB", "min_wal_size": "4MB"}
    data = disks["database"].path if disks else None
    return stack.enter_context(_postgres(programs, data, settings))


@contextmanager
def _postgres(programs: Path, data: Path | None, settings: dict[str, str]) -> Iterator[PostgresServer]:
    home = new_home()
    try:
        with PostgresServer(home, programs, data=data, settings=settings, segments=1) as server:
            yield server
    finally:
        shutil.rmtree(home)


def _door(doors: list[S3Door], seed: int) -> Callable[[str, Wsgi], Wsgi]:
    def before(name: str, app: Wsgi) -> Wsgi:
        if name != "bucket":
            return app
        doors.append(S3Door(app, seed=seed))
        return doors[-1]

    return before


def _wire(proxies: dict[str, Proxy], stack: ExitStack) -> Callable[[str, str], str]:
    """Everything is reached through a proxy of its own."""

    def address(name: str, url: str) -> str:
        parts = urlsplit(url)
        proxies[name] = stack.enter_context(Proxy((str(parts.hostname), int(parts.port or 0))))
        return f"{parts.scheme}://{proxies[name].address}"

    return address
