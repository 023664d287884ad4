"""What was signed: the template of the message, filled from a callback."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ..core.errors import NotGenuine
from ..core.template import Field, Template
from .reading import Place, Reading, pattern, taken

RESERVED: Final = ("body", "url", "json", "header", "hvals", "base")
_MOST_NAMES: Final = 100


class Variable:
    """A value that stands somewhere in the callback: `header:NAME`, `header:NAME ~ regex`, `json:/path`."""

    def __init__(self, text: str) -> None:
        where, tilde, regex = text.partition(" ~ ")
        self.place = Place.parse(where.strip())
        if self.place.names is not None:
            raise ValueError(f"{where.strip()!r}: a variable stands in one header, whose name is written out")
        self._pattern = pattern(regex.strip()) if tilde else None

    @property
    def is_whole(self) -> bool:
        return self._pattern is None

    def raw(self, reading: Reading) -> bytes:
        text = reading.text(self.place)
        if self._pattern is not None:
            match = self._pattern.search(text)
            text = taken(match) if match else ""
        if not text:
            raise NotGenuine(
                "missing_value", f"{self.place.kind}:{self.place.name} does not hold what its pattern seeks"
            )
        return self.place.raw(text)


@dataclass(frozen=True, slots=True)
class Message:
    """A parsed message template. Made by `Message.parse`, which raises ValueError for a field that means nothing."""

    template: Template
    variables: Mapping[str, Variable]
    optional: frozenset[Field]
    public_url: str = ""
    components: tuple[str, ...] = ()
    """What {base} must hold, as RFC 9421 writes it: `"content-digest"` with its quotes."""

    @classmethod
    def parse(
        cls, text: str, variables: Mapping[str, str], public_url: str = "", *, components: tuple[str, ...] = ()
    ) -> "Message":
        if reserved := sorted(set(variables) & set(RESERVED)):
            raise ValueError(f"vars may not redefine {', '.join(reserved)}")
        template = Template.parse(text)
        for field in template.fields:
            _check_field(field, variables)
        if text and not template.fields:
            raise ValueError("message has no field: a constant says nothing about the callback")
        if "hvals" in _names(template) and "h" not in _names(template):
            raise ValueError("{hvals} needs {h}, the signed list of header names, in the message too")
        found = {name: Variable(place) for name, place in variables.items()}
        return cls(template, found, _optional(template), public_url.rstrip("/"), components)

    def uses(self, name: str) -> bool:
        return name in _names(self.template)

    def covers(self, path: str) -> bool:
        """Whether another value there would break the signature. `path` is `/a/b`, `a.b` or `header:NAME`."""
        header = path.startswith("header:")
        if self.uses("body") and not header:
            return True
        if self.uses("base"):
            return f'"{path.removeprefix("header:").lower() if header else "content-digest"}"' in self.components
        wanted = _steps(path.removeprefix("header:"), header)
        return any(wanted == _steps(name, header) for kind, name in self._places() if header == (kind == "header"))

    def _places(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of every value that is signed as a whole: a variable with a pattern takes only a piece."""
        for field in self.template.fields:
            if field.detail:
                yield field.name, field.detail
            elif (variable := self.variables.get(field.name)) and variable.is_whole:
                yield variable.place.kind, variable.place.name

    def render(self, reading: Reading, values: Mapping[str, str] | None = None) -> bytes:
        """The signed bytes. `values` stand in for variables that are not in the request yet (a sender's side)."""
        given = values or {}

        def value(field: Field) -> bytes:
            return given[field.name].encode() if field.name in given else self._value(field, reading)

        return self.template.render_bytes(value)

    def _value(self, field: Field, reading: Reading) -> bytes:
        if field.name == "body":
            return reading.request.body
        if field.name == "url":
            return self._url(reading)
        if field.name == "json":
            return self._json(field, reading)
        if field.name == "header":
            return _header(field.detail, reading)
        if field.name == "hvals":
            return _listed_headers(self.variables["h"].raw(reading), reading)
        return self.variables[field.name].raw(reading)

    def _url(self, reading: Reading) -> bytes:
        request = reading.request
        path = request.path + ("?" + request.query if request.query else "")
        return self.public_url.encode() + Place("header", "url").raw(path)

    def _json(self, field: Field, reading: Reading) -> bytes:
        text = reading.scalar(field.detail)
        if text is None and field not in self.optional:
            raise NotGenuine("missing_value", f"json:{field.detail} is missing and is part of what is signed")
        return Place("json", field.detail).raw(text or "")


def _check_field(field: Field, variables: Mapping[str, str]) -> None:
    if field.name in ("json", "header"):
        if not field.detail:
            raise ValueError(f"{field} needs a place: {{json:/path}} or {{header:Name}}")
    elif field.detail:
        raise ValueError(f"{field}: only json and header take something after a colon")
    elif field.name not in variables and field.name not in RESERVED:
        known = ", ".join("{" + name + "}" for name in (*RESERVED, *sorted(variables)))
        raise ValueError(f"message speaks of {field}, which vars does not name (known: {known})")


def _steps(path: str, header: bool) -> list[str]:
    """Equal for the spellings of one place."""
    if header:
        return [path.lower()]
    return path[1:].split("/") if path.startswith("/") else path.split(".")


def _names(template: Template) -> set[str]:
    return {field.name for field in template.fields}


def _optional(template: Template) -> frozenset[Field]:
    """JSON fields that senders leave out and sign as empty: one of several, each fenced off by literal text.

    Where two fields touch, text could move from one to the other under the same signature; both must be there then.
    """
    pieces = template.pieces
    touching = {piece for pair in pairwise(pieces) if _both_fields(*pair) for piece in pair}
    alone = len(template.fields) == 1
    return frozenset(f for f in template.fields if f.name == "json" and f not in touching and not alone)


def _both_fields(left: str | Field, right: str | Field) -> bool:
    return isinstance(left, Field) and isinstance(right, Field)


def _header(name: str, reading: Reading) -> bytes:
    place = Place("header", name.lower())
    return place.raw(reading.text(place))


def _listed_headers(names: bytes, reading: Reading) -> bytes:
    listed = names.decode("latin-1").split()
    if len(listed) > _MOST_NAMES:
        raise NotGenuine("too_many", f"more than {_MOST_NAMES} headers are said to be signed")
    return b".".join(_header(name, reading) for name in listed)
