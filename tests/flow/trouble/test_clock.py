"""A process under the clock sees its time jump, and the machine's own clock stays what it is."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.processes import ROOT, until
from tests.flow.trouble.clock import ProcessClock

WATCH = """#!/usr/bin/env python3
import datetime, sqlite3, sys, time
now = datetime.datetime.now(datetime.timezone.utc)
assert isinstance(now, datetime.datetime) and isinstance(now, datetime.date)
memory = sqlite3.connect(":memory:")
machine = lambda: time.clock_gettime(time.CLOCK_REALTIME)
ways = {
    "time": time.time,
    "time_ns": lambda: time.time_ns() / 1e9,
    "gmtime": lambda: __import__("calendar").timegm(time.gmtime()),
    "now": lambda: datetime.datetime.now(datetime.timezone.utc).timestamp(),
    "utcnow": lambda: datetime.datetime.utcnow().replace(tzinfo=datetime.timezone.utc).timestamp(),
    "today": lambda: datetime.datetime.today().timestamp(),
    "sqlite": lambda: 86400 * (memory.execute("SELECT julianday('now')").fetchone()[0] - 2440587.5),
}
for _ in sys.stdin:
    print(*(f"{name}:{round((way() - machine()) / 10) * 10}" for name, way in ways.items()), flush=True)
"""


@pytest.fixture
def clock(tmp_path: Path) -> ProcessClock:
    return ProcessClock(tmp_path / "offset")


@pytest.fixture
def watch(clock: ProcessClock, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    program = tmp_path / "watch"
    program.write_text(WATCH)
    program.chmod(0o755)
    with subprocess.Popen(
        ["bash", "-c", clock.line(str(program))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        yield process


def shifts(watch: "subprocess.Popen[str]") -> dict[str, int]:
    """The seconds, to the nearest ten, by which each way to ask for the time is off."""
    assert watch.stdin is not None
    assert watch.stdout is not None
    watch.stdin.write("\n")
    watch.stdin.flush()
    pairs = (word.split(":") for word in watch.stdout.readline().split())
    return {name: int(seconds) for name, seconds in pairs}


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_every_python_clock_of_the_process_jumps_and_jumps_back(
    clock: ProcessClock, watch: "subprocess.Popen[str]", seconds: int
) -> None:
    right = dict.fromkeys(("time", "time_ns", "gmtime", "now", "utcnow", "today", "sqlite"), 0)
    assert right == shifts(watch)
    jump = clock.jump(seconds)
    jump.start()
    until(lambda: right != shifts(watch), "the jump")

    assert {**dict.fromkeys(right, seconds), "sqlite": 0} == shifts(watch)
    jump.stop()
    until(lambda: right == shifts(watch), "the jump back")
    assert 1 == jump.happened
