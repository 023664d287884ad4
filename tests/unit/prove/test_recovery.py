"""How long a recovery took is counted from the right moment."""

from webhook_svc.prove.recovery import Disturbance, Passage, recoveries

KILL = Disturbance(name="kill", begun=100.0, ended=100.0)
OUTAGE = Disturbance(name="outage", begun=95.0, ended=130.0)


def test_without_anything_that_waited_there_is_nothing_to_recover_from() -> None:
    assert {"kill": 0.0} == recoveries([KILL], [])
    assert {"kill": 0.0} == recoveries([KILL], [Passage(answered=80.0, done=90.0), Passage(answered=101.0, done=140.0)])


def test_it_lasts_until_the_last_that_was_acknowledged_before_is_done() -> None:
    waiting = [Passage(answered=99.0, done=104.0), Passage(answered=90.0, done=107.0)]

    assert {"kill": 7.0} == recoveries([KILL], waiting)


def test_what_another_trouble_may_have_held_up_is_counted_for_that_one() -> None:
    assert {"kill": 0.0, "outage": 5.0} == recoveries([KILL, OUTAGE], [Passage(answered=99.0, done=135.0)])


def test_a_kill_excuses_nothing() -> None:
    again = Disturbance(name="again", begun=104.0, ended=104.0)

    assert {"kill": 7.0, "again": 3.0} == recoveries([KILL, again], [Passage(answered=99.0, done=107.0)])


def test_of_several_of_a_kind_the_longest_counts() -> None:
    second = Disturbance(name="kill", begun=200.0, ended=200.0)
    passages = [Passage(answered=99.0, done=107.0), Passage(answered=199.0, done=202.0)]

    assert {"kill": 7.0} == recoveries([KILL, second], passages)
