"""Requests that carry an access token: fetched once, kept in memory alone, fetched anew when it is refused."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from ...core.errors import Retryable
from ...core.outgoing import Answer, Request, Token
from ...core.ports import ANSWER_LIMIT, Http
from ...core.tokens import Tokens
from ...core.types import at_path
from .answers import failure


class Bearer:
    """An `Http` that sends the token along. Threads may share it: one asks for it, the others wait for what it brings.

    After a 401 the same request is sent once more with a new token; its body can be opened again.
    """

    def __init__(self, http: Http, login: Callable[[], Token], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._login = login
        self._tokens = Tokens(monotonic)

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        return self._asked(request, lambda sent: self._http.call(sent, limit=limit))

    def save(
        self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Collection[str] = ()
    ) -> Answer:
        """Of a refused request nothing gets `into` it."""
        return self._asked(request, lambda sent: self._http.save(sent, into, limit=limit, unless=unless))

    def _asked(self, request: Request, ask: Callable[[Request], Answer]) -> Answer:
        token = self._tokens.get("", self._login)
        answer = ask(_with(request, token))
        if answer.status != 401:
            return answer
        self._tokens.drop("", token)
        return ask(_with(request, self._tokens.get("", self._login)))


def by_form(http: Http, url: str, form: Mapping[str, str]) -> Token:
    """An OAuth 2 token endpoint's answer (RFC 6749, 5.1) to this form. Whatever it refuses, it may grant later."""
    body = urlencode(form).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    answer = http.call(Request(method="POST", url=url, headers=headers, body=body))
    if not answer.ok:
        raise Retryable(str(failure("logging in", answer, _code(answer))), after=answer.retry_after())
    text, lasts = at_path(answer.json(), "access_token"), at_path(answer.json(), "expires_in")
    if not isinstance(text, str) or not text:
        raise Retryable("logging in: the answer holds no access_token")
    # Some seconds less, so that it does not end on its way.
    return Token(text=text, lasts=max(float(lasts) - 60, 1.0) if isinstance(lasts, int | float) else None)


def _code(answer: Answer) -> Any:
    """`error` is one of a few words (RFC 6749, 5.2); `error_description` is not shown."""
    try:
        return at_path(answer.json(), "error")
    except Retryable:
        return ""


def _with(request: Request, token: str) -> Request:
    return replace(request, auth={**request.auth, "Authorization": f"Bearer {token}"})
