"""The suite's last lines: which sinks were held against a real server, and which against a stand-in.

It stands in the outermost conftest, for of a run in several processes the one that prints collects no tests.
"""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which sinks this run held against a real server, which against a stand-in of ours, and which it could not."""
    ran, skipped = _held(terminalreporter, "passed", "failed"), _held(terminalreporter, "skipped")
    if not (ran or skipped):
        return
    from webhook_svc.sinks import SINKS  # only here: most runs hold no sink against anything

    from .rigs import rig_of

    rigs = {name: rig_of(name) for name in SINKS.names()}
    real = [f"{name} ({rig.behind})" for name, rig in rigs.items() if rig.real and name in ran]
    own = [name for name, rig in rigs.items() if not rig.real and name in ran]
    absent = [f"{name} ({rig.behind})" for name, rig in rigs.items() if name in skipped]
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
