"""What every outcome leaves behind, on both stores: one signing, its parts, its deliveries and their ends."""

from typing import Any

import pytest

from webhook_svc.core.asking import ReplayOrder
from webhook_svc.core.outcomes import Again, Buried, Closed, Delivered, Parsed, Refetch
from webhook_svc.core.types import DocumentRef, Meaning, Receipt, Stage
from webhook_svc.store.tables import attempt, delivery, event, job, part, signing, signing_event

HOSTILE = ("\x00 and \x00", "\ud800 alone \udfff", "x" * 20_000, "🖋️ 署名 \u202e", "'; DROP TABLE event; --")


def over(*documents: str) -> Closed:
    refs = tuple(DocumentRef(id=one) for one in documents)
    return Closed(type="signing.declined", sender_id="", reason="declined", concerns=refs)


# --- events become signings -------------------------------------------------------------------------------------------


def test_a_parsed_event_creates_its_signing_and_one_fetch(life: Any) -> None:
    event_id = life.speak("d1")
    assert "parsed" == life.row(event)["state"]
    row = life.row(signing)
    assert ("fetching", 1, 0) == (row["state"], row["wanted"], row["fetched"])
    assert {"signing_id": row["id"], "event_id": event_id} == life.row(signing_event)
    assert ("source:contracts", row["id"]) == ((found := life.job(Stage.FETCH)).lane, found.ref)


def test_an_event_may_speak_of_several_documents(life: Any) -> None:
    life.speak("d1", "d2", "d1")
    assert ({"d1", "d2"}, 2) == ({row["document"] for row in life.rows(signing)}, len(life.rows(job)))


def test_rounds_of_one_document_are_signings_of_their_own(life: Any) -> None:
    life.fresh()
    refs = tuple((DocumentRef(id="d1", round=one), Meaning.READY) for one in ("", "2", "3"))
    life.settle(life.job(Stage.PARSE), Parsed(type="t", sender_id="", documents=refs))
    assert 3 == len(life.rows(signing))


def test_another_event_of_a_signing_raises_what_is_wanted_and_adds_no_fetch(life: Any, words: Any) -> None:
    life.speak("d1")
    life.fresh()
    parse = next(one for one in life.claim().jobs if one.stage is Stage.PARSE)
    life.settle(parse, words.said("d1"))
    row = life.row(signing)
    assert (2, 2, 1) == (row["wanted"], len(life.rows(signing_event)), len(life.rows(job)))


def test_a_later_event_may_know_more_while_nothing_is_fetched(life: Any) -> None:
    life.speak("d1")
    signing_id = life.row(signing)["id"]
    life.fresh()
    ref = DocumentRef(id="d1", name="Deed", completed=5.0, hints={"link": "new"})
    parse = next(one for one in life.claim().jobs if one.stage is Stage.PARSE)
    life.settle(parse, Parsed(type="t", sender_id="", documents=((ref, Meaning.READY),)))
    found = life.store.signing(signing_id).ref
    assert ("Deed", 5.0, {"link": "new"}) == (found.name, found.completed, dict(found.hints))


def test_a_change_that_comes_while_a_fetch_runs_is_fetched_again(life: Any, words: Any) -> None:
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.speak("d1", meaning=Meaning.CHANGED)
    life.settle(fetch, words.fetched(wanted=1))
    row = life.row(signing)
    assert ("fetching", 2, 1) == (row["state"], row["wanted"], row["fetched"])
    life.settle(life.job(Stage.FETCH), words.fetched(wanted=2, parts=()))
    row = life.row(signing)
    assert ("complete", 2, 2, []) == (row["state"], row["wanted"], row["fetched"], life.rows(job))


def test_an_event_that_comes_while_a_fetch_runs_is_fetched_again_where_a_part_was_lacking(
    life: Any, words: Any
) -> None:
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.speak("d1")
    life.settle(fetch, words.fetched(wanted=1, lacking=("certificate",), look_again=900.0))
    assert "fetching" == life.row(signing)["state"]
    assert life.job(Stage.FETCH).ref == fetch.ref


def test_a_first_fetch_that_brought_everything_serves_the_events_that_came_meanwhile(life: Any, words: Any) -> None:
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.speak("d1")
    life.settle(fetch, words.fetched(wanted=1))
    row = life.row(signing)
    assert ("complete", 2, 2, []) == (row["state"], row["wanted"], row["fetched"], life.rows(job))


