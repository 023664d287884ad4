"""What the verdict calls good, what it calls lost, and that it says what."""

from dataclasses import replace

import pytest

from webhook_svc.prove.reckoning import Promise, Reckoning
from webhook_svc.prove.traffic import Tally
from webhook_svc.prove.verdict import Verdict

LEASE = Promise(name="contracts/lease", files=frozenset({"aa"}))
RIGHT = Reckoning()


def tally() -> Tally:
    made = Tally(callbacks=2, acknowledged=2)
    made.promises[LEASE.name] = LEASE
    made.events["evt_1"] = LEASE.name
    return made


GOOD = Verdict(
    tally=tally(),
    places={"archive": RIGHT, "legal": RIGHT, "deliveries": RIGHT},
    forgotten=(),
    dead=(),
    rewritten=(),
    mails=2,
    repeats=1,
    counted=1,
    unsure=1,
    happened={"kill -9 web": 2, "kill -9 worker": 3, "provider outage": 1},
    met={},
    recovery={"kill -9 web": 1.0, "kill -9 worker": 2.0, "provider outage": 0.5},
    calm_after=1.0,
)


def test_all_kept_is_good_and_one_sentence_says_so() -> None:
    assert GOOD.good
    assert "Good: 1 acknowledged documents are in every sink, whole and once." == GOOD.sentence()
    assert [] == GOOD.problems()
    assert 5 == GOOD.kills


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            replace(GOOD, forgotten=("evt_1",)),
            "lost contracts/lease: evt_1 was acknowledged, and the store does not know it",
        ),
        (
            replace(GOOD, places={"archive": Reckoning(lost=("contracts/lease: no manifest",))}),
            "archive: lost contracts/lease: no manifest",
        ),
        (
            replace(GOOD, places={"archive": Reckoning(doubled=("contracts/lease: 2 times aa",))}),
            "archive: doubled contracts/lease: 2 times aa",
        ),
        (replace(GOOD, dead=("dlv_1: no",)), "given up: dlv_1: no"),
        (replace(GOOD, rewritten=("a.pdf",)), "written more than once: a.pdf"),
        (replace(GOOD, unsure=0), "1 mails came again, 0 of them may"),
        (replace(GOOD, tally=replace(tally(), waiting=3)), "3 callbacks were not taken in the end"),
    ],
)
def test_whatever_was_not_kept_is_bad_and_named(wrong: Verdict, sentence: str) -> None:
    assert not wrong.good
    assert [sentence] == wrong.problems()
    assert wrong.sentence().startswith("BAD: ")
    assert sentence in "\n".join(wrong.lines())


def test_where_too_little_went_wrong_nothing_is_shown() -> None:
    idle = replace(GOOD, missing=("bucket outage: met somebody 0 times, 1 were to be",))

    assert not idle.good
    assert ["not shown: bucket outage: met somebody 0 times, 1 were to be"] == idle.problems()
    assert idle.sentence().startswith("NOT SHOWN: ")


def test_a_document_that_is_lost_in_two_ways_is_one_loss() -> None:
    missing = Reckoning(lost=("contracts/lease: no manifest", "contracts/lease: no file aa"))
    wrong = replace(GOOD, places={"archive": missing, "legal": missing}, forgotten=("evt_1",))

    assert 1 == wrong.lost == wrong.document()["lost"]
    assert "BAD: 1 of 1 acknowledged documents are lost, and 0 things are there too often." == wrong.sentence()
