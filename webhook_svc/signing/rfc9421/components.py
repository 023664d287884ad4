"""The components of a request that HTTP Message Signatures cover (RFC 9421 §2, https://www.rfc-editor.org/rfc/rfc9421).

Header fields by their names, and of the derived ones those of a request: @method @target-uri @authority @scheme
@request-target @path @query @query-param;name="…". Components of responses, and the parameters sf, bs, key, req and tr,
are refused: none of them adds anything to a callback.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from ...core.errors import NotGenuine
from ...core.types import RawRequest
from ..reading import LONGEST
from .structured import Item, item

_FIELD_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}
_QUERY_PARAMETER: Final = "@query-param"


def identifier(text: str) -> str:
    """A component as the configuration writes it (`content-digest`, `@query-param;name="id"`) in the form that stands
    in a signature. ValueError, in a sentence, where it cannot be covered."""
    name, semicolon, rest = text.partition(";")
    try:
        found = item(f'"{name}"{semicolon}{rest}')
    except ValueError:
        found = None
    if found is None or not _is_known(found):
        known = ", ".join((*sorted(_DERIVED), f'{_QUERY_PARAMETER};name="…"'))
        raise ValueError(f"{text!r} names no component: write a header's name in lower case, or one of {known}")
    return str(found)


class Components:
    """The components of one request. `public_url` is how its sender writes our address, "" where nobody told."""

    def __init__(self, request: RawRequest, public_url: str = "") -> None:
        self.request = request
        self._public = urlsplit(public_url)

    def value(self, component: Item) -> str:
        """The text behind the component's name in the signature base. NotGenuine where it has none."""
        if not _is_known(component):
            raise NotGenuine("unsupported", f"{_shown(component)} is signed, which is no component that is understood")
        name = str(component.value)
        if name == _QUERY_PARAMETER:
            text = self._parameter(str(component.parameter("name")))
        else:
            text = _DERIVED[name](self) if name in _DERIVED else self._field(name)
        if not text.isascii() or not text.replace("\t", "").isprintable():
            raise NotGenuine("malformed", f"{_shown(component)} holds characters that cannot be signed")
        return text

    @property
    def scheme(self) -> str:
        if not self._public.scheme:
            raise NotGenuine("missing_value", "@scheme or @target-uri is signed, and [service] public_url is not set")
        return self._public.scheme

    @property
    def authority(self) -> str:
        written = (self._public.netloc or self._field("host")).lower()
        return written.removesuffix(_DEFAULT_PORTS[self._public.scheme or "https"])

    @property
    def path(self) -> str:
        return self._public.path.rstrip("/") + self.request.path

    @property
    def request_target(self) -> str:
        return self.path + (f"?{self.request.query}" if self.request.query else "")

    def _field(self, name: str) -> str:
        """The lines of a header, each without blanks around it, in their order."""
        lines = self.request.header_all(name)
        if not lines:
            raise NotGenuine("missing_value", f"header:{name} is missing and is part of what is signed")
        if any(len(line) > LONGEST for line in lines):
            raise NotGenuine("too_long", f"header:{name} is longer than {LONGEST} characters")
        return ", ".join(line.strip(" \t") for line in lines)

    def _parameter(self, name: str) -> str:
        found = self._parameters.get(name, ())
        if len(found) != 1:
            raise NotGenuine("missing_value", "a parameter of the query is signed that does not stand there once")
        return found[0]

    @cached_property
    def _parameters(self) -> Mapping[str, list[str]]:
        """Decoded as forms are and encoded anew, so that every spelling of a value is one (§2.2.8)."""
        found: dict[str, list[str]] = {}
        for pair in self.request.query.split("&"):
            name, _, value = pair.partition("=")
            found.setdefault(_encoded(name), []).append(_encoded(value))
        return found


_DERIVED: Final[Mapping[str, Callable[[Components], str]]] = {
    "@method": lambda one: one.request.method,
    "@target-uri": lambda one: f"{one.scheme}://{one.authority}{one.request_target}",
    "@authority": lambda one: one.authority,
    "@scheme": lambda one: one.scheme,
    "@request-target": lambda one: one.request_target,
    "@path": lambda one: one.path or "/",
    "@query": lambda one: f"?{one.request.query}",
}


def _is_known(component: Item) -> bool:
    name, parameters = component.value, dict(component.parameters)
    if not isinstance(name, str):
        return False
    if name == _QUERY_PARAMETER:
        return list(parameters) == ["name"] and type(parameters["name"]) is str
    return not parameters and (name in _DERIVED or _FIELD_NAME.fullmatch(name) is not None)


def _shown(component: Item) -> str:
    """Whoever signed may have written anything there."""
    name = component.value
    plain = isinstance(name, str) and re.fullmatch(r"@?[a-z0-9-]{1,40}", name)
    return f"{name!s}{' with parameters' if component.parameters else ''}" if plain else "a component"


def _encoded(text: str) -> str:
    raw = unquote_to_bytes(text.replace("+", " ").encode("latin-1", "replace"))
    return quote(raw, safe="*").replace("~", "%7E")
