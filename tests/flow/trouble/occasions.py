"""Troubles that meet somebody now and then: a share of the occasions, or the next few of them."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Kind = TypeVar("Kind")


class Occasions(Generic[Kind]):
    """Asked at each occasion, on any thread, which kind of trouble it meets. Several may be on."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._troubles: list[Drawn[Kind]] = []
        self._lock = threading.Lock()

    def trouble(self, name: str, kind: Kind, share: float, number: int | None) -> "Drawn[Kind]":
        return Drawn(self, name, kind, share, float("inf") if number is None else number)

    def draw(self, fits: Callable[[Kind], bool] = lambda _: True) -> Kind | None:
        with self._lock:
            met = (one for one in self._troubles if fits(one.kind) and one.meets(self._random))
            return next((one.kind for one in met), None)

    def switch(self, trouble: "Drawn[Kind]", *, on: bool) -> None:
        with self._lock:
            self._troubles = [one for one in self._troubles if one is not trouble] + [trouble] * on


@dataclass(eq=False)
class Drawn(Generic[Kind]):
    """See `Trouble`. It meets `share` of the occasions, `number` of them at the most each time that it begins."""

    occasions: Occasions[Kind]
    name: str
    kind: Kind
    share: float
    number: float
    happened: int = 0
    left: float = 0

    def start(self) -> None:
        self.left = self.number
        self.occasions.switch(self, on=True)

    def stop(self) -> None:
        self.occasions.switch(self, on=False)

    def meets(self, chance: random.Random) -> bool:
        met = self.left > 0 and chance.random() < self.share
        self.left -= met
        self.happened += met
        return met