def test_a_complete_signing_is_not_fetched_for_another_event(life: Any) -> None:
    life.fetch("d1")
    life.speak("d1")
    row = life.row(signing)
    assert ("complete", 1, []) == (row["state"], row["wanted"], life.rows(job))
    assert 2 == len(life.rows(signing_event))


def test_a_complete_signing_is_fetched_again_where_the_document_may_have_changed(life: Any) -> None:
    life.fetch("d1")
    life.speak("d1", meaning=Meaning.CHANGED)
    found = life.store.signing(life.job(Stage.FETCH).ref)
    assert ("fetching", 2, 2, 1) == (found.state, found.wanted, found.change, found.fetched)


def test_a_partial_signing_is_fetched_again_for_another_event(life: Any) -> None:
    life.fetch("d1", lacking=("certificate",))
    assert "partial" == life.row(signing)["state"]
    life.speak("d1")
    assert life.job(Stage.FETCH)


def test_the_same_event_parsed_again_asks_for_nothing_that_it_has_got(life: Any, words: Any) -> None:
    event_id = life.speak("d1")
    life.settle(life.job(Stage.FETCH), words.fetched())
    _parse_again(life, event_id)
    life.settle(life.job(Stage.PARSE), words.said("d1", meaning=Meaning.CHANGED))
    assert (1, []) == (life.row(signing)["wanted"], life.rows(job))


def test_an_event_wakes_a_fetch_that_waits_for_a_file_but_not_one_that_failed(life: Any) -> None:
    life.speak("waits", "failed")
    for one in life.claim().jobs:
        name = life.row(signing, id=one.ref)["document"]
        life.settle(one, Again(delay=900, waiting=name == "waits"))
    life.speak("waits", "failed")
    assert ["waits"] == [life.row(signing, id=one.ref)["document"] for one in life.claim().jobs]


def test_an_event_gives_a_fetch_that_waits_its_whole_schedule_again(life: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Again(delay=900, waiting=True))
    life.clock.advance(600)
    life.speak("d1", meaning=Meaning.CHANGED)
    again = life.job(Stage.FETCH)
    assert (0, life.clock()) == (again.waits, again.created)


@pytest.mark.parametrize("outcome", [Again(delay=900, waiting=True), Buried(reason="given up")], ids=str)
def test_an_event_that_comes_while_a_fetch_runs_gives_it_its_whole_schedule_again(life: Any, outcome: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Again(delay=0, waiting=True))
    fetch = life.job(Stage.FETCH)
    life.clock.advance(30)
    life.speak("d1", meaning=Meaning.CHANGED)
    life.settle(fetch, outcome)
    again = life.job(Stage.FETCH)
    assert (0, life.clock()) == (again.waits, again.created)


def test_an_event_burns_no_try_of_a_fetch_that_failed_but_lengthens_its_patience(life: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Again(delay=900))
    life.clock.advance(600)
    life.speak("d1")
    assert () == life.claim().jobs
    life.clock.advance(300)
    again = life.job(Stage.FETCH)
    assert (1, life.clock() - 300) == (again.tries, again.created)


def test_a_terminal_event_ends_nothing_but_lets_the_fetch_that_waits_look_at_once(life: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Again(delay=900, waiting=True))
    asked = life.row(job)["created"]
    life.clock.advance(60)
    life.fresh()
    life.settle(life.job(Stage.PARSE), over("d1", "unknown"))
    again = life.job(Stage.FETCH)
    assert ("fetching", 1, asked) == (life.row(signing)["state"], again.waits, again.created)
    assert 2 == len(life.rows(signing_event))


def test_a_terminal_event_burns_no_try_of_a_fetch_that_failed(life: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Again(delay=900))
    life.fresh()
    life.settle(life.job(Stage.PARSE), over("d1"))
    assert ((), 1) == (life.claim().jobs, len(life.rows(job)))


def test_a_fetch_that_runs_while_its_signing_ends_goes_on_by_what_the_provider_says(life: Any, words: Any) -> None:
    outcomes = {
        Again(delay=60): "fetching",
        Again(delay=60, waiting=True): "fetching",
        Buried(reason="404"): "dead",
        words.fetched(): "complete",
    }
    for number, (outcome, state) in enumerate(outcomes.items()):
        life.speak(f"d{number}")
        fetch = life.job(Stage.FETCH)
        life.fresh()
        life.settle(life.job(Stage.PARSE), over(f"d{number}"))
        life.settle(fetch, outcome)
        assert state == life.row(signing, document=f"d{number}")["state"]
        assert int(state == "fetching") == len(life.rows(job, ref=fetch.ref))


