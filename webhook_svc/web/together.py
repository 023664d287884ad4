"""Requests that are answered together: all are begun before the first is finished, so that they share what they wait
for (see `hooks`)."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

Who = TypeVar("Who")
Steps = Generator[None, None, bool]
"""One request: it yields where it would wait, at most once, and ends with whether the connection is kept."""


class Together(Generic[Who]):
    """Any number of threads may work on it: whatever holds one up holds up the request that it is at, and no other."""

    def __init__(self, requests: Iterable[tuple[Who, Steps]]) -> None:
        self._waiting = deque(requests)
        self._begun: deque[tuple[Who, Steps]] = deque()
        self.all_begun = threading.Event()
        """No request waits for a thread any more."""

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
        return done + [(who, bool(_advance(steps))) for who, steps in _taken(self._begun)]


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
