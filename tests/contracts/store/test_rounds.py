"""Documents that are signed in rounds, and signings that rightly bring nothing, over both stores."""

from typing import Any

import pytest

from webhook_svc.core.ids import digest
from webhook_svc.core.outcomes import Again, Buried, Closed, Fetched, Parsed
from webhook_svc.core.outgoing import Listed
from webhook_svc.core.types import DocumentRef, Meaning, Stage
from webhook_svc.store.tables import delivery, event, job, part, signing

SAME = digest("content", "contracts", "d1", "aa")
OTHER = digest("content", "contracts", "d1", "bb")


def speaks_of(round_: str) -> Parsed:
    return Parsed(type="signed", sender_id="", documents=((DocumentRef(id="d1", round=round_), Meaning.READY),))


def next_job(life: Any, stage: Stage) -> Any:
    """The only one of the source that is due; deliveries may wait beside it."""
    (found,) = life.claim("source:contracts").jobs
    assert stage is found.stage
    return found


def spoken_of(life: Any, round_: str, meaning: Meaning = Meaning.READY) -> Any:
    """An event speaks of the round; its fetch job."""
    life.fresh()
    documents = ((DocumentRef(id="d1", round=round_), meaning),)
    life.settle(next_job(life, Stage.PARSE), Parsed(type="signed", sender_id="", documents=documents))
    return next_job(life, Stage.FETCH)


def fetches(life: Any, words: Any, round_: str, content: bytes) -> str:
    """The round is spoken of and fetched; the id of its signing."""
    found = spoken_of(life, round_)
    life.settle(found, words.fetched(deliveries=(words.bundle(),), content=content))
    return str(found.ref)


def test_each_round_is_a_signing_of_its_own(life: Any, words: Any) -> None:
    first, second = fetches(life, words, "r1", SAME), fetches(life, words, "r2", OTHER)
    assert {first, second} == {row["signing_id"] for row in life.rows(delivery)}


def test_a_round_with_the_bytes_of_another_is_closed_and_hands_nothing_on(life: Any, words: Any) -> None:
    first, second = fetches(life, words, "r1", SAME), fetches(life, words, "forged", SAME)
    assert [first] == [row["signing_id"] for row in life.rows(delivery)]
    assert [first] == [row["signing_id"] for row in life.rows(part)]
    closed = life.row(signing, id=second)
    assert ("complete", 0) == (closed["state"], closed["version"])
    assert first in closed["reason"]
    assert [] == life.rows(job, stage="fetch")


def test_what_the_list_calls_by_another_round_is_known_once_it_was_fetched(life: Any, words: Any) -> None:
    found = spoken_of(life, "request-1")
    life.settle(found, words.fetched(deliveries=(words.bundle(),), content=SAME, also=("modified 09:00",)))
    rows = tuple(
        Listed(ref=DocumentRef(id=document, round=round_))
        for document, round_ in (("d1", "modified 09:00"), ("d1", "modified 10:00"), ("d2", "modified 09:00"))
    )
    unheard = life.store.unheard("contracts", rows)
    assert rows[1:] == unheard
    assert 3 == len(life.store.unheard("elsewhere", rows))


def test_two_rounds_with_the_same_bytes_that_are_settled_at_once_hand_on_once(
    life: Any, words: Any, open_store: Any, at_once: Any
) -> None:
    one, other, second_store = spoken_of(life, "r1"), spoken_of(life, "r2"), open_store()
    outcomes = [words.fetched(deliveries=(words.bundle(),), content=SAME) for _ in range(2)]
    at_once(
        lambda: life.settle(one, outcomes[0]),
        lambda: life.settle(other, outcomes[1], store=second_store),
    )
    assert 1 == len(life.rows(delivery))
    assert ["complete", "complete"] == [row["state"] for row in life.rows(signing)]


def test_a_round_that_is_fetched_again_is_not_taken_for_another(life: Any, words: Any) -> None:
    first = fetches(life, words, "r1", SAME)
    changed = spoken_of(life, "r1", Meaning.CHANGED)
    life.settle(changed, words.fetched(wanted=2, version=2, content=SAME))
    assert 2 == life.row(signing, id=first)["version"]


def test_an_announced_change_goes_out_even_if_it_makes_two_rounds_equal(life: Any, words: Any) -> None:
    fetches(life, words, "r1", SAME)
    second = fetches(life, words, "r2", OTHER)
    changed = spoken_of(life, "r2", Meaning.CHANGED)
    life.settle(changed, words.fetched(wanted=2, version=2, deliveries=(words.bundle(),), content=SAME))
    assert [1, 2] == sorted(row["version"] for row in life.rows(delivery, signing_id=second))


