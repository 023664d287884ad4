"""One login at a time for each source: who waits shares what it brings; a refusal is not asked for again at once."""

import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from webhook_svc.core import tokens as module
from webhook_svc.core.errors import Permanent, Retryable, WebhookError
from webhook_svc.core.outgoing import Token
from webhook_svc.core.tokens import REFUSED_FOR, Tokens

LONG = 30.0
"""Seconds after which a thread that hangs fails its test."""
WAITING = 7


class Login:
    """Brings t1, t2, …; or raises what is in `fails`, in turn."""

    def __init__(self, *fails: WebhookError, lasts: float | None = None) -> None:
        self.calls = 0
        self._fails = list(fails)
        self._lasts = lasts

    def __call__(self) -> Token:
        self.calls += 1
        if self._fails:
            raise self._fails.pop(0)
        return Token(text=f"t{self.calls}", lasts=self._lasts)


class Held:
    """A login that begins, and ends when it is let go."""

    def __init__(self, login: Login) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self._login = login

    def __call__(self) -> Token:
        self.began.set()
        assert self.go.wait(LONG)
        return self._login()


@pytest.fixture
def tokens(clock: Any) -> Tokens:
    return Tokens(clock)


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released by every thread that is about to wait for the end of a login."""
    arrivals = threading.Semaphore(0)

    class Watched(Future[str]):
        def result(self, timeout: float | None = None) -> str:
            arrivals.release()
            return super().result(timeout)

    monkeypatch.setattr(module, "Future", Watched)
    return arrivals


@pytest.fixture
def together(tokens: Tokens, arrived: threading.Semaphore) -> Iterator[Callable[[Login], list[Any]]]:
    """Runs one login while others ask for the same token: what each got, that of the login first."""
    with ThreadPoolExecutor(WAITING + 1) as threads:

        def got(login: Callable[[], Token]) -> Any:
            try:
                return tokens.get("a", login)
            except WebhookError as error:
                return error

        def together(login: Login) -> list[Any]:
            held = Held(login)
            running = [threads.submit(got, held)]
            assert held.began.wait(LONG)
            running += [threads.submit(got, login) for _ in range(WAITING)]
            assert all(arrived.acquire(timeout=LONG) for _ in range(WAITING))
            held.go.set()
            return [one.result(LONG) for one in running]

        yield together


def test_a_token_is_brought_once_and_kept(tokens: Tokens) -> None:
    login = Login()
    assert ["t1", "t1", "t1"] == [tokens.get("a", login) for _ in range(3)]


def test_each_source_has_a_token_of_its_own(tokens: Tokens) -> None:
    login = Login()
    assert ["t1", "t2", "t1"] == [tokens.get(name, login) for name in "aba"]


def test_threads_that_ask_during_a_login_wait_and_share_its_token(together: Callable[[Login], list[Any]]) -> None:
    login = Login()
    assert ["t1"] + ["t1"] * WAITING == together(login)
    assert 1 == login.calls


@pytest.mark.parametrize("error", [Retryable("away"), Permanent("wrong password")])
def test_threads_that_wait_share_a_failure_too(together: Callable[[Login], list[Any]], error: WebhookError) -> None:
    login = Login(error)
    assert [error] * (WAITING + 1) == together(login)
    assert 1 == login.calls


def test_another_source_does_not_wait_for_a_login(tokens: Tokens) -> None:
    held = Held(Login())
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(tokens.get, "slow", held)
        assert held.began.wait(LONG)
        assert "t1" == tokens.get("b", Login())
        held.go.set()
        assert "t1" == running.result(LONG)


def test_a_login_that_failed_for_now_is_tried_again_at_once(tokens: Tokens) -> None:
    login = Login(Retryable("away"))
    with pytest.raises(Retryable, match="away"):
        tokens.get("a", login)
    assert "t2" == tokens.get("a", login)


def test_a_login_that_was_refused_for_good_is_not_repeated_for_a_minute(tokens: Tokens, clock: Any) -> None:
    login = Login(Permanent("wrong password"))
    for seconds in (0, REFUSED_FOR - 1):
        clock.advance(seconds)
        with pytest.raises(Permanent, match="wrong password"):
            tokens.get("a", login)
    assert 1 == login.calls
    clock.advance(1)
    assert "t2" == tokens.get("a", login)


def test_a_refusal_that_is_remembered_keeps_nothing_of_those_who_asked(tokens: Tokens) -> None:
    login, lengths = Login(Permanent("wrong password")), []
    for _ in range(3):
        with pytest.raises(Permanent) as refused:
            tokens.get("a", login)
        lengths.append(len(list(traceback.walk_tb(refused.value.__traceback__))))
    assert lengths[0] == lengths[1] == lengths[2]


def test_a_token_is_used_as_long_as_it_lasts(tokens: Tokens, clock: Any) -> None:
    login = Login(lasts=300)
    tokens.get("a", login)
    clock.advance(299)
    assert "t1" == tokens.get("a", login)
    clock.advance(1)
    assert "t2" == tokens.get("a", login)


def test_a_token_without_an_end_is_used_until_it_is_refused(tokens: Tokens, clock: Any) -> None:
    login = Login()
    tokens.get("a", login)
    clock.advance(1e9)
    assert "t1" == tokens.get("a", login)


def test_a_token_that_was_dropped_is_brought_anew(tokens: Tokens) -> None:
    login = Login()
    tokens.get("a", login)
    tokens.drop("a", "t1")
    assert "t2" == tokens.get("a", login)


@pytest.mark.parametrize(("source", "text"), [("a", "t0"), ("a", ""), ("b", "t1")])
def test_another_token_than_the_refused_one_stays(tokens: Tokens, source: str, text: str) -> None:
    login = Login()
    tokens.get("a", login)
    tokens.drop(source, text)
    assert "t1" == tokens.get("a", login)


def test_a_login_under_way_is_not_dropped_with_the_token_before_it(tokens: Tokens) -> None:
    held = Held(Login())
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(tokens.get, "a", held)
        assert held.began.wait(LONG)
        tokens.drop("a", "t1")
        held.go.set()
        running.result(LONG)
    assert "t1" == tokens.get("a", Login())


def test_a_refused_login_is_remembered_whatever_token_is_dropped(tokens: Tokens) -> None:
    login = Login(Permanent("wrong password"))
    for _ in range(2):
        with pytest.raises(Permanent):
            tokens.get("a", login)
        tokens.drop("a", "")
    assert 1 == login.calls


def test_a_token_is_not_printed() -> None:
    assert "s3cret" not in repr(Token(text="s3cret"))
