"""What a scheme says it saw: facts for a person, the likely mistake, and never a secret, a body or a signature."""

import base64
import dataclasses
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from tests.guard import secret
from webhook_svc.core.explanation import Explanation
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.ports import Explains
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.choice import AnyOf, Nobody
from webhook_svc.signing.rfc9421.message_signatures import content_digest
from webhook_svc.signing.sign import sign
from webhook_svc.signing.timed import timed
from webhook_svc.signing.verify import Verifier, VerifySettings

NOW = 1_790_000_000
KEY = secret("shared")
BODY = b'{"id": "a/1", "name": "Zo\\u00eb"}'
URL = "https://hooks.acme.example"
TIMED = VerifySettings(
    alg="hmac-sha256",
    message="{ts}.{body}",
    signature="header:X-Signature",
    pattern="v1=([^,]+)",
    vars={"ts": r"header:X-Signature ~ t=(\d+)"},
    tolerance=300,
)
PLAIN = VerifySettings(alg="hmac-sha256", message="{body}", signature="header:X-Signature")


def digest(message: bytes, key: bytes | str = KEY, alg: str = "sha256") -> bytes:
    return hmac.digest(key.encode() if isinstance(key, str) else key, message, alg)


def callback(signature: str, body: bytes = BODY, *, name: str = "x-signature", **more: Any) -> RawRequest:
    return RawRequest(headers=(("host", "hooks.acme.example"), (name, signature)), body=body, **more)


def at(moment: int, message: bytes = b"", **more: Any) -> RawRequest:
    return callback(f"t={moment},v1={digest(message or b'%d.' % moment + BODY).hex()}", **more)


def explained(settings: VerifySettings, request: RawRequest, *secrets: str, now: float = NOW) -> Explanation:
    scheme = Verifier(settings, [Secret(one) for one in secrets or (KEY,)], URL)
    (one,) = scheme.explain(request, now)
    return one


def ways(settings: VerifySettings, request: RawRequest, *secrets: str) -> tuple[str, ...]:
    match = explained(settings, request, *secrets).match
    assert match is not None
    assert fingerprint((secrets or (KEY,))[-1]) == match.secret
    return match.ways


# --- what was looked at -------------------------------------------------------------------------------------------


def test_a_genuine_callback_is_explained_by_its_secret_its_clock_and_its_places() -> None:
    one = explained(TIMED, at(NOW - 12), "another secret of ours", KEY)
    assert ("", fingerprint(KEY), ()) == (one.reason, one.match and one.match.secret, one.match and one.match.ways)
    assert (-12.0, 300) == (one.time and one.time.ahead, one.time and one.time.tolerance)
    assert [("header:X-Signature", 1), ("header:X-Signature", 1)] == [(p.place, p.values) for p in one.places]
    assert [("hex", 64, 32, True)] == [(c.encoding, c.characters, c.bytes, c.decodable) for c in one.candidates]


def test_of_a_missing_header_those_are_named_that_are_there_and_resemble_it() -> None:
    one = explained(PLAIN, callback("00" * 32, name="x-signatur"))
    assert (0, ("header:x-signatur",)) == (one.places[0].values, one.places[0].alike)
    far = explained(PLAIN, callback("00" * 32, name="stripe-hmac"))
    assert ("header:stripe-hmac",) == far.places[0].alike


def test_of_a_missing_query_parameter_or_json_value_its_neighbours_are_named() -> None:
    in_query = VerifySettings(alg="hmac-sha256", message="{body}", signature="query:signature")
    assert ("query:Signature",) == explained(in_query, RawRequest(query="a=1&Signature=x")).places[0].alike
    in_json = VerifySettings(alg="hmac-sha256", message="{json:/event/time}", signature="json:/event/hash")
    one = explained(in_json, RawRequest(body=b'{"event": {"hashh": "x", "tyme": 1}}'))
    assert [("json:hashh",), ("json:tyme",)] == [one.places[0].alike, one.places[1].alike[:1]]


def test_a_value_that_stands_twice_is_counted() -> None:
    request = RawRequest(headers=(("x-signature", "aa"), ("x-signature", "bb")))
    one = explained(PLAIN, request)
    assert ("doubled", 2) == (one.reason, one.places[0].values)


def test_candidates_are_counted_with_their_length_and_encoding_and_whether_they_can_be_read() -> None:
    text = f"t={NOW},v1={'ab' * 32},v1=@@@,v1={base64.b64encode(b'x' * 20).decode()}"
    found = explained(TIMED, callback(text)).candidates
    assert [("hex", 32, True), ("", None, False), ("base64", 20, False)] == [
        (one.encoding, one.bytes, one.decodable) for one in found
    ]


