"""The verifier's settings, its traps, and what it does with input that nobody meant to send."""

import base64
import hashlib
import hmac
import json
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.errors import NotGenuine, Problem
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.settings import Expanded, Secret, build
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.reading import viewed_json
from webhook_svc.signing.sign import sign
from webhook_svc.signing.verify import Verifier, VerifySettings

BODY = b'{"id": 1}'
NOW = 1_767_225_600
SECRET = Secret("a shared secret")
PLAIN: dict[str, Any] = {"alg": "hmac-sha256", "message": "{body}", "signature": "header:X-Signature"}
TIMED: dict[str, Any] = PLAIN | {
    "message": "{ts}.{body}",
    "pattern": "v1=([^,]*)",
    "vars": {"ts": r"header:X-Signature ~ t=(\d+)"},
    "tolerance": 300,
}
FORM: dict[str, Any] = PLAIN | {"message": "{json:a}", "signature": "json:s", "body_view": "multipart:json"}
LISTED: dict[str, Any] = PLAIN | {"message": "{h}.{hvals}.{body}", "vars": {"h": "header:X-Signed"}}
ED25519_PUBLIC = "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def request(*headers: tuple[str, str], body: bytes = BODY, query: str = "") -> RawRequest:
    return RawRequest(headers=headers, body=body, query=query)


def mac(message: bytes = BODY, secret: Secret = SECRET) -> str:
    return hmac.new(secret.reveal().encode(), message, hashlib.sha256).hexdigest()


def verifier(settings: dict[str, Any] = PLAIN, *secrets: Secret, public_url: str = "") -> Verifier:
    return Verifier(VerifySettings(**settings), secrets or (SECRET,), public_url)


