"""Taking callbacks in, on both stores: committed with their job, told from their copies, kept as they arrived."""

from collections.abc import Callable
from typing import Any

import pytest

from webhook_svc.core.outcomes import Buried, Closed
from webhook_svc.core.types import RawRequest, Stage
from webhook_svc.core.work import RefusedCallback
from webhook_svc.store import accept
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import event, job, payload, refused

HOSTILE = ("\x00 and \x00", "\ud800 alone \udfff", "x" * 20_000, "🖋️ 署名 \u202e", "'; DROP TABLE event; --", "\r\nX: y")


def test_an_accepted_event_stands_with_its_bytes_and_its_parse_job(life: Any) -> None:
    accepted = life.accept(b"\xff\x00raw", headers=(("x-a", "1"), ("x-a", "\xe9")), query="q=1")
    assert accepted.new
    assert "accepted" == life.row(event)["state"]
    assert (Stage.PARSE, accepted.event_id, "source:contracts") == (
        (found := life.job(Stage.PARSE)).stage,
        found.ref,
        found.lane,
    )
    request = life.store.event(accepted.event_id).request
    assert (b"\xff\x00raw", (("x-a", "1"), ("x-a", "\xe9")), "q=1") == (request.body, request.headers, request.query)


def test_a_duplicate_adds_nothing_but_a_count_and_is_told_the_first_id(life: Any) -> None:
    first, second, third = life.accept(), life.accept(), life.accept()
    assert [True, False, False] == [first.new, second.new, third.new]
    assert {first.event_id} == {second.event_id, third.event_id}
    assert 2 == life.row(event)["copies"]
    assert (1, 1) == (len(life.rows(job)), len(life.rows(payload)))


def test_other_bytes_under_the_same_delivery_id_are_another_event(life: Any) -> None:
    assert life.accept(b"one", delivery_id="D").event_id != life.accept(b"two", delivery_id="D").event_id


def test_copies_in_one_batch_make_one_event_and_the_first_of_them_is_new(life: Any) -> None:
    copies = [life.event(b"same"), life.event(b"other"), life.event(b"same"), life.event(b"same")]
    with life.store.database.write() as tx:
        results = accept.accept(tx, copies)
    assert [True, True, False, False] == [one.new for one in results]
    assert [copies[0].id, copies[1].id, copies[0].id, copies[0].id] == [one.event_id for one in results]
    assert 2 == life.row(event, id=copies[0].id)["copies"]


def test_twenty_copies_at_once_in_two_processes_make_one_event(
    life: Any, open_store: Callable[[], SqlStore], at_once: Callable[..., list[Any]]
) -> None:
    stores = (life.store, open_store())
    results = at_once(*(lambda store=stores[number % 2]: life.accept(b"same", store=store) for number in range(20)))
    assert 1 == sum(one.new for one in results)
    assert 1 == len({one.event_id for one in results})
    assert 19 == life.row(event)["copies"]
    assert 1 == len(life.rows(job))


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Closed(type="", sender_id="", reason="nothing"), "ignored"), (Buried(reason="not understood"), "dead")],
)
def test_copies_of_an_event_that_came_to_nothing_are_parsed_again_at_most_once_a_minute(
    life: Any, outcome: Any, state: str
) -> None:
    life.accept()
    life.settle(life.job(Stage.PARSE), outcome)
    assert state == life.row(event)["state"]
    life.accept()
    assert (state, []) == (life.row(event)["state"], life.rows(job))
    life.clock.advance(61)
    for _ in range(3):
        life.accept()
    assert "accepted" == life.row(event)["state"]
    life.settle(life.job(Stage.PARSE), outcome)
    life.clock.advance(30)
    life.accept()
    assert [] == life.rows(job)


def test_copies_about_a_signing_that_was_given_up_ask_for_it_again_in_a_minute(life: Any, words: Any) -> None:
    life.accept()
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.settle(life.job(Stage.FETCH), Buried(reason="no such document"))
    for _ in range(3):
        life.accept()
    assert ("accepted", 1) == (life.row(event)["state"], len(life.rows(job)))
    life.clock.advance(59)
    assert () == life.claim().jobs
    life.clock.advance(2)
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.settle(life.job(Stage.FETCH), words.fetched())


def test_a_copy_about_a_signing_that_is_being_fetched_does_not_disturb_it_within_a_minute(
    life: Any, words: Any
) -> None:
    life.accept()
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.accept()
    assert ["fetch"] == [row["stage"] for row in life.rows(job)]


def test_a_copy_of_an_event_that_was_understood_and_served_is_not_parsed_again(life: Any, words: Any) -> None:
    life.accept()
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.settle(life.job(Stage.FETCH), words.fetched())
    life.clock.advance(61)
    life.accept()
    assert ("parsed", []) == (life.row(event)["state"], life.rows(job))


def test_a_copy_of_an_event_whose_signing_was_given_up_asks_for_it_again(life: Any, words: Any) -> None:
    life.accept()
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.settle(life.job(Stage.FETCH), Buried(reason="404"))
    life.clock.advance(61)
    life.accept()
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    assert 2 == life.store.signing(life.job(Stage.FETCH).ref).wanted


def test_a_copy_brings_the_bytes_that_are_no_longer_kept(life: Any) -> None:
    life.accept(b"bytes")
    life.settle(life.job(Stage.PARSE), Closed(type="", sender_id="", reason="nothing"))
    life.clock.advance(100 * 86400)
    life.store.sweep("w1")
    assert [] == life.rows(payload)
    copy = life.accept(b"bytes")
    assert not copy.new
    assert b"bytes" == life.store.event(copy.event_id).request.body


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_callback_is_stored_and_its_bytes_come_back(life: Any, text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    headers = (("x-id", text.encode("utf-8", "surrogatepass").decode("latin-1")),)
    accepted = life.accept(body, delivery_id=text, headers=headers, query=text)
    request = life.store.event(accepted.event_id).request
    assert (body, headers, text) == (request.body, request.headers, request.query)
    assert not life.accept(body, delivery_id=text, headers=headers).new
    assert 200 >= len(life.row(event)["delivery_id"])


def test_the_newest_refused_callbacks_are_kept_for_each_source(life: Any) -> None:
    for number in range(6):
        for source in ("contracts", "inhouse"):
            life.clock.advance(1)
            request = RawRequest(body=b"x" * 100_000, query="q" * 10_000)
            life.store.refuse(
                RefusedCallback(source=source, status=401, reason=f"r{number}", address="::1", request=request), 3
            )
    rows = life.rows(refused, source="contracts")
    assert {"r3", "r4", "r5"} == {row["reason"] for row in rows}
    assert 6 == len(life.rows(refused))
    kept = life.store.refused_request(rows[0]["id"])
    assert kept is not None
    assert (rows[0]["at"], 64 * 1024) == (kept.at, len(kept.request.body))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_refused_callback_of_hostile_text_can_be_shown(life: Any, text: str) -> None:
    request = RawRequest(path=text, query=text, headers=((text, text),) * 300, body=b"\xff")
    life.store.refuse(RefusedCallback(source="contracts", status=401, reason=text, address=text, request=request), 10)
    found = life.store.refused_request(life.row(refused)["id"])
    assert found is not None
    assert (text[:200], text[:4096]) == found.request.headers[0]
    assert 100 == len(found.request.headers)
