"""A sink that was added later is given what it lacks, once; and what a person has to route keeps all its parts."""

from types import SimpleNamespace
from typing import Any

from webhook_svc.core.asking import Backfill, Query, ReplayOrder
from webhook_svc.core.outcomes import Buried, Parsed
from webhook_svc.core.types import DocumentRef, Meaning, Stage
from webhook_svc.core.work import Extra
from webhook_svc.store.tables import delivery, signing

LATER = Backfill(sink="later", since=0.0)


def extra(signing_id: str, words: SimpleNamespace) -> Extra:
    return Extra(
        signing_id=signing_id, source="contracts", version=1, title="Deed", delivery=words.bundle(sink="later")
    )


def test_what_never_went_to_a_sink_is_lacking_there_the_oldest_first(life: Any, clock: Any) -> None:
    first = life.fetch("d1")
    clock.now += 60
    second = life.fetch("d2")

    assert [first, second] == life.store.lacking(LATER, "")
    assert [second] == life.store.lacking(LATER, first)
    assert [] == life.store.lacking(Backfill(sink="later", since=0.0, source="other"), "")


def test_what_was_fetched_before_that_time_is_not_lacking(life: Any, clock: Any) -> None:
    life.fetch("d1")
    clock.now += 3600
    second = life.fetch("d2")

    assert [second] == life.store.lacking(Backfill(sink="later", since=clock() - 60), "")


def test_a_signing_without_a_document_lacks_nothing(life: Any, words: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), words.fetched(version=0, parts=(), note="cancelled"))

    assert [] == life.store.lacking(LATER, "")


def test_handing_on_makes_a_delivery_and_its_job_and_then_nothing_is_lacking(life: Any, words: Any) -> None:
    signing_id = life.fetch("d1")
    one = extra(signing_id, words)

    assert frozenset({one.delivery.id}) == life.store.hand_on([one])
    assert [] == life.store.lacking(LATER, "")
    (job,) = life.claim("sink:later").jobs
    assert one.delivery.id == job.ref


def test_handing_on_twice_makes_one_delivery(life: Any, words: Any, at_once: Any) -> None:
    signing_id = life.fetch("d1")
    made = at_once(*[lambda: life.store.hand_on([extra(signing_id, words)])] * 2)

    assert [0, 1] == sorted(map(len, made))
    assert 1 == len(life.rows(delivery, sink="later"))


def test_the_members_of_a_zip_come_back_as_they_were_stored(life: Any, words: Any) -> None:
    members = (words.part(), words.part("certificate.pdf", "certificate"))
    one = words.bundle(words.part("d1.zip", "zip"), members=members)
    life.fetch("d1", parts=members, deliveries=(one,))

    assert members == life.store.delivery(one.id).members
    assert {0} == {each.supplement for each in life.store.signing(life.row(signing)["id"]).parts}


def test_parts_that_no_sink_takes_count_as_handed_on(life: Any, words: Any) -> None:
    signing_id = life.fetch("d1", settled=(words.part(),))

    found = life.store.signing(signing_id)
    assert (1, [0]) == (found.supplements, [each.supplement for each in found.parts])


def test_what_a_person_has_to_route_is_held_and_keeps_its_parts(life: Any) -> None:
    signing_id = life.fetch("d1", held="it fits no route")
    row = life.row(signing)

    assert ("held", "it fits no route", 1) == (row["state"], row["reason"], row["version"])
    assert [None] == [each.supplement for each in life.store.signing(signing_id).parts]
    assert [signing_id] == [found["id"] for found in life.store.list(Query(kind="dead"))]


def test_the_events_that_spoke_of_a_signing_come_newest_first(life: Any, clock: Any) -> None:
    first = life.speak("d1")
    job = life.job(Stage.FETCH)
    clock.now += 1
    second = life.speak("d1")

    assert [second, first] == life.store.spoken(job.ref)


def test_what_is_on_its_way_or_held_is_not_forestalled(life: Any, words: Any) -> None:
    held = life.fetch("d1", held="it fits no route")
    looking = life.fetch("d2", lacking=("certificate",), look_again=60.0)

    assert frozenset() == life.store.hand_on([extra(held, words), extra(looking, words)])
    assert [None] == [one.supplement for one in life.store.signing(held).parts]


def test_what_was_handed_on_by_hand_is_no_part_of_a_later_bundle(life: Any, words: Any) -> None:
    signing_id = life.fetch("d1")
    life.store.hand_on([extra(signing_id, words)])
    found = life.store.signing(signing_id)

    assert (1, [0]) == (found.supplements, [one.supplement for one in found.parts])
    assert [("later", True, {("document", "deed.pdf")})] == [
        (one.sink, one.waiting, one.contents) for one in found.sent
    ]


def test_the_release_of_what_waited_for_a_route_asks_for_no_change(life: Any) -> None:
    signing_id = life.fetch("d1", held="it fits no route")
    assert life.store.replay(ReplayOrder(ids=(signing_id,), release=True))[0].ok
    found = life.store.signing(signing_id)

    assert ("fetching", 2, 0, False) == (found.state, found.wanted, found.change, found.released)


def test_the_release_of_other_bytes_asks_for_them(life: Any) -> None:
    life.speak("d1")
    job = life.job(Stage.FETCH)
    life.settle(job, Buried(reason="other bytes", held=True), error="Held", message="other bytes")
    assert life.store.replay(ReplayOrder(ids=(job.ref,), release=True))[0].ok

    assert 2 == life.store.signing(job.ref).change


def told(document: str, **hints: str) -> Parsed:
    named = {name.replace("_", "."): text for name, text in hints.items()}
    return Parsed(type="", sender_id="", documents=((DocumentRef(id=document, hints=named), Meaning.READY),))


def test_news_for_routes_wakes_a_signing_that_is_complete_and_other_hints_do_not(life: Any) -> None:
    signing_id = life.fetch("d1")
    for hints, state in (({"link": "new"}, "complete"), ({"event_type": "sealed"}, "fetching")):
        life.fresh()
        life.settle(life.job(Stage.PARSE), told("d1", **hints))
        assert state == life.row(signing)["state"]

    assert "sealed" == life.store.signing(signing_id).ref.hints["event.type"]


def test_news_that_comes_while_the_fetch_runs_is_served_by_another(life: Any, words: Any) -> None:
    life.speak("d1")
    job = life.job(Stage.FETCH)
    life.fresh()
    life.settle(life.job(Stage.PARSE), told("d1", event_type="sealed"))
    life.settle(job, words.fetched(hints={}))

    assert ("fetching", 2, 1) == tuple(life.row(signing)[name] for name in ("state", "wanted", "fetched"))
