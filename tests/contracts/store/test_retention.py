"""Which bytes a signing still needs, and work that one process at a time may do."""

from collections.abc import Mapping
from typing import Any

import pytest

from webhook_svc.core.asking import ReplayOrder
from webhook_svc.core.outcomes import Buried, Closed, Delivered, Refetch
from webhook_svc.core.types import DocumentRef, Meaning, Stage
from webhook_svc.store.tables import lease

LATER = 1000.0


def needed(life: Any, part: Any, since: float | None = None) -> bool | None:
    """Does somebody need the part, with the limit set just after all that happened? None where nobody knows it."""
    life.clock.advance(LATER)
    limit = life.clock() - LATER / 2 if since is None else since
    known: Mapping[str, bool] = life.store.needed((part.sha256, "0" * 64), limit)
    return known.get(part.sha256)


def test_bytes_that_no_signing_has_are_unknown(life: Any) -> None:
    assert {} == life.store.needed(("0" * 64,), life.clock())
    assert {} == life.store.needed((), life.clock())


def test_what_is_delivered_everywhere_is_needed_no_more(life: Any, words: Any) -> None:
    life.deliver()
    assert needed(life, words.part()) is False


def test_what_was_fetched_and_goes_nowhere_is_needed_no_more(life: Any, words: Any) -> None:
    life.fetch()
    assert needed(life, words.part()) is False


def test_what_was_touched_since_is_needed(life: Any, words: Any) -> None:
    since = life.clock()
    life.clock.advance(1)
    life.deliver()
    assert needed(life, words.part(), since) is True


def test_what_was_delivered_since_is_needed(life: Any, words: Any) -> None:
    life.fetch(deliveries=(words.bundle(),))
    life.clock.advance(10)
    since = life.clock() - 5
    life.settle(life.job(Stage.DELIVER), Delivered(receipt=words.receipt()))
    assert needed(life, words.part(), since) is True


@pytest.mark.parametrize("end", ["waiting", "dead", "held"])
def test_what_a_delivery_has_not_brought_is_needed(life: Any, words: Any, end: str) -> None:
    life.fetch(deliveries=(words.bundle(), words.bundle(sink="legal")))
    one, two = life.claim().jobs
    life.settle(one, Delivered(receipt=words.receipt()))
    if end != "waiting":
        life.settle(two, Buried(reason="full", held=end == "held"))
    assert needed(life, words.part()) is True


@pytest.mark.parametrize("end", ["fetching", "dead", "held"])
def test_what_a_signing_has_that_is_not_done_is_needed(life: Any, words: Any, end: str) -> None:
    life.deliver()
    life.speak("d1", meaning=Meaning.CHANGED)
    if end != "fetching":
        life.settle(life.job(Stage.FETCH), Buried(reason="gone", held=end == "held"))
    assert needed(life, words.part()) is True


def test_bytes_that_one_signing_is_done_with_and_another_is_not_are_needed(life: Any, words: Any) -> None:
    life.deliver("d1")
    assert needed(life, words.part()) is False
    life.fetch("d2", deliveries=(words.bundle(),))
    assert needed(life, words.part()) is True


def test_an_earlier_version_is_kept_as_long_as_its_signing(life: Any, words: Any) -> None:
    life.deliver()
    life.speak("d1", meaning=Meaning.CHANGED)
    parts = (words.part("new.pdf"),)
    life.settle(life.job(Stage.FETCH), words.fetched(wanted=2, version=2, parts=parts))
    assert needed(life, words.part(), life.clock() - 1) is True
    assert needed(life, words.part()) is False


def test_a_delivery_that_is_repeated_needs_its_bytes_until_it_is_done(life: Any, words: Any) -> None:
    delivery = life.deliver()
    life.clock.advance(LATER)
    assert life.store.replay(ReplayOrder(ids=(delivery,), again=True, reason="lost at the archive"))[0].ok
    assert needed(life, words.part()) is True
    life.settle(life.job(Stage.DELIVER), Refetch(reason="the vault no longer has it"))
    assert needed(life, words.part()) is True


def test_an_end_that_is_told_late_makes_no_signing_need_its_bytes(life: Any, words: Any) -> None:
    life.deliver()
    life.fresh()
    over = Closed(type="declined", sender_id="", reason="declined", concerns=(DocumentRef(id="d1"),))
    life.settle(life.job(Stage.PARSE), over)
    assert needed(life, words.part()) is False


def test_many_hashes_are_asked_for_at_once(life: Any, words: Any) -> None:
    life.deliver()
    life.clock.advance(LATER)
    hashes = [f"{number:064x}" for number in range(2000)] + [words.part().sha256]
    assert {words.part().sha256: False} == life.store.needed(hashes, life.clock())


def test_work_that_is_leased_is_one_owners_until_the_lease_is_over(life: Any) -> None:
    assert [True, False, True] == [life.store.lease("vault", who, 60.0) for who in ("w1", "w2", "w1")]
    life.clock.advance(61)
    assert [True, False] == [life.store.lease("vault", who, 60.0) for who in ("w2", "w1")]


def test_leases_of_different_work_do_not_meet(life: Any) -> None:
    assert life.store.lease("vault", "w1", 60.0)
    assert life.store.lease("sweep", "w2", 60.0)


# --- when there is something to sweep ---------------------------------------------------------------------------------


def test_a_lease_that_is_over_is_swept_at_once_however_short_ago_the_last_sweep_was(life: Any) -> None:
    life.fresh()
    life.claim(lease=60.0)
    life.clock.advance(59)
    assert {} == life.store.sweep("w1")
    life.clock.advance(2)
    assert {"returned": 1} == life.store.sweep("w1")


def test_a_worker_that_asks_often_writes_only_now_and_then(life: Any) -> None:
    began = life.clock()
    assert [60, 60, 76] == [_swept(life, "w1", began + at) - began for at in (0, 14, 16)]


def test_another_worker_sweeps_only_when_the_first_has_been_silent_for_its_whole_hold(life: Any) -> None:
    began = life.clock()
    _swept(life, "w1", began)
    assert [60, 121] == [_swept(life, "w2", began + at) - began for at in (59, 61)]


def _swept(life: Any, worker: str, at: float) -> float:
    """The worker asks at that time; until when the sweep is somebody's then."""
    life.clock.now = at
    life.store.sweep(worker)
    return float(life.row(lease, name="sweep")["until"])


@pytest.mark.parametrize("table", ["payload", "attempt"])
def test_a_backlog_of_old_rows_does_not_wait_for_the_rhythm(life: Any, monkeypatch: Any, table: str) -> None:
    monkeypatch.setattr("webhook_svc.store.sweep.PURGE_BATCH", 2)
    for _ in range(5):
        life.fresh()
    for job in life.claim().jobs:
        life.settle(job, Closed(type="", sender_id="", reason="nothing"))
    life.clock.advance(400 * 86400)
    gone = [life.store.sweep("w1") for _ in range(4)]
    assert [2, 2, 1, None] == [one.get(f"{table}s") for one in gone]
