"""What goes wrong in a round, by the seed: a blow to the service's processes, and with it a bad moment outside."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..simulators.mailbox import HANG_UP, Moment
from .recovery import Disturbance
from .service import Service
from .town import Town
from .traffic import Traffic

PROVIDER_QUIRKS = {
    "provider answers 503": "unavailable",
    "provider resets a download": "reset",
    "provider cuts a download short": "short_of_length",
    "provider is slow": "trickle",
    "provider sends a page": "html_page",
}
MAIL_QUIRKS = {
    "mail server is busy": (Moment.CONNECT, "421 too busy, come back later"),
    "mail server takes a mail and hangs up": (Moment.KEPT, HANG_UP),
}


@dataclass(slots=True)
class Post:
    """What the mail server says next at some moments; give it to a Mailbox as its quirk."""

    next: dict[Moment, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, moment: Moment) -> str | None:
        """Asked on several threads: a list gives an entry to one of them alone."""
        try:
            return self.next[moment].pop()
        except IndexError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What happened: documents that were signed, the programs that were killed, the words for what went wrong outside,
    and the seconds until the service was at rest again."""

    signed: int
    killed: tuple[str, ...]
    outside: str
    recovered: float


@dataclass(slots=True, kw_only=True)
class Rounds:
    """Strikes again and again; `calm` waits for the rest that follows and gives its seconds, however long it takes."""

    chance: random.Random
    service: Service
    traffic: Traffic
    town: Town
    post: Post
    calm: Callable[[], float]
    disturbances: list[Disturbance] = field(default_factory=list)

    def round(self) -> Round:
        """Some documents are signed, something goes wrong, something is killed in the middle of it, and all that died
        starts again."""
        signed = self.chance.randint(4, 8)
        outside = self._misbehave()
        for _ in range(signed):
            self.traffic.sign(within=0.8)
        time.sleep(self.chance.uniform(0.1, 1.2))
        killed = victims(self.chance, self.service.workers)
        self._strike(killed)
        return Round(signed=signed, killed=killed, outside=outside, recovered=self.calm())

    def _misbehave(self) -> str:
        name = self.chance.choice([*PROVIDER_QUIRKS, *MAIL_QUIRKS, ""])
        if name in MAIL_QUIRKS:
            moment, says = MAIL_QUIRKS[name]
            self.post.next[moment].append(says)
        elif name:
            for account in self.town.accounts.values():
                account.simulator.misbehave(PROVIDER_QUIRKS[name])
        if name:
            self._note(name)
        return name

    def _strike(self, names: Sequence[str]) -> None:
        self.service.kill(names)
        for name in names:
            self._note(f"kill -9 {name.partition(' ')[0]}")
        self.service.revive()

    def _note(self, name: str) -> None:
        now = time.time()
        self.disturbances.append(Disturbance(name=name, begun=now, ended=now))


def victims(chance: random.Random, workers: Sequence[str]) -> tuple[str, ...]:
    """What one blow hits: mostly one worker or the web process, now and then several, or everything."""
    several = (tuple(workers), ("web", workers[0]), ("web", *workers))
    single = [("web",), ("web",), *((one,) for one in workers)]
    return chance.choice(several) if chance.random() < 0.25 else chance.choice(single)
