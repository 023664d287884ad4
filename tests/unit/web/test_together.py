"""Requests that share a thread: the order in which they are begun and ended, and who is held up by whom."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from webhook_svc.web.together import Steps, Together, Turn


class Story:
    """Requests that tell what is done with them; `gates` hold up the beginning of one, or its end."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.reached: dict[str, threading.Event] = {}

    def hold(self, step: str) -> None:
        self.gates[step], self.reached[step] = threading.Event(), threading.Event()

    def request(self, name: str, *, waits: bool = True) -> tuple[str, Steps]:
        def steps() -> Generator[None, None, bool]:
            self._tell(f"{name} begun")
            if waits:
                yield
                self._tell(f"{name} ended")
            return name != "bad"

        return name, steps()

    def _tell(self, step: str) -> None:
        if gate := self.gates.get(step):
            self.reached[step].set()
            assert gate.wait(20)
        self.told.append(step)


@pytest.fixture
def story() -> Story:
    return Story()


def test_all_are_begun_before_the_first_is_ended(story: Story) -> None:
    together = Together(map(story.request, "abc"), Turn())
    assert [("a", True), ("b", True), ("c", True)] == together.work()
    assert ["a begun", "b begun", "c begun", "a ended", "b ended", "c ended"] == story.told


def test_who_need_not_wait_is_done_at_once(story: Story) -> None:
    together = Together(
        [story.request("a"), story.request("bad", waits=False), story.request("c", waits=False)], Turn()
    )
    assert [("bad", False), ("c", True), ("a", True)] == together.work()
    assert ["a begun", "bad begun", "c begun", "a ended"] == story.told


@pytest.mark.parametrize("step", ["b begun", "b ended", "a ended"])
def test_another_thread_takes_what_one_that_is_held_up_has_left(story: Story, step: str) -> None:
    story.hold(step)
    together = Together(map(story.request, "abcd"), Turn())
    with ThreadPoolExecutor(2) as threads:
        held_up = threads.submit(together.work)
        assert story.reached[step].wait(20)
        others = {name for name, _ in together.work()}
        story.gates[step].set()
        mine = {name for name, _ in held_up.result(20)}
    assert together.all_begun.is_set()
    assert (step[0], set("abcd"), set()) == (min(mine & {step[0]}), mine | others, mine & others)


def test_a_turn_that_is_not_given_back_is_not_waited_for_long() -> None:
    turn = Turn()
    with turn.taken(), ThreadPoolExecutor(1) as threads:

        def take() -> str:
            with turn.taken():
                return "taken"

        assert "taken" == threads.submit(take).result(20)
    with turn.taken():
        pass
