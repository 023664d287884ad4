"""`webhook-svc prove`: on both stores it finds the promises kept, and a promise that is broken it finds broken."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.flow.processes import ROOT, environment
from webhook_svc.prove import WEB, WORKER, Order, opened, prove
from webhook_svc.prove.rounds import Rounds
from webhook_svc.prove.service import Commands, Service
from webhook_svc.prove.verdict import Verdict, jobs
from webhook_svc.stage.processes import Program, until


def broken(promise: str) -> Commands:
    """The programs that break this promise."""
    program = (sys.executable, str(ROOT / "tests/flow/sabotage.py"), promise)
    return Commands(web=(*program, *WEB), worker=(*program, *WORKER))


def told(verdict: Verdict) -> str:
    return "\n".join(verdict.lines())


def run(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "webhook_svc", "prove", *arguments]
    return subprocess.run(command, env=environment("", url, 0), cwd=ROOT, capture_output=True, text=True, timeout=170)


def test_every_promise_holds_on_either_store_and_nothing_is_left_behind(store_url: str) -> None:
    before = contents(store_url)

    done = run(store_url, "--rounds", "2", "--seed", "5", "--json")

    assert 0 == done.returncode, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    assert (True, 0, 0, []) == tuple(verdict[key] for key in ("good", "lost", "dead", "problems"))
    assert {"archive": 0, "legal": 0, "deliveries": 0} == verdict["duplicates"]
    assert verdict["kills"] >= 2
    assert verdict["documents"] > 0
    assert before == contents(store_url)


def test_an_answer_before_the_commit_is_found_as_a_loss(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _kill(monkeypatch, lambda _: ["web"], _answered)

    verdict = prove(postgres_url, Order(rounds=1, seed=2, commands=broken("answer-early"), patience=30))

    assert not verdict.good, told(verdict)
    assert verdict.forgotten
    assert verdict.lost > 0
    assert told(verdict).splitlines()[-1].startswith("BAD: ")
    assert any(
        f"{verdict.forgotten[0]} was acknowledged, and the store does not know it" in line for line in verdict.lines()
    )


def test_a_job_that_is_deleted_before_its_work_is_found_as_a_loss(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kill(monkeypatch, lambda service: service.workers, _at_work)

    verdict = prove(sqlite_url, Order(rounds=1, seed=3, commands=broken("delete-first"), patience=30))

    assert not verdict.good, told(verdict)
    assert () == verdict.forgotten
    assert any("archive: lost " in line for line in verdict.problems()), told(verdict)


@pytest.mark.parametrize(
    ("store", "number"), [("sqlite_url", signal.SIGTERM), ("postgres_url", signal.SIGINT)], ids=["SIGTERM", "Ctrl-C"]
)
def test_what_is_left_after_an_interruption_is_nothing(
    store: str, number: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store_url = request.getfixturevalue(store)
    before = contents(store_url)
    command = [sys.executable, "-m", "webhook_svc", "prove", "--rounds", "50"]
    # Whoever runs the tests in the background may ignore Ctrl-C, and a child would inherit that.
    before_us = signal.signal(signal.SIGINT, signal.default_int_handler)
    proof = Program(command, environment("", store_url, 0), tmp_path / "said", cwd=ROOT)
    signal.signal(signal.SIGINT, before_us)
    try:
        until(lambda: "service: " in proof.text(), "the service to run", 60)
        assert before != contents(store_url)
        proof.signal(number)
        assert 2 == proof.wait(60)
    finally:
        proof.kill()

    assert before == contents(store_url)


def test_a_role_that_may_not_make_a_schema_is_told_so(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS poor")
        connection.execute("CREATE ROLE poor LOGIN")

    done = run(postgres_url.replace("postgres@", "poor@"))

    assert 2 == done.returncode
    assert "the role poor may not create a schema in this database" in done.stderr
    assert "Traceback" not in done.stderr


def contents(url: str) -> object:
    """The schemas with their tables and rows, or the files with the rows of the one that is ours."""
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(file)) as store:
            return [one.name for one in file.parent.glob("*.db")], store.execute(
                "SELECT count(*) FROM event"
            ).fetchall()
    with psycopg.connect(url) as connection:
        tables = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
        return connection.execute(tables).fetchall(), connection.execute("SELECT count(*) FROM event").fetchall()


def _kill(
    monkeypatch: pytest.MonkeyPatch, whom: Callable[[Service], list[str]], when: Callable[[Rounds], bool]
) -> None:
    """The blow hits them, and comes at the first moment at which it would show the broken promise."""
    strike = Rounds._strike

    def struck(self: Rounds, _: object) -> None:
        until(lambda: when(self), "the moment for a blow", 60)
        strike(self, whom(self.service))

    monkeypatch.setattr(Rounds, "_strike", struck)


def _answered(rounds: Rounds) -> bool:
    return rounds.traffic.tally.acknowledged > 0


def _at_work(rounds: Rounds) -> bool:
    """All callbacks are taken, and their jobs are in no table."""
    with opened(rounds.service.environ["DATABASE_URL"]) as store:
        return _answered(rounds) and rounds.traffic.quiet and not jobs(store)
