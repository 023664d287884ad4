"""What people look at and what grows old, on both stores: pages, stories, gauges, retention."""

from typing import Any

import pytest

from webhook_svc.core.asking import Query, pages
from webhook_svc.core.errors import Permanent
from webhook_svc.core.outcomes import Again, Buried, Closed
from webhook_svc.core.types import RawRequest, Stage
from webhook_svc.core.work import RefusedCallback
from webhook_svc.store.tables import attempt, delivery, event, payload, signing


def ids(life: Any, **query: Any) -> list[str]:
    return [row["id"] for row in life.store.list(Query(**query))]


def test_events_are_listed_newest_first_a_page_at_a_time(life: Any) -> None:
    expected: list[str] = []
    for _ in range(5):
        life.clock.advance(1)
        expected.insert(0, life.fresh())
    assert expected == ids(life, kind="events")
    assert expected[:2] == ids(life, kind="events", limit=2)
    assert expected[2:4] == ids(life, kind="events", limit=2, before=expected[1])
    assert [2, 2, 1] == [len(page) for page in pages(life.store.list, Query(kind="events", limit=2))]


def test_listings_are_filtered_by_source_state_and_sink(life: Any, words: Any) -> None:
    life.accept(b"x", source="inhouse")
    assert ["inhouse"] == [row["source"] for row in life.store.list(Query(kind="events", source="inhouse"))]
    life.claim()
    life.fetch("d1", deliveries=(words.bundle(), words.bundle(sink="legal")))
    assert ["legal"] == [row["sink"] for row in life.store.list(Query(kind="deliveries", sink="legal"))]
    assert ["parsed"] == [row["state"] for row in life.store.list(Query(kind="events", state="parsed"))]
    assert [] == ids(life, kind="deliveries", state="delivered")
    (one, _) = life.store.list(Query(kind="deliveries", state="waiting", source="contracts"))
    assert ("d1", "Deed") == (one["document"], one["title"])


def test_dead_letters_of_every_kind_are_listed_together_newest_first(life: Any, words: Any) -> None:
    expected = _one_dead_of_each(life, words)
    rows = life.store.list(Query(kind="dead"))
    assert expected == [row["id"] for row in rows]
    assert ["delivery", "signing", "event"] == [row["what"] for row in rows]
    assert ["held", "dead", "dead"] == [row["state"] for row in rows]
    assert expected == [page[0]["id"] for page in pages(life.store.list, Query(kind="dead", limit=1))]
    assert expected[:1] == ids(life, kind="dead", sink="archive")
    assert expected[:1] == ids(life, kind="dead", state="held")
    assert [] == ids(life, kind="dead", source="inhouse")


def test_refused_callbacks_are_listed_without_their_bytes(life: Any) -> None:
    request = RawRequest(body=b"secret body")
    life.store.refuse(RefusedCallback(source="c", status=401, reason="stale", address="::1", request=request), 5)
    (row,) = life.store.list(Query(kind="refused"))
    assert ("c", 401, "stale", life.clock()) == (row["source"], row["status"], row["reason"], row["at"])
    assert not {"body", "request"} & row.keys()


def test_jobs_are_counted_by_lane_whoever_serves_it(life: Any, words: Any) -> None:
    life.accept(source="renamed")
    life.fetch("d1", deliveries=(words.bundle(), words.bundle(sink="legal")))
    life.claim("sink:legal")
    assert {"source:renamed": 1, "sink:archive": 1, "sink:legal": 1} == life.store.lanes()


def test_the_story_is_the_same_from_event_signing_and_delivery(life: Any, words: Any) -> None:
    delivery_id = life.deliver("d1")
    story = life.store.timeline(life.row(event)["id"])
    assert story == life.store.timeline(life.row(signing)["id"]) == life.store.timeline(delivery_id)
    (told,), (signed,) = story["events"], story["signings"]
    assert ("parsed", True, ["done"], None) == (
        told["state"],
        told["bytes_kept"],
        [one["outcome"] for one in told["attempts"]],
        told["job"],
    )
    assert [words.part().sha256] == [one["sha256"] for one in signed["parts"]]
    assert ["delivered"] == [one["state"] for one in signed["deliveries"]]


