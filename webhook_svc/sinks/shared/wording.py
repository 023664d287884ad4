"""Templates of what people read about a delivery: a subject, a text, a notice."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from ...core.ids import storable
from ...core.template import Field, Template
from ...core.types import Delivery

FIELDS: Final = ("source", "document", "round", "version", "title", "completed", "sink", "delivery", "count", "missing")


def judge(template: str, known: tuple[str, ...] = FIELDS) -> Template:
    """The parsed template. ValueError where it cannot be read, or asks for what nobody knows."""
    parsed = Template.parse(template)
    for wanted in parsed.fields:
        if wanted.name not in known:
            raise ValueError(f"template fields among {', '.join(known)}; found {wanted}")
        if wanted.detail and wanted.name != "completed":
            raise ValueError(f"{{{wanted.name}}} without a detail; found {wanted}")
    return parsed


def values(delivery: Delivery) -> dict[str, str]:
    """What FIELDS stand for; `completed` is not among them, since its form is the template's."""
    foreign = {
        "source": delivery.source,
        "document": delivery.document,
        "round": delivery.round,
        "version": str(delivery.version),
        "title": delivery.title or delivery.document,
        "sink": delivery.sink,
        "delivery": delivery.id,
        "count": str(len(delivery.files)),
        "missing": ", ".join(delivery.missing),
    }
    return {name: storable(value) for name, value in foreign.items()}


def filled(
    template: str | Template, delivery: Delivery, known: Mapping[str, str], place: Callable[[str], str] = str
) -> str:
    """`place` makes the one value fit that is not among those known: the moment."""

    def value(wanted: Field) -> str:
        return place(_moment(delivery.completed, wanted.detail)) if wanted.name == "completed" else known[wanted.name]

    return (Template.parse(template) if isinstance(template, str) else template).render(value)


def listed(delivery: Delivery) -> str:
    """The files, a line each."""
    return "\n".join(f"- {one.part.name} ({one.part.size} bytes, SHA-256 {one.part.sha256})" for one in delivery.files)


def one_line(text: str, limit: int = 250) -> str:
    """A line break in a header would begin another header."""
    return storable("".join(one if one.isprintable() else " " for one in " ".join(text.split())), limit)


def _moment(when: float | None, form: str) -> str:
    return datetime.fromtimestamp(when, UTC).strftime(form or "%Y-%m-%d %H:%M UTC") if when is not None else ""
