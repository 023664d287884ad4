"""The words of a mail: subject, text and HTML, and where people find what is not attached."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import quote

from ...core.template import Template
from ...core.types import Delivery, Placed
from ..shared.wording import FIELDS, filled, judge, one_line, values

_OF_A_FILE: Final = ("filename", "path", "sha256")
TEXT: Final = """\
{title} is signed and complete.

{files}

Source {source}, document {document}, delivery {delivery}.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worded:
    """One line, text, and HTML ("" where no template is set for it)."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The templates of a mail, parsed."""

    subject: Template
    text: Template
    html: Template | None
    location: Template

    @classmethod
    def parse(cls, *, subject: str, text: str, html: str, location: str) -> "Wording":
        """ValueError where a template has a field that nothing fills."""
        return cls(
            subject=judge(subject, (*FIELDS, "location")),
            text=judge(text, (*FIELDS, "location", "files")),
            html=judge(html, (*FIELDS, "location", "files")) if html else None,
            location=judge(location, (*FIELDS, *_OF_A_FILE)),
        )

    def fill(self, delivery: Delivery, *, attached: bool) -> Worded:
        """A notice (not `attached`) names the files even where its template forgets to."""
        known = values(delivery)
        places = [self._place(one, delivery, known) for one in delivery.files]
        known["location"] = "\n".join(dict.fromkeys(filter(None, places)))
        listed = list(zip(delivery.files, places, strict=True))
        listing = _Listing(attached=attached, files=listed, apart=self._apart())
        return Worded(
            subject=one_line(filled(self.subject, delivery, known)),
            text=_with_files(self.text, delivery, known, listing.as_text(), attached=attached),
            html=_with_files(self.html, delivery, known, listing.as_html(), attached=attached, place=escape)
            if self.html
            else "",
        )

    def _apart(self) -> bool:
        """Whether each file has a place of its own."""
        return any(wanted.name in _OF_A_FILE for wanted in self.location.fields)

    def _place(self, placed: Placed, delivery: Delivery, known: Mapping[str, str]) -> str:
        """In an address of the web every value is percent-encoded; a path keeps its slashes."""
        first = next(iter(self.location.pieces), "")
        web = isinstance(first, str) and first.startswith(("http://", "https://"))
        own = {"filename": placed.part.name, "path": placed.path, "sha256": placed.part.sha256}
        if web:
            encoded = {name: quote(value, safe="") for name, value in {**known, **own}.items()}
            return filled(self.location, delivery, {**encoded, "path": quote(placed.path)}, quote)
        return filled(self.location, delivery, {**known, **own})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """The files and where each is found; `apart` where that differs from file to file."""

    attached: bool
    apart: bool
    files: list[tuple[Placed, str]]

    def as_text(self) -> str:
        return "\n".join((self._head(str), *self._lines(str, "- {}", "\n  {}")))

    def as_html(self) -> str:
        items = "\n".join(self._lines(_linked, "<li>{}</li>", "<br>{}"))
        return f"<p>{self._head(_linked)}</p>\n<ul>\n{items}\n</ul>"

    def _head(self, shown: Callable[[str], str]) -> str:
        if self.attached:
            return "Attached:"
        where = next((place for _, place in self.files if place), "") if not self.apart else ""
        return "Too large to attach." + (f" They are at {shown(where)}" if where else "")

    def _lines(self, shown: Callable[[str], str], line: str, further: str) -> Iterator[str]:
        for placed, place in self.files:
            part = placed.part
            said = f"{shown(part.name)} ({part.size} bytes, SHA-256 {part.sha256})"
            where = further.replace("{}", shown(place)) if self.apart and place and not self.attached else ""
            yield line.replace("{}", said + where)


def _with_files(
    template: Template,
    delivery: Delivery,
    known: Mapping[str, str],
    files: str,
    *,
    attached: bool,
    place: Callable[[str], str] = str,
) -> str:
    """The list of files is in its place already."""
    placed = {name: place(value) for name, value in known.items()}
    whole = filled(template, delivery, {**placed, "files": files})
    if attached or any(wanted.name == "files" for wanted in template.fields):
        return whole
    before, end, after = whole.rpartition("</body>")
    return f"{before}{files}\n{end}{after}" if end else f"{whole}\n\n{files}"


def _linked(text: str) -> str:
    shown = escape(text)
    return f'<a href="{shown}">{shown}</a>' if text.startswith(("http://", "https://")) else shown
