"""When to try again: a pure rule over a schedule that stands in the configuration, visible."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .settings import setting

JITTER = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Delays in seconds. `delays` after a failure (its length bounds the tries), `not_ready` while a file is built.

    `give_up_after` bounds how long "not ready" may last. A `Retry-After` is honoured where it is later than our own
    delay, and clamped to `longest`, so that nobody parks us for a year.

    A source or sink that fails `pause_after` times in a row, each time with another job, is paused for all workers.
    """

    delays: tuple[float, ...] = setting(
        "seconds after each failure; their number bounds the tries",
        (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400),
    )
    not_ready: tuple[float, ...] = setting(
        "seconds between looks at a file that the provider still builds; the last one repeats",
        (5, 10, 20, 40, 60, 120, 300, 900),
    )
    give_up_after: float = setting("seconds that it may be built", 3 * 86400.0)
    longest: float = setting("seconds that a Retry-After may ask for", 86400.0)
    pause_after: int = setting("failures in a row, each of another job, that pause a source or sink", 5)
    pause_first: float = setting("seconds of its first pause; each further one is twice as long", 5.0)
    pause_longest: float = setting("seconds of its longest pause", 300.0)

    def __post_init__(self) -> None:
        pauses = self.pause_first, self.pause_longest
        times = (*self.delays, *self.not_ready, self.give_up_after, self.longest, *pauses)
        if not all(math.isfinite(time) and time >= 0 for time in times):
            raise ValueError("seconds that are finite and not negative")
        if not self.not_ready:
            raise ValueError("at least one delay in not_ready")
        if self.pause_after < 1 or not 0 < self.pause_first <= self.pause_longest:
            raise ValueError("pause_after from 1, and pause_first above 0 and not above pause_longest")

    def next_try(self, tries: int, after: float | None, random: Callable[[], float]) -> float | None:
        """Seconds until the next try after `tries` failed ones; None when they are used up."""
        if tries > len(self.delays):
            return None
        return self._stretched(self.delays[max(tries, 1) - 1], after, random)

    def next_look(self, waits: int, waited: float, after: float | None, random: Callable[[], float]) -> float | None:
        """Seconds until the next look at a file that was not ready `waits` times over `waited` seconds."""
        if waited >= self.give_up_after:
            return None
        return self._stretched(self.not_ready[min(max(waits, 1), len(self.not_ready)) - 1], after, random)

    def next_pause(self, last: float) -> float:
        """Seconds that a source or sink rests after a pause of `last` seconds (0: none yet). Without jitter: at its end
        one job of all workers asks."""
        return min(last * 2 or self.pause_first, self.pause_longest)

    def _stretched(self, delay: float, after: float | None, random: Callable[[], float]) -> float:
        return max(delay * (1 + JITTER * random()), min(after or 0.0, self.longest))
