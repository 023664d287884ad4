"""Where work waits and what keeps it, as a person asks for it: `lanes` and `check`."""

from collections.abc import Iterator
from typing import Any

import pytest

from webhook_svc import wiring
from webhook_svc.core.lanes import Party
from webhook_svc.core.outcomes import Again, Settlement
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.core.work import Wish

LANE = "source:contracts"
RETRY = RetryPolicy(pause_after=1, pause_first=600.0, pause_longest=600.0)


@pytest.fixture
def made(world: Any) -> Iterator[wiring.Service]:
    service = wiring.service(wiring.configured(world.environ))
    yield service
    service.close()


def pause(world: Any, made: wiring.Service) -> None:
    """A callback arrived, and Firma fails with each document."""
    made.ingest.receive(made.parties.sources["contracts"], world.callback("d1"), "192.0.2.1")
    (job,) = made.store.claim(Wish(worker="w1", lanes={LANE: 1}, total=1, lease=60.0, idle=True)).jobs
    again = Again(delay=0.0)
    trouble: Any = {"message": "Firma answered 500: \x1b[2J", "party": Party.FAILS, "retry": RETRY}
    made.store.settle(Settlement(job=job, outcome=again, started=0, ended=0, **trouble))


def test_a_paused_lane_is_listed_with_its_reason_and_when_it_is_probed(world: Any, made: wiring.Service) -> None:
    pause(world, made)
    made.store.attend("host:1:abc", [LANE, "sink:archive"], 60.0)
    said = world.run("lanes").stdout
    archive, contracts = said.splitlines()[1:]

    assert "open" in archive
    assert "paused until" in contracts
    assert ("host:1:abc" in contracts, "Firma answered 500: \\x1b[2J" in contracts) == (True, True)


def test_the_list_of_lanes_is_json_for_machines(world: Any, made: wiring.Service) -> None:
    pause(world, made)
    (row,) = world.json("lanes")

    assert (LANE, 1, True, []) == (row["lane"], row["waiting"], row["paused"], row["served_by"])
    assert row["until"].endswith("Z")
    assert row["state"].startswith("paused until")


def test_without_work_and_workers_there_is_nothing_to_list(world: Any, made: wiring.Service) -> None:
    made.store.migrate()
    ran = world.run("lanes")
    assert (0, "", "no work waits, and no worker runs\n") == (ran.exit_code, ran.stdout, ran.stderr)


def test_a_person_who_knows_better_lets_a_job_probe_at_once(world: Any, made: wiring.Service) -> None:
    pause(world, made)
    ran = world.run("lanes", "--probe", LANE)
    wish = Wish(worker="w1", lanes={LANE: 8}, total=8, lease=60.0, idle=True)

    assert (0, True) == (ran.exit_code, "paused, being probed" in ran.stdout)
    assert (LANE,) == made.store.claim(wish).probing


def test_a_lane_that_is_not_paused_is_not_probed(world: Any, made: wiring.Service) -> None:
    made.store.migrate()
    ran = world.run("lanes", "--probe", "sink:archive")
    assert (1, True) == (ran.exit_code, "sink:archive is not paused" in ran.stderr)


def test_check_warns_of_a_paused_lane_and_of_work_that_nobody_serves(world: Any, made: wiring.Service) -> None:
    pause(world, made)
    ran = world.run("check")

    assert 0 == ran.exit_code
    assert f"work of {LANE} waits (1 job): no running worker serves it" in ran.stdout
    assert f"{LANE} is paused, in trouble since" in ran.stdout
    report = world.json("check")
    assert ({LANE: 1}, [LANE]) == (report["unserved"], [one["lane"] for one in report["paused"]])


def test_check_tells_work_that_is_not_configured_from_work_that_waits_for_a_worker(
    world: Any, made: wiring.Service
) -> None:
    pause(world, made)
    del world.tables["sources.contracts"]

    assert f"work of {LANE} waits for ever (1 job): it is not configured" in world.run("check").stdout
