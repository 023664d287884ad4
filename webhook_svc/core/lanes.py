"""What all workers know of a lane: whether its provider or sink answers, until when it is paused, and who serves it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

COUNTED: Final = 10_000
"""Jobs of a lane, or dead letters of a kind, beyond which nobody counts on: whoever looks reads no million rows."""


class Party(StrEnum):
    """What the end of a job says of the provider or sink that it was for."""

    ANSWERS = "answers"
    FAILS = "fails"
    UNHEARD = "unheard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A lane was paused for `pause` seconds, or runs again (None). `reason` is what its party said last."""

    lane: str
    pause: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """A lane with work, or one that is in trouble.

    `waiting` and `running` count jobs (as far as COUNTED), `oldest` is when the longest due of those that wait was due.
    `failures` came in a row, by different jobs, since `since`, the last of them for `reason`. `paused` is true while
    nothing of the lane is claimed but now and then a single job (the next one at `until`). `served_by` names the
    workers that serve it.
    """

    lane: str
    waiting: int = 0
    running: int = 0
    oldest: float | None = None
    failures: int = 0
    since: float | None = None
    reason: str = ""
    paused: bool = False
    until: float | None = None
    served_by: tuple[str, ...] = ()
