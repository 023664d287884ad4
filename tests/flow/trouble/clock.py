"""Runs a Python program in a process whose clock is off.

`python -m tests.flow.trouble.clock FILE -- webhook-svc worker`: FILE holds the seconds, and is read again every 50 ms.
Shifted are `time.time`, `time_ns`, `gmtime`, `localtime`, and `now`, `utcnow` and `today` of `datetime`. Not shifted is
what C code asks the system itself: TLS on certificates, the times of files, `time.clock_gettime`, SQLite's and
Postgres's own clocks. `time.monotonic` stays right, as it does when a system's clock is set.
"""

import datetime
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_READ_EVERY = 0.05
_Real = datetime.datetime


class ProcessClock:
    """The shift of every process that was started with its `line`; none until a jump."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set(0.0)

    def line(self, command: str) -> str:
        """The command line that runs this one under the clock."""
        return f"exec {sys.executable} -m tests.flow.trouble.clock {self.file} -- {command}"

    @property
    def shift(self) -> float:
        return float(self.file.read_text())

    def jump(self, seconds: float) -> "ClockJump":
        return ClockJump(self, seconds)

    def set(self, seconds: float) -> None:
        """Whoever reads, reads the old or the new."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds}")
        new.replace(self.file)


@dataclass
class ClockJump:
    """See `Trouble`. At its end the clock jumps back."""

    clock: ProcessClock
    seconds: float
    happened: int = 0

    @property
    def name(self) -> str:
        return f"clock {self.seconds:+g} s"

    def start(self) -> None:
        self.happened += self.clock.shift != self.seconds
        self.clock.set(self.seconds)

    def stop(self) -> None:
        self.clock.set(0.0)


# --- in the process whose clock is off --------------------------------------------------------------------------------


class _Shift:
    """The seconds in the file, as they were up to 50 ms ago."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at = -1.0
        self._seconds = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now - self._read_at >= _READ_EVERY:
            self._seconds = float(self._file.read_text())
            self._read_at = now
        return self._seconds


def _install(shift: Callable[[], float]) -> None:
    """Before anybody imports a name from these modules."""
    real, gmtime, localtime = time.time, time.gmtime, time.localtime

    def now() -> float:
        return real() + shift()

    def or_now(convert: Callable[[float], time.struct_time]) -> Any:
        return lambda seconds=None: convert(now() if seconds is None else seconds)

    replaced = {
        "time": now,
        "time_ns": lambda: int(now() * 1e9),
        "gmtime": or_now(gmtime),
        "localtime": or_now(localtime),
    }
    for name, value in replaced.items():
        setattr(time, name, value)
    setattr(datetime, "datetime", _shifted_datetime(now))  # noqa: B010 - the type checker forbids the plain form


def _shifted_datetime(now: Callable[[], float]) -> type:
    class Kind(type):
        """What was made by C code is one, too."""

        def __instancecheck__(cls, thing: object) -> bool:
            return isinstance(thing, _Real)

    class Shifted(_Real, metaclass=Kind):
        __slots__ = ()

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _Real.fromtimestamp(now(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return _Real.fromtimestamp(now(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return _Real.fromtimestamp(now())

    return Shifted


def main() -> None:
    file, separator, program, *arguments = sys.argv[1:]
    found = shutil.which(program)
    if separator != "--" or found is None:
        raise SystemExit(f"{program}: no such program; use: python -m tests.flow.trouble.clock FILE -- PROGRAM …")
    sys.argv = [found, *arguments]
    _install(_Shift(Path(file)))
    runpy.run_path(os.path.realpath(found), run_name="__main__")


if __name__ == "__main__":
    main()