@pytest.mark.parametrize(
    ("moment", "ahead", "milliseconds"),
    [(NOW - 301, -301.0, False), (NOW + 900, 900.0, False), (NOW * 1000, 0.0, True)],
)
def test_a_clock_that_is_off_is_told_and_the_signature_is_judged_all_the_same(
    moment: int, ahead: float, milliseconds: bool
) -> None:
    one = explained(TIMED, at(moment))
    assert (ahead, milliseconds) == (one.time and one.time.ahead, one.time and one.time.milliseconds)
    assert (True, ()) == (bool(one.reason), one.match and one.match.ways)


def test_a_time_that_is_no_number_is_told() -> None:
    words = dataclasses.replace(TIMED, vars={"ts": "header:date"})
    request = RawRequest(headers=(("date", "yesterday"), ("x-signature", "v1=" + "ab" * 32)))
    seen = explained(words, request).time
    assert (None, 300) == (seen and seen.ahead, seen and seen.tolerance)


# --- likely mistakes ----------------------------------------------------------------------------------------------

CHANGED = [
    (BODY + b"\n", BODY, "the body without the line break at its end"),
    (BODY, BODY + b"\n", "the body with a line break (LF) at its end"),
    (b"a\r\nb", b"a\nb", "the body with LF in the place of CRLF"),
    (b"a\nb\r\n", b"a\r\nb\r\n", "the body with CRLF in the place of LF"),
    (b"\xef\xbb\xbf{}", b"{}", "the body without its byte order mark"),
    (BODY, b'{"id":"a/1","name":"Zo\xc3\xab"}', "the body printed again as compact JSON"),
    (BODY, b'{"id":"a/1","name":"Zo\\u00eb"}', "the body printed again as compact JSON in ASCII"),
    (BODY, b'{"id":"a\\/1","name":"Zo\\u00eb"}', "the body printed again as compact JSON with \\/ for /"),
    (BODY, b'{\n  "id": "a/1",\n  "name": "Zo\xc3\xab"\n}', "the body printed again as JSON indented by 2"),
    (BODY, b"", "no body at all"),
]


@pytest.mark.parametrize(("came", "signed", "way"), CHANGED, ids=[way for _, _, way in CHANGED])
def test_a_body_that_changed_on_the_way_is_found(came: bytes, signed: bytes, way: str) -> None:
    request = callback(digest(signed).hex(), came)
    assert (way,) == ways(PLAIN, request)
    match = explained(PLAIN, request).match
    assert "body" == (match and match.kind)


@pytest.mark.parametrize("message", ["{body}", "{ts}{body}", "{ts}:{body}", "{body}{ts}"])
def test_another_message_is_found(message: str) -> None:
    signed = message.replace("{ts}", str(NOW)).encode().replace(b"{body}", BODY)
    assert (f'message = "{message}"',) == ways(TIMED, at(NOW, signed))


@pytest.mark.parametrize(
    ("configured", "key", "kind"),
    [
        ("ab" * 20, bytes.fromhex("ab" * 20), "hex"),
        (base64.b64encode(b"\x00" * 24).decode(), b"\x00" * 24, "base64"),
        ("whsec_" + base64.b64encode(b"\x01" * 24).decode(), b"\x01" * 24, "whsec"),
    ],
)
def test_another_way_to_read_the_key_is_found(configured: str, key: bytes, kind: str) -> None:
    assert (f'key = "{kind}"',) == ways(PLAIN, callback(digest(BODY, key).hex()), configured)


@pytest.mark.parametrize(
    ("configured", "key", "way"),
    [
        (f" {KEY}\n", KEY, "the secret without the blanks around it"),
        (f'"{KEY}"', KEY, "the secret without the quotes around it"),
        (KEY, KEY + "\n", "the secret with a line break at its end"),
        (f"whsec_{KEY}", KEY, "the secret without whsec_"),
    ],
)
def test_a_secret_that_was_copied_wrongly_is_found(configured: str, key: str, way: str) -> None:
    assert (way,) == ways(PLAIN, callback(digest(BODY, key).hex()), configured)


@pytest.mark.parametrize("alg", ["sha1", "sha512", "md5"])
def test_another_algorithm_is_found_by_the_length_of_the_signature(alg: str) -> None:
    assert (f'alg = "hmac-{alg}"',) == ways(PLAIN, callback(digest(BODY, alg=alg).hex()))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (base64.b64encode(digest(BODY)).decode(), "base64"),
        (base64.b64encode(digest(BODY).hex().encode()).decode(), "hex written as base64"),
        (base64.urlsafe_b64encode(digest(BODY)).decode().rstrip("="), "base64 with - and _, or without its ="),
    ],
)
def test_another_encoding_is_found(written: str, name: str) -> None:
    assert (f"the signature read as {name}",) == ways(PLAIN, callback(written))