def test_a_terminal_event_takes_no_document_away(life: Any) -> None:
    life.fetch("d1")
    life.fresh()
    life.settle(life.job(Stage.PARSE), over("d1"))
    assert ("complete", "ignored") == (
        life.row(signing)["state"],
        life.row(event, type="signing.declined")["state"],
    )


def test_a_terminal_event_does_not_hurry_the_look_for_a_part_that_is_late(life: Any) -> None:
    life.fetch("d1", lacking=("certificate",), look_again=900)
    life.fresh()
    life.settle(life.job(Stage.PARSE), over("d1"))
    assert () == life.claim().jobs


# --- fetched ----------------------------------------------------------------------------------------------------------


def test_a_fetch_leaves_parts_and_one_delivery_with_its_job_for_each_sink(life: Any, words: Any) -> None:
    parts = (words.part(), words.part("cert.pdf", "certificate"))
    deliveries = (words.bundle(*parts, missing=("audit",)), words.bundle(*parts, sink="legal"))
    signing_id = life.fetch("d1", parts=parts, deliveries=deliveries)
    found = life.store.signing(signing_id)
    assert (1, 1, 2, ("deed.pdf", "cert.pdf")) == (
        found.version,
        found.supplements,
        sum(one.waiting for one in found.sent),
        tuple(one.part.name for one in found.parts),
    )
    assert [0, 0] == [one.supplement for one in found.parts]
    assert {"sink:archive", "sink:legal"} == {one.lane for one in life.claim().jobs}
    row = life.store.delivery(deliveries[0].id)
    assert (parts, deliveries[0].paths, b"{}", ("audit",), "Deed", "d1") == (
        row.parts,
        row.paths,
        row.manifest,
        row.missing,
        row.title,
        row.ref.id,
    )


def test_a_bundle_goes_to_a_sink_once_however_often_it_is_fetched(life: Any, words: Any) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    life.settle(life.job(Stage.DELIVER), Delivered(receipt=words.receipt()))
    life.speak("d1", meaning=Meaning.CHANGED)
    life.settle(life.job(Stage.FETCH), words.fetched(wanted=2, parts=(), deliveries=(words.bundle(),)))
    assert ("delivered", []) == (life.row(delivery)["state"], life.rows(job))


def test_a_part_that_comes_later_goes_out_as_a_supplement(life: Any, words: Any) -> None:
    certificate = words.part("cert.pdf", "certificate")
    signing_id = life.fetch("d1", deliveries=(words.bundle(),), lacking=("certificate",))
    life.settle(life.job(Stage.DELIVER), Delivered(receipt=words.receipt()))
    life.speak("d1")
    supplement = words.bundle(certificate, supplement=1)
    life.settle(life.job(Stage.FETCH), words.fetched(wanted=2, parts=(certificate,), deliveries=(supplement,)))
    found = life.store.signing(signing_id)
    assert ("complete", 2, 1) == (found.state, found.supplements, sum(one.waiting for one in found.sent))
    assert [("deed.pdf", 0), ("cert.pdf", 1)] == [(one.part.name, one.supplement) for one in found.parts]


def test_parts_that_wait_for_the_rest_carry_the_bundle_they_went_with(life: Any, words: Any) -> None:
    signing_id = life.fetch("d1", lacking=("certificate",), look_again=5)
    assert [None] == [one.supplement for one in life.store.signing(signing_id).parts]
    life.clock.advance(5)
    certificate = words.part("cert.pdf", "certificate")
    both = words.bundle(words.part(), certificate)
    life.settle(life.job(Stage.FETCH), words.fetched(parts=(certificate,), deliveries=(both,)))
    assert [0, 0] == [one.supplement for one in life.store.signing(signing_id).parts]


def test_a_fetch_that_looks_again_keeps_its_job_and_burns_no_try(life: Any) -> None:
    life.fetch("d1", lacking=("certificate",), look_again=40)
    assert "fetching" == life.row(signing)["state"]
    assert () == life.claim().jobs
    life.clock.advance(40)
    again = life.job(Stage.FETCH)
    assert (0, 1) == (again.tries, again.waits)


