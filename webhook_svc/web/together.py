"""Requests that are answered together: all are begun before the first is finished, so that they share what they wait
for (see `hooks`)."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final, Generic, TypeVar

Who = TypeVar("Who")
Steps = Generator[None, None, bool]
"""One request: it yields where it would wait, at most once, and ends with whether the connection is kept."""

HELD_UP: Final = 0.05
"""Seconds after which a request that is begun, or whoever has the turn, counts as held up: nobody waits any longer."""


class Turn:
    """A courtesy between threads that compute: they take turns in long strides. Left to the interpreter, they would
    change places at every system call, and change costs more than the call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        mine = self._lock.acquire(timeout=HELD_UP)
        try:
            yield
        finally:
            if mine:
                self._lock.release()


class Together(Generic[Who]):
    """Any number of threads may work on it: whatever holds one up holds up the request that it is at, and no other."""

    def __init__(self, requests: Iterable[tuple[Who, Steps]], turn: Turn) -> None:
        self._waiting = deque(requests)
        self._begun: deque[tuple[Who, Steps]] = deque()
        self._turn = turn
        self.all_begun = threading.Event()
        """No request waits for a thread any more."""

    @property
    def left(self) -> int:
        """How many were not taken by any thread yet."""
        return len(self._waiting)

    def work(self) -> list[tuple[Who, bool]]:
        """Begins what waits, then ends what was begun. Whose request this thread has ended, and is it kept?"""
        done = []
        for who, steps in _taken(self._waiting):
            kept = _advance(steps)
            if kept is None:
                self._begun.append((who, steps))
            else:
                done.append((who, kept))
        self.all_begun.set()
        done += _ended(islice(_taken(self._begun), 1))  # when its wait is over, so is that of the others
        if self._begun:
            with self._turn.taken():
                done += _ended(_taken(self._begun))
        return done


def _ended(requests: Iterable[tuple[Who, Steps]]) -> list[tuple[Who, bool]]:
    return [(who, bool(_advance(steps))) for who, steps in requests]


def _taken(queue: "deque[tuple[Who, Steps]]") -> Iterator[tuple[Who, Steps]]:
    while True:
        try:
            yield queue.popleft()
        except IndexError:
            return


def _advance(steps: Steps) -> bool | None:
    """How it ended; None where it waits."""
    try:
        next(steps)
    except StopIteration as end:
        return bool(end.value)
    return None