@pytest.mark.parametrize(
    ("url", "way"),
    [
        ("http://hooks.acme.example/hooks/x?a=1", "the address with http://"),
        ("https://hooks.acme.example/hooks/x", "the address without its query"),
        ("https://hooks.acme.example/hooks/x/?a=1", "the address with a slash at its end"),
        ("/hooks/x?a=1", "the path alone, without scheme and host"),
        ("https://other.example/hooks/x?a=1", "the address with the host of the header host"),
    ],
)
def test_another_spelling_of_our_address_is_found(url: str, way: str) -> None:
    settings = dataclasses.replace(PLAIN, message="{url}{body}")
    headers = (("host", "other.example"), ("x-signature", digest(url.encode() + BODY).hex()))
    request = RawRequest(path="/hooks/x", query="a=1", headers=headers, body=BODY)
    assert (way,) == ways(settings, request)


def test_two_mistakes_at_once_are_found_and_one_is_preferred() -> None:
    request = callback(digest(BODY, bytes.fromhex("ab" * 20)).hex(), BODY + b"\n")
    assert ("the body without the line break at its end", 'key = "hex"') == ways(PLAIN, request, "ab" * 20)


def test_a_public_key_is_tried_over_other_bodies_too() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    settings = dataclasses.replace(PLAIN, alg="ed25519", key="base64", encoding="base64")
    request = callback(base64.b64encode(key.sign(BODY)).decode(), BODY + b"\n")
    assert ("the body without the line break at its end",) == ways(settings, request, public)


def test_where_nothing_fits_the_secrets_are_named_by_their_fingerprints() -> None:
    one = explained(PLAIN, callback("ab" * 32), KEY, "other")
    assert (None, "bad_signature", (fingerprint(KEY), fingerprint("other"))) == (one.match, one.reason, one.secrets)
    assert one.tried > 100


# --- the secret itself --------------------------------------------------------------------------------------------

SENT = VerifySettings(alg="equal", signature="header:X-Signature")


@pytest.mark.parametrize(
    ("came", "configured", "way"),
    [
        (KEY, KEY, ""),
        (f"Bearer {KEY}", KEY, "the word Bearer stands before it"),
        (KEY, f"{KEY} ", "blanks around it"),
        (KEY, f"'{KEY}'", "quotes around it"),
        (base64.b64encode(f"user:{KEY}".encode()).decode(), KEY, "a name and password (Basic)"),
        ("basic " + base64.b64encode(f"user:{KEY}".encode()).decode(), KEY, "a name and password (Basic)"),
        (KEY.upper(), KEY, "capital and small letters"),
        ("a%2Fb" + KEY, "a/b" + KEY, "percent-encoded"),
    ],
)
def test_how_a_secret_was_sent_otherwise_is_found(came: str, configured: str, way: str) -> None:
    match = explained(SENT, callback(came), configured).match
    assert way in " ".join(match.ways if match else ("not found",))


def test_a_callback_that_was_kept_masked_is_known_by_the_fingerprint_in_it() -> None:
    scheme = Verifier(SENT, [Secret(KEY)])
    (one,) = scheme.explain(scheme.mask(callback(KEY)), NOW)
    assert ("masked", fingerprint(KEY)) == (one.match and one.match.kind, one.match and one.match.secret)
    (other,) = scheme.explain(scheme.mask(callback("another")), NOW)
    assert other.match is None


def test_a_client_certificate_is_known_by_its_fingerprint() -> None:
    settings = VerifySettings(preset="client-certificate")
    request = RawRequest(headers=(("client-cert", "ab" * 32),))
    allowed = ":".join(["AB"] * 32)
    match = explained(settings, request, "cd" * 32, allowed).match
    assert fingerprint(allowed) == (match and match.secret)
    assert None is explained(settings, request, "cd" * 32).match
    assert None is explained(settings, RawRequest(headers=(("client-cert", "nonsense"),)), allowed).match


# --- RFC 9421 -----------------------------------------------------------------------------------------------------

BASE = VerifySettings(
    alg="hmac-sha256", message="{base}", encoding="base64", signature="header:signature", tolerance=300
)


def message_signature(covered: str = '"@method" "content-digest"', body: bytes = BODY, text: str = KEY) -> RawRequest:
    told = (("signature-input", f"s=({covered});created={NOW}"), ("content-digest", content_digest(BODY)))
    request = RawRequest(headers=(("host", "hooks.acme.example"), *told), body=BODY)
    signature = sign(BASE, Secret(text), request, public_url=URL)
    return dataclasses.replace(request, headers=(*request.headers, ("signature", signature)), body=body)


def test_of_message_signatures_labels_and_times_are_told() -> None:
    one = explained(BASE, message_signature(), now=NOW + 400)
    assert ("stale", -400.0, ()) == (one.reason, one.time and one.time.ahead, one.match and one.match.ways)
    assert [("base64", 32)] == [(found.encoding, found.bytes) for found in one.candidates]
    assert ["header:signature", "header:signature-input"] == [place.place for place in one.places]


