"""From one callback and its secret to the settings that verify it: what is recognised, searched for, and left alone."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.guard import secret
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.learning.families import families
from webhook_svc.signing.learning.learn import Learned, Lesson, learn, table, warnings
from webhook_svc.signing.presets import PRESETS
from webhook_svc.signing.rfc9421.message_signatures import content_digest
from webhook_svc.signing.sign import sign
from webhook_svc.signing.verify import Verifier, VerifySettings

NOW = 1_790_000_000
KEY = secret("shared")
BODY = b'{"event": {"type": "done", "time": 1789999990, "id": "e-1"}, "data": {"id": "d-1"}}'
URL = "https://hooks.acme.example"


def digest(message: bytes, key: bytes | str = KEY, alg: str = "sha256") -> bytes:
    return hmac.digest(key.encode() if isinstance(key, str) else key, message, alg)


def in_hex(message: bytes) -> str:
    return digest(message).hex()


def in_base64(message: bytes) -> str:
    return base64.b64encode(digest(message)).decode()


def callback(body: bytes = BODY, /, query: str = "", **headers: str) -> RawRequest:
    """`x_signature` becomes the header x-signature."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return RawRequest(path="/hooks/x", query=query, headers=named, body=body)


def lesson(request: RawRequest, text: str = KEY) -> Lesson:
    return learn(request, text, [URL], NOW)


def found(request: RawRequest, text: str = KEY) -> Learned:
    learned = lesson(request, text).found
    assert learned is not None
    Verifier(VerifySettings(**table(learned)) if table(learned) else learned.settings, [Secret(text)], URL)
    return learned


# --- how a signature is written -----------------------------------------------------------------------------------

WRITTEN: list[tuple[Callable[[bytes], str], str, str]] = [
    (in_hex, "{}", ""),
    (in_base64, "{}", ""),
    (in_hex, "sha256={}", r"(?:^|[,;\s])sha256=([^,;\s]+)"),
    (in_base64, "sha256={}", r"(?:^|[,;\s])sha256=([^,;\s]+)"),
    (in_hex, "a=1;sig={};b=2", r"(?:^|[,;\s])sig=([^,;\s]+)"),
    (in_hex, 'keyId="k",signature="{}"', r'(?:^|[,;\s])signature="([^"]+)"'),
    (in_base64, "v0,AAAA v1,{} v2,BBBB", r"(?:^|\s)v1,(\S+)"),
    (in_hex, "HMAC-SHA256 {}", r"^HMAC-SHA256\s+(\S+)$"),
    (in_hex, "sha256:{}", r"^sha256:\s*(\S+)$"),
    (in_base64, "client-7.eu:{}", r"^[^\s:]+:(\S+)$"),
    (in_hex, "{},x", r"(?:^|[,;\s])([^,;\s=]+)"),
    (in_hex, "00" * 32 + ",{}", r"(?:^|[,;\s])([^,;\s=]+)"),
]


@pytest.mark.parametrize(
    ("encoded", "form", "pattern"), WRITTEN, ids=[f"{one[1]}-{one[0].__name__}" for one in WRITTEN]
)
def test_a_signature_is_found_in_whatever_surrounds_it(
    encoded: Callable[[bytes], str], form: str, pattern: str
) -> None:
    settings = found(callback(x_acme=form.format(encoded(BODY)))).settings
    assert ("header:x-acme", pattern) == (settings.signature, settings.pattern)
    assert (encoded is in_hex) == (settings.encoding == "hex")


def test_a_signature_is_found_in_the_query_and_in_the_json() -> None:
    assert "query:sig" == found(callback(query=f"a=1&sig={in_hex(BODY)}")).settings.signature
    signed = json.dumps({"a": {"hash": in_hex(b"e-1"), "id": "e-1"}}).encode()
    one = found(callback(signed)).settings
    assert ("json:/a/hash", "{json:/a/id}") == (one.signature, one.message)


def test_numbered_headers_are_one_place() -> None:
    headers = {"x_sig_1": in_base64(b"another key's"), "x_sig_2": in_base64(BODY)}
    assert r"header:x-sig-\d+" == found(callback(**headers)).settings.signature


def test_a_number_that_names_an_algorithm_does_not_count_headers() -> None:
    assert "header:x-sig-256" == found(callback(x_sig_256=in_hex(BODY))).settings.signature


