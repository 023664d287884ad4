"""When what goes wrong: pure, by the seed, and so that every fault comes often enough whatever the dice say."""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

EVERY = 6.0
"""Minutes in which each fault comes once: five times in half an hour."""
BLOWS = 11.0
"""Kills in a minute: more than 300 in half an hour."""
REST = 10.0
"""Seconds that a device is left alone after a fault, at least, where there is time enough."""
CALM = 0.1
"""The share of the time at the end in which nothing new goes wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A fault, the device that it is a fault of (a device has one at a time), and how many seconds it lasts where there
    is time enough for it."""

    name: str
    device: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Seconds from the beginning."""

    kind: Kind
    begins: float
    ends: float


def times(minutes: float) -> int:
    """How often each fault comes."""
    return max(1, math.ceil(minutes / EVERY))


def faults(kinds: Iterable[Kind], minutes: float, seed: int) -> list[Step]:
    """Every kind `times(minutes)` times, those of a device one after the other with time between them to recover."""
    chance, span = random.Random(f"faults {seed}"), minutes * 60 * (1 - CALM)
    devices: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds:
        devices[kind.device] += [kind] * times(minutes)
    share = min(1.0, minutes / EVERY)
    rows = (_row(row, span, share, chance) for row in devices.values())
    return sorted((step for row in rows for step in row), key=lambda step: step.begins)


def _row(row: list[Kind], span: float, share: float, chance: random.Random) -> Iterator[Step]:
    """No fault lasts longer than its `share`, so that a short run has its quiet moments too."""
    chance.shuffle(row)
    scale = span / sum(kind.seconds + REST for kind in row)
    place = 0.0
    for kind in row:
        length = kind.seconds * min(share, scale)
        room = (kind.seconds + REST) * scale - length
        begins = place + chance.uniform(0, room / 2)
        yield Step(kind=kind, begins=begins, ends=begins + length)
        place += length + room


def blows(minutes: float, seed: int) -> list[float]:
    """The moments at which something is killed."""
    chance, span = random.Random(f"blows {seed}"), minutes * 60 * (1 - CALM)
    number = math.ceil(minutes * BLOWS)
    return [(each + chance.random()) * span / number for each in range(number)]
