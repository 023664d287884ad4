"""What becomes of a job that raised: the class of the error decides, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from webhook_svc.core.errors import (
    ArtifactLost,
    ClaimLost,
    Conflict,
    DocumentCheckFailed,
    Held,
    NotReady,
    Permanent,
    Retryable,
    StoreUnavailable,
    Unlikely,
)
from webhook_svc.core.lanes import Party
from webhook_svc.core.outcomes import Again, Buried, Fetched, Outcome
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.core.types import Job, Stage
from webhook_svc.pipeline.run import STORE_AWAY, fate, heard

POLICY = RetryPolicy(delays=(5.0, 30.0), not_ready=(1.0,), give_up_after=100.0)


def judge(
    error: Exception, *, tries: int = 0, doubts: int = 0, age: float = 0.0, policy: RetryPolicy = POLICY
) -> Outcome:
    counted: Any = {"claim": 1, "tries": tries, "doubts": doubts}
    job = Job(id="job_1", lane="sink:a", stage=Stage.DELIVER, ref="dlv_1", created=1000.0, **counted)
    return fate(error, job, policy, 1000.0 + age, lambda: 0.0)


@pytest.mark.parametrize("error", [Retryable("status 500"), KeyError("x"), DocumentCheckFailed()])
def test_what_may_pass_is_tried_again_by_the_schedule(error: Exception) -> None:
    assert [Again(delay=5.0), Again(delay=30.0)] == [judge(error, tries=tries) for tries in (0, 1)]


def test_a_store_that_is_away_costs_no_try_and_buries_nothing() -> None:
    waiting = Again(delay=STORE_AWAY, waiting=True)
    assert [waiting] * 2 == [judge(StoreUnavailable(), tries=tries, age=age) for tries, age in ((0, 0.0), (2, 1e9))]


def test_a_sender_that_asks_for_more_time_than_the_schedule_gives_gets_it() -> None:
    assert Again(delay=60.0) == judge(Retryable("status 503", after=60.0))


def test_out_of_tries_is_a_dead_letter_and_a_document_that_never_passed_its_check_is_held() -> None:
    assert Buried(reason="out of tries after 3: status 500") == judge(Retryable("status 500"), tries=2)
    assert Buried(reason="out of tries after 3: unforeseen KeyError") == judge(KeyError("secret"), tries=2)
    assert Buried(reason="out of tries after 3: cut", held=True) == judge(DocumentCheckFailed("cut"), tries=2)


@pytest.mark.parametrize(("kind", "held"), [(Permanent, False), (Held, True), (Conflict, True)])
def test_what_no_time_cures_is_a_dead_letter_at_once(kind: type[Permanent], held: bool) -> None:
    assert Buried(reason="no", held=held) == judge(kind("no"))


def test_what_hardly_works_later_is_tried_twice_more_and_is_a_dead_letter_with_its_own_reason() -> None:
    error = Unlikely("status 404: no such document")
    long = replace(POLICY, delays=(5.0, 30.0, 120.0, 600.0))
    outcomes = [judge(error, tries=doubts, doubts=doubts, policy=long) for doubts in range(3)]
    doubtful = [Again(delay=5.0, doubtful=True), Again(delay=30.0, doubtful=True)]
    assert [*doubtful, Buried(reason="status 404: no such document")] == outcomes


def test_other_failures_before_do_not_count_for_what_hardly_works_later() -> None:
    long = replace(POLICY, delays=(5.0, 30.0, 120.0, 600.0))
    assert Again(delay=120.0, doubtful=True) == judge(Unlikely("status 404"), tries=2, policy=long)


def test_a_document_that_is_not_ready_burns_no_try_and_is_given_up_in_the_end() -> None:
    assert Again(delay=1.0, waiting=True) == judge(NotReady("building"), tries=2)
    assert Buried(reason="given up: building") == judge(NotReady("building"), age=100.0)


def test_a_lost_claim_costs_nothing_where_nobody_has_taken_it_yet() -> None:
    assert Again(delay=0.0, waiting=True) == judge(ClaimLost(), tries=2)


@pytest.mark.parametrize(
    ("error", "party"),
    [
        (Retryable("status 500"), Party.FAILS),
        (KeyError("a sink of others raises what it likes"), Party.FAILS),
        (NotReady("building"), Party.ANSWERS),
        (Unlikely("status 404"), Party.ANSWERS),
        (DocumentCheckFailed("cut"), Party.ANSWERS),
        (Permanent("status 401"), Party.ANSWERS),
        (Conflict("other bytes"), Party.ANSWERS),
        (ArtifactLost("our copy"), Party.UNHEARD),
        (ClaimLost(), Party.UNHEARD),
        (StoreUnavailable("our database"), Party.UNHEARD),
    ],
)
def test_only_what_speaks_of_the_party_as_a_whole_counts_against_it(error: Exception, party: Party) -> None:
    job = Job(id="job_1", lane="sink:a", stage=Stage.DELIVER, ref="dlv_1", claim=1, tries=0)
    assert party is heard(job, judge(error), error)


def test_a_parse_and_a_fetch_that_brought_nothing_say_nothing_of_the_provider() -> None:
    parse = Job(id="job_1", lane="source:a", stage=Stage.PARSE, ref="evt_1", claim=1, tries=0)
    assert Party.UNHEARD is heard(parse, judge(Retryable("odd")), Retryable("odd"))
    fetch = replace(parse, stage=Stage.FETCH)
    assert Party.UNHEARD is heard(fetch, Fetched(wanted=1, version=1, title=""), None)