def reason(checked: Verifier, asked: RawRequest, now: float = NOW) -> str:
    with pytest.raises(NotGenuine) as caught:
        checked.verify(asked, now)
    return caught.value.reason


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"signature": ""}, "where in the callback"),
        ({"message": ""}, "what is signed"),
        ({"message": "hello"}, "a constant says nothing"),
        ({"message": "{body"}, "a lone '{'"),
        ({"message": "{id}.{body}"}, "vars does not name"),
        ({"message": "{json}"}, "needs a place"),
        ({"message": "{body:x}"}, "after a colon"),
        ({"message": "{hvals}{body}"}, "signed list of header names"),
        ({"message": "{hvals}{h}"}, "vars does not name"),
        ({"vars": {"body": "header:X"}}, "may not redefine body"),
        ({"vars": {"ts": "X-Time"}}, "names no place"),
        ({"vars": {"ts": "cookie:x"}}, "names no place"),
        ({"vars": {"ts": "header:X ~ ("}}, "no regular expression"),
        ({"vars": {"ts": r"header:X-\d+"}}, "written out"),
        ({"signature": "X-Signature"}, "names no place"),
        ({"signature": "header:"}, "names no place"),
        ({"signature": "header:x-(\\d+"}, "regular expression over names"),
        ({"pattern": "v1=("}, "no regular expression"),
        ({"pattern": "(v1)=(.*)"}, "2 groups"),
        ({"key": "whpk"}, "needs a shared secret"),
        ({"alg": "ed25519"}, "public key"),
        ({"alg": "ed25519", "key": "whsec"}, "public key"),
        ({"alg": "ecdsa-p256-sha256", "key": "whpk"}, "public key"),
        ({"tolerance": 0}, "positive"),
        ({"tolerance": -5}, "positive"),
        ({"tolerance": 300}, "needs ts"),
        ({"tolerance": 300, "vars": {"ts": "header:X-Time"}}, "a time that is not signed proves nothing"),
        ({"alg": "equal"}, "message would never be looked at"),
        ({"alg": "equal", "message": "", "encoding": "base64|hex"}, "encoding would never be looked at"),
        ({"alg": "equal", "message": "", "key": "hex"}, "key would never be looked at"),
        ({"alg": "none"}, "message, signature would never be looked at"),
        ({"body_view": "json"}, "multipart:NAME"),
        ({"body_view": "multipart:"}, "names no field"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        VerifySettings(**PLAIN | settings)


def test_settings_are_built_from_a_configuration_table() -> None:
    problems: list[Problem] = []
    built = build(VerifySettings, TIMED | {"tolerance": Expanded("60")}, "sources.x.verify", problems)
    assert ([], 60) == (problems, built.tolerance)


def test_an_unknown_algorithm_is_a_problem_that_names_the_near_one() -> None:
    problems: list[Problem] = []
    build(VerifySettings, PLAIN | {"alg": "hmac-sha265"}, "sources.x.verify", problems)
    assert ["sources.x.verify.alg"] == [problem.where for problem in problems]
    assert "did you mean 'hmac-sha256'" in problems[0].expected


@pytest.mark.parametrize(
    ("settings", "secret", "sentence"),
    [
        ({}, "", "empty secret"),
        ({}, " \n", "empty secret"),
        ({"alg": "equal", "message": ""}, "", "empty secret"),
        ({}, "\ud800", "no UTF-8"),
        ({"key": "hex"}, "abc", "not hex"),
        ({"key": "hex"}, "xy", "not hex"),
        ({"key": "hex"}, "ab cd", "not hex"),
        ({"key": "base64"}, "a", "not base64"),
        ({"key": "base64"}, "abcde", "not base64"),
        ({"key": "base64"}, "ab\ncd", "not base64"),
        ({"key": "base64"}, "ab-_", "not base64"),
        ({"key": "whsec"}, "whsec_", "not base64"),
        ({"alg": "ed25519", "key": "base64"}, "YWJj", "no public key"),
        ({"alg": "ed25519", "key": "whpk"}, "whpk_" + ED25519_PUBLIC[4:], "no public key"),
        ({"alg": "ecdsa-p256-sha256", "key": "base64"}, ED25519_PUBLIC, "no public key"),
        (
            {"alg": "ed25519", "key": "base64"},
            "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----",
            "no public key",
        ),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused_and_never_quoted(
    settings: dict[str, Any], secret: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        verifier(PLAIN | settings, Secret(secret))
    assert len(secret) < 3 or secret not in str(caught.value)


def test_a_scheme_without_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        Verifier(VerifySettings(**PLAIN), [])


def test_a_second_secret_that_is_empty_is_refused() -> None:
    with pytest.raises(ValueError, match="empty secret"):
        verifier(PLAIN, SECRET, Secret(""))


def test_secrets_beside_no_authentication_are_refused() -> None:
    with pytest.raises(ValueError, match="looks at no secret"):
        verifier({"alg": "none"}, SECRET)


def test_a_signed_url_needs_our_public_address() -> None:
    with pytest.raises(ValueError, match="public_url"):
        verifier(PLAIN | {"message": "{url}{body}"})


# --- what holds ---------------------------------------------------------------------------------------------------


def test_no_authentication_accepts_and_says_that_nothing_was_signed() -> None:
    open_door = Verifier(VerifySettings(alg="none"), [])
    assert ("", False) == (open_door.verify(request(), NOW), open_door.signs)


def test_the_fingerprint_tells_which_of_two_secrets_verified() -> None:
    old, new = Secret("old secret"), Secret("new secret")
    both = verifier(PLAIN, new, old)
    assert fingerprint("old secret") == both.verify(request(("x-signature", mac(secret=old))), NOW)
    assert fingerprint("new secret") == both.verify(request(("x-signature", mac(secret=new))), NOW)


def test_one_right_candidate_among_many_is_enough() -> None:
    text = f"t={NOW},v0=zz,v1=garbage,v1={'0' * 64},v1={mac(b'%d.' % NOW + BODY)}"
    assert verifier(TIMED).verify(request(("x-signature", text)), NOW)


def test_hex_of_the_digest_may_be_upper_case() -> None:
    assert verifier().verify(request(("x-signature", mac().upper())), NOW)


def test_the_url_is_the_public_address_with_path_and_query() -> None:
    signed = verifier(PLAIN | {"message": "{url}"}, public_url="https://sign.example/")
    asked = RawRequest(
        path="/hooks/a%20b", query="x=1", headers=(("x-signature", mac(b"https://sign.example/hooks/a%20b?x=1")),)
    )
    assert signed.verify(asked, NOW)


def test_a_named_header_can_be_part_of_the_message() -> None:
    signed = verifier(PLAIN | {"message": "{header:X-Id}:{body}"})
    right = mac(b"7:" + BODY)
    assert signed.verify(request(("x-signature", right), ("x-id", "7")), NOW)
    assert "missing_value" == reason(signed, request(("x-signature", right)))
    assert "doubled" == reason(signed, request(("x-signature", right), ("x-id", "7"), ("x-id", "7")))
    assert "missing_value" == reason(signed, request(("x-signature", mac(b":" + BODY)), ("x-id", "")))


def test_a_public_key_may_be_given_as_pem() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = ed25519.Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    settings = PLAIN | {"alg": "ed25519", "key": "base64", "encoding": "base64"}
    signature = sign(VerifySettings(**settings), Secret("whsk_" + base64.b64encode(b"s" * 32).decode()), request())
    assert verifier(settings, Secret(pem)).verify(request(("x-signature", signature)), NOW)

    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for alg in ("ed25519", "ecdsa-p256-sha256"):
        with pytest.raises(ValueError, match="of another kind"):
            verifier(settings | {"alg": alg}, Secret(pem))


def test_a_sender_made_of_the_same_settings_is_believed() -> None:
    made = sign(VerifySettings(**TIMED), SECRET, request(), values={"ts": str(NOW)})
    assert verifier(TIMED).verify(request(("x-signature", f"t={NOW},v1={made}")), NOW)
    assert "s3cret" == sign(VerifySettings(alg="equal", signature="header:X"), Secret("s3cret"), request())
    assert "" == sign(VerifySettings(alg="none"), SECRET, request())


# --- the traps ----------------------------------------------------------------------------------------------------


def test_an_empty_header_never_equals_a_secret() -> None:
    plain = verifier({"alg": "equal", "signature": "header:X-Secret"})
    assert "no_signature" == reason(plain, request(("x-secret", "")))
    assert "no_signature" == reason(plain, request())


def test_the_webhook_secret_prefix_means_base64_only_where_it_is_said_so() -> None:
    secret = Secret("whsec_" + base64.b64encode(b"k" * 24).decode())
    as_text = hmac.new(secret.reveal().encode(), BODY, hashlib.sha256).hexdigest()
    as_bytes = hmac.new(b"k" * 24, BODY, hashlib.sha256).hexdigest()
    assert verifier(PLAIN | {"key": "utf8"}, secret).verify(request(("x-signature", as_text)), NOW)
    assert verifier(PLAIN | {"key": "whsec"}, secret).verify(request(("x-signature", as_bytes)), NOW)
    assert "bad_signature" == reason(verifier(PLAIN | {"key": "utf8"}, secret), request(("x-signature", as_bytes)))
    assert "bad_signature" == reason(verifier(PLAIN | {"key": "whsec"}, secret), request(("x-signature", as_text)))


def test_base64_of_the_hex_text_is_not_base64_of_the_digest() -> None:
    settings = PLAIN | {"encoding": "base64|hex"}
    assert verifier(settings).verify(request(("x-signature", mac())), NOW)
    twice = base64.b64encode(mac().encode()).decode()
    assert "bad_signature" == reason(verifier(settings), request(("x-signature", twice)))


@pytest.mark.parametrize("spoil", [str.strip, lambda s: s + "=", lambda s: s.rstrip("="), lambda s: s[:-2] + "B="])
def test_base64_that_is_not_canonical_is_no_signature(spoil: Any) -> None:
    right = base64.b64encode(bytes.fromhex(mac())).decode()
    checked = verifier(PLAIN | {"encoding": "base64"})
    if spoil(right) == right:
        assert checked.verify(request(("x-signature", right)), NOW)
    else:
        assert "malformed" == reason(checked, request(("x-signature", spoil(right))))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (mac()[:-1], "malformed"),
        (mac() + " ", "malformed"),
        (" " + mac(), "malformed"),
        (mac()[:10] + " " + mac()[10:], "malformed"),
        (mac() + "\n", "malformed"),
        (mac()[:-2], "bad_signature"),
        ("é" * 64, "malformed"),
        ("\u0663" * 64, "malformed"),
        ("a" * 4098, "too_long"),
        ("", "no_signature"),
    ],
)
def test_hex_that_is_not_the_whole_digest_is_refused(text: str, word: str) -> None:
    assert word == reason(verifier(), request(("x-signature", text)))


@pytest.mark.parametrize(
    "text", ["-1", "+1767225600", "1767225600.0", " 1767225600", "1e9", "\uff11\uff17", "9" * 13, "0x1", "t"]
)
def test_a_timestamp_that_is_not_digits_is_malformed(text: str) -> None:
    settings = PLAIN | {"message": "{ts}.{body}", "vars": {"ts": "header:X-Time"}, "tolerance": 300}
    right = mac(text.encode() + b"." + BODY)
    assert "malformed" == reason(verifier(settings), request(("x-time", text), ("x-signature", right)))


def test_more_than_a_hundred_candidates_are_refused_unread() -> None:
    right = f"t={NOW},v1={mac(b'%d.' % NOW + BODY)}"
    assert verifier(TIMED).verify(request(("x-signature", right + ",v1=a" * 99)), NOW)
    assert "too_many" == reason(verifier(TIMED), request(("x-signature", right + ",v1=a" * 100)))


@pytest.mark.parametrize("name", ["X-Signature-1", r"X-Signature-\d+"])
def test_a_header_that_stands_twice_is_refused_and_several_numbered_ones_are_not(name: str) -> None:
    checked = verifier(PLAIN | {"signature": f"header:{name}"})
    assert checked.verify(request(("x-signature-1", mac()), ("x-signature-2", "00")), NOW)
    assert "doubled" == reason(checked, request(*[("x-signature-1", mac())] * 2, ("x-signature-2", "00")))


def test_a_header_whose_name_nobody_could_mean_is_not_looked_at() -> None:
    checked = verifier(PLAIN | {"signature": "header:x-.*"})
    assert checked.verify(request(("x-" + "y" * 254, mac())), NOW)
    assert "no_signature" == reason(checked, request(("x-" + "y" * 255, mac())))


def test_a_query_signature_is_decoded_once_and_stands_once() -> None:
    checked = verifier(PLAIN | {"signature": "query:sig"})
    encoded = f"%{ord(mac()[0]):02x}{mac()[1:]}"
    assert checked.verify(request(query=f"a=1&sig={encoded}"), NOW)
    assert "malformed" == reason(checked, request(query="sig=%25" + encoded[1:]))
    assert "doubled" == reason(checked, request(query=f"sig={mac()}&s%69g=x"))
    assert "no_signature" == reason(checked, request(query="sig"))


def test_a_plus_in_a_query_signature_stays_a_plus() -> None:
    body = next(b"%d" % n for n in range(99) if "+" in base64.b64encode(bytes.fromhex(mac(b"%d" % n))).decode())
    checked = verifier(PLAIN | {"signature": "query:sig", "encoding": "base64"})
    assert checked.verify(request(query="sig=" + base64.b64encode(bytes.fromhex(mac(body))).decode(), body=body), NOW)


@pytest.mark.parametrize(
    ("value", "signed"), [("true", b"true"), ("false", b"false"), ("12345678901234567890", b"12345678901234567890")]
)
def test_json_values_are_signed_as_they_are_printed(value: str, signed: bytes) -> None:
    checked = verifier(PLAIN | {"message": "{json:/a/b}"})
    body = b'{"a": {"b": %s}}' % value.encode()
    assert checked.verify(request(("x-signature", mac(signed)), body=body), NOW)


@pytest.mark.parametrize("value", ["1.0", "1e3", "NaN", "{}", "[1]", '"\\ud800"'])
def test_json_values_that_cannot_be_signed_are_malformed(value: str) -> None:
    checked = verifier(PLAIN | {"message": "{json:/a}"})
    assert "malformed" == reason(checked, request(("x-signature", mac()), body=b'{"a": %s}' % value.encode()))


def test_a_missing_json_value_is_empty_only_where_text_fences_it_off() -> None:
    fenced = verifier(PLAIN | {"message": "{json:a}:{json:b}"})
    assert fenced.verify(request(("x-signature", mac(b"1:")), body=b'{"a": 1}'), NOW)
    assert fenced.verify(request(("x-signature", mac(b"1:")), body=b'{"a": 1, "b": null}'), NOW)
    touching = verifier(PLAIN | {"message": "{json:a}{json:b}"})
    assert "missing_value" == reason(touching, request(("x-signature", mac(b"1")), body=b'{"a": 1}'))
    alone = verifier(PLAIN | {"message": "v0:{json:a}"})
    assert "missing_value" == reason(alone, request(("x-signature", mac(b"v0:")), body=b"{}"))


def test_a_signature_without_its_time_is_refused_even_if_the_rest_is_right() -> None:
    assert "missing_value" == reason(verifier(TIMED), request(("x-signature", f"v1={mac(b'.' + BODY)}")))


def test_headers_that_are_said_to_be_signed_must_all_be_there() -> None:
    right = mac(b"a b.1.2." + BODY)
    listed = verifier(LISTED)
    headers = (("x-signed", "a b"), ("x-signature", right), ("a", "1"), ("b", "2"))
    assert listed.verify(request(*headers), NOW)
    assert "missing_value" == reason(listed, request(*headers[:3]))
    assert "too_many" == reason(listed, request(("x-signed", "a " * 101), *headers[1:]))


def form(*parts: str, boundary: str = "B") -> RawRequest:
    body = (
        "".join(f"--{boundary}\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + f"--{boundary}--\r\n"
    )
    return request(("content-type", 'multipart/form-data; boundary="B"'), body=body.encode())


def test_the_json_of_a_form_is_found_by_its_field_name() -> None:
    decoy = 'name="file"; filename="json"\r\n\r\n{"a": 2}'
    assert {"a": 1} == viewed_json(form(decoy, 'name="json"\r\n\r\n{"a": 1}'), "multipart:json")


def test_a_form_without_the_field_or_with_two_of_it_or_with_too_many_is_no_json() -> None:
    field = 'name="json"\r\n\r\n{"a": 1}'
    crowd = [f'name="x{number}"\r\n\r\n1' for number in range(100)]
    for asked in (form(), form(field, field), form(field, *crowd), request(("content-type", "text/plain"))):
        assert "not_json" == reason(verifier(FORM), asked)


ENCODED = ("content-type", "application/x-www-form-urlencoded")


def test_the_fields_of_a_form_are_texts_of_one_object() -> None:
    asked = request(ENCODED, body=b"id=7&title=Tenancy+%C2%A38%26&list=%5B1%5D&empty=")
    assert {"id": "7", "title": "Tenancy £8&", "list": "[1]", "empty": ""} == viewed_json(asked, "form")


@pytest.mark.parametrize(
    "body", [b"a=1&a=2", b"a=%", b"a=%ff", b"&".join(b"a%d=1" % number for number in range(101))], ids=lambda b: b[:9]
)
def test_a_form_that_is_doubled_or_broken_or_endless_is_no_json(body: bytes) -> None:
    with pytest.raises(ValueError):
        viewed_json(request(ENCODED, body=body), "form")


def test_what_is_no_form_has_no_fields() -> None:
    with pytest.raises(ValueError, match="no URL-encoded form"):
        viewed_json(request(("content-type", "application/json"), body=b'{"id": 7}'), "form")


# --- masking ------------------------------------------------------------------------------------------------------


def test_a_secret_sent_as_it_is_shows_only_as_the_fingerprint_that_verify_gives() -> None:
    settings = {"alg": "equal", "signature": "header:Authorization", "pattern": "^Bearer (.+)$"}
    checked = verifier(settings, Secret("s3cret"))
    asked = request(("authorization", "Bearer s3cret"), ("x-id", "7"))
    assert (("authorization", checked.verify(asked, NOW)), ("x-id", "7")) == checked.mask(asked).headers


def test_a_secret_in_the_query_is_masked_and_the_rest_of_the_query_is_kept() -> None:
    checked = verifier({"alg": "equal", "signature": "query:key"}, Secret("s3 cret"))
    masked = checked.mask(request(query="a=%20&key=s3%20cret&key=&b"))
    assert f"a=%20&key={fingerprint('s3 cret')}&key=&b" == masked.query


@pytest.mark.parametrize(
    ("written", "secret"),
    [('"s3 cret"', "s3 cret"), ('"a/b"', "a/b"), ('"a\\/b"', "a/b"), ('"\\u00e9"', "é"), ('"é"', "é"), ('"\\""', '"')],
)
def test_a_secret_in_the_json_is_masked_however_it_is_written(written: str, secret: str) -> None:
    checked = Verifier(VerifySettings(alg="equal", signature="json:/key"), [Secret(secret)])
    asked = request(body=f'{{"key": {written}, "again": [{written}], "id": "s3"}}'.encode())
    mark = checked.verify(asked, 0)
    assert f'{{"key": "{mark}", "again": ["{mark}"], "id": "s3"}}'.encode() == checked.mask(asked).body


SPELLINGS = ["ab+cd/ef==", "ab\\u002Bcd/ef==", "ab\\u002bcd/ef\\u003d\\u003d", "ab+cd\\u002Fef==", "ab+cd\\/ef=="]


@pytest.mark.parametrize("written", SPELLINGS)
@pytest.mark.parametrize("around", ['{"id": 1, "key": "%s"}', '{"key": "%s", "\\"": [",", "\\\\", "\\u0041"]}'])
def test_whatever_escapes_verify_are_masked_and_the_rest_stays_byte_for_byte(around: str, written: str) -> None:
    checked = Verifier(VerifySettings(alg="equal", signature="json:/key"), [Secret("ab+cd/ef==")])
    asked = request(body=(around % written).encode())
    assert (around % checked.verify(asked, 0)).encode() == checked.mask(asked).body


def test_a_secret_that_is_sent_as_a_number_is_masked_as_text() -> None:
    checked = Verifier(VerifySettings(alg="equal", signature="json:/key"), [Secret("123456789")])
    asked = request(body=b'{"key":123456789,"n":1234567890,"s":"123456789"}')
    mark = checked.verify(asked, 0)
    assert f'{{"key":"{mark}","n":1234567890,"s":"{mark}"}}'.encode() == checked.mask(asked).body


def test_a_wrong_secret_is_masked_as_a_value_and_not_inside_of_other_text() -> None:
    checked = Verifier(VerifySettings(alg="equal", signature="json:/key"), [Secret("s3 cret")])
    masked = checked.mask(request(body=b'{"key":",","a":["b","c,",","]}'))
    mark = fingerprint(",")
    assert f'{{"key":"{mark}","a":["b","c,","{mark}"]}}'.encode() == masked.body


def test_a_secret_is_masked_in_its_field_whatever_quotes_stand_before_it_in_the_form() -> None:
    settings = {"alg": "equal", "signature": "json:s", "body_view": "multipart:json"}
    checked = verifier(settings, Secret("s3 cret"))
    asked = form('name="file"\r\n\r\n5" pipe', 'name="json"\r\n\r\n{"s": "s3\\u0020cret"}')
    mark = checked.verify(asked, 0)
    assert asked.body.replace(b"s3\\u0020cret", mark.encode()) == checked.mask(asked).body


def test_a_secret_among_the_fields_of_a_form_is_masked() -> None:
    checked = verifier({"alg": "equal", "signature": "json:key", "body_view": "form"}, Secret("s3 cret"))
    asked = request(ENCODED, body=b"id=7&key=s3%20cret&again=s3+cret")
    mark = checked.verify(asked, NOW)
    assert {"id": "7", "key": mark, "again": mark} == viewed_json(checked.mask(asked), "form")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32-le"])
def test_a_secret_is_masked_in_json_of_another_encoding(codec: str) -> None:
    checked = Verifier(VerifySettings(alg="equal", signature="json:/key"), [Secret("s3 cret")])
    asked = request(body='{"key": "s3 cret", "a": "é"}'.encode(codec))
    mark = checked.verify(asked, 0)
    assert f'{{"key": "{mark}", "a": "é"}}'.encode(codec) == checked.mask(asked).body


def test_a_secret_that_others_repeat_is_masked_there_too() -> None:
    checked = verifier({"alg": "equal", "signature": "query:key"}, Secret("a-secret+word"))
    headers = (("x-original-url", "/hooks/x?key=a-secret%2bword&a=1"), ("x-id", "7"))
    masked = checked.mask(request(*headers, query="key=a-secret+word", body=b'{"url": "\\/x?key=a-secret%2Bword"}'))
    mark = fingerprint("a-secret+word")
    assert (("x-original-url", f"/hooks/x?key={mark}&a=1"), ("x-id", "7")) == masked.headers
    assert (f"key={mark}", f'{{"url": "\\/x?key={mark}"}}'.encode()) == (masked.query, masked.body)


@pytest.mark.parametrize(
    "body", [b"", b"not json", b'{"key": 5.0}', b'{"key": true}', b'{"key": ""}', b'{"b": "s3 cret"}']
)
def test_a_body_without_a_value_at_the_place_is_kept_as_it_is(body: bytes) -> None:
    checked = Verifier(VerifySettings(alg="equal", signature="json:/key"), [Secret("s3 cret")])
    assert body == checked.mask(request(body=body)).body


def test_credentials_of_the_transport_are_always_masked_and_signatures_are_not() -> None:
    names = ("authorization", "cookie", "proxy-authorization")
    asked = request(*((name, "hunter2") for name in names), ("x-signature", mac()), ("cookie", ""))
    expected = (*((name, fingerprint("hunter2")) for name in names), ("x-signature", mac()), ("cookie", ""))
    assert expected == verifier().mask(asked).headers
    assert expected == Verifier(VerifySettings(alg="none"), []).mask(asked).headers


# --- anything at all ----------------------------------------------------------------------------------------------

SCHEMES = [
    PLAIN,
    TIMED,
    FORM,
    LISTED,
    PLAIN | {"alg": "sha1", "message": "{json:a}{url}", "signature": "json:s", "encoding": "base64"},
    PLAIN
    | {"alg": "hmac-sha512", "message": "{json:/a/0}.{header:B}", "signature": r"header:x-.*", "encoding": "base64"},
    {"alg": "equal", "signature": "query:sig"},
    {"alg": "equal", "signature": "json:s"},
    PLAIN | {"alg": "hmac-md5", "signature": "query:sig", "encoding": "base64|hex"},
]
NAMES = st.sampled_from(["x-signature", "x-time", "x-signed", "content-type", "b", "cookie"])
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="tv10=,;&%.abf /+", max_size=80),
    st.sampled_from(["t=1767225600,v1=00", "multipart/form-data; boundary=B", "x-time b"]),
    st.characters().map(lambda character: character * 5000),
)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "s", "0"]), inner, max_size=3)
))  # fmt: skip


@hypothesis.settings(deadline=None, max_examples=300)
@given(
    settings=st.sampled_from(SCHEMES),
    headers=st.lists(st.tuples(NAMES, TEXTS), max_size=6),
    query=st.one_of(TEXTS, TEXTS.map(lambda text: "sig=" + text)),
    body=st.one_of(
        st.binary(),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.binary().map(lambda raw: b'--B\r\nContent-Disposition: form-data; name="json"\r\n\r\n' + raw + b"\r\n--B--"),
    ),
    now=st.floats(allow_nan=False, allow_infinity=False),
)
def test_nothing_that_is_sent_is_believed_or_raises_anything_but_not_genuine(
    settings: dict[str, Any], headers: list[tuple[str, str]], query: str, body: bytes, now: float
) -> None:
    checked = verifier(settings, public_url="https://sign.example")
    asked = RawRequest(path=query, query=query, headers=tuple(headers), body=body)
    assert reason(checked, asked, now)
    assert len(headers) == len(checked.mask(asked).headers)
