"""The words of a sink's `name` template: the path of each file that is delivered."""

import re
from collections.abc import Iterator
from typing import Final

from .errors import Problem
from .settings import suggestion
from .template import Field, Template

FIELDS: Final = (
    *("source", "document", "filename", "completed", "version", "sha256"),
    *("delivery", "part", "round", "title", "sink"),
)
UNIQUE_FIELDS: Final = frozenset({"document", "sha256", "delivery"})
META: Final = re.compile(r"meta\.[a-z0-9][a-z0-9_-]{0,39}")
"""A value that a source names in its `meta`."""

_CUT: Final = re.compile(r"\.[1-9][0-9]?")
_TIME_FORMAT: Final = re.compile(r"(?:[^%]|%[YmdHMSjyVGuBbAa%])+")


def path_template(text: str, where: str, problems: list[Problem]) -> Template | None:
    """The parsed template, or None after adding to `problems`."""
    try:
        template = Template.parse(text)
    except ValueError as error:
        expected = "a template such as {source}/{document}/{filename}"
        problems.append(Problem(where=where, found=str(error), expected=expected))
        return None
    wrong = [Problem(where=where, found=found, expected=expected) for found, expected in _faults(text, template)]
    problems.extend(wrong)
    return None if wrong else template


def _faults(text: str, template: Template) -> Iterator[tuple[str, str]]:
    """What was found, and what was expected instead."""
    for field in template.fields:
        yield from _field_faults(field)
    if not any(map(_is_unique, template.fields)):
        yield repr(text), "{document}, {sha256} or {delivery} in it, else two contracts would meet"
    if {"", ".", ".."} & set(text.split("/")):
        yield repr(text), "a relative path without empty, '.' and '..' segments"


def _is_unique(field: Field) -> bool:
    """Of a hash the first eight characters are enough: two that agree in them are kept apart as a conflict."""
    enough = field.name == "sha256" and field.detail.startswith(".") and int(field.detail[1:]) >= 8
    return field.name in UNIQUE_FIELDS and (not field.detail or enough)


def _field_faults(field: Field) -> Iterator[tuple[str, str]]:
    if field.name not in FIELDS and not META.fullmatch(field.name):
        yield f"the unknown field {field}", suggestion(field.name, FIELDS)
    elif field.detail and field.name == "filename":
        yield f"the field {field}", "{filename} whole: it ends in what kind of file it is"
    elif field.detail and field.name != "completed" and not _CUT.fullmatch(field.detail):
        yield f"the field {field}", f"{{{field.name}}}, or {{{field.name}:.8}} for its first 8 characters"
    elif field.detail and field.name == "completed" and not _TIME_FORMAT.fullmatch(field.detail):
        yield f"the field {field}", "a time format of %Y %m %d %H %M %S %j and the like"
