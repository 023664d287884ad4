"""The soak in short: two minutes with every fault of the list, on both stores side by side. The long one is a command
of its own."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.flow.soak.plan import Kind, blows, faults
from tests.flow.soak.run import Order, soak
from tests.flow.trouble.disk import unavailable
from tests.flow.trouble.postgres import postgres_programs
from webhook_svc.prove.verdict import Verdict

MINUTES = 2
KINDS = [Kind(name=f"{device} {number}", device=device, seconds=60.0) for device in "ab" for number in range(4)]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Verdict]:
    stores = ["sqlite", *(["postgres"] if postgres_programs() else [])]

    homes = {store: tmp_path_factory.mktemp(store) for store in stores}  # pytest makes none for two threads at once

    def soaked(store: str) -> Verdict:
        return soak(Order(store=store, minutes=MINUTES, seed=7, rate=1.0), homes[store])

    with ThreadPoolExecutor(len(stores)) as pool:
        return dict(zip(stores, pool.map(soaked, stores), strict=True))


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_nothing_is_lost_or_doubled_whatever_goes_wrong(store: str, verdicts: Mapping[str, Verdict]) -> None:
    if store not in verdicts:
        pytest.skip("Postgres is not installed")
    verdict = verdicts[store]
    told = "\n".join(verdict.lines())

    assert [] == [line for line in verdict.problems() if not unavailable() or "full disks" not in line], told
    assert 0 == verdict.lost
    assert {"archive": 0, "bucket": 0, "legal": 0, "deliveries": 0} == verdict.duplicates
    assert {1} == set(verdict.met.values()), told
    assert {1} == {times for name, times in verdict.happened.items() if not name.startswith("kill -9 w")}, told
    assert verdict.kills > 10 * MINUTES, told
    assert verdict.documents > 30 * MINUTES, told


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
