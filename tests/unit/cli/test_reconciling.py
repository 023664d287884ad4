"""`webhook-svc reconcile`: what it prints, what it stores, its exit code; and how events that it found are shown."""

import json
import threading
import time
from typing import Any

import pytest

from webhook_svc import wiring
from webhook_svc.core.asking import Query
from webhook_svc.core.errors import ConfigError
from webhook_svc.core.moment import moment
from webhook_svc.core.tomltext import table_text

DAY = 86400.0


@pytest.fixture
def lost(world: Any) -> Any:
    """Two signings: the callback of one arrived, that of the other never came."""
    world.receive(world.callback("d1", title="Lease"))
    world.simulator.misbehave("dropped")
    assert [] == world.simulator.finish("d2", title="Deed")
    return world


def test_what_no_callback_told_of_is_found_and_delivered(lost: Any) -> None:
    result = lost.run("reconcile", "contracts")
    assert 0 == result.exit_code
    assert "✓ contracts: 2 listed since " in result.stdout
    assert ", 1 known already, 1 new\n" in result.stdout
    assert "next look: " in result.stdout
    assert "a running worker fetches and delivers what is new" in result.stderr

    lost.receive()
    assert ["delivered", "delivered"] == [row["state"] for row in lost.json("deliveries")]


def test_a_worker_finds_it_by_itself(lost: Any) -> None:
    made = wiring.service(wiring.configured(lost.environ))
    worker = made.worker()
    running = threading.Thread(target=worker.run)
    running.start()
    until = time.monotonic() + 30
    while len(made.store.list(Query(kind="deliveries", state="delivered"))) < 2 and time.monotonic() < until:
        made.store.wait(0.05)
    worker.stop()
    running.join(30)
    made.close()

    assert ["d1", "d2"] == sorted(row["document"] for row in lost.json("deliveries", "--state", "delivered"))


def test_without_a_source_every_list_is_read_and_again_finds_nothing(lost: Any) -> None:
    assert [1, 0] == [len(one["new"]) for _ in range(2) for one in lost.json("reconcile")]


def test_a_dry_run_names_what_would_be_new_and_stores_nothing(lost: Any) -> None:
    result = lost.run("reconcile", "--dry-run")
    assert (0, "") == (result.exit_code, result.stderr)
    assert "1 would be new" in result.stdout
    assert "d2" in result.stdout.partition("DOCUMENT")[2]
    assert "Deed" in result.stdout.partition("TITLE")[2]
    (row,) = lost.json("reconcile", "--dry-run")
    assert (True, "d2", "Deed", 2, 1, "") == (
        row["dry_run"],
        row["new"][0]["id"],
        row["new"][0]["title"],
        row["listed"],
        row["known"],
        row["error"],
    )
    assert 1 == len(lost.json("events"))


@pytest.mark.parametrize(
    ("since", "ago"), [("3d", 3 * DAY), ("12h", DAY / 2), ("90m", 5400), ("7w", 49 * DAY), ("86400s", DAY)]
)
def test_a_look_begins_as_long_ago_as_it_is_told_to(lost: Any, since: str, ago: float) -> None:
    (row,) = lost.json("reconcile", "--since", since, "--dry-run")
    assert ago == pytest.approx(time.time() - (moment(row["since"]) or 0.0), abs=60)
    assert 1 == len(row["new"])


@pytest.mark.parametrize("since", ["2026-01-01", "2026-01-01T00:00Z", "2026-01-01T01:00:00+01:00"])
def test_a_look_begins_at_the_time_it_is_told_to(lost: Any, since: str) -> None:
    (row,) = lost.json("reconcile", "--since", since, "--dry-run")
    assert "2026-01-01T00:00:00.000Z" == row["since"]


@pytest.mark.parametrize("since", ["yesterday", "3", "", "-3d", "3x", "2999-01-01", "2026-99-01"])
def test_a_time_that_is_none_is_not_understood(world: Any, since: str) -> None:
    result = world.run("reconcile", "--since", since)
    assert (2, "") == (result.exit_code, result.stdout)
    assert "--since" in result.stderr


def test_a_source_that_is_unknown_or_has_no_list_is_not_understood(world: Any) -> None:
    world.tables["sources.plain"] = {
        "provider": "generic",
        "sinks": ["archive"],
        "verify": {"alg": "none"},
        "event": {"type": "/type", "ready": ["done"], "document": "/id"},
        "download": [{"get": "https://x.example/{document}", "save": "document"}],
    }
    unknown, without = world.run("reconcile", "contract"), world.run("reconcile", "plain")
    assert [2, 2] == [unknown.exit_code, without.exit_code]
    assert "unknown source contract (known: contracts, plain)" in unknown.stderr
    assert "the provider of plain has no list of completed signings" in without.stderr
    assert ["contracts"] == [row["source"] for row in world.json("reconcile")]


