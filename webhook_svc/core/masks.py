"""A secret that stands somewhere in a callback gives way to its fingerprint, however it is spelled there."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Final

from .ids import fingerprint
from .settings import Secret
from .types import RawRequest, parse_json

SHORTEST: Final = 8
"""Characters of a secret that is looked for inside of other text: a shorter one stands in other words by chance."""

_JSON_ESCAPES: Final = dict(zip('"\\/\b\f\n\r\t', '"\\/bfnrt', strict=True))
_AFTER_BACKSLASH: Final = r'(?:u[0-9a-fA-F]{4}|["\\/bfnrt])'

_STRINGS: Final = json.JSONDecoder()
_OUTSIDE_STRINGS: Final = frozenset("0123456789+-.eE truefalsnNaIity,:[]{}\t\r\n")
"""Characters that JSON has outside of strings, where a part of a number must not become a word."""
_WHOLE: Final = re.compile(r"(?<![\w.+-])-?[0-9]+(?![\w.+-])")


class Mask:
    """One secret, to be found as it is, with JSON's escapes and percent-encoded, each character in its own way."""

    def __init__(self, secret: str) -> None:
        raw = secret.encode("utf-8", "surrogatepass")
        self._raw = raw
        self._shown = raw.decode("latin-1")
        self._mark = fingerprint(secret)
        self._pattern = re.compile(_pattern(secret))
        plain = secret.isascii() and secret.isprintable() and not set(secret) & set(_JSON_ESCAPES)
        self._escape = "\\u00" if plain else "\\"
        self._escape_raw = self._escape.encode()
        self._bare = set(secret) <= _OUTSIDE_STRINGS

    def body(self, body: bytes) -> bytes:
        if self._raw not in body and self._escape_raw not in body and b"%" not in body and b"\0" not in body:
            return body
        codec = json_codec(body)
        if codec != "utf-8":
            text = body.decode(codec, "surrogatepass").encode("utf-8", "surrogatepass").decode("latin-1")
            changed = self.text(text).encode("latin-1").decode("utf-8", "surrogatepass")
            return changed.encode(codec, "surrogatepass")
        text = body.decode("latin-1")
        changed = self.text(text)
        return body if changed is text else changed.encode("latin-1")

    def text(self, text: str) -> str:
        """Bytes shown as latin-1, without the secret."""
        if not self.may_stand_in(text):
            return text
        if self._bare and _is_json(text):
            return "".join(
                _numbers_masked(piece, {self._shown: self._mark})
                if held is None
                else self._pattern.sub(self._kept, piece)
                for piece, held in _pieces(text)
            )
        masked = self._pattern.sub(self._kept, text)
        if self._shown in masked and not _is_json(masked):
            # In JSON it only looked like the secret, behind a backslash that belongs to its first character.
            masked = masked.replace(self._shown, self._mark)
        return text if masked == text else masked

    def _kept(self, found: re.Match[str]) -> str:
        return self._mark if found[1] else found[0]

    def may_stand_in(self, text: str) -> bool:
        """False is certain, and costs little."""
        return self._shown in text or self._escape in text or "%" in text


def without(request: RawRequest, secrets: Iterable[Secret]) -> RawRequest:
    """Query, headers and body without the secrets; the request itself where they hold none."""
    masks = [mask for secret in secrets if (mask := _mask_of(secret.reveal()))]
    shown = "\n".join([request.query, *[value for _, value in request.headers]]) if masks else ""
    for mask in masks:
        if mask.may_stand_in(shown):
            headers = tuple((name, mask.text(value)) for name, value in request.headers)
            request = replace(request, query=mask.text(request.query), headers=headers)
        if (body := mask.body(request.body)) is not request.body:
            request = replace(request, body=body)
    return request


@lru_cache(maxsize=1000)
def _mask_of(secret: str) -> Mask | None:
    """None for a secret that is too short to be told from other text."""
    return Mask(secret) if len(secret) >= SHORTEST else None


def mask_value(body: bytes, value: str, mark: str) -> bytes:
    """JSON whose strings and whole numbers that read as the value are the mark instead; all else is as it was."""
    return mask_values(body, {value: mark})


def mask_values(body: bytes, marks: Mapping[str, str]) -> bytes:
    """The same for many values, each with its mark, in one go."""
    codec = json_codec(body)
    text = body.decode(codec, "surrogatepass")
    outside = partial(_numbers_masked, marks=marks) if any(map(_WHOLE.fullmatch, marks)) else str
    pieces = (
        outside(piece) if held is None else f'"{marks[held]}"' if held in marks else piece
        for piece, held in _pieces(text)
    )
    return "".join(pieces).encode(codec, "surrogatepass")


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """JSON's strings as they are written and what they say, and what stands between them (None)."""
    done, quote = 0, text.find('"')
    while quote >= 0:
        yield text[done:quote], None
        held, done = _STRINGS.raw_decode(text, quote)
        yield text[quote:done], held
        quote = text.find('"', done)
    yield text[done:], None


def _numbers_masked(text: str, marks: Mapping[str, str]) -> str:
    return _WHOLE.sub(lambda found: f'"{marks[found[0]]}"' if found[0] in marks else found[0], text)


def json_codec(body: bytes) -> str:
    """How JSON's bytes become text and again the same bytes: "utf-8", also where they are in no other encoding."""
    codec: str = json.detect_encoding(body) if b"\0" in body else "utf-8"
    if codec in ("utf-16", "utf-32"):
        # Named with its order, a codec keeps the mark of the order as a character.
        codec += "-le" if body.startswith(codecs.BOM_UTF16_LE) else "-be"
    try:
        body.decode(codec, "surrogatepass")
    except UnicodeDecodeError:
        return "utf-8"
    return "utf-8" if codec == "utf-8-sig" else codec


def _pattern(secret: str) -> str:
    """Group 1 is the secret. Escapes that are none of it are passed whole, so that it never begins inside of one; not
    endlessly many at a time, for the engine remembers each.

    All begins with one set of characters, which the engine searches for many times faster than for alternatives.
    """
    first, rest = _ways(secret[0]), "".join(map(_spelled, secret[1:]))
    leads = "".join({lead: "" for lead, _ in first} | {r"\\": ""})
    begun = "|".join(f"(?<={lead}){follows}" for lead, follows in first)
    passed = rf"(?<=\\){_AFTER_BACKSLASH}(?:(?!{_spelled(secret[0])}{rest})\\{_AFTER_BACKSLASH}){{0,1000}}"
    return f"[{leads}](?:((?:{begun}){rest})|{passed})"


def _spelled(character: str) -> str:
    return f"(?:{'|'.join(lead + follows for lead, follows in _ways(character))})"


def _ways(character: str) -> list[tuple[str, str]]:
    """Patterns of the first character and of those that follow, for each way to write one character of a secret."""
    raw = character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass").hex()
    percent = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in raw)
    escaped = "".join(rf"\\u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4))
    found = [("%", percent[1:]), (r"\\", escaped[2:])]
    if character in _JSON_ESCAPES:
        found.append((r"\\", re.escape(_JSON_ESCAPES[character])))
    if character >= " " and character not in '"\\':
        plain = [re.escape(chr(byte)) for byte in raw]
        found.insert(0, (plain[0], "".join(plain[1:])))
    return found


def _is_json(shown: str) -> bool:
    try:
        parse_json(shown.encode("latin-1"))
    except ValueError:
        return False
    return True