@pytest.mark.parametrize(
    ("settings", "request_", "way"),
    [
        (BASE, message_signature(body=BODY + b"\n"), "the body without the line break at its end"),
        (dataclasses.replace(BASE, covers=("content-digest",)), message_signature('"@method"'), "covers = []"),
    ],
)
def test_the_likely_mistakes_of_message_signatures_are_found(
    settings: VerifySettings, request_: RawRequest, way: str
) -> None:
    match = explained(settings, request_).match
    assert (way,) == (match and match.ways)


def test_another_way_to_read_the_key_of_message_signatures_is_found() -> None:
    text = base64.b64encode(KEY.encode()).decode()
    one = explained(dataclasses.replace(BASE, key="base64"), message_signature(text=text), text)
    assert ('key = "utf8"',) == (one.match and one.match.ways)


def test_message_signatures_over_another_address_are_found() -> None:
    request = message_signature('"@target-uri"')
    (one,) = Verifier(BASE, [Secret(KEY)], "http://hooks.acme.example").explain(request, NOW)
    assert ("the address with https://",) == (one.match and one.match.ways)


@pytest.mark.parametrize("text", ["", "s", "s=:AAAA:", "s=(" + '"a" ' * 900 + ")", "\xff", "s=:" + "A" * 5000 + ":"])
def test_message_signatures_that_are_none_are_explained(text: str) -> None:
    headers = (("signature", text), ("signature-input", text), ("content-digest", text))
    assert explained(BASE, RawRequest(headers=headers)).reason


# --- all schemes --------------------------------------------------------------------------------------------------


def test_each_of_several_schemes_explains_itself() -> None:
    scheme = AnyOf(
        schemes=(
            timed("firma-signature", (Secret(KEY),), 300),
            timed("firma-signature-old", (Secret(KEY),), 300),
            Nobody(),
        )
    )
    assert isinstance(scheme, Explains)
    found = scheme.explain(at(NOW, name="firma-signature-old"), NOW)
    assert ["no_signature", "", "no_secret"] == [one.reason for one in found]
    assert [("header:firma-signature-old",), ()] == [one.places[0].alike for one in found[:2]]


def test_a_scheme_that_believes_everybody_says_so() -> None:
    (one,) = Verifier(VerifySettings(alg="none"), ()).explain(RawRequest(), NOW)
    assert ("nothing is signed: everybody is believed",) == one.notes


# --- bad input ----------------------------------------------------------------------------------------------------

JSON = VerifySettings(alg="hmac-sha256", message="{json:/a}.{header:X-B}", signature="json:/sig")


@pytest.mark.parametrize("settings", [PLAIN, TIMED, JSON, SENT, dataclasses.replace(SENT, signature="query:token")])
@pytest.mark.parametrize(
    "request_",
    [
        RawRequest(),
        RawRequest(body=b"\xff\x00", query="%%%=&=&token&token=%ff"),
        RawRequest(body=b"[" * 100_000),
        RawRequest(body=b'{"sig": {"a": 1}, "a": []}', headers=(("x-signature", "\xe9" * 5000),)),
        RawRequest(headers=(("x-signature", "t=,v1=," * 500), ("x-signature", "")), body=b'{"sig": "\\ud800"}'),
        RawRequest(headers=tuple((f"x-signature-{n}", "a" * 4000) for n in range(1000))),
    ],
    ids=["nothing", "garbage", "deep", "wrong types", "doubled", "thousand headers"],
)
def test_bad_input_is_explained_and_never_an_exception(settings: VerifySettings, request_: RawRequest) -> None:
    assert explained(settings, request_).reason


@pytest.mark.parametrize("body", [b"x" * 10_000_000, json.dumps([{"a": n} for n in range(20_000)]).encode()])
def test_a_large_body_is_explained_within_seconds(body: bytes) -> None:
    began = time.process_time()
    signatures = ",".join(f"v1={hashlib.sha256(b'%d' % n).hexdigest()}" for n in range(50))
    assert explained(TIMED, callback(f"t={NOW},{signatures}", body), KEY, "other").match is None
    assert time.process_time() - began < 10


def test_neither_secret_nor_body_nor_any_signature_stands_in_an_explanation() -> None:
    for request in (
        at(NOW),
        callback(digest(BODY).hex(), BODY + b"\n"),
        callback("ab" * 32),
        callback(f"Bearer {KEY}"),
    ):
        for settings in (PLAIN, TIMED, SENT):
            shown = repr(explained(settings, request, KEY, f"{KEY} "))
            assert [] == [word for word in (KEY, "Zo", digest(BODY).hex(), "ab" * 32) if word in shown]
