"""A sink that was added later is given what it lacks, once; and what a person has to route keeps all its parts."""

from types import SimpleNamespace
from typing import Any

from webhook_svc.core.asking import Backfill, Query
from webhook_svc.core.types import Stage
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

    assert [second, first] == [event.id for event in life.store.spoken(job.ref)]