def test_a_signing_that_rightly_brings_nothing_is_complete_and_says_why(life: Any) -> None:
    life.speak("order-1")
    life.settle(life.job(Stage.FETCH), Fetched(wanted=1, version=0, title="", note="it has no documents"))
    found = life.row(signing)
    assert ("complete", "it has no documents", []) == (found["state"], found["reason"], life.rows(job))


@pytest.mark.parametrize("copies", [1, 3])
def test_a_signing_that_brought_nothing_is_looked_at_again_when_it_is_spoken_of_again(life: Any, copies: int) -> None:
    life.accept(b"forged, or early")
    life.settle(life.job(Stage.PARSE), speaks_of("r1"))
    life.settle(life.job(Stage.FETCH), Fetched(wanted=1, version=0, title="", note="it was cancelled"))
    for _ in range(copies):
        life.accept(b"forged, or early")
    life.clock.advance(61)
    life.settle(life.job(Stage.PARSE), speaks_of("r1"))
    assert 2 == life.store.signing(life.job(Stage.FETCH).ref).wanted


@pytest.mark.parametrize(
    "outcome", [Buried(reason="no such document"), Fetched(wanted=1, version=0, title="", note="it was cancelled")]
)
def test_a_copy_that_comes_while_the_last_look_runs_is_heard_in_a_minute(life: Any, words: Any, outcome: Any) -> None:
    life.accept(b"forged, or early")
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    look = life.job(Stage.FETCH)
    for _ in range(3):
        life.accept(b"forged, or early")
    life.settle(look, outcome)
    assert () == life.claim().jobs
    life.clock.advance(61)
    life.settle(life.job(Stage.FETCH), words.fetched())
    assert [] == life.rows(job)


def test_a_copy_that_came_before_the_last_look_changes_nothing(life: Any, words: Any) -> None:
    life.accept(b"forged, or early")
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.accept(b"forged, or early")
    life.settle(life.job(Stage.FETCH), Buried(reason="no such document"))
    assert ("dead", []) == (life.row(signing)["state"], life.rows(job))


def test_doubts_are_counted_apart_from_other_failures(life: Any, words: Any) -> None:
    life.accept()
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    seen = []
    for outcome in (Again(delay=0.0), Again(delay=0.0, doubtful=True), Again(delay=0.0, waiting=True)):
        look = life.job(Stage.FETCH)
        seen.append((look.tries, look.waits, look.doubts))
        life.settle(look, outcome)
    look = life.job(Stage.FETCH)
    assert [(0, 0, 0), (1, 0, 0), (2, 0, 1), (2, 1, 0)] == [*seen, (look.tries, look.waits, look.doubts)]


@pytest.mark.parametrize("runs", [False, True])
def test_what_another_event_speaks_of_is_doubted_anew(life: Any, words: Any, runs: bool) -> None:
    life.speak("d1")
    look, doubtful = life.job(Stage.FETCH), Again(delay=30.0, doubtful=True)
    if not runs:
        life.settle(look, doubtful)
    life.fresh()
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    if runs:
        life.settle(look, doubtful)
    life.clock.advance(31)
    look = life.job(Stage.FETCH)
    assert (1, 0) == (look.tries, look.doubts)


def test_a_note_of_a_fetch_that_brought_a_document_is_no_reason_of_the_signing(life: Any) -> None:
    life.fetch(note="the provider deletes it in two days")
    assert "" == life.row(signing)["reason"]


def test_an_order_is_complete_once_its_documents_are_known(life: Any) -> None:
    life.speak("order-1")
    more = tuple(DocumentRef(id=name) for name in ("d1", "d2"))
    life.settle(life.job(Stage.FETCH), Fetched(wanted=1, version=0, title="", note="it stands for others", more=more))
    assert {"order-1": "complete", "d1": "fetching", "d2": "fetching"} == {
        row["document"]: row["state"] for row in life.rows(signing)
    }


def test_a_document_that_was_given_up_is_asked_for_again_when_an_order_leads_to_it(life: Any) -> None:
    leads = Fetched(wanted=1, version=0, title="", note="", more=(DocumentRef(id="d1"),))
    life.speak("order-1")
    life.settle(life.job(Stage.FETCH), leads)
    life.settle(life.job(Stage.FETCH), Buried(reason="404"))
    life.speak("order-2")
    life.settle(life.job(Stage.FETCH), leads)
    assert ("fetching", 2) == (life.row(signing, document="d1")["state"], life.row(signing, document="d1")["wanted"])


def test_an_event_that_is_ignored_and_comes_again_is_ignored_again(life: Any) -> None:
    life.accept()
    life.settle(life.job(Stage.PARSE), Closed(type="playing", sender_id="", reason="nothing"))
    life.clock.advance(61)
    life.accept()
    life.settle(life.job(Stage.PARSE), Closed(type="playing", sender_id="", reason="nothing"))
    assert ("ignored", 1) == (life.row(event)["state"], life.row(event)["copies"])