def test_a_new_version_stands_beside_the_old_one(life: Any, words: Any) -> None:
    signing_id = life.fetch("d1", deliveries=(words.bundle(),))
    life.settle(life.job(Stage.DELIVER), Delivered(receipt=words.receipt()))
    life.speak("d1", meaning=Meaning.CHANGED)
    other = words.part("other.pdf")
    life.settle(
        life.job(Stage.FETCH), words.fetched(wanted=2, version=2, parts=(other,), deliveries=(words.bundle(other),))
    )
    found = life.store.signing(signing_id)
    assert (2, 1, ["other.pdf"]) == (found.version, found.supplements, [one.part.name for one in found.parts])
    assert [1, 2] == sorted(row["version"] for row in life.rows(part))
    assert [1, 2] == sorted(row["version"] for row in life.rows(delivery))


def test_further_documents_that_a_provider_names_become_signings(life: Any) -> None:
    life.fetch("d1", more=(DocumentRef(id="d2"), DocumentRef(id="d1")))
    assert ["complete", "fetching"] == [life.row(signing, document=one)["state"] for one in ("d1", "d2")]
    assert "d2" == life.store.signing(life.job(Stage.FETCH).ref).ref.id


def test_signings_that_name_each_other_are_fetched_once(life: Any, words: Any) -> None:
    life.fetch("d1", lacking=("certificate",), more=(DocumentRef(id="d2"),))
    life.settle(life.job(Stage.FETCH), words.fetched(lacking=("certificate",), more=(DocumentRef(id="d1"),)))
    assert ([1, 1], []) == ([row["wanted"] for row in life.rows(signing)], life.rows(job))


def test_deliveries_are_claimed_along_with_the_fetch_as_far_as_there_are_slots(life: Any, words: Any) -> None:
    life.speak("d1")
    deliveries = tuple(words.bundle(sink=sink) for sink in ("archive", "legal"))
    fetch = life.job(Stage.FETCH)
    settled = life.settle(
        fetch, words.fetched(deliveries=deliveries), keep={"sink:archive": 3, "sink:other": 1}, worker="w1"
    )
    (kept,) = settled.kept
    assert ("sink:archive", deliveries[0].id) == (kept.lane, kept.ref)
    assert life.store.holds(kept)
    assert ["sink:legal"] == [one.lane for one in life.claim().jobs]
    assert life.settle(kept, Delivered(receipt=words.receipt())).ours


# --- delivered, and not -----------------------------------------------------------------------------------------------


def test_a_delivery_ends_in_its_receipt(life: Any) -> None:
    delivery_id = life.deliver("d1")
    row = life.row(delivery)
    assert ("delivered", life.clock(), {}) == (
        row["state"],
        row["done"],
        life.store.delivery(delivery_id).progress,
    )
    shown = life.store.timeline(delivery_id)["signings"][0]["deliveries"][0]["receipt"]
    assert {"location": "archive/d1", "proof": "read back", "found": False, "details": {"etag": "abc"}} == shown
    assert "done" == life.row(attempt, ref=delivery_id)["outcome"]


def test_failures_count_tries_and_files_that_are_not_ready_count_waits(life: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Again(delay=0), error="Retryable", message="reset by peer")
    life.settle(life.job(Stage.FETCH), Again(delay=0, waiting=True), message="not built yet")
    last = life.job(Stage.FETCH)
    assert (1, 1) == (last.tries, last.waits)
    assert ["again", "waiting"] == [row["outcome"] for row in life.rows(attempt, ref=last.ref)]
    assert "not built yet" == life.row(signing)["reason"]


@pytest.mark.parametrize(("held", "state"), [(False, "dead"), (True, "held")])
def test_a_fetch_that_is_buried_explains_itself(life: Any, held: bool, state: str) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Buried(reason="why", held=held))
    row = life.row(signing)
    assert (state, "why", []) == (row["state"], row["reason"], life.rows(job))


@pytest.mark.parametrize(("held", "state"), [(False, "dead"), (True, "held")])
def test_a_delivery_that_is_buried_explains_itself(life: Any, words: Any, held: bool, state: str) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    life.settle(life.job(Stage.DELIVER), Buried(reason="why", held=held))
    row = life.row(delivery)
    assert (state, "why", []) == (row["state"], row["reason"], life.rows(job))