def test_the_story_of_waiting_work_tells_its_next_try(life: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Again(delay=30), message="reset by peer")
    (signed,) = life.store.timeline(life.row(signing)["id"])["signings"]
    assert ("waiting", life.clock() + 30, 1) == tuple(signed["job"][key] for key in ("state", "run_at", "tries"))
    assert "reset by peer" == signed["attempts"][0]["message"]


@pytest.mark.parametrize("some_id", ["", "evt_unknown", "sgn_unknown", "dlv_unknown", "evt_\x00\ud800"])
def test_an_unknown_id_has_no_story_and_no_page(life: Any, some_id: str) -> None:
    life.fresh()
    assert life.store.timeline(some_id) is None
    assert life.store.refused_request(some_id) is None
    assert [] == ids(life, kind="events", source=some_id or "unknown", before=some_id)


def test_gauges_count_work_by_lane_with_its_age_and_dead_letters(life: Any, words: Any) -> None:
    _one_dead_of_each(life, words)
    life.fresh()
    life.clock.advance(7)
    found = life.store.gauges()
    labels = (("lane", "source:contracts"), ("state", "waiting"))
    assert (1, 7) == (found["jobs", labels], found["oldest_due_seconds", labels])
    dead = {key[1]: count for key, count in found.items() if key[0] == "dead_letters" and count}
    expected = {("event", "dead"): 1, ("signing", "dead"): 1, ("delivery", "held"): 1}
    assert expected == {(key[0][1], key[1][1]): count for key, count in dead.items()}


def test_bytes_of_finished_events_go_and_those_of_dead_ones_stay(life: Any, words: Any) -> None:
    life.deliver("d1")
    dead = life.fresh()
    life.settle(life.job(Stage.PARSE), Buried(reason="not understood"))
    ignored = life.accept(b"ignored").event_id
    life.settle(life.job(Stage.PARSE), Closed(type="", sender_id="", reason="nothing"))
    life.clock.advance(91 * 86400)
    waiting = life.fresh()
    assert {"payloads": 2} == life.store.sweep("w1")
    assert {dead, waiting} == {row["event_id"] for row in life.rows(payload)}
    with pytest.raises(Permanent):
        life.store.event(ignored)
    assert words.receipt().location in life.row(delivery)["receipt"]
    assert 4 == len(life.rows(event))


def test_a_late_copy_of_an_event_whose_bytes_are_gone_is_still_a_duplicate(life: Any, words: Any) -> None:
    first = life.accept(b"once")
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.settle(life.job(Stage.FETCH), words.fetched())
    life.clock.advance(400 * 86400)
    assert {"payloads": 1, "attempts": 2} == life.store.sweep("w1")
    again = life.accept(b"once")
    assert (first.event_id, False, ()) == (again.event_id, again.new, life.claim().jobs)


def test_attempts_are_kept_for_their_time(life: Any) -> None:
    life.speak("d1")
    life.clock.advance(364 * 86400)
    life.store.sweep("w1")
    assert 1 == len(life.rows(attempt))


def _one_dead_of_each(life: Any, words: Any) -> list[str]:
    """An event, a signing and a delivery that is held; their ids, newest first."""
    first = life.fresh()
    life.settle(life.job(Stage.PARSE), Buried(reason="not understood"))
    life.clock.advance(1)
    life.speak("d1")
    second = life.job(Stage.FETCH)
    life.settle(second, Buried(reason="404"))
    life.clock.advance(1)
    one = words.bundle()
    object.__setattr__(one, "id", one.id.replace("dlv_", "dlv_z"))
    life.fetch("d2", deliveries=(one,))
    life.settle(life.job(Stage.DELIVER), Buried(reason="conflict", held=True))
    return [one.id, second.ref, first]
