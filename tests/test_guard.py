"""The guard against leaks finds what it looks for, the mark stands where it must, and few tests are exempt."""

import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from tests.guard import LEAK, check_files, leaks, secret
from webhook_svc.simulators import SIMULATORS
from webhook_svc.simulators.account import made_up
from webhook_svc.simulators.mark import MARK

ROOT = Path(__file__).parents[1]
BY_DESIGN = {
    "test_simulate_prints_the_source_and_sends_signed_callbacks",
    "test_simulate_fails_where_callbacks_are_not_accepted",
    "test_simulate_serves_until_it_is_interrupted",
    "test_simulate_misbehaves_on_demand",
    "test_simulate_says_what_is_wrong",
}
"""Tests that may print secrets: `webhook-svc simulate` shows the configuration to paste, with what it made up."""

LEAKY = f"""
import logging, subprocess, sys
import pytest
from click.testing import CliRunner
import click

SECRET = "{secret("key")}"

@pytest.fixture
def early(): print(SECRET)

@pytest.fixture
def late():
    yield
    print(SECRET)

@click.command()
def shows(): click.echo(SECRET)

def test_printed(): print("key=" + SECRET)
def test_complained(): print(SECRET, file=sys.stderr)
def test_logged(): logging.getLogger("x").warning("with %s", SECRET)
def test_before(early): pass
def test_after(late): pass
def test_read(capsys):
    print(SECRET)
    capsys.readouterr()
def test_said(): CliRunner().invoke(shows)
def test_ran(): subprocess.run([sys.executable, "-c", f"print({{SECRET!r}})"], capture_output=True)
@pytest.mark.shows_secrets("by design")
def test_shown(): print(SECRET)
def test_quiet(capsys):
    print("nothing", "{"0" + MARK}")
    capsys.readouterr()
"""


def test_a_test_whose_output_shows_a_secret_fails(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    command = [sys.executable, "-m", "pytest", "-p", "tests.guard", "-p", "no:cacheprovider", "-q", "-rA", "--tb=line"]
    told = subprocess.Popen(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ).communicate(timeout=60)[0]
    verdicts = {line.split("::")[-1].split(" ")[0]: line.split(" ")[0] for line in told.splitlines() if "::" in line}
    quiet = {"test_shown": "PASSED", "test_quiet": "PASSED"}
    leaky = ("printed", "complained", "logged", "read", "said", "ran")
    around = {"test_before": "ERROR", "test_after": "ERROR"}
    assert {**quiet, **around, **{f"test_{one}": "FAILED" for one in leaky}} == verdicts


def test_a_log_that_shows_a_secret_is_found(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_bytes(b"a line\n\xff token=" + secret("token").encode() + b"\n")
    with pytest.raises(AssertionError, match=r"service\.log"):
        check_files([log])


@pytest.mark.parametrize("before", ["", "u:", "us:", "key "])
def test_credentials_in_base64_are_found(before: str) -> None:
    assert 1 == len(leaks("Basic " + b64encode(f"{before}{made_up(12)}:more".encode()).decode()))


def test_a_hash_that_happens_to_hold_the_mark_is_none() -> None:
    assert [] == leaks(f"sha256 ab{MARK}cd")


@pytest.mark.parametrize("name", SIMULATORS.names())
def test_what_a_simulator_makes_up_carries_the_mark(name: str) -> None:
    simulator = SIMULATORS.load(name)()
    simulator.finish("d-1")
    assert LEAK.search(str(simulator.source("http://127.0.0.1:1")))
    assert MARK.encode() in simulator.document_bytes("d-1")


def test_only_tests_that_are_listed_here_may_show_secrets(request: pytest.FixtureRequest) -> None:
    functions = [one for one in request.session.items if isinstance(one, pytest.Function)]
    exempt = {one.originalname for one in functions if one.get_closest_marker("shows_secrets")}
    assert exempt <= BY_DESIGN