def test_the_json_in_a_form_is_looked_through() -> None:
    content = json.dumps({"event": {"hash": in_hex(b"1789999990done"), "time": "1789999990", "type": "done"}})
    body = f'--b\r\nContent-Disposition: form-data; name="json"\r\n\r\n{content}\r\n--b--\r\n'.encode()
    one = found(callback(body, content_type="multipart/form-data; boundary=b")).settings
    assert ("multipart:json", "{json:/event/time}{json:/event/type}") == (one.body_view, one.message)


@pytest.mark.parametrize(
    ("view", "place", "body"),
    [
        ("form", "json:/hash", "token=t-1&time=1789999990&hash={0}"),
        ("form:event", "json:/hash", "other=1&event=%7B%22token%22%3A%22t-1%22%2C%22hash%22%3A%22{0}%22%7D"),
    ],
)
def test_url_encoded_forms_are_looked_through(view: str, place: str, body: str) -> None:
    request = callback(body.format(in_hex(b"t-1")).encode(), content_type="application/x-www-form-urlencoded")
    one = found(request).settings
    assert (view, place, "{json:/token}") == (one.body_view, one.signature, one.message)


# --- what is signed -----------------------------------------------------------------------------------------------

SIGNED = [
    ("{body}", None),
    *((f"{{ts}}{separator}{{body}}", 300) for separator in ("", ".", ":", ",", "|", "\n", "-", "_")),
    ("v0:{ts}:{body}", 300),
    ("{body}{ts}", 300),
    ("{id}.{ts}.{body}", 300),
    ("{ts}.{id}.{body}", 300),
    ("{url}{body}", None),
    ("{url}", None),
    ("{ts}|{url}|{body}", 300),
    ("{body}{header:date}", None),
    ("{json:/event/type}@{json:/event/time}", None),
    ("{json:/event/id}:{json:/data/id}:{json:/event/type}", None),
]


@pytest.mark.parametrize(("message", "tolerance"), SIGNED, ids=[repr(message) for message, _ in SIGNED])
def test_what_is_signed_is_found(message: str, tolerance: int | None) -> None:
    headers = {"date": "Tue, 20 Apr 2021", "x_delivery_id": "d-77", "x_time": str(NOW), "host": "hooks.acme.example"}
    names = {"ts": "header:x-time", "id": "header:x-delivery-id"}
    used = {name: place for name, place in names.items() if f"{{{name}}}" in message}
    settings = VerifySettings(alg="hmac-sha256", message=message, signature="header:x-sig", vars=used)
    signature = sign(settings, Secret(KEY), callback(**headers), public_url=URL)
    one = found(callback(**headers, x_sig=signature)).settings
    assert (message, tolerance, used) == (one.message, one.tolerance, dict(one.vars))


def test_the_time_may_stand_beside_the_signature() -> None:
    for form in ("t={0},v1={1}", "ts={0};h1={1}", "{0}.{1}", "v1={1} t={0}"):
        learned = found(callback(x_sig=form.format(NOW, in_hex(b"%d.%s" % (NOW, BODY)))))
        assert ("{ts}.{body}", 300, NOW) == (learned.settings.message, learned.settings.tolerance, learned.moment)


def test_headers_that_the_signature_lists_are_covered_where_they_are_signed() -> None:
    message = b"%d.x-a x-b.one.two.%s" % (NOW, BODY)
    listed = f"t={NOW},h=x-a x-b,v0={in_hex(b'%d.%s' % (NOW, BODY))},v1={in_hex(message)}"
    one = found(callback(x_a="one", x_b="two", x_sig=listed)).settings
    assert "{ts}.{h}.{hvals}.{body}" == one.message


def test_a_time_in_the_body_is_no_clock_because_repeats_may_carry_the_first_one() -> None:
    signed = json.dumps({"hash": in_hex(b"1789999990done"), "time": 1789999990, "type": "done"}).encode()
    assert None is found(callback(signed)).settings.tolerance


@pytest.mark.parametrize("alg", ["hmac-sha1", "hmac-sha256", "hmac-sha512", "hmac-md5", "sha1"])
def test_the_algorithm_is_found(alg: Any) -> None:
    settings = VerifySettings(alg=alg, message="{body}", signature="header:x-sig")
    assert alg == found(callback(x_sig=sign(settings, Secret(KEY), callback()))).settings.alg


