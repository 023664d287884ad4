"""What stands in a callback that nobody has described: texts that could be a signature, and values that could be
signed beside the body.

Bounds: of each kind of place the first `MOST_PLACES` are looked at, of each value `LONGEST` characters, and the first
`MOST_CLUES` that could be signatures and `MOST_VALUES` that could be signed are kept.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, Literal

from ...core.types import RawRequest
from ..forms import WHOLE
from ..keys import decode_signature
from ..reading import LONGEST, query_items, viewed_json

MOST_PLACES: Final = 2000
MOST_CLUES: Final = 1000
MOST_VALUES: Final = 3000
MOST_VIEWS: Final = 10
SHORTEST: Final = 8
"""Characters of a secret that is looked for inside of other text."""

Role = Literal["time", "id", "list", "other"]

_MOST_IN_ONE: Final = 100
_FURTHEST: Final = 60
_LONGEST_SIGNED: Final = 300
"""Characters of a value that senders sign beside the body."""
_TOKEN: Final = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{22,}+={0,2}+(?![A-Za-z0-9+/=])")
_TIME: Final = re.compile(r"(?<![A-Za-z0-9.])[0-9]{10}(?:[0-9]{3})?(?![A-Za-z0-9])", re.ASCII)
_GROUP: Final = re.compile(r"\(\[\^[^()]*\)|\(\\S\+\)")
"""The group of a pattern: it takes less where it is known to be digits."""
_LISTED: Final = re.compile(r"(?<![A-Za-z0-9])(h|headers)=([A-Za-z0-9 :_-]+)(?=[,;]|\Z)", re.ASCII)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NUMBERED: Final = re.compile(r"(.*[-_])[0-9]{1,2}", re.ASCII)
_TIMES: Final = re.compile(r"time|date|stamp|created|issued|(?:^|[-_])ts$", re.IGNORECASE)
_IDS: Final = re.compile(r"(?:^|[-_./])(?:id|uuid|guid|nonce|token|salt|key)$|Id$|type$|event$", re.ASCII)
_JSON_FIELD: Final = re.compile(rb"(?:^|&)([A-Za-z0-9_.-]{1,40})=(?:%7B|%5B|[{\[])", re.IGNORECASE)
_FIELD: Final = re.compile(r'name="?([A-Za-z0-9_.-]{1,40})"?', re.ASCII)

_RANKS: Final[tuple[Role, ...]] = ("list", "time", "id", "other")
_LEADS: Final = (
    (re.compile(r'(?:^|.*[,;\s])([\w.-]{1,40})="'), r'(?:^|[,;\s]){0}="([^"]+)"'),
    (re.compile(r"(?:^|.*[,;\s])([\w.-]{1,40})="), r"(?:^|[,;\s]){0}=([^,;\s]+)"),
    (re.compile(r"(?:^|.*\s)(\w{1,10}),"), r"(?:^|\s){0},(\S+)"),
    (re.compile(r"[0-9]{9,14}([.:_|-])"), r"^\d+{0}(\S+)$"),
    (re.compile(r"([A-Za-z][\w-]{0,40})\s+"), r"^{0}\s+(\S+)$"),
    (re.compile(r"([A-Za-z][\w-]{0,20}):\s*"), r"^{0}:\s*(\S+)$"),
    (re.compile(r"[^\s:]{1,50}:()"), r"^[^\s:]+:(\S+)$"),
    (re.compile(r".*[,;\s]()"), r"(?:^|[,;\s])([^,;\s=]+)"),
)
"""What stands before a text, and the pattern that takes it out, in which group 1 is the sender's own word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """A text that could be a signature, `raw` in bytes, and the settings that lead to it."""

    signature: str
    pattern: str
    encoding: Literal["hex", "base64"]
    raw: bytes
    view: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value that could be signed. `place` is as under `vars`; `near` tells that it stands beside a clue.

    `seconds` is the time that it says, where it is a whole number of Unix seconds.
    """

    place: str
    raw: bytes
    role: Role = "other"
    near: bool = False
    seconds: int | None = None
    view: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """One value of a callback. `place` leads to it alone ("" where nothing does), `alike` to it and its likes."""

    place: str
    alike: str
    text: str
    view: str = ""

    @property
    def raw(self) -> bytes:
        return self.text.encode("utf-8" if self.place.startswith("json:") else "latin-1", "replace")


def views(request: RawRequest) -> Iterator[str]:
    """Where the JSON of a callback may stand: the whole body, a field of a form, or the fields of one."""
    yield ""
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    beginning = request.body[:100_000]
    if kind == "multipart/form-data":
        heads = re.findall(rb"(?i)^content-disposition:([^\r\n]{1,300})", beginning, re.MULTILINE)
        named = (_FIELD.search(head.decode("latin-1")) for head in heads[:MOST_VIEWS])
        yield from (f"multipart:{found[1]}" for found in named if found)
    elif kind == "application/x-www-form-urlencoded":
        yield WHOLE
        yield from (f"form:{found.decode()}" for found in _JSON_FIELD.findall(beginning)[:MOST_VIEWS])


def evidence(request: RawRequest) -> tuple[list[Clue], list[Value]]:
    """The texts that could be signatures, those of headers first, and the values that could be signed: those that stand
    beside a signature, times and ids first. Each once."""
    texts = [*_texts(request), *islice(_all_leaves(request), MOST_PLACES)]
    clues: dict[Clue, None] = {}
    for text in texts:
        clues.update(dict.fromkeys(_clues_in(text)) if len(clues) < MOST_CLUES else {})
    near = {clue.signature.rpartition("/")[0] for clue in clues if clue.signature.startswith("json:")}
    values = dict.fromkeys(islice((value for text in texts for value in _values_in(text, near)), MOST_VALUES))
    ranked = sorted(values, key=lambda value: (not value.near, _RANKS.index(value.role)))
    return list(clues)[:MOST_CLUES], ranked


def times(request: RawRequest) -> Iterator[int]:
    """The Unix seconds that stand in headers and query."""
    values = (value for text in _texts(request) for value in _values_in(text, set()))
    yield from (value.seconds for value in values if value.seconds is not None)


def _texts(request: RawRequest) -> Iterator[_Text]:
    yield from (_header(name, text) for name, text in request.headers[:MOST_PLACES])
    for name, text, _ in query_items(request.query[:LONGEST]):
        if name and name == name.strip():
            yield _Text(place=f"query:{name}", alike=f"query:{name}", text=text)


def _all_leaves(request: RawRequest) -> Iterator[_Text]:
    return chain.from_iterable(_leaves(request, view) for view in views(request))


def _header(name: str, text: str) -> _Text:
    """Numbered headers are alike, for senders number them by their keys."""
    numbered = _NUMBERED.fullmatch(name)
    alike = re.escape(numbered[1]).replace("\\-", "-") + r"\d+" if numbered else re.escape(name).replace("\\-", "-")
    return _Text(place=f"header:{name}" if _PLAIN.fullmatch(name) else "", alike=f"header:{alike}", text=text)


def _leaves(request: RawRequest, view: str) -> Iterator[_Text]:
    """Text, whole numbers and truth values of the JSON, the outermost first."""
    try:
        level: list[tuple[str, Any]] = [("", viewed_json(request, view))]
    except ValueError:
        return
    while level:
        below: list[tuple[str, Any]] = []
        for path, value in level:
            if isinstance(value, Mapping | list) and len(below) < MOST_PLACES:
                below += islice(_inner(path, value), MOST_PLACES)
            elif isinstance(value, str | int) and path:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                yield _Text(place=f"json:{path}", alike=f"json:{path}", text=text, view=view)
        level = below


def _inner(path: str, value: Mapping[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, inner in pairs:
        step = str(key).replace("~", "~0").replace("/", "~1")
        if len(path) + len(step) < _LONGEST_SIGNED and not set(step) & set("{}") and step == step.strip():
            yield f"{path}/{step}", inner


# --- signatures ---------------------------------------------------------------------------------------------------


def _clues_in(one: _Text) -> Iterator[Clue]:
    if len(one.text) > LONGEST:
        return
    for found in islice(_TOKEN.finditer(one.text), _MOST_IN_ONE):
        text = found.group()
        for encoding in ("hex", "base64"):
            raw, wanted = decode_signature(text, encoding), _pattern(one.text, *found.span())
            if raw is not None and _may_sign(len(raw)) and wanted is not None:
                yield Clue(signature=one.alike, pattern=wanted, encoding=encoding, raw=raw, view=one.view)


def _may_sign(size: int) -> bool:
    """Digests, Ed25519, ECDSA in DER, RSA."""
    return size in (16, 20, 32, 64) or 66 <= size <= 72 or size >= 256


def _pattern(text: str, begin: int, end: int) -> str | None:
    """What takes that part out of the text, "" for all of it; None where nobody writes such a thing."""
    if (begin, end) == (0, len(text)):
        return ""
    # Of a long text only what stands closest, behind a character that begins nothing.
    before = text[:begin] if begin <= _FURTHEST else "\0" + text[begin - _FURTHEST : begin]
    for lead, pattern in _LEADS:
        if found := lead.fullmatch(before):
            return pattern.format(re.escape(found[1]).replace("\\-", "-"))
    if begin == 0 and text[end] in ",; ":
        return r"(?:^|[,;\s])([^,;\s=]+)"
    return f"^([^{text[end]}]+){re.escape(text[end])}" if begin == 0 and text[end] in ".:|_" else None


# --- values -------------------------------------------------------------------------------------------------------


def _values_in(one: _Text, near: set[str]) -> Iterator[Value]:
    if not one.place or len(one.text) > LONGEST:
        return
    in_json = one.place.startswith("json:")
    if 0 < len(one.text) <= _LONGEST_SIGNED:
        is_near = in_json and one.place.rpartition("/")[0] in near
        role = _role(one)
        # Of a time within the body nobody knows whether a repeat has a new one.
        seconds = _seconds(one.text) if role == "time" and not in_json else None
        yield Value(place=one.place, raw=one.raw, role=role, near=is_near, seconds=seconds, view=one.view)
    for found in () if in_json else islice(_TIME.finditer(one.text), _MOST_IN_ONE):
        if wanted := _pattern(one.text, *found.span()):
            digits = _GROUP.sub("([0-9]+)", wanted)
            yield Value(place=f"{one.place} ~ {digits}", raw=found[0].encode(), role="time", seconds=_seconds(found[0]))
    if not in_json and (listed := _LISTED.search(one.text)):
        yield Value(place=rf"{one.place} ~ (?:^|[,;\s]){listed[1]}=([^,;]+)", raw=listed[2].encode(), role="list")


def _role(one: _Text) -> Role:
    if _IDS.search(one.place):
        return "id"
    return "time" if _seconds(one.text) is not None or _TIMES.search(one.place) else "other"


def _seconds(text: str) -> int | None:
    return int(text) if len(text) == 10 and text.isascii() and text.isdigit() else None


# --- the secret itself --------------------------------------------------------------------------------------------


def sent(request: RawRequest, secret: str) -> Iterator[tuple[str, str, str]]:
    """(place, pattern, view) of every value that is the secret, or holds it behind a word such as `Bearer`."""
    for one in chain(_texts(request), islice(_all_leaves(request), MOST_PLACES)):
        wanted = secret if one.place.startswith("json:") else secret.encode("utf-8", "replace").decode("latin-1")
        begin = one.text.find(wanted) if one.place and wanted and len(one.text) <= LONGEST else -1
        pattern = _pattern(one.text, begin, begin + len(wanted)) if begin >= 0 else None
        if pattern is not None and (not pattern or len(wanted) >= SHORTEST):
            yield one.place, pattern, one.view
