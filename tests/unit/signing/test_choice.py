"""Schemes made of others: genuine where one of several holds, or none is."""

import hashlib
import hmac
from dataclasses import replace

import pytest

from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.choice import AnyOf, Nobody
from webhook_svc.signing.timed import timed
from webhook_svc.signing.verify import Verifier, VerifySettings

NOW = 1_790_000_000
NEW, OLD, SENT = (Secret(text) for text in ("the-new-secret", "the-old-secret", "the-secret-that-is-sent"))
HEADERS = ("x-new", "x-old")
ROTATING = AnyOf(schemes=tuple(timed(header, (NEW, OLD), 300) for header in HEADERS))
BODY = b'{"id": "1"}'


def sent_in(place: str) -> Verifier:
    return Verifier(VerifySettings(alg="equal", signature=place), (SENT,))


ECHOED = AnyOf(schemes=(sent_in("header:Authorization"), sent_in("query:key"), sent_in("json:/header/authorization")))
ANYBODY = Verifier(VerifySettings(alg="none"), ())


def signature(secret: Secret, at: int = NOW, body: bytes = BODY) -> str:
    return f"t={at},v1={hmac.new(secret.reveal().encode(), b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def signed(**headers: str) -> RawRequest:
    return RawRequest(headers=tuple((f"x-{name}", value) for name, value in headers.items()), body=BODY)


def reason(scheme: AnyOf, request: RawRequest) -> str:
    with pytest.raises(NotGenuine) as refused:
        scheme.verify(request, NOW)
    return refused.value.reason


@pytest.mark.parametrize(
    ("request_", "secret"),
    [
        (signed(new=signature(NEW)), NEW),
        (signed(old=signature(OLD)), OLD),
        (signed(new=signature(NEW), old=signature(OLD)), NEW),
        (signed(new=signature(Secret("unknown")), old=signature(OLD)), OLD),
        (signed(new="garbage", old=signature(OLD)), OLD),
    ],
)
def test_one_scheme_that_holds_is_enough_and_says_which_secret_it_was(request_: RawRequest, secret: Secret) -> None:
    assert fingerprint(secret.reveal()) == ROTATING.verify(request_, NOW)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (signed(), "no_signature"),
        (signed(new=signature(Secret("unknown"))), "bad_signature"),
        (signed(old=signature(Secret("unknown"))), "bad_signature"),
        (signed(old=signature(OLD, NOW - 301)), "stale"),
        (signed(new=signature(NEW, NOW + 301), old=signature(Secret("unknown"))), "stale"),
    ],
)
def test_where_none_holds_the_first_that_found_a_signature_says_why(request_: RawRequest, told: str) -> None:
    assert told == reason(ROTATING, request_)


def test_a_changed_body_is_refused_by_all() -> None:
    request = replace(signed(new=signature(NEW), old=signature(OLD)), body=BODY + b" ")
    assert "bad_signature" == reason(ROTATING, request)


@pytest.mark.parametrize(
    ("schemes", "signs"), [((sent_in("query:key"),), True), ((sent_in("query:key"), ANYBODY), False)]
)
def test_it_signs_only_where_each_of_its_schemes_does(schemes: tuple[Verifier, ...], signs: bool) -> None:
    assert signs is AnyOf(schemes=schemes).signs


def test_what_any_of_them_takes_for_a_secret_is_masked_and_nothing_twice() -> None:
    mark = fingerprint(SENT.reveal())
    headers = (("authorization", SENT.reveal()), ("x-other", "kept"), ("cookie", "session"))
    masked = ECHOED.mask(RawRequest(headers=headers, query=f"a=1&key={SENT.reveal()}", body=BODY))
    assert (("authorization", mark), ("x-other", "kept"), ("cookie", fingerprint("session"))) == masked.headers
    assert f"a=1&key={mark}" == masked.query
    assert BODY == masked.body


def test_a_secret_in_the_body_is_masked_there() -> None:
    masked = ECHOED.mask(RawRequest(body=b'{"header": {"authorization": "the-secret-that-is-sent"}, "id": "1"}'))
    assert f'{{"header": {{"authorization": "{fingerprint(SENT.reveal())}"}}, "id": "1"}}'.encode() == masked.body


def test_a_request_without_secrets_is_kept_as_it_is() -> None:
    request = RawRequest(headers=(("x-other", "kept"),), query="a=1", body=BODY)
    assert request == ECHOED.mask(request)


@pytest.mark.parametrize(
    "request_",
    [
        RawRequest(headers=(("authorization", SENT.reveal()),)),
        RawRequest(query=f"key={SENT.reveal()}"),
        RawRequest(body=b'{"header": {"authorization": "the-secret-that-is-sent"}}'),
    ],
)
def test_a_secret_may_come_in_any_of_the_places(request_: RawRequest) -> None:
    assert fingerprint(SENT.reveal()) == ECHOED.verify(request_, NOW)


def test_where_nobody_may_call_every_callback_is_refused() -> None:
    empty_key = hmac.new(b"", b"1.{}", hashlib.sha256).hexdigest()
    for headers in ((), (("x-signature", f"t=1,v1={empty_key}"),), (("authorization", ""),)):
        with pytest.raises(NotGenuine) as refusal:
            Nobody().verify(RawRequest(headers=headers, body=b"{}"), 1.0)
        assert "no_secret" == refusal.value.reason


def test_where_nobody_may_call_a_callback_is_no_hint() -> None:
    assert Nobody().signs


def test_where_nobody_may_call_credentials_are_kept_as_fingerprints() -> None:
    [(_, shown), other] = Nobody().mask(RawRequest(headers=(("authorization", "Bearer s3cret"), ("x", "y")))).headers
    assert "s3cret" not in shown
    assert ("x", "y") == other
