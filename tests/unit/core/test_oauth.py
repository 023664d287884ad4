"""A form goes out, a token comes back, or a sentence on why it does not."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Permanent, Retryable, WebhookError
from webhook_svc.core.oauth import granted
from webhook_svc.core.outgoing import Answer, Call, Request, Token

URL = "https://auth.example.test/token"
FORM = {"grant_type": "x", "assertion": secret("assertion")}


def answered(status: int, content: Any, **headers: str) -> Answer:
    return Answer(status=status, headers=headers, body=json.dumps(content).encode())


def asked(answer: Answer) -> tuple[Request, Token]:
    flow = granted(URL, FORM, "Acme", {"no_consent": "Ask the user."})
    step = next(flow)
    assert isinstance(step, Call)
    try:
        flow.send(answer)
    except StopIteration as end:
        return step.request, end.value
    raise AssertionError("it asks for more")


def sent_form(request: Request) -> str:
    assert isinstance(request.body, bytes)
    return request.body.decode("ascii")


def test_the_form_goes_out_as_its_body_and_shows_nowhere() -> None:
    request, token = asked(answered(200, {"access_token": "tok-1"}))
    assert (URL, "POST", {}) == (request.url, request.method, dict(request.auth))
    assert {name: [value] for name, value in FORM.items()} == parse_qs(sent_form(request))
    assert "application/x-www-form-urlencoded" == request.headers["Content-Type"]
    assert FORM["assertion"] not in repr(request)
    assert "tok-1" == token.text


@pytest.mark.parametrize(
    ("lasts", "kept"),
    [(3600, 3540.0), (61, 1.0), (5, 1.0), (-5, 1.0), (None, None), ("3600", None), (True, None), ([], None)],
)
def test_a_token_counts_as_ended_a_minute_early(lasts: Any, kept: float | None) -> None:
    assert kept == asked(answered(200, {"access_token": "tok-1", "expires_in": lasts}))[1].lasts


@pytest.mark.parametrize(
    ("answer", "fate", "says"),
    [
        (answered(400, {"error": "no_consent"}), Permanent, "Acme's login is refused: no_consent. Ask the user."),
        (
            answered(400, {"error": "invalid_grant", "error_description": "no_user"}),
            Permanent,
            "Acme's login is refused: invalid_grant no_user",
        ),
        (
            answered(401, {"error": "invalid_client", "error_description": "see https://x.test/?a=b"}),
            Permanent,
            "Acme's login is refused: invalid_client",
        ),
        (answered(400, {"error": "x" * 61}), Permanent, "Acme's login answered 400: unexpected"),
        (answered(403, []), Permanent, "Acme's login answered 403: unexpected"),
        (answered(429, {"error": "slow_down"}), Permanent, "Acme's login answered 429: unexpected"),
        (answered(503, {"error": "temporarily_unavailable"}), Retryable, "Acme's login answered 503: unexpected"),
        (Answer(status=200, body=b"<html>"), Retryable, "the answer (status 200) is not JSON"),
        (answered(200, []), Retryable, "the answer is not a JSON object"),
        (answered(200, {}), Retryable, "Acme's login brought no token"),
        (answered(200, {"access_token": ""}), Retryable, "Acme's login brought no token"),
        (answered(200, {"access_token": 5}), Retryable, "Acme's login brought no token"),
        (answered(200, {"access_token": "a\r\nX: y"}), Retryable, "Acme's login brought no token"),
    ],
)
def test_each_answer_has_its_fate_and_its_sentence(answer: Answer, fate: type[WebhookError], says: str) -> None:
    with pytest.raises(fate) as raised:
        asked(answer)
    assert (fate, says) == (type(raised.value), str(raised.value))
