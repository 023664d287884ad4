"""Secrets in foreign text: however they are spelled they are gone, and nothing else is."""

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.ids import fingerprint
from webhook_svc.core.masks import SHORTEST, Mask, mask_value, without
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest

TOKEN = "7f3k-token.9_x~"
MARK = fingerprint(TOKEN)
SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

characters = st.one_of(st.sampled_from('abnu0041/\\"+=%,:-\n é계😀'), st.characters())
secrets = st.text(characters, min_size=SHORTEST, max_size=20)


def escapes(character: str) -> st.SearchStrategy[str]:
    """The ways in which JSON may write a character of a string."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    written = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    ways = [written, written.upper().replace("\\U", "\\u")]
    ways += [SHORT_ESCAPES[character]] if character in SHORT_ESCAPES else []
    ways += [character] if character >= " " and character not in '"\\' else []
    return st.sampled_from(ways)


def spelled(text: str) -> st.SearchStrategy[str]:
    return st.tuples(*map(escapes, text)).map("".join)


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# --- a secret inside of other text --------------------------------------------------------------------------------


@hypothesis.settings(deadline=None)
@given(data=st.data(), secret=secrets, before=st.text(characters), after=st.text(characters))
def test_a_secret_is_masked_in_json_however_it_is_escaped_and_no_other_byte_is_changed(
    data: st.DataObject, secret: str, before: str, after: str
) -> None:
    text = before + secret + after
    hypothesis.assume(text.find(secret) == text.rfind(secret))  # `count` would overlook two that overlap
    hypothesis.assume("%" not in before + after)
    lead, trail = data.draw(spelled(before)), data.draw(spelled(after))
    body = '{"a": ["%s%s%s"]}'
    written = body % (lead, data.draw(spelled(secret)), trail)
    hypothesis.assume(json.loads(raw(written)) == {"a": [before + secret + after]})

    assert raw(body % (lead, fingerprint(secret), trail)) == Mask(secret).body(raw(written))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(characters),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters, max_size=5), inner, max_size=4),
)


def texts_in(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for one in value for text in texts_in(one)]
        case dict():
            return [text for pair in value.items() for one in pair for text in texts_in(one)]
    return [json.dumps(value)]


@hypothesis.settings(deadline=None)
@given(
    value=JSON,
    secret=st.one_of(secrets, st.text('0123456789,":[]{}. ', min_size=SHORTEST, max_size=10)),
    plain=st.booleans(),
)
def test_json_that_does_not_hold_the_secret_is_kept_as_it_is(value: Any, secret: str, plain: bool) -> None:
    hypothesis.assume("%" not in (text := json.dumps(value, ensure_ascii=not plain)))
    hypothesis.assume(not any(secret in one for one in texts_in(value)))

    assert raw(text) == Mask(secret).body(raw(text))


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('{"n": 12345678, "m": 912345678, "s": "12345678"}', '{"n": "%s", "m": 912345678, "s": "%s"}'),
        ('{"n": -12345678, "u": "/x/12345678/y"}', '{"n": -12345678, "u": "/x/%s/y"}'),
    ],
)
def test_json_stays_readable_where_the_secret_could_be_a_part_of_a_number(body: str, kept: str) -> None:
    assert kept.replace("%s", fingerprint("12345678")).encode() == Mask("12345678").body(body.encode())


@hypothesis.settings(deadline=None)
@given(st.data())
def test_a_token_is_masked_however_it_is_percent_encoded(data: st.DataObject) -> None:
    ways = [st.sampled_from([one, f"%{ord(one):02x}", f"%{ord(one):02X}", f"%25{ord(one):02X}"]) for one in TOKEN]
    written = "".join(data.draw(st.tuples(*ways)))

    assert f"/hooks/x/{MARK}?a=%20" == Mask(TOKEN).text(f"/hooks/x/{written}?a=%20")
    assert f"url=%2Fhooks%2Fx%2F{MARK}&b".encode() == Mask(TOKEN).body(f"url=%2Fhooks%2Fx%2F{written}&b".encode())


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_json_in_another_encoding_stays_in_it(codec: str) -> None:
    body = f'{{"a": "é", "url": "/x/{TOKEN[:3]}\\u%04x{TOKEN[4:]}"}}' % ord(TOKEN[3])

    assert f'{{"a": "é", "url": "/x/{MARK}"}}'.encode(codec) == Mask(TOKEN).body(body.encode(codec))


def test_text_that_is_no_json_may_have_a_backslash_before_the_secret() -> None:
    assert f"C:\\{fingerprint('new-token')} ".encode() == Mask("new-token").body(b"C:\\new-token ")
    assert b'"C:\\new-token"' == Mask("new-token").body(b'"C:\\new-token"')


BEGINNINGS = [b"", b"{\0", b"\0{", b"\0\0", b"{\0\0\0", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\xef\xbb\xbf\0"]


@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary())
def test_bytes_that_hold_no_token_are_kept(beginning: bytes, rest: bytes) -> None:
    assert beginning + rest == Mask(TOKEN).body(beginning + rest)


def test_a_request_without_the_secrets_is_kept_itself() -> None:
    request = RawRequest(query="a=%20", headers=(("x", "\\y"),), body=b'"\\u0041"')
    bare = RawRequest(query="a", headers=(("x", "y"),), body=b"{}")

    assert request == without(request, [Secret(TOKEN)])
    assert bare is without(bare, [Secret(TOKEN), Secret("another-token")])


def test_a_secret_that_may_stand_in_any_word_is_left_alone() -> None:
    request = RawRequest(query="completed", body=b"completed")

    assert request is without(request, [Secret("comple")])


# --- a value as it was sent ---------------------------------------------------------------------------------------


@hypothesis.settings(deadline=None)
@given(data=st.data(), secret=st.one_of(secrets, st.text(characters, min_size=1, max_size=3)), other=JSON)
def test_a_value_of_json_is_masked_however_it_is_escaped_and_no_other_byte_is_changed(
    data: st.DataObject, secret: str, other: Any
) -> None:
    hypothesis.assume(secret not in [*texts_in(other), "a", "b", "c"])
    beside = json.dumps(other)
    first, second = data.draw(spelled(secret)), data.draw(spelled(secret))

    def written(one: str, two: str) -> bytes:
        return raw(f'{{"a": "{one}", "b": {beside}, "c": ["{two}"]}}')

    hypothesis.assume(json.loads(written(first, second))["c"] == [secret])
    assert written("m", "m") == mask_value(written(first, second), secret, "m")


@given(number=st.integers(), other=JSON)
def test_a_whole_number_is_masked_and_others_are_not(number: int, other: Any) -> None:
    hypothesis.assume(str(number) not in texts_in(other))
    beside = json.dumps(other)

    def written(value: str) -> bytes:
        return f'{{"a": {value}, "b": {beside}, "c": ["x{number}", {number}.5, {number}e1,{value}]}}'.encode()

    assert written('"m"') == mask_value(written(str(number)), str(number), "m")
