"""JSON that comes in a field of a form: found where it stands once, never slowly, and masked there too."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.forms import check_view, viewed
from webhook_svc.signing.reading import viewed_json
from webhook_svc.signing.sign import sign
from webhook_svc.signing.verify import Verifier, VerifySettings

URLENCODED = "application/x-www-form-urlencoded"
VIEW = "form:payload"


def form(body: bytes | str, content_type: str = URLENCODED) -> RawRequest:
    raw = body.encode() if isinstance(body, str) else body
    return RawRequest(headers=(("content-type", content_type),), body=raw)


def multipart(*parts: bytes, boundary: str = "B") -> RawRequest:
    lines = (f"--{boundary}\r\nContent-Disposition: form-data; ".encode() + part + b"\r\n" for part in parts)
    body = b"".join(lines) + f"--{boundary}--\r\n".encode()
    return form(body, f"multipart/form-data; boundary={boundary}")


@pytest.mark.parametrize(
    "body",
    [
        "payload=" + quote_plus('{"a": "ü +&=%"}'),
        "x=1&payload=" + quote_plus('{"a": "ü +&=%"}') + "&payloads=2",
        "p%61yload=" + quote_plus('{"a": "ü +&=%"}'),
        'payload={"a": "ü%20%2B%26=%25"}',
    ],
)
def test_the_json_of_a_url_encoded_form_is_found_by_its_field_name(body: str) -> None:
    assert {"a": "ü +&=%"} == viewed_json(form(body), VIEW)


@pytest.mark.parametrize(
    "content_type", [URLENCODED.upper(), f"{URLENCODED}; charset=UTF-8", f'{URLENCODED};charset="utf8"']
)
def test_the_type_of_a_form_may_be_written_in_several_ways(content_type: str) -> None:
    assert {} == viewed_json(form("payload={}", content_type), VIEW)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", URLENCODED),
        ("payload", URLENCODED),
        ("payload=", URLENCODED),
        ("other={}", URLENCODED),
        ("Payload={}", URLENCODED),
        ("payload={}&payload={}", URLENCODED),
        ("payload={}&p%61yload={}", URLENCODED),
        ("payload=%7B%", URLENCODED),
        ("payload=%7B%7", URLENCODED),
        ("payload=%zz", URLENCODED),
        ("payload=%c3%28", URLENCODED),
        ("payload=%00", URLENCODED),
        ("payload={}", "application/json"),
        ("payload={}", ""),
        ("payload={}", "multipart/form-data; boundary=B"),
        ("payload={}", f"{URLENCODED}; charset=iso-8859-1"),
        ("payload={}", f"{URLENCODED}; charset=utf-16"),
        ("payload={}", f"{URLENCODED};{' ' * 5000}"),
        ("&".join(["payload={}", *(f"x{number}=1" for number in range(100))]), URLENCODED),
    ],
)
def test_a_form_that_is_not_understood_is_no_json(body: str, content_type: str) -> None:
    with pytest.raises(ValueError):
        viewed_json(form(body, content_type), VIEW)


BIG = 10 * 1024 * 1024

HUGE: dict[str, tuple[str, Callable[[], RawRequest]]] = {
    "ten thousand parts": ("multipart:json", lambda: multipart(*[b'name="json"\r\n\r\n{}'] * 10_000)),
    "ten thousand parts of one byte": (
        "multipart:json",
        lambda: form(b"--B\r\n" * 10_000, "multipart/form-data; boundary=B"),
    ),
    "parts without an end": ("multipart:json", lambda: multipart(b'name="json"; ' * 500_000)),
    "heads of semicolons": ("multipart:json", lambda: multipart(*[b"; " * 50_000] * 90)),
    "ten thousand fields": (VIEW, lambda: form("payload={}&" * 10_000)),
    "nothing but ampersands": (VIEW, lambda: form(b"&" * BIG)),
    "nothing but percents": (VIEW, lambda: form(b"payload=" + b"%" * BIG)),
    "percent garbage at the end": (VIEW, lambda: form(b"payload=" + b"%41" * (BIG // 3) + b"%4")),
    "a long name": (VIEW, lambda: form(b"%70" * (BIG // 3) + b"={}")),
    "ten thousand fields, all of them": ("form", lambda: form("a=1&" * 10_000)),
    "a field twice, all of them": ("form", lambda: form("a=1&b=2&%61=3")),
    "percent garbage, all of them": ("form", lambda: form(b"a=" + b"%41" * (BIG // 3) + b"%4")),
    "nothing but escapes": (VIEW, lambda: form(b"payload=" + b"%5B" * (BIG // 3))),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_form_is_refused_in_no_time(name: str) -> None:
    view, made = HUGE[name]
    request = made()
    begun = time.process_time()
    with pytest.raises(ValueError):
        viewed_json(request, view)
    assert time.process_time() - begun < 0.5


def test_a_field_of_ten_megabytes_is_read_in_no_time() -> None:
    request = form(b"payload=" + b"+" * (BIG // 2) + b"%7B%7D")
    begun = time.process_time()
    assert BIG // 2 + 2 == len(viewed(request, VIEW))
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    "parts",
    [
        [b'name="json"\r\n\r\n{}', b'name="json"\r\n\r\n{}'],
        [b'name="json"\r\n\r\n{}', b"name=json\r\n\r\n{}"],
        [b'name="json"\r\nContent-Type: application/json; charset=iso-8859-1\r\n\r\n{"a": "\xe9"}'],
        [b'name="json"\r\nContent-Transfer-Encoding: base64\r\n\r\ne30='],
        [b'name="json"\r\n{}'],
        [b'name="js%6fn"\r\n\r\n{}'],
    ],
)
def test_a_multipart_field_that_is_doubled_or_in_another_encoding_is_no_json(parts: list[bytes]) -> None:
    with pytest.raises(ValueError):
        viewed_json(multipart(*parts), "multipart:json")


@hypothesis.settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=60),
    st.lists(st.sampled_from([b"%", b"%4", b"%41", b"=", b"_", b"\n", b"\r\n", b" ", b"+", b"\t"])),
)
def test_a_field_reads_as_the_standard_library_decodes_it(some: bytes, rest: list[bytes]) -> None:
    raw = (some + b"".join(rest)).replace(b"&", b"")
    try:
        found = viewed(form(b"payload=" + raw), VIEW)
    except ValueError:
        assert b"%" in raw
        return
    assert unquote_to_bytes(raw.replace(b"+", b" ")) == found


@pytest.mark.parametrize("view", ["json", "multipart:", "form:", "form: ", "multipart", "xml:payload", "Form:payload"])
def test_a_view_that_names_no_field_is_refused(view: str) -> None:
    with pytest.raises(ValueError, match="body_view"):
        check_view(view)


# --- in a scheme --------------------------------------------------------------------------------------------------


def signed(document: dict[str, Any]) -> RawRequest:
    settings = VerifySettings(alg="hmac-sha256", message="{json:a}", signature="header:X", body_view=VIEW)
    asked = form("payload=" + quote_plus(json.dumps(document)))
    made = sign(settings, Secret("a shared secret"), asked)
    return RawRequest(headers=(*asked.headers, ("x", made)), body=asked.body)


def test_what_stands_in_a_form_can_be_signed() -> None:
    settings = VerifySettings(alg="hmac-sha256", message="{json:a}", signature="header:X", body_view=VIEW)
    checked = Verifier(settings, [Secret("a shared secret")])
    asked = signed({"a": "1"})
    assert checked.verify(asked, 0)
    with pytest.raises(NotGenuine):
        checked.verify(RawRequest(headers=asked.headers, body=asked.body.replace(b"1", b"2")), 0)
    with pytest.raises(NotGenuine) as caught:
        checked.verify(RawRequest(headers=asked.headers, body=b"payload=%"), 0)
    assert "not_json" == caught.value.reason


@pytest.mark.parametrize("sent", ["s3 cret/+", "wrong"])
def test_a_secret_in_a_form_is_masked_whether_it_is_right_or_wrong_and_the_rest_is_kept(sent: str) -> None:
    settings = VerifySettings(alg="equal", signature="json:/key", body_view=VIEW)
    checked = Verifier(settings, [Secret("s3 cret/+")])
    asked = form("x=%7e+1&payload=" + quote_plus(json.dumps({"key": sent, "a": "ü"}, ensure_ascii=False)) + "&y=%20")
    masked = checked.mask(asked)
    assert {"key": fingerprint(sent), "a": "ü"} == viewed_json(masked, VIEW)
    assert (b"x=%7e+1&payload=", b"&y=%20") == (masked.body[:16], masked.body[-6:])
