"""What a mail server may do that leaves the sender without an answer, or with a strange one."""

from enum import Enum

from tests.flow.trouble.occasions import Drawn, Occasions
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
        self._quirks: Occasions[Quirk] = Occasions(seed)

    def trouble(self, quirk: Quirk, *, share: float = 1.0, number: int | None = None) -> Drawn[Quirk]:
        """`share` of the occasions meet it, `number` of them at the most each time that it begins."""
        return self._quirks.trouble(f"mail {quirk.name.lower().replace('_', ' ')}", quirk, share, number)

    def __call__(self, moment: Moment) -> str | None:
        met = self._quirks.draw(lambda quirk: quirk.value[0] is moment)
        return met.value[1] if met else None
