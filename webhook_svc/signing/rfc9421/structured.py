"""Structured field values (RFC 8941, https://www.rfc-editor.org/rfc/rfc8941), as far as signatures need them.

Strict: what the grammar does not allow is a ValueError, and so are a name that stands twice (the RFC lets the last one
win), byte sequences that are not canonical, decimals and dates, which nothing here uses. Every character is looked at
once.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


class Token(str):
    """A word without quotes, which is another value than the text of the same letters."""

    __slots__ = ()


Bare = bool | int | str | bytes | Token
Parameters = tuple[tuple[str, Bare], ...]

_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*", re.ASCII)
_BARE: Final = re.compile(
    r'(?P<text>"(?:[ !#-\[\]-~]|\\["\\])*")'
    r"|(?P<number>-?[0-9]{1,15}(?![0-9.]))"
    r"|:(?P<bytes>[A-Za-z0-9+/]*={0,2}):"
    r"|\?(?P<truth>[01])"
    r"|(?P<token>[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)",
    re.ASCII,
)
_BLANKS: Final = re.compile(" *")
_SEPARATOR: Final = re.compile("[ \t]*,[ \t]*")


@dataclass(frozen=True, slots=True)
class Item:
    value: Bare
    parameters: Parameters = ()

    def parameter(self, name: str) -> Bare | None:
        return dict(self.parameters).get(name)

    def __str__(self) -> str:
        return _written(self.value) + _parameters_written(self.parameters)


@dataclass(frozen=True, slots=True)
class InnerList:
    items: tuple[Item, ...]
    parameters: Parameters = ()

    def parameter(self, name: str) -> Bare | None:
        return dict(self.parameters).get(name)

    def __str__(self) -> str:
        return f"({' '.join(map(str, self.items))}){_parameters_written(self.parameters)}"


Member = Item | InnerList


def dictionary(text: str) -> dict[str, Member]:
    """The members of a dictionary; `str(member)` is its canonical form. ValueError for anything else."""
    cursor = _Cursor(text.strip(" "))
    members: dict[str, Member] = {}
    while not cursor.at_end():
        if members:
            cursor.take(_SEPARATOR)
        key = cursor.take(_KEY)[0]
        if key in members:
            raise ValueError("a member stands twice")
        members[key] = cursor.member() if cursor.passes("=") else Item(True, cursor.parameters())
    return members


def item(text: str) -> Item:
    """One item with its parameters. ValueError for anything else."""
    cursor = _Cursor(text)
    found = cursor.item()
    if not cursor.at_end():
        raise ValueError("more than one item")
    return found


class _Cursor:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def passes(self, character: str) -> bool:
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError("no structured field")
        self._at = match.end()
        return match

    def member(self) -> Member:
        return self._inner_list() if self.passes("(") else self.item()

    def item(self) -> Item:
        return Item(self._bare(), self.parameters())

    def parameters(self) -> Parameters:
        found: dict[str, Bare] = {}
        while self.passes(";"):
            self.take(_BLANKS)
            key = self.take(_KEY)[0]
            if key in found:
                raise ValueError("a parameter stands twice")
            found[key] = self._bare() if self.passes("=") else True
        return tuple(found.items())

    def _inner_list(self) -> InnerList:
        return InnerList(tuple(self._items()), self.parameters())

    def _items(self) -> Iterator[Item]:
        apart = True
        while True:
            apart = bool(self.take(_BLANKS)[0]) or apart
            if self.passes(")"):
                return
            if not apart:
                raise ValueError("items that touch")
            yield self.item()
            apart = False

    def _bare(self) -> Bare:
        match = self.take(_BARE)
        text = match[match.lastgroup or 0]
        match match.lastgroup:
            case "text":
                return re.sub(r"\\(.)", r"\1", text[1:-1])
            case "number":
                return int(text)
            case "bytes":
                return _bytes(text)
            case "truth":
                return text == "1"
        return Token(text)


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("a byte sequence that is not canonical")
    return raw


def _written(value: Bare) -> str:
    match value:
        case bool():
            return f"?{value:d}"
        case int() | Token():
            return str(value)
        case bytes():
            return f":{base64.b64encode(value).decode()}:"
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _parameters_written(parameters: Parameters) -> str:
    return "".join(f";{key}" + ("" if value is True else f"={_written(value)}") for key, value in parameters)
