"""What the contracts of sinks and the vault are held against: real servers where they can run, else stand-ins."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from webhook_svc.sinks import SINKS

from .rigs import rig_of
from .rigs.base import SECRETS, Bundle, Kept, Rig
from .rigs.s3 import moto
from .rigs.servers import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
def s3_endpoint(servers: Servers) -> str:
    return servers.get("moto", moto)


@pytest.fixture
def start() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def rig(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path, start: ExitStack) -> Rig:
    """The rig of the sink that the test is parametrised with (`indirect`)."""
    return rig_of(request.param)(servers, tmp_path, start)


@pytest.fixture
def bundle() -> type[Bundle]:
    return Bundle


@pytest.fixture
def progress() -> Kept:
    return Kept()


@pytest.fixture
def secrets() -> tuple[str, ...]:
    return SECRETS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which sinks this run held against a real server, which against a stand-in of ours, and which it could not."""
    rigs = {name: rig_of(name) for name in SINKS.names()}
    ran, skipped = _held(terminalreporter, "passed", "failed"), _held(terminalreporter, "skipped")
    real = [f"{name} ({rig.behind})" for name, rig in rigs.items() if rig.real and name in ran]
    own = [name for name, rig in rigs.items() if not rig.real and name in ran]
    absent = [f"{name} ({rig.behind})" for name, rig in rigs.items() if name in skipped]
    if not (ran or skipped):
        return
    terminalreporter.write_sep("-", "the sinks' contract")
    terminalreporter.write_line(f"against a real server: {', '.join(real) or 'none'}")
    terminalreporter.write_line(f"against a stand-in written from the documentation: {', '.join(own) or 'none'}")
    if absent:
        terminalreporter.write_line(f"skipped, because the server is not installed here: {', '.join(absent)}")


def _held(reporter: pytest.TerminalReporter, *outcomes: str) -> set[str]:
    """The sinks for which the contract's first test ended so: each has it, and each needs its server for it."""
    reports = [report for outcome in outcomes for report in reporter.stats.get(outcome, [])]
    first = "contracts/test_sink.py::test_what_is_delivered_stands_there_byte_for_byte["
    return {report.nodeid.partition(first)[2].removesuffix("]") for report in reports if first in report.nodeid}
