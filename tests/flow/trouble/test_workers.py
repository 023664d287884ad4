"""A crew has two generations for a moment, and is gone when it is told so."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.flow.processes import Line, until
from tests.flow.trouble.workers import Crew

WORKER = """
trap 'echo told >> "$LOG"; until [ -e "$MAY_GO" ]; do sleep 0.01; done; exit 7' TERM
echo worker.started
while :; do sleep 0.01; done
"""
"""Says what a worker says, and goes when it is told to and may."""


@pytest.fixture
def may_go(tmp_path: Path) -> Path:
    return tmp_path / "may go"


@pytest.fixture
def start(tmp_path: Path, may_go: Path) -> Callable[[], Line]:
    numbers = iter(range(100))

    def one() -> Line:
        log = tmp_path / f"{next(numbers)}.log"
        return Line(WORKER, {"PATH": "/usr/bin:/bin", "LOG": str(log), "MAY_GO": str(may_go)}, log)

    return one


@pytest.fixture
def crew(start: Callable[[], Line]) -> Iterator[Crew]:
    with ExitStack() as stack:
        crew = Crew(start, size=2)
        stack.callback(crew.kill)
        yield crew


def test_the_new_generation_works_before_the_old_one_goes(crew: Crew, may_go: Path) -> None:
    old, rolling = crew.now, crew.rolling()
    rolling.start()
    rolling.start()

    assert [False] * 4 == [line.dead for line in (*old, *crew.now)]
    assert not any("told" in line.text() for line in crew.now)
    may_go.touch()
    rolling.stop()
    assert [True, True, False, False] == [line.dead for line in (*old, *crew.now)]
    assert ([7, 7], 2) == (crew.exits, rolling.happened)


def test_those_who_were_told_to_go_are_followed_when_the_crew_is_filled(crew: Crew, may_go: Path) -> None:
    old = crew.now
    assert 2 == crew.let_go()
    until(lambda: all("told" in line.text() for line in old), "the signal")
    assert [] == crew.now
    may_go.touch()
    crew.wait()
    crew.fill()

    assert [7, 7] == crew.exits
    assert [False, False] == [line.dead for line in crew.now]
