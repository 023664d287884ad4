"""What a mail server may do that leaves the sender without an answer, or with a strange one."""

import random
import threading
from dataclasses import dataclass
from enum import Enum

from webhook_svc.simulators.mailbox import HANG_UP, Moment


class Quirk(Enum):
    """(when, what is said then)"""

    LOST_AFTER_DATA = (Moment.KEPT, HANG_UP)
    BUSY = (Moment.CONNECT, "421 too busy, come back later")
    PUT_OFF = (Moment.RCPT, "451 put off")
    FULL = (Moment.DATA, "552 the mailbox is full")


class MailQuirks:
    """Give it to a Mailbox as its `quirk`."""

    def __init__(self, *, seed: int = 0) -> None:
        self.ambiguous = 0
        """Mails that are kept, and whose sender does not know."""
        self._random = random.Random(seed)
        self._troubles: list[MailTrouble] = []
        self._lock = threading.Lock()

    def trouble(self, quirk: Quirk, *, share: float = 1.0, number: int | None = None) -> "MailTrouble":
        """`share` of the occasions meet it, `number` of them at the most each time that it begins."""
        return MailTrouble(self, quirk, share, number)

    def switch(self, trouble: "MailTrouble", *, on: bool) -> None:
        with self._lock:
            self._troubles = [one for one in self._troubles if one is not trouble] + [trouble] * on

    def __call__(self, moment: Moment) -> str | None:
        with self._lock:
            met = next((one for one in self._troubles if one.meets(moment, self._random)), None)
            self.ambiguous += met is not None and moment is Moment.KEPT
            return met.quirk.value[1] if met else None


@dataclass(eq=False)
class MailTrouble:
    """See `Trouble`."""

    quirks: MailQuirks
    quirk: Quirk
    share: float
    number: int | None
    happened: int = 0
    left: float = 0.0

    @property
    def name(self) -> str:
        return f"mail {self.quirk.name.lower().replace('_', ' ')}"

    def start(self) -> None:
        self.left = float("inf") if self.number is None else self.number
        self.quirks.switch(self, on=True)

    def stop(self) -> None:
        self.quirks.switch(self, on=False)

    def meets(self, moment: Moment, source: random.Random) -> bool:
        met = moment is self.quirk.value[0] and self.left > 0 and source.random() < self.share
        self.left -= met
        self.happened += met
        return met
