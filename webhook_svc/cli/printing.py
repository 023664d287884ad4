"""Lines for people: foreign text made harmless, tables that line up, times with their age; JSON for machines."""

import dataclasses
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

_TIMES: Final = frozenset({"at", "received", "created", "updated", "done", "started", "ended", "since", "oldest"})
_TIMES_TO_COME: Final = frozenset({"run_at", "next_at", "lease_until", "until"})
_DANGEROUS: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_AGES: Final = ((86400.0 * 2, 86400.0, "days"), (3600.0 * 2, 3600.0, "h"), (100.0, 60.0, "min"), (0.0, 1.0, "s"))
_SIZES: Final = ("bytes", "kB", "MB", "GB")


def plain(value: object) -> str:
    """Text that cannot steer a terminal: control characters, invisible marks and changes of direction are spelt out."""
    text = "" if value is None else str(value)
    return text if text.isascii() and text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    if unicodedata.category(character) not in _DANGEROUS:
        return character
    return character.encode("unicode_escape").decode("ascii")


def width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def cut(text: str, columns: int) -> str:
    """At most so many columns, the last of them an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    text = text[:columns]  # a character takes at least one column but for marks, which are not missed
    while width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, longest: int = 48) -> str:
    """Columns that line up; the last one is never cut. Without rows nothing but the head."""
    last = len(head) - 1
    lines = [tuple(head)]
    lines += [tuple(plain(v) if i == last else cut(plain(v), longest) for i, v in enumerate(row)) for row in rows]
    widths = [max(width(line[index]) for line in lines) for index in range(last)]
    return "\n".join(
        "  ".join([*(_padded(line[i], widths[i]) for i in range(last)), line[last]]).rstrip() for line in lines
    )


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def iso(moment: float | None) -> str:
    if moment is None:
        return ""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{moment:g} s after 1970"


def when(moment: float | None, now: float) -> str:
    """`2026-01-31T12:00:00Z (3 min ago)`."""
    return f"{iso(moment)} ({age(moment, now)})" if moment is not None else ""


def age(moment: float, now: float) -> str:
    """`3 min ago`, or `in 3 min`."""
    apart = abs(now - moment)
    if apart < 1:
        return "now"
    unit, name = next((unit, name) for least, unit, name in _AGES if apart >= least)
    text = f"{apart / unit:.0f} {name}"
    return f"{text} ago" if moment <= now else f"in {text}"


def size(count: float) -> str:
    for unit in _SIZES[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_SIZES[-1]}"


def echo_json(value: Any) -> None:
    """One document on standard output, ASCII only; times as text."""
    click.echo(json.dumps(_readable(value), indent=2))


def _readable(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping) and key == "hints":
        return sorted(map(str, value))  # their names alone: a value may be a link that opens a document
    if isinstance(value, Mapping):
        return {str(name): _readable(inner, str(name)) for name, inner in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _readable(getattr(value, field.name), field.name) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_readable(inner) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and key in _TIMES | _TIMES_TO_COME:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
