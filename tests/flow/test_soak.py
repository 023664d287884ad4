"""The soak in short: every fault of the list once, on either store. The long one is a command of its own."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.flow.soak.plan import Kind, blows, faults
from tests.flow.soak.run import Order, soak
from tests.flow.trouble.postgres import postgres_programs

KINDS = [Kind(name=f"{device} {number}", device=device, seconds=60.0) for device in "ab" for number in range(4)]


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_nothing_is_lost_or_doubled_whatever_goes_wrong(store: str, tmp_path: Path) -> None:
    if store == "postgres" and postgres_programs() is None:
        pytest.skip("Postgres is not installed")
    verdict = soak(Order(store=store, minutes=0.4, seed=7, rate=2.0), tmp_path)

    assert verdict.good, "\n".join(verdict.lines())
    assert set(verdict.met) <= set(verdict.happened)
    assert verdict.kills >= 5
    assert verdict.documents > 0


@pytest.mark.parametrize("minutes", [0.5, 2, 30])
def test_every_fault_comes_often_enough_and_more_than_ten_processes_are_killed_in_a_minute(minutes: float) -> None:
    steps = faults(KINDS, minutes, seed=1)

    assert {max(1, minutes // 6)} == set(Counter(step.kind.name for step in steps).values())
    assert len(blows(minutes, seed=1)) > 10 * minutes
    assert max(step.ends for step in steps) <= 0.9 * minutes * 60
    assert max(blows(minutes, seed=1)) <= 0.9 * minutes * 60


def test_a_device_has_one_fault_at_a_time() -> None:
    steps = [step for step in faults(KINDS, 30, seed=1) if step.kind.device == "a"]

    assert all(one.begins < one.ends <= other.begins for one, other in pairwise(steps))


def test_the_same_seed_plans_the_same_and_another_one_something_else() -> None:
    assert faults(KINDS, 30, seed=1) == faults(KINDS, 30, seed=1) != faults(KINDS, 30, seed=2)
    assert blows(30, seed=1) == blows(30, seed=1) != blows(30, seed=2)
