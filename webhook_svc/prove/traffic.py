"""The senders: signings complete at every provider, and each callback is sent until it is taken, as providers do."""

import heapq
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from uuid import UUID

from ..core.types import RawRequest
from ..simulators.serve import send
from .reckoning import Promise
from .town import Town

SENDERS = 12
AGAIN = (0.2, 1.0, 2.0, 4.0)
"""Seconds between the tries of a sender; the last one repeats."""
TIMID = 1 / 8
"""The share of documents whose sender gives up where it is not answered."""
LARGE = 100_000
"""Bytes of a document now and then; the others have about one thousand."""
_TIMEOUT = 10.0


@dataclass(slots=True)
class Tally:
    """What the senders saw. Every promise is here by its name; the times are Unix seconds of the last answer."""

    callbacks: int = 0
    copies: int = 0
    acknowledged: int = 0
    given_up: int = 0
    waiting: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    events: dict[str, str] = field(default_factory=dict)
    """Acknowledged event → name of its promise."""
    promises: dict[str, Promise] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    longest_wait: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Letter:
    """A callback on its way. Of the `open` ones of a document the last answer makes its promise binding."""

    promise: str
    callback: RawRequest
    timid: bool
    open: list[int]
    tries: int = 0
    begun: float = 0.0


class Traffic:
    """What is sent comes from the seed. Ends when it is closed, whatever still waits."""

    def __init__(self, town: Town, hooks: str, seed: int) -> None:
        """`hooks` is the address of the service's hooks, without the name of a source."""
        self.tally = Tally()
        self._town = town
        self._hooks = hooks
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, _Letter]] = []
        self._posted = 0
        self._condition = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name="sender", daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def quiet(self) -> bool:
        """Has every sender its answer, or given up?"""
        with self._condition:
            return not self.tally.waiting

    def sign(self, *, within: float = 1.0, size: int = 0) -> str:
        """One document is signed; its callbacks are sent `within` so many seconds, some twice. The name of its
        promise."""
        chance = self._random
        source = chance.choice(list(self._town.accounts))
        document = str(UUID(int=chance.getrandbits(128), version=4))
        size = size or (LARGE if chance.random() < 0.03 else 0)
        callbacks = self._town.accounts[source].simulator.finish(document, size=size)
        promise = self._town.promise(source, document, required=False)
        timid = chance.random() < TIMID
        copies = [callback for callback in callbacks for _ in range(2 if chance.random() < 0.2 else 1)]
        open_ = [len(copies)]
        with self._condition:
            self.tally.promises[promise.name] = promise
            self.tally.callbacks += len(copies)
            self.tally.copies += len(copies) - len(callbacks)
            for callback in copies:
                letter = _Letter(promise=promise.name, callback=callback, timid=timid, open=open_)
                self._post(letter, chance.uniform(0.0, within))
                self.tally.waiting += 1
        return promise.name

    # --- the senders' threads -------------------------------------------------------------------------------------

    def _post(self, letter: _Letter, delay: float) -> None:
        self._posted += 1
        heapq.heappush(self._due, (time.monotonic() + delay, self._posted, letter))
        self._condition.notify()

    def _work(self) -> None:
        for letter in iter(self._next, None):
            letter.begun = letter.begun or time.monotonic()
            status, event = self._send(letter)
            with self._condition:
                self.tally.statuses[status] += 1
                self._judge(letter, status, event)

    def _next(self) -> _Letter | None:
        with self._condition:
            while not self._closed:
                wait = self._due[0][0] - time.monotonic() if self._due else 1.0
                if wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._condition.wait(wait)
            return None

    def _send(self, letter: _Letter) -> tuple[int, str]:
        """Status 0 where there was no answer."""
        source = letter.promise.partition("/")[0]
        try:
            status, headers, _ = send(f"{self._hooks}/{source}", letter.callback, timeout=_TIMEOUT)
        except (OSError, http.client.HTTPException):
            return 0, ""
        return status, headers.get("webhook-event", "")

    def _judge(self, letter: _Letter, status: int, event: str) -> None:
        tally = self.tally
        if status == 200:
            letter.open[0] -= 1
            tally.acknowledged += 1
            tally.waiting -= 1
            tally.events[event] = letter.promise
            tally.longest_wait = max(tally.longest_wait, time.monotonic() - letter.begun)
            if not letter.open[0]:
                tally.answered[letter.promise] = time.time()
                tally.promises[letter.promise] = replace(tally.promises[letter.promise], required=True)
        elif letter.timid:
            tally.given_up += 1
            tally.waiting -= 1
        else:
            self._post(letter, AGAIN[min(letter.tries, len(AGAIN) - 1)])
            letter.tries += 1


def steady(traffic: Traffic, rate: float, seconds: float) -> Iterator[float]:
    """Signs `rate` documents a second for so long, and yields the seconds since the beginning between two of them."""
    begun = time.monotonic()
    signed = 0
    while (now := time.monotonic() - begun) < seconds:
        while signed < now * rate:
            traffic.sign()
            signed += 1
        yield now
        time.sleep(0.02)