def test_where_nothing_has_a_list_nothing_is_done(world: Any) -> None:
    del world.tables["sources.contracts"]
    result = world.run("reconcile")
    assert (0, "") == (result.exit_code, result.stdout)
    assert "no source has a provider with a list" in result.stderr
    assert [] == world.json("reconcile")


def test_a_list_that_cannot_be_read_is_told_with_exit_code_1_and_without_a_log(world: Any) -> None:
    world.simulator.misbehave("server_error", times=2)
    result = world.run("reconcile")
    assert 1 == result.exit_code
    assert "✗ contracts: Firma answered 500" in result.stdout
    assert "next look: " in result.stdout
    assert "not reconciled: contracts" in result.stderr
    assert "reconcile.failed" not in result.output
    failed = world.run("reconcile", "--json")
    assert (1, "Firma answered 500") == (failed.exit_code, json.loads(failed.stdout)[0]["error"][:18])


def test_a_list_that_a_worker_reads_is_left_to_it(lost: Any) -> None:
    made = wiring.service(wiring.configured(lost.environ))
    assert made.store.look("contracts", "dyno-1", 60.0) is not None
    made.close()
    result = lost.run("reconcile", "contracts")
    assert 1 == result.exit_code
    assert "✗ contracts: its list is being read by dyno-1" in result.stdout


def test_a_source_that_is_never_looked_at_by_itself_says_so(lost: Any) -> None:
    lost.tables["sources.contracts"]["reconcile"] = 0
    result = lost.run("reconcile", "contracts")
    assert "1 new" in result.stdout
    assert "next look: never by itself (reconcile = 0)" in result.stdout


def test_an_event_that_was_found_says_so(lost: Any) -> None:
    lost.run("reconcile")
    found, called = lost.json("events")
    assert ["listed", "callback"] == [found["origin"], called["origin"]]
    assert "found by reconciliation" in lost.run("events").stdout
    assert "found by reconciliation" in lost.run("event", found["id"]).stdout
    assert "found by reconciliation" not in lost.run("event", called["id"]).stdout
    assert "listed" == lost.json("event", found["id"])["events"][0]["origin"]


# --- the configuration --------------------------------------------------------------------------------------------


def test_looking_more_often_than_the_provider_likes_is_warned_of(world: Any) -> None:
    world.tables["sources.contracts"]["reconcile"] = 60
    warnings = world.json("check")["warnings"]
    assert 1 == len([one for one in warnings if "reconcile = 60 asks for the list more often" in one])
    world.tables["sources.contracts"]["reconcile"] = 86400
    assert [] == [one for one in world.json("check")["warnings"] if "reconcile" in one]


def test_looking_at_a_list_that_is_not_there_is_a_problem(world: Any, tmp_path: Any) -> None:
    text = table_text("sources.plain", {"provider": "generic", "reconcile": 60, "verify": {"alg": "none"}})
    text += '\n[sources.plain.event]\ntype = "/type"\nready = ["done"]\ndocument = "/id"\n'
    text += '[[sources.plain.download]]\nget = "https://x.example/{document}"\nsave = "document"\n'
    world.tables = {"store": {"url": f"sqlite:///{tmp_path}/x.db"}}
    environ = {"WEBHOOK_SVC_CONFIG_TOML": world.environ["WEBHOOK_SVC_CONFIG_TOML"] + "\n" + text}
    with pytest.raises(ConfigError) as caught:
        wiring.service(wiring.configured(environ))
    expected = (
        "sources.plain.reconcile: found 60, expected 0 or nothing: this provider has no list of completed signings"
    )
    assert [expected] == [str(problem) for problem in caught.value.problems]


def test_the_age_of_a_look_is_a_number_as_long_as_looks_are_wanted(lost: Any) -> None:
    lost.run("reconcile")

    def ages() -> list[Any]:
        made = wiring.service(wiring.configured(lost.environ))
        found = [key for key in made._gauges() if key[0] == "reconciled_seconds_ago"]
        made.close()
        return found

    assert [("reconciled_seconds_ago", (("source", "contracts"),))] == ages()
    lost.tables["sources.contracts"]["reconcile"] = 0
    assert [] == ages()
