"""Where a value stands in a callback (`header:NAME`, `query:NAME`, `json:/path`) and how it is read there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, cast
from urllib.parse import unquote_to_bytes

from ..core.errors import NotGenuine
from ..core.types import RawRequest, at_path, parse_json
from .forms import viewed
from .patterns.judge import LONGEST, pattern

__all__ = ["LONGEST", "Place", "Reading", "pattern", "query_items", "taken", "viewed_json"]

_LONGEST_NAME: Final = 256
"""Characters of a header's name that a pattern may see: a request has many of them."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


def taken(match: re.Match[str]) -> str:
    """What a pattern takes: its group, or all of the match where it has none."""
    return match.group(match.re.groups) or ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands. `names` is set where a regular expression chooses among header names."""

    kind: Literal["header", "query", "json"]
    name: str
    names: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, text: str) -> "Place":
        kind, colon, name = text.partition(":")
        if kind not in ("header", "query", "json") or not colon or not name or name != name.strip():
            raise ValueError(f"{text!r} names no place: write header:NAME, query:NAME or json:/path")
        place = cast(Literal["header", "query", "json"], kind)
        if kind != "header":
            return cls(place, name)
        if _PLAIN_NAME.fullmatch(name):
            return cls(place, name.lower())
        return cls(place, name, _names(name))

    def is_header(self, name: str) -> bool:
        if self.kind != "header":
            return False
        if self.names is None:
            return name.lower() == self.name
        return len(name) <= _LONGEST_NAME and self.names.fullmatch(name) is not None

    def raw(self, text: str) -> bytes:
        """The bytes that arrived: JSON is UTF-8, headers and queries are bytes shown as latin-1."""
        try:
            return text.encode("utf-8" if self.kind == "json" else "latin-1")
        except UnicodeEncodeError:
            raise NotGenuine("malformed", f"{self.kind}:{self.name} holds characters that cannot be sent") from None


class Reading:
    """One callback while it is verified. JSON is parsed at most once, and only if something asks for it."""

    def __init__(self, request: RawRequest, body_view: str = "") -> None:
        self.request = request
        self._body_view = body_view

    @cached_property
    def document(self) -> Any:
        try:
            return viewed_json(self.request, self._body_view)
        except ValueError:
            raise NotGenuine("not_json", "the body is not the JSON that the signature speaks of") from None

    def texts(self, place: Place, *, longest: int = LONGEST) -> list[str]:
        """Every value at the place, none where there is none. Refused: doubled, longer than 4 KB, wrong type."""
        found = list(self._found(place))
        if len(found) > 1 and (place.names is None or self._doubled(place)):
            raise NotGenuine("doubled", f"{place.kind}:{place.name} stands more than once")
        if any(len(text) > longest for text in found):
            raise NotGenuine("too_long", f"{place.kind}:{place.name} is longer than {longest} characters")
        return found

    def text(self, place: Place) -> str:
        """The one value at the place. Refused where it is missing or empty."""
        found = self.texts(place)
        if not found or not found[0]:
            raise NotGenuine("missing_value", f"{place.kind}:{place.name} is missing or empty")
        return found[0]

    def scalar(self, path: str) -> str | None:
        """The JSON value at the path as a sender prints it; None where it is missing or null."""
        value = at_path(self.document, path)
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int):
            return str(value)
        raise NotGenuine("malformed", f"json:{path} is neither text nor a whole number")

    def _doubled(self, place: Place) -> bool:
        """Does one of the header names stand more than once?"""
        names = [name.lower() for name, _ in self.request.headers if place.is_header(name)]
        return len(set(names)) < len(names)

    def _found(self, place: Place) -> Iterator[str]:
        if place.kind == "header":
            yield from (value for name, value in self.request.headers if place.is_header(name))
        elif place.kind == "query":
            yield from (value for name, value, _ in query_items(self.request.query) if name == place.name)
        elif (value := self.scalar(place.name)) is not None:
            yield value


def query_items(query: str) -> Iterator[tuple[str, str, str]]:
    """(name, value, item as it stands) of each parameter, percent-decoded once; `+` stays, it is a digit of base64."""
    for item in query.split("&"):
        name, _, value = item.partition("=")
        yield _decoded(name), _decoded(value), item


def viewed_json(request: RawRequest, body_view: str = "") -> Any:
    """The JSON of a callback. ValueError if there is none."""
    return parse_json(viewed(request, body_view))


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1", "replace")).decode("latin-1")


def _names(text: str) -> re.Pattern[str]:
    try:
        return pattern(text, names=True)
    except ValueError as error:
        raise ValueError(f"{text!r} is neither a header name nor a regular expression over names: {error}") from None