def test_an_event_that_is_not_understood_is_a_dead_letter_and_never_held(life: Any) -> None:
    life.fresh()
    life.settle(life.job(Stage.PARSE), Buried(reason="not JSON", held=True))
    assert ("dead", "not JSON") == ((row := life.row(event))["state"], row["reason"])


def test_a_signing_that_is_held_holds_the_deliveries_that_nobody_runs(life: Any, words: Any) -> None:
    life.fetch("d1", deliveries=(words.bundle(), words.bundle(sink="legal")))
    running = life.claim("sink:legal").jobs[0]
    life.fresh()
    life.settle(life.claim("source:contracts").jobs[0], words.said("d1", meaning=Meaning.CHANGED))
    life.settle(life.claim("source:contracts").jobs[0], Buried(reason="other bytes", held=True))
    assert {"archive": "held", "legal": "waiting"} == {row["sink"]: row["state"] for row in life.rows(delivery)}
    assert [running.id] == [row["id"] for row in life.rows(job)]
    assert life.settle(running, Delivered(receipt=words.receipt())).ours


def test_a_held_signing_remembers_a_change_and_fetches_only_when_released(life: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Buried(reason="other bytes", held=True))
    life.speak("d1", meaning=Meaning.CHANGED)
    row = life.row(signing)
    assert ("held", 2, []) == (row["state"], row["change"], life.rows(job))


def test_a_delivery_that_lost_its_artifacts_waits_for_the_next_fetch_and_goes_on_at_once(life: Any, words: Any) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    life.settle(life.job(Stage.DELIVER), Refetch(reason="gone", delay=300))
    fetch = life.job(Stage.FETCH)
    assert (2, 1) == (
        life.store.signing(fetch.ref).wanted,
        sum(one.waiting for one in life.store.signing(fetch.ref).sent),
    )
    life.settle(fetch, words.fetched(wanted=2, parts=()))
    again = life.job(Stage.DELIVER)
    assert (1, 0) == (again.tries, again.waits)


def test_a_delivery_whose_version_was_replaced_does_not_wait_for_bytes_that_are_gone(life: Any, words: Any) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    deliver = life.job(Stage.DELIVER)
    life.speak("d1", meaning=Meaning.CHANGED)
    life.settle(life.job(Stage.FETCH), words.fetched(wanted=2, version=2, parts=(words.part("other.pdf"),)))
    life.settle(deliver, Refetch(reason="gone"))
    row = life.row(delivery)
    assert ("dead", True, []) == (row["state"], "version 2 replaced" in row["reason"], life.rows(job))
    assert ("complete", "dead") == (life.row(signing)["state"], life.row(attempt, ref=deliver.ref)["outcome"])


# --- hostile text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_outcome_is_stored(life: Any, words: Any, text: str) -> None:
    ref = DocumentRef(id=text, round=text, name=text, hints={"k": text})
    life.fresh()
    said = Parsed(type=text, sender_id=text, documents=((ref, Meaning.READY),))
    life.settle(life.job(Stage.PARSE), said, error=text, message=text)
    fetch = life.job(Stage.FETCH)
    assert ref == life.store.signing(fetch.ref).ref
    life.settle(fetch, Again(delay=0), message=text)
    one = words.bundle(missing=(text,))
    life.settle(life.job(Stage.FETCH), words.fetched(deliveries=(one,), lacking=(text,)), message=text)
    deliver = life.job(Stage.DELIVER)
    assert (text,) == life.store.delivery(deliver.ref).missing
    life.settle(deliver, Refetch(reason=text, delay=0))
    told = Receipt(location=text, proof=text, details={text: [text]})
    found = next(job for job in life.claim().jobs if job.stage is Stage.DELIVER)
    life.settle(found, Delivered(receipt=told))
    shown = life.store.timeline(deliver.ref)["signings"][0]["deliveries"][0]["receipt"]
    assert (text, {text: [text]}) == (shown["location"], shown["details"])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_as_a_reason_is_stored(life: Any, text: str) -> None:
    life.fresh()
    closed = Closed(type=text, sender_id=text, reason=text, concerns=(DocumentRef(id=text),))
    life.settle(life.job(Stage.PARSE), closed)
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), Buried(reason=text, held=True))
    assert 1000 >= len(life.row(signing)["reason"]) > 0


def _parse_again(life: Any, event_id: str) -> None:
    (done,) = life.store.replay(ReplayOrder(ids=(event_id,), again=True, reason="a test"))
    assert done.ok
