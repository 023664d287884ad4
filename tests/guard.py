"""Nothing that a test run prints holds a secret: this plugin looks at every test's output, and fails the test.

All secrets, tokens, links and document texts that are made up here carry one mark. What is looked at: what pytest
captured (standard output, standard error, log), what a test took out of it with `capsys`, what the command line said
to click's runner, and what programs said to `subprocess.run`. The logs of processes that a test starts otherwise are
searched by who started them, with `check`. A test that prints secrets by design says so: `shows_secrets(reason)`.
"""

import re
import subprocess
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from webhook_svc.simulators.mark import MARK


def _in_base64(text: bytes) -> Iterator[str]:
    """As it looks in the middle of a longer text, such as basic credentials, wherever it begins there."""
    for before, stable in ((0, slice(0, 8)), (1, slice(2, 9)), (2, slice(3, 10))):
        yield b64encode(b"\0" * before + text).decode()[stable]


LEAK: Final = re.compile("|".join([f"(?<![0-9a-f]){MARK}", *map(re.escape, _in_base64(MARK.encode()))]))
"""A hash may hold the mark somewhere in it: a secret begins with it."""


def secret(name: str) -> str:
    """A secret of a test, by which it is found where it shows."""
    return f"{MARK}-{name}"


def leaks(text: str | bytes | None) -> list[str]:
    """The lines that hold a secret."""
    read = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    return [line for line in read.splitlines() if LEAK.search(line)] if LEAK.search(read) else []


def check(where: str, *texts: str | bytes | None) -> None:
    found = [line for text in texts for line in leaks(text)]
    assert not found, f"{where} shows a secret:\n" + "\n".join(found[:5])


def check_files(paths: Iterable[Path]) -> None:
    for path in paths:
        check(path.name, path.read_bytes())


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows_secrets(reason): prints made-up secrets by design")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report: pytest.TestReport = yield
    said = [(name, text) for name, text in report.sections if name.endswith(report.when)]
    found = [f"{name}: {line}" for name, text in said for line in leaks(text)]
    if found and not report.failed and not _by_design(item):
        report.outcome = "failed"
        report.longrepr = "the output shows a secret:\n" + "\n".join(found[:5])
    return report


@pytest.fixture
def capsys(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> pytest.CaptureFixture[str]:
    """pytest's own; what is read from it is looked at."""
    read = capsys.readouterr

    def readouterr() -> Any:
        said = read()
        if not _by_design(request.node):
            check("the output", said.out, said.err)
        return said

    capsys.readouterr = readouterr  # type: ignore[method-assign]
    return capsys


@pytest.fixture(autouse=True)
def _what_programs_say_is_looked_at(request: pytest.FixtureRequest) -> Iterator[None]:
    if _by_design(request.node):
        yield
        return
    invoke, run = CliRunner.invoke, subprocess.run

    def invoked(*args: Any, **more: Any) -> Result:
        result = invoke(*args, **more)
        check("the command line", result.stdout_bytes, result.stderr_bytes)
        return result

    def ran(*args: Any, **more: Any) -> "subprocess.CompletedProcess[Any]":
        done = run(*args, **more)
        check("a program", done.stdout, done.stderr)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CliRunner, "invoke", invoked)
        patch.setattr(subprocess, "run", ran)
        yield


def _by_design(item: Any) -> bool:
    return item.get_closest_marker("shows_secrets") is not None
