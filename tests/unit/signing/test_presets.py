"""The presets: each accepts what its senders send, refuses it spoiled, and gives way to what is written beside it."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.guard import secret
from webhook_svc.core.errors import NotGenuine, Problem
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.settings import Secret, build
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.presets import PRESETS
from webhook_svc.signing.sign import sign, signed_message
from webhook_svc.signing.verify import Verifier, VerifySettings

NOW = 1_767_225_600
BODY = b'{"id": 1}'
PLAIN = Secret(secret("preset"))
WHSEC = Secret("whsec_" + base64.b64encode(b"k" * 24).decode())
SEED = Secret("whsk_" + base64.b64encode(b"s" * 32).decode())
PUBLIC = Ed25519PrivateKey.from_private_bytes(b"s" * 32).public_key().public_bytes_raw()
WHPK = Secret("whpk_" + base64.b64encode(PUBLIC).decode())
PASSWORD = Secret(f"hooks:{secret('password')}")
FINGERPRINT = Secret(hashlib.sha256(b"a certificate").hexdigest())

HEADERS: dict[str, dict[str, str]] = {
    "standard-webhooks": {
        "webhook-id": "m1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": "v1,{signature} v1,x",
    },
    "standard-webhooks-v1a": {
        "webhook-id": "m1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": "v1a,{signature}",
    },
    "svix": {"svix-id": "m1", "svix-timestamp": str(NOW), "svix-signature": "v1,{signature}"},
    "stripe": {"stripe-signature": f"t={NOW},v1={{signature}},v0=x"},
    "github": {"x-hub-signature-256": "sha256={signature}"},
    "slack": {"x-slack-request-timestamp": str(NOW), "x-slack-signature": "v0={signature}"},
    "shopify": {"x-shopify-hmac-sha256": "{signature}"},
    "token": {"x-webhook-token": "{signature}"},
    "bearer": {"authorization": "bearer  {signature}"},
    "basic": {"authorization": "BASIC {signature}"},
    "client-certificate": {"client-cert": "{signature}"},
}
KEYS = {"standard-webhooks": (WHSEC, WHSEC), "standard-webhooks-v1a": (SEED, WHPK), "svix": (WHSEC, WHSEC)}
KEYS |= {"basic": (PASSWORD, PASSWORD), "client-certificate": (FINGERPRINT, FINGERPRINT)}


def key_of(name: str) -> tuple[Secret, Secret]:
    """(what the sender holds, what the receiver holds)"""
    return KEYS.get(name, (PLAIN, PLAIN))


def verifier(name: str, **given: Any) -> Verifier:
    return Verifier(VerifySettings(preset=name, **given), [key_of(name)[1]], "https://sign.example")


def sent(name: str, headers: dict[str, str] | None = None, **given: Any) -> RawRequest:
    settings = VerifySettings(preset=name, **given)
    if name == "rfc9421":
        asked = RawRequest(headers=(("host", "sign.example"),), body=BODY)
        return signed_message(settings, PLAIN, asked, created=NOW, public_url="https://sign.example")
    templates = headers or HEADERS[name]
    unsigned = RawRequest(headers=tuple(templates.items()), body=BODY)
    signature = sign(settings, key_of(name)[0], unsigned)
    return RawRequest(
        headers=tuple((key, text.replace("{signature}", signature)) for key, text in templates.items()), body=BODY
    )


def changed(asked: RawRequest, header: str, change: Callable[[str], str]) -> RawRequest:
    headers = tuple((name, change(text) if name == header else text) for name, text in asked.headers)
    return RawRequest(headers=headers, body=asked.body)


def reason(checked: Verifier, asked: RawRequest, now: float = NOW) -> str:
    with pytest.raises(NotGenuine) as caught:
        checked.verify(asked, now)
    return caught.value.reason


every_preset = pytest.mark.parametrize("name", PRESETS)


@every_preset
def test_what_its_sender_sends_is_accepted_by_the_right_secret(name: str) -> None:
    assert fingerprint(key_of(name)[1].reveal()) == verifier(name).verify(sent(name), NOW)


@every_preset
def test_another_secret_is_refused(name: str) -> None:
    other = {"basic": Secret("hooks:another"), "client-certificate": Secret("00" * 32)}.get(name, Secret("another one"))
    if name in KEYS and name not in ("basic", "client-certificate"):
        other = Secret(
            base64.b64encode(Ed25519PrivateKey.from_private_bytes(b"t" * 32).public_key().public_bytes_raw()).decode()
        )
    checked = Verifier(VerifySettings(preset=name), [other], "https://sign.example")
    assert "bad_signature" == reason(checked, sent(name))


@every_preset
def test_a_callback_without_its_headers_is_refused(name: str) -> None:
    assert reason(verifier(name), RawRequest(body=BODY)) in ("no_signature", "missing_value")


@every_preset
def test_another_body_is_noticed_where_something_is_signed(name: str) -> None:
    asked = sent(name)
    other = RawRequest(headers=asked.headers, body=BODY + b" ")
    if verifier(name)._settings.message:
        assert reason(verifier(name), other) in ("bad_signature", "wrong_digest")
    else:
        assert verifier(name).verify(other, NOW)


@every_preset
def test_a_signed_time_is_held_against_the_clock(name: str) -> None:
    if PRESETS[name].fields.get("tolerance") is None:
        assert verifier(name).verify(sent(name), 4e9)
    else:
        assert verifier(name).verify(sent(name), NOW + 300)
        assert "stale" == reason(verifier(name), sent(name), NOW + 301)


@every_preset
def test_nothing_that_served_as_a_secret_is_left_in_a_stored_request(name: str) -> None:
    asked = sent(name)
    shown = verifier(name).mask(asked)
    left = "\n".join(text for _, text in shown.headers)
    for text in (key_of(name)[0].reveal(), base64.b64encode(key_of(name)[0].reveal().encode()).decode()):
        assert text not in left
    if PRESETS[name].fields["alg"] in ("equal", "client-certificate"):
        assert fingerprint(key_of(name)[1].reveal()) in left
    else:
        assert asked == shown


@every_preset
def test_its_documentation_is_one_sentence_for_people(name: str) -> None:
    assert 30 < len(PRESETS[name].doc) < 220


def test_hmac_of_a_preset_is_that_of_the_senders_documentation() -> None:
    right = hmac.new(PLAIN.reveal().encode(), b"v0:%d:%s" % (NOW, BODY), hashlib.sha256).hexdigest()
    assert f"v0={right}" == sent("slack").header("x-slack-signature")


def test_what_is_written_beside_a_preset_wins() -> None:
    made = VerifySettings(preset="stripe", tolerance=60, alg="hmac-sha512", signature="header:X-Acme")
    assert (60, "hmac-sha512", "header:X-Acme") == (made.tolerance, made.alg, made.signature)
    assert PRESETS["stripe"].fields["message"] == made.message


def test_a_header_of_another_name_needs_one_line() -> None:
    asked = sent("token", {"x-acme-token": "{signature}"})
    assert verifier("token", signature="header:X-Acme-Token").verify(asked, NOW)
    assert "no_signature" == reason(verifier("token"), asked)


def test_a_preset_that_is_made_again_stays_the_same() -> None:
    made = VerifySettings(preset="standard-webhooks")
    again = VerifySettings(**{name: getattr(made, name) for name in VerifySettings.__dataclass_fields__})
    assert made == again


def test_an_unknown_preset_names_the_near_one() -> None:
    problems: list[Problem] = []
    build(VerifySettings, {"preset": "standard-webhook"}, "sources.x.verify", problems)
    assert "did you mean" in problems[0].expected


def test_neither_algorithm_nor_preset_is_a_problem_that_names_both() -> None:
    problems: list[Problem] = []
    build(VerifySettings, {"signature": "header:X"}, "sources.x.verify", problems)
    assert "alg or a preset" in problems[0].expected
    assert "hmac-sha256" in problems[0].expected
    assert "stripe" in problems[0].expected


def test_a_table_of_the_configuration_may_be_a_preset_alone() -> None:
    problems: list[Problem] = []
    made = build(VerifySettings, {"preset": "github"}, "sources.x.verify", problems)
    assert ([], VerifySettings(preset="github")) == (problems, made)


NAMES = sorted({name for headers in HEADERS.values() for name in headers} | {"signature", "signature-input", "host"})
TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet='v10=,.:;a t()"%-+/ABasicBearer', max_size=60),
    st.sampled_from(["sig1=:AAAA:", 'sig1=("content-digest");created=1767225600', "Basic =", "v1,", f"t={NOW},v1=00"]),
    st.characters().map(lambda character: character * 5000),
)


@hypothesis.settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(PRESETS)), st.lists(st.tuples(st.sampled_from(NAMES), TEXTS), max_size=6), st.binary())
def test_nothing_that_is_sent_is_believed_or_raises_anything_but_not_genuine(
    name: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    asked = RawRequest(headers=tuple(headers), body=body)
    assert reason(verifier(name), asked)
    assert len(headers) == len(verifier(name).mask(asked).headers)
    assert verifier(name).explain(asked, NOW)


# --- Basic --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda text: text.removeprefix("BASIC "), "no_signature"),
        (lambda text: "Digest " + text[6:], "no_signature"),
        (lambda text: text[:-1], "malformed"),
        (lambda text: text + "=", "malformed"),
        (lambda text: text + " x", "no_signature"),
        (lambda text: text[:6] + base64.b64encode(PASSWORD.reveal().swapcase().encode()).decode(), "bad_signature"),
        (lambda text: text[:6] + base64.b64encode(b"hooks:").decode(), "bad_signature"),
        (lambda text: text[:6] + PASSWORD.reveal(), "malformed"),
    ],
)
def test_basic_credentials_that_are_not_right_are_refused(spoil: Callable[[str], str], word: str) -> None:
    assert word == reason(verifier("basic"), changed(sent("basic"), "authorization", spoil))


def test_basic_credentials_are_masked_wherever_a_proxy_repeats_them() -> None:
    asked = sent("basic", {"authorization": "Basic {signature}", "x-original-authorization": "Basic {signature}"})
    mark = verifier("basic").verify(asked, NOW)
    shown = dict(verifier("basic").mask(asked).headers)
    assert mark == shown["authorization"]
    assert base64.b64encode(PASSWORD.reveal().encode()).decode() not in shown["x-original-authorization"]


def test_a_wrong_password_is_masked_too() -> None:
    asked = RawRequest(headers=(("authorization", "Basic " + base64.b64encode(b"hooks:wrong").decode()),))
    assert (("authorization", fingerprint("hooks:wrong")),) == verifier("basic").mask(asked).headers


@pytest.mark.parametrize("text", ["Bearer", "Bearer ", "Bearer a b", "Token x", "", "Bearer\tx", "bearer é"])
def test_a_bearer_token_that_is_none_is_refused(text: str) -> None:
    assert reason(verifier("bearer"), RawRequest(headers=(("authorization", text),)))


@every_preset
def test_every_preset_can_be_explained_accepted_and_refused(name: str) -> None:
    (good,) = verifier(name).explain(sent(name), NOW)
    (bad,) = verifier(name).explain(RawRequest(body=BODY), NOW)
    assert ("", True) == (good.reason, bad.reason != "")


# --- what is written beside a preset ------------------------------------------------------------------------------


def test_what_is_written_empty_beside_a_preset_wins() -> None:
    assert () == VerifySettings(preset="rfc9421", covers=()).covers
    assert "" == VerifySettings(preset="github", pattern="").pattern


def test_no_seconds_beside_a_preset_are_refused() -> None:
    with pytest.raises(ValueError, match="tolerance must be a positive number"):
        VerifySettings(preset="stripe", tolerance=0)


def test_what_stands_in_the_header_of_the_signature_moves_with_it() -> None:
    settings = VerifySettings(preset="stripe", signature="header:Acme-Signature")
    assert {"ts": r"header:Acme-Signature ~ (?:^|,)\s*t=([^,]*)"} == settings.vars
    moved = VerifySettings(preset="slack", signature="header:Acme-Signature")
    assert {"ts": "header:X-Slack-Request-Timestamp"} == moved.vars


@pytest.mark.parametrize("beside", [{"alg": "hmac-sha512"}, {"encoding": "base64"}])
@pytest.mark.parametrize("name", ["github", "slack"])
def test_what_the_pattern_of_a_preset_never_takes_is_refused_beside_it(name: str, beside: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="write a pattern too"):
        VerifySettings(preset=name, **beside)
    assert VerifySettings(preset=name, pattern="^sig=(.*)$", **beside)
