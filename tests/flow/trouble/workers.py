"""What a deployment does to workers: the new generation comes before the old one is told to go."""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from webhook_svc.stage.processes import Program, until


class Crew:
    """The workers that are to run. `start` starts one more, with a log of its own."""

    def __init__(self, start: Callable[[], Program], size: int = 1) -> None:
        self._start = start
        self._size = size
        self._leaving: list[Program] = []
        self.exits: list[int] = []
        """What those who were told to go exited with."""
        self.now: list[Program] = []
        self.fill()

    def rolling(self) -> "Rolling":
        return Rolling(self)

    def fill(self) -> None:
        """All are there, and have begun to work."""
        new = [self._start() for _ in range(self._size - len(self.now))]
        for line in new:
            until(lambda line=line: line.dead or "worker.started" in line.text(), "a worker", 120)  # type: ignore[misc]
        self.now += new

    def let_go(self) -> int:
        """SIGTERM to all that run now. Returns how many were told."""
        told, self.now = self.now, []
        for line in told:
            with suppress(ProcessLookupError):  # it has just been killed
                line.signal(signal.SIGTERM)
        self._leaving += told
        return len(told)

    def replace(self) -> int:
        """Two generations at once: the old one is told to go when the new one works. Returns how many were told:
        nobody, while some are on their way already."""
        if self._leaving:
            return 0
        old, self.now = self.now, []
        self.fill()
        new, self.now = self.now, old
        told = self.let_go()
        self.now = new
        return told

    def wait(self, seconds: float = 60.0) -> None:
        """Until those who were told are gone. Who stays longer is killed, as platforms do."""
        until_then = time.monotonic() + seconds
        for line in self._leaving:
            try:
                self.exits.append(line.wait(max(0.1, until_then - time.monotonic())))
            except subprocess.TimeoutExpired:
                line.kill()
                self.exits.append(-signal.SIGKILL)
        self._leaving = []

    def kill(self) -> None:
        for line in (*self.now, *self._leaving):
            line.kill()


@dataclass
class Rolling:
    """See `Trouble`. It has ended when the old generation has."""

    crew: Crew
    name: str = "rolling restart"
    happened: int = 0

    def start(self) -> None:
        self.happened += self.crew.replace()

    def stop(self) -> None:
        self.crew.wait()
