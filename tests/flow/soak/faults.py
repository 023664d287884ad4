"""Every fault of the list, as a trouble at the device that stands for it."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import psycopg

from tests.flow.soak.plan import Kind
from tests.flow.soak.site import Site
from tests.flow.trouble import Trouble
from tests.flow.trouble.disk import SmallDisk
from tests.flow.trouble.mail import MailQuirks, Quirk
from tests.flow.trouble.postgres import PostgresServer
from tests.flow.trouble.proxy import Absent, Broken, Hang, Mode, Proxy, ProxyTrouble, Slow
from tests.flow.trouble.s3 import Lie, S3Door
from webhook_svc.core.ports import Simulator
from webhook_svc.prove.town import Town
from webhook_svc.prove.traffic import Traffic
from webhook_svc.simulators.account import Account
from webhook_svc.stage.processes import until

SLOW = 30_000
"""Bytes a second."""
LONG, UNDER_WAY = 20 * SLOW, 4 * SLOW
"""Bytes of a long download, and of how much of it nobody takes it for anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A trouble with its place in the plan. `counted` says whether it can be seen whom it meets: who is refused a
    connection, or has no room on a disk, is seen by nobody."""

    kind: Kind
    trouble: Trouble
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What stands between the service and the world. `server` is None on SQLite, `disks` is empty where none can be
    mounted; `jump` is in seconds."""

    proxies: Mapping[str, Proxy]
    door: S3Door
    mail: MailQuirks
    disks: Mapping[str, SmallDisk]
    server: PostgresServer | None
    file: Path | None
    jump: float


def all_faults(devices: Devices, site: Site, town: Town, traffic: Traffic) -> list[Fault]:
    return [
        *_of_providers(devices, site, town, traffic),
        *_of_sinks(devices),
        *_of_the_store(devices),
        _coming("clock jumps ahead", "clock", 30, site.clock.jump(devices.jump)),
        _coming("clock jumps back", "clock", 30, site.clock.jump(-devices.jump)),
    ]


def _fault(name: str, device: str, seconds: float, trouble: Trouble) -> Fault:
    return Fault(kind=Kind(name=name, device=device, seconds=seconds), trouble=trouble)


def _coming(name: str, device: str, seconds: float, trouble: Trouble) -> Fault:
    return replace(_fault(name, device, seconds, trouble), counted=False)


def _of_providers(devices: Devices, site: Site, town: Town, traffic: Traffic) -> Iterator[Fault]:
    """Two generations of workers and a stop in mid-download are faults of one device, for both are the crew's."""
    wires = [devices.proxies[source] for source in town.accounts]
    modes: tuple[tuple[str, float, Mode], ...] = (
        ("provider slow", 40, Slow(rate=SLOW)),
        ("reset in mid-download", 30, Broken(after=700, share=0.5)),
        ("provider hangs", 20, Hang()),
    )
    yield _coming(
        "provider outage", "provider", 60, Together("provider outage", [wire.trouble(Absent()) for wire in wires])
    )
    for name, seconds, mode in modes:
        yield _fault(name, "provider", seconds, Together(name, [wire.trouble(mode) for wire in wires]))
    slow = [wire.trouble(Slow(rate=SLOW)) for wire in wires]
    yield _fault("SIGTERM with long downloads", "provider", 15, CutShort(slow, site, traffic))
    yield _coming("two generations of workers", "provider", 1, site.crew.rolling())
    yield _fault("links that expire", "links", 1, Misbehaviour(town, "expired_link"))


def _of_sinks(devices: Devices) -> Iterator[Fault]:
    bucket, mailbox = devices.proxies["bucket"], devices.proxies["mailbox"]
    yield _coming("bucket outage", "bucket", 120, bucket.trouble(Absent()))
    yield _fault("bucket's answers lost", "bucket", 20, bucket.trouble(Broken(after=0, share=0.5)))
    lies = {
        "bucket: 500 after it wrote": Lie.ERROR_AFTER,
        "bucket: 412 after it wrote": Lie.EXISTS_AFTER,
        "bucket: 412": Lie.EXISTS,
        "bucket: 409": Lie.CONFLICT,
        "bucket: 503": Lie.SLOW_DOWN,
    }
    for name, lie in lies.items():
        yield _fault(name, "bucket", 20, devices.door.trouble(lie, share=0.5))
    yield _coming("mail server outage", "mail server", 120, mailbox.trouble(Absent()))
    quirks = {
        "mail taken, and no word of it": Quirk.LOST_AFTER_DATA,
        "mail server busy": Quirk.BUSY,
        "recipient put off": Quirk.PUT_OFF,
    }
    for name, quirk in quirks.items():
        yield _fault(name, "mail server", 20, devices.mail.trouble(quirk, share=0.5))


