"""Clocks that are set: by hand, by the network, or because a machine slept."""

from collections.abc import Callable


class Steps:
    """Compares a clock that may be set with one that is not, from look to look."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ahead: float | None = None
        self._again_at = -float("inf")

    def recent(self, now: float, lease: float) -> bool:
        """Was the clock set forward by so much that leases of `lease` seconds look over, and have their owners, who
        renew them at a third of that, not had the time to do so since?"""
        passed = self._monotonic()
        before, self._ahead = self._ahead, now - passed
        if before is not None and self._ahead - before > lease / 3:
            self._again_at = passed + lease / 2
        return passed < self._again_at
