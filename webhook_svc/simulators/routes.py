"""Requests that a description makes, recognised where they arrive."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from flask import Request

from ..core.template import Field, Template
from ..profiles.asked import NUMBER, Asked
from ..profiles.description import ListCall, LoginCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A described request whose address begins with a configured value."""

    asked: Asked
    method: str
    target: re.Pattern[str]
    names: tuple[str, ...]

    def match(self, request: Request) -> dict[str, str] | None:
        """What stands where the templates have fields; None where it is another request."""
        if request.method != self.method:
            return None
        path, _, query = str(request.environ["REQUEST_URI"]).partition("?")
        kept = [item for item in query.split("&") if item.partition("=")[0] not in self.asked.secret_query]
        found = self.target.fullmatch(re.sub(r"^https?://[^/]*", "", path) + "?" * bool(query) + "&".join(kept))
        if found is None:
            return None
        fields = dict(zip(self.names, map(unquote, found.groups()), strict=True))
        sent = request.form.to_dict() if self.asked.form else request.get_json(silent=True)
        wanted = dict(self.asked.form) if self.asked.form else self.asked.json
        if isinstance(self.asked, LoginCall) or wanted is None:
            return fields
        return fields if _match(wanted, sent, fields) else None


def route_of(asked: Asked, own: Container[str]) -> Route | None:
    """None where the address is a link."""
    first, *rest = asked.address.pieces
    if not isinstance(first, Field) or first.name not in own:
        return None
    pattern = "".join("([^/?&#]+)" if isinstance(piece, Field) else re.escape(piece) for piece in rest)
    more = r"(?:[?&].*)?" if isinstance(asked, ListCall) else r"\??"
    names = tuple(f"{piece.name}" for piece in rest if isinstance(piece, Field))
    return Route(
        asked=asked,
        method="GET" if asked.get else "POST",
        target=re.compile(pattern + more),
        names=_told_apart(names),
    )


def _told_apart(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same field may stand twice in an address."""
    return tuple(name if name not in names[:place] else f"{name}#{place}" for place, name in enumerate(names))


def _match(wanted: Any, sent: Any, fields: dict[str, str]) -> bool:
    """Does the body have the shape of its template? What stands in the place of fields is added."""
    if isinstance(wanted, Mapping):
        return (
            isinstance(sent, Mapping)
            and wanted.keys() == sent.keys()
            and all(_match(wanted[key], sent[key], fields) for key in wanted)
        )
    if not isinstance(wanted, str) or not isinstance(sent, str | int):
        return bool(wanted == sent)
    template = Template.parse(wanted)
    if isinstance(sent, int) and not (template.whole and template.whole.detail == NUMBER):
        return False
    pattern = "".join("(.*)" if isinstance(piece, Field) else re.escape(piece) for piece in template.pieces)
    found = re.fullmatch(pattern, str(sent), re.DOTALL)
    fields.update(zip((field.name for field in template.fields), found.groups() if found else (), strict=False))
    return found is not None