@pytest.mark.parametrize(
    ("text", "key", "kind"),
    [
        ("ab" * 20, b"\xab" * 20, "hex"),
        (base64.b64encode(b"\x07" * 25).decode(), b"\x07" * 25, "base64"),
        ("whsec_" + base64.b64encode(b"\x07" * 24).decode(), b"\x07" * 24, "whsec"),
        ("whsec_c2VjcmV0", b"whsec_c2VjcmV0", "utf8"),
        ("sécret", "se\u0301cret".encode(), "utf8-nfkd"),
    ],
)
def test_the_way_to_read_the_key_is_found(text: str, key: bytes, kind: str) -> None:
    assert kind == found(callback(x_sig=digest(BODY, key).hex()), text).settings.key


def test_a_public_key_is_found_too() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(key.sign(b"%d|%s" % (NOW, BODY))).decode()
    one = found(callback(x_time=str(NOW), x_sig=signature), public).settings
    assert ("ed25519", "base64", "{ts}|{body}") == (one.alg, one.key, one.message)


# --- what is known by name ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"rfc9421", "client-certificate", "standard-webhooks-v1a"}))
def test_a_preset_is_called_by_its_name(name: str) -> None:
    settings = VerifySettings(preset=name)
    text = "user:" + KEY if name == "basic" else base64.b64encode(b"\x07" * 24).decode()
    values = {"ts": str(NOW), "id": "m-1"}
    headers = {place.removeprefix("header:"): values[var] for var, place in settings.vars.items() if "~" not in place}
    signature = sign(settings, Secret(text), callback(**headers), values=values)
    written = {"stripe": f"t={NOW},v1={signature}", "github": f"sha256={signature}", "slack": f"v0={signature}"}
    written |= {"bearer": f"Bearer {text}", "basic": f"Basic {base64.b64encode(text.encode()).decode()}"}
    if name in ("standard-webhooks", "svix"):
        written[name] = f"v1,{signature}"
    header = settings.signature.removeprefix("header:").lower()
    request = RawRequest(
        headers=(*((key.lower(), one) for key, one in headers.items()), (header, written.get(name, signature))),
        body=BODY,
    )
    assert (name, {"preset": name}) == (found(request, text).known, table(found(request, text)))


def test_a_family_that_no_search_would_find_is_known() -> None:
    assert 3 <= len(list(families()))
    item = {
        "pspReference": "p:1",
        "merchantAccountCode": "m",
        "merchantReference": "r",
        "amount": {"value": 7, "currency": "EUR"},
        "eventCode": "DONE",
        "success": "true",
    }
    signature = base64.b64encode(digest(b"p:1::m:r:7:EUR:DONE:true", b"\xab" * 20)).decode()
    item["additionalData"] = {"hmacSignature": signature}
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": item}]}).encode()
    assert "Adyen's notifications" == found(callback(body), "ab" * 20).known


def test_of_several_digests_of_one_secret_the_strongest_is_taken() -> None:
    weak, strong = digest(BODY, alg="sha1").hex(), digest(BODY).hex()
    assert "hmac-sha256" == found(callback(x_hub_signature=f"sha1={weak},sha256={strong}")).settings.alg


def test_message_signatures_are_known_and_cover_the_body_where_it_is_covered() -> None:
    settings = VerifySettings(
        alg="hmac-sha256", message="{base}", encoding="base64", signature="header:signature", key="utf8"
    )
    covered = f'sig1=("@method" "content-digest");created={NOW}'
    request = callback(signature_input=covered, content_digest=content_digest(BODY))
    signature = sign(settings, Secret(KEY), request)
    signed = replace(request, headers=(*request.headers, ("signature", signature)))
    learned = found(signed)
    assert ("{base}", ("content-digest",), 300, NOW) == (
        learned.settings.message,
        learned.settings.covers,
        learned.settings.tolerance,
        learned.moment,
    )
    assert [] == list(warnings(learned.settings))


