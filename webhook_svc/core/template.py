"""Our own substitution of `{name}` and `{name:detail}`, never `str.format`: templates come from files people edit.

`{{` and `}}` are braces. What a value may contain depends on where it goes, so the caller names the place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

_FIELD = re.compile(r"\{\{|\}\}|\{([a-zA-Z_][\w.-]*)(?::([^{}]*))?\}|[{}]")


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    detail: str = ""

    def __str__(self) -> str:
        return "{" + self.name + (f":{self.detail}" if self.detail else "") + "}"


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal text and fields in order."""

    pieces: tuple[str | Field, ...]

    @classmethod
    @lru_cache(512)
    def parse(cls, text: str) -> "Template":
        """ValueError with the place of a brace that belongs to nothing. Templates come from the configuration alone,
        and are few."""
        pieces: list[str | Field] = []
        end = 0
        for match in _FIELD.finditer(text):
            pieces.append(text[end : match.start()])
            end = match.end()
            token = match.group()
            if token in ("{{", "}}"):
                pieces.append(token[0])
            elif match.group(1):
                pieces.append(Field(match.group(1), match.group(2) or ""))
            else:
                raise ValueError(f"a lone {token!r} at character {match.start() + 1}; write {token * 2!r} for a brace")
        pieces.append(text[end:])
        return cls(tuple(piece for piece in pieces if piece != ""))

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Field))

    @property
    def whole(self) -> Field | None:
        """The field where the template is nothing but one field."""
        return self.pieces[0] if len(self.pieces) == 1 and isinstance(self.pieces[0], Field) else None

    def render(self, value: Callable[[Field], str], place: Callable[[str], str] = str) -> str:
        """`value` looks a field up, `place` makes the result fit where it goes (see `url_segment`, `header_text`)."""
        return "".join(piece if isinstance(piece, str) else place(value(piece)) for piece in self.pieces)

    def render_bytes(self, value: Callable[[Field], bytes]) -> bytes:
        return b"".join(piece.encode() if isinstance(piece, str) else value(piece) for piece in self.pieces)


def url_segment(value: str) -> str:
    """The value as one path segment. ValueError where it would climb, or is empty."""
    if value in ("", ".", ".."):
        raise ValueError(f"{value!r} cannot stand in a URL path")
    return quote(value, safe="", errors="backslashreplace")


def header_text(value: str) -> str:
    """The value in a header. ValueError on line breaks and NUL, which would add headers of their own."""
    if any(character in value for character in "\r\n\x00"):
        raise ValueError("a line break or NUL cannot stand in a header")
    return value