def _of_the_store(devices: Devices) -> Iterator[Fault]:
    if "vault" in devices.disks:
        yield _coming("vault's disk full", "vault", 20, devices.disks["vault"].full())
    if devices.server is not None:
        server = devices.server
        yield _coming("kill -9 database", "database", 1, server.killed())
        yield _coming("database restarted", "database", 1, server.absence("fast"))
        yield _coming("database away", "database", 60, server.absence("immediate"))
    if devices.file is not None:
        yield _coming("database locked by somebody", "database", 20, Locked(devices.file))
    if "database" in devices.disks:
        full = devices.disks["database"].full()
        name = "database's disk full"
        yield _coming(name, "database", 20, full if devices.server is None else ServerFull(full, devices.server))


# --- troubles that are made of others -----------------------------------------------------------------------------


@dataclass
class Together:
    """See `Trouble`. The same at several devices."""

    name: str
    parts: Sequence[Trouble]

    @property
    def happened(self) -> int:
        return sum(one.happened for one in self.parts)

    def start(self) -> None:
        for one in self.parts:
            one.start()

    def stop(self) -> None:
        for one in self.parts:
            one.stop()


@dataclass
class Misbehaviour:
    """See `Trouble`. The next few requests at every provider that knows the quirk; what is left at its end is met
    later."""

    town: Town
    name: str
    each: int = 3
    _told: int = 0

    @property
    def happened(self) -> int:
        ours = (cast(Account, one) for one in self._known())
        return self._told - sum(one.shown.left(self.name) for one in ours)

    def start(self) -> None:
        for one in self._known():
            one.misbehave(self.name, times=self.each)
            self._told += self.each

    def stop(self) -> None:
        """See above."""

    def _known(self) -> Iterator[Simulator]:
        simulators = (account.simulator for account in self.town.accounts.values())
        return (one for one in simulators if self.name in one.quirks)


@dataclass
class CutShort:
    """See `Trouble`. Every worker is told to go as soon as one of them is in the middle of a download that takes longer
    than it is given; again, for a while, until such a download was really cut short."""

    wires: Sequence[ProxyTrouble]
    site: Site
    traffic: Traffic
    name: str = "SIGTERM with long downloads"
    documents: int = 3
    patience: float = 120.0
    happened: int = 0

    def start(self) -> None:
        for wire in self.wires:
            wire.start()
        self.site.spared = True
        try:
            self.happened += self._met()
        finally:
            self.site.spared = False

    def stop(self) -> None:
        for wire in self.wires:
            wire.stop()
        self.site.crew.fill()

    def _met(self) -> bool:
        give_up = time.monotonic() + self.patience
        met = self._meets()
        while not met and time.monotonic() < give_up:
            self.site.crew.fill()
            met = self._meets()
        return met

    def _meets(self) -> bool:
        for _ in range(self.documents):
            self.traffic.sign(within=0.1, size=LONG)
        if not within(30, lambda: any(talk.answered > UNDER_WAY for wire in self.wires for talk in list(wire.passing))):
            return False
        before = self._cut()
        self.site.let_go()
        return within(10, lambda: self._cut() > before)

    def _cut(self) -> int:
        return sum(size > UNDER_WAY for wire in self.wires for size in list(wire.left))


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Was it so in this time?"""
    give_up = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < give_up:
        time.sleep(0.02)
    return met


@dataclass
class Locked:
    """See `Trouble`. A foreign program writes to the file and takes its time."""

    file: Path
    name: str = "database locked"
    happened: int = 0
    _held: list[sqlite3.Connection] = field(default_factory=list)

    def start(self) -> None:
        connection = sqlite3.connect(self.file, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        self._held.append(connection)
        self.happened += 1

    def stop(self) -> None:
        while self._held:
            with closing(self._held.pop()) as connection:
                connection.execute("ROLLBACK")


@dataclass
class ServerFull:
    """See `Trouble`. A Postgres without room may give up, and is started again when there is room."""

    full: Trouble
    server: PostgresServer
    name: str = "database's disk full"

    @property
    def happened(self) -> int:
        return self.full.happened

    def start(self) -> None:
        self.full.start()

    def stop(self) -> None:
        self.full.stop()
        until(self._up, "the database to recover", 60)

    def _up(self) -> bool:
        try:
            self.server.start()
            with psycopg.connect(f"{self.server.url}/postgres", connect_timeout=5):
                return True
        except (psycopg.Error, AssertionError):
            time.sleep(0.2)
            return False