# --- the secret itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "place", "pattern"),
    [
        (callback(x_key=KEY), "header:x-key", ""),
        (callback(query=f"token={KEY}"), "query:token", ""),
        (callback(json.dumps({"a": {"token": KEY}}).encode()), "json:/a/token", ""),
        (callback(x_key=f"Token {KEY}"), "header:x-key", r"^Token\s+(\S+)$"),
        (callback(cookie=f"a=b; key={KEY}"), "header:cookie", r"(?:^|[,;\s])key=([^,;\s]+)"),
    ],
)
def test_a_secret_that_is_sent_is_found_where_it_stands(request_: RawRequest, place: str, pattern: str) -> None:
    settings = found(request_).settings
    assert ("equal", place, pattern) == (settings.alg, settings.signature, settings.pattern)


def test_a_short_secret_is_not_looked_for_inside_of_other_text() -> None:
    assert None is lesson(callback(x_key="Token k"), "k").found


def test_a_signature_is_preferred_to_the_secret_beside_it() -> None:
    assert "hmac-sha256" == found(callback(x_key=KEY, x_sig=in_hex(BODY))).settings.alg


# --- what came differently, and what is left open -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "signed", "words"),
    [
        (BODY + b"\n", BODY, "the body without the line break at its end"),
        (BODY, BODY + b"\n", "the body with a line break (LF) at its end"),
        (b"a\r\nb", b"a\nb", "the body with LF in the place of CRLF"),
    ],
)
def test_a_line_break_that_the_capture_changed_is_found(came: bytes, signed: bytes, words: str) -> None:
    learned = lesson(callback(came, x_sig=in_hex(signed)))
    assert (True, words) == (learned.found is not None, learned.body)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (VerifySettings(preset="stripe"), []),
        (VerifySettings(preset="github"), ["no time"]),
        (VerifySettings(preset="token"), ["nothing is signed"]),
        (VerifySettings(alg="hmac-sha256", message="{json:/id}", signature="json:/s"), ["the body", "no time"]),
    ],
)
def test_what_the_settings_leave_open_is_told(settings: VerifySettings, told: list[str]) -> None:
    said = list(warnings(settings))
    assert len(told) == len(said)
    assert all(one.startswith(begins) for one, begins in zip(said, told, strict=True))


def test_where_nothing_fits_it_is_told_what_was_tried() -> None:
    nothing = lesson(callback(x_sig=in_hex(b"something else"), x_time=str(NOW)))
    assert (None, 1, False) == (nothing.found, nothing.clues, nothing.bounded)
    assert nothing.trials > 1000
    assert Lesson(found=None) == lesson(RawRequest())


# --- bad input ----------------------------------------------------------------------------------------------------

FORGED = in_hex(b"of nobody")
HOSTILE = {
    "10 MB": callback(b"x" * 10_000_000, x_sig=FORGED, x_time=str(NOW)),
    "JSON of hashes": callback(json.dumps([{"a": in_hex(b"%d" % n)} for n in range(1_500)]).encode(), x_sig=FORGED),
    "deep": callback(b"[" * 100_000, x_sig=FORGED),
    "1000 signatures": RawRequest(headers=tuple((f"x-{n}-sig", in_hex(b"%d" % n)) for n in range(1000))),
    "runs": RawRequest(headers=tuple((f"x-{n}", "a" * 4000 + "=" + FORGED) for n in range(300))),
    "blanks": RawRequest(headers=tuple((f"x-{n}", " " * 4000 + FORGED) for n in range(300))),
    "pairs": RawRequest(headers=tuple((f"x-{n}", ",a=" * 1300 + FORGED) for n in range(300))),
    "times": RawRequest(headers=tuple((f"x-{n}", f"{NOW}," * 360) for n in range(300))),
    "names": RawRequest(headers=(("x!(\\d+", FORGED), ("*", FORGED)), query="(=a&{}=1&=&%ff=%ff"),
    "form": callback(b"--b\r\n" * 100_000, content_type="multipart/form-data; boundary=b", x_sig=FORGED),
    "9421": callback(signature="s=:AAAA:", signature_input="s=(" + '"a" ' * 900 + ");created=-1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bad_input_ends_within_seconds_and_teaches_nothing(name: str) -> None:
    began = time.process_time()
    assert None is lesson(HOSTILE[name]).found
    assert time.process_time() - began < 5


def test_no_pattern_that_is_found_holds_text_of_the_sender_as_a_pattern() -> None:
    request = RawRequest(headers=(("x-sig", f"a.b={in_hex(BODY)}"),), body=BODY)
    assert r"(?:^|[,;\s])a\.b=([^,;\s]+)" == found(request).settings.pattern
