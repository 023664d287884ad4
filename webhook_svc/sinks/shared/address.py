"""Addresses of files as a template: its host fixed, what is put in percent-encoded for the place where it stands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from ...core.errors import Permanent
from ...core.settings import Secret, suggestion
from ...core.template import Field, Template, url_segment
from ...core.types import Delivery
from .hook import origin
from .things import Thing

FIELDS: Final = ("path", "filename", "sha256", "document", "delivery", "source", "version")
_UNIQUE: Final = frozenset({"path", "sha256"})
_FIXED: Final = re.compile(r"https?://[^/{}?#@]+/[^#]*")


@dataclass(frozen=True, slots=True)
class Address:
    """Of its path, and of its query."""

    path: Template
    query: Template

    @classmethod
    def of(cls, text: Secret) -> "Address":
        """ValueError, without a word of the text but the names of its fields."""
        if not _FIXED.fullmatch(text.reveal()):
            raise ValueError("an address such as https://host/folder/{path}, its host fixed, without user and fragment")
        origin(text)
        path, _, query = text.reveal().partition("?")
        found = cls(Template.parse(path), Template.parse(query))
        names = {field.name for field in (*found.path.fields, *found.query.fields)}
        if unknown := sorted(names - set(FIELDS)):
            raise ValueError(f"another field than {{{unknown[0]}}} in the address: {suggestion(unknown[0], FIELDS)}")
        if not names & _UNIQUE:
            raise ValueError("{path} or {sha256} in the address, else two files would meet")
        return found

    def render(self, values: Mapping[str, str]) -> str:
        """`values` of all FIELDS. Permanent where one would climb in the path."""
        path = "".join(piece if isinstance(piece, str) else _in_path(piece, values) for piece in self.path.pieces)
        query = self.query.render(lambda field: values[field.name], lambda value: quote(value, safe="~"))
        return f"{path}?{query}" if query else path


def values_of(delivery: Delivery, thing: Thing) -> dict[str, str]:
    return {
        "path": thing.path,
        "filename": thing.name,
        "sha256": thing.sha256,
        "document": delivery.document,
        "delivery": delivery.id,
        "source": delivery.source,
        "version": str(delivery.version),
    }


def _in_path(field: Field, values: Mapping[str, str]) -> str:
    """The slashes of a rendered path divide segments, all others are letters."""
    segments = values[field.name].split("/") if field.name == "path" else [values[field.name]]
    try:
        return "/".join(map(url_segment, segments))
    except ValueError:
        raise Permanent(f"the value of {field} cannot stand in an address") from None
