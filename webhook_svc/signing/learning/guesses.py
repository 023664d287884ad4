"""What senders sign, as far as anybody can guess: the body, values of the callback and our address, one behind the
other. The likely messages come first, so that a bound on the work costs only the unlikely ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, permutations, product
from typing import Final

from ...core.types import EMPTY, RawRequest
from .clues import Value

SEPARATORS: Final = ("", ".", ":", ",", "|", "\n", "-", "_", "@", ";", " ", "&", "/")

_MOST_TIMES: Final = 6
_MOST_IDS: Final = 6
_MOST_SINGLE: Final = 500
_MOST_PAIRED: Final = 40
_MOST_TRIPLED: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A message as a template with its `vars`; `pieces` are what it comes to in this callback. `view` is where its JSON
    stands, None where it reads none; `moment` is the time in it, in Unix seconds."""

    message: str
    pieces: tuple[bytes, ...]
    vars: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    view: str | None = None
    moment: int | None = None

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Atom:
    """One piece of a message. `name` is that of its variable, "" where the field names its place itself."""

    field: str
    raw: bytes
    name: str = ""
    value: Value | None = None


def guesses(request: RawRequest, values: Sequence[Value], public_urls: Sequence[str]) -> Iterator[Guess]:
    """Every guess, the likely ones first; of those that are alike, those that cover more."""
    body, atoms = _Atom(field="{body}", raw=request.body), list(map(_atom, values))
    urls = [_Atom(field="{url}", raw=_address(request, url)) for url in public_urls]
    lists, times, ids = (_of(atoms, role) for role in ("list", "time", "id"))
    times, ids = times[:_MOST_TIMES], ids[:_MOST_IDS]
    for listed, time in product(lists, times):
        yield from _with_headers(request, time, listed, body)
    for one, time in product(ids, times):
        yield from _joined((one, time, body), ".")
        yield from _joined((time, one, body), ".")
    for time in times:
        yield from _all_joined((time, body))
        yield from _joined((_literal("v0"), time, body), ":")
        yield from _all_joined((body, time))
    yield from _joined((body,), "")
    for url in urls:
        yield from chain(_joined((url, body), ""), _joined((body, url), ""), _joined((url,), ""))
    yield from _fields([atom for atom in atoms if atom.value and atom.value.near])
    for atom in atoms:
        yield from chain(_all_joined((atom, body)), _all_joined((body, atom)))
    for some in permutations([*times, *ids, *urls], 2):
        for order in ((*some, body), (some[0], body, some[1]), (body, *some)):
            yield from _all_joined(order)
    yield from _fields(atoms)


def _of(atoms: Sequence[_Atom], role: str) -> list[_Atom]:
    return [atom for atom in atoms if atom.value is not None and atom.value.role == role]


def _literal(text: str) -> _Atom:
    return _Atom(field=text, raw=text.encode())


def _atom(value: Value) -> _Atom:
    kind, _, name = value.place.partition(":")
    if value.seconds is not None or value.role == "list":
        name = "ts" if value.seconds is not None else "h"
    elif kind == "header" and " ~ " not in name and value.role != "id":
        return _Atom(field=f"{{header:{name}}}", raw=value.raw, value=value)
    elif kind == "json":
        return _Atom(field=f"{{json:{name}}}", raw=value.raw, value=value)
    else:
        name = value.role if value.role != "other" else "value"
    return _Atom(field=f"{{{name}}}", raw=value.raw, name=name, value=value)


def _address(request: RawRequest, public_url: str) -> bytes:
    target = request.path + (f"?{request.query}" if request.query else "")
    return public_url.rstrip("/").encode() + target.encode("latin-1", "replace")


def _fields(atoms: Sequence[_Atom]) -> Iterator[Guess]:
    """Values without the body: one, two or three of them."""
    for atom in atoms[:_MOST_SINGLE]:
        yield from _joined((atom,), "")
    for pair in permutations(atoms[:_MOST_PAIRED], 2):
        yield from _all_joined(pair)
    for three in permutations(atoms[:_MOST_TRIPLED], 3):
        yield from _all_joined(three)


def _with_headers(request: RawRequest, time: _Atom, listed: _Atom, body: _Atom) -> Iterator[Guess]:
    """The signature names headers, whose values are signed too."""
    found = [request.header(name) for name in listed.raw.decode("latin-1").lower().split()]
    if None not in found:
        signed = ".".join(value or "" for value in found).encode("latin-1", "replace")
        yield from _joined((time, listed, _Atom(field="{hvals}", raw=signed), body), ".")


def _all_joined(atoms: Sequence[_Atom]) -> Iterator[Guess]:
    for separator in SEPARATORS:
        yield from _joined(atoms, separator)


def _joined(atoms: Sequence[_Atom], separator: str) -> Iterator[Guess]:
    """The guess; none where two of its values would need the same name, or stand in different forms."""
    given = {atom.name: atom.value for atom in atoms if atom.value is not None and atom.name}
    seen = {atom.value.view for atom in atoms if atom.value is not None and atom.value.place.startswith("json:")}
    if len(given) < sum(bool(atom.name) for atom in atoms) or len(seen) > 1:
        return
    yield Guess(
        message=separator.join(atom.field for atom in atoms),
        pieces=tuple(_between([atom.raw for atom in atoms], separator.encode())),
        vars={name: value.place for name, value in given.items()},
        view=next(iter(seen), None),
        moment=given["ts"].seconds if "ts" in given else None,
    )


def _between(pieces: Sequence[bytes], separator: bytes) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        if number and separator:
            yield separator
        yield piece
