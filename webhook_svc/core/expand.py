"""`${X}` in the strings of a configuration: expanded after parsing, so that no value changes the file's structure."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import Problem
from .settings import Expanded

Lookup = Callable[[str], str | None]
"""The value of a variable, None where it is unset. ValueError with a sentence where it cannot be read."""

_TOKEN = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\$\{")


class _Unexpandable(ValueError):
    def __init__(self, found: str, expected: str) -> None:
        self.problem = (found, expected)
        super().__init__(found)


def expand(value: Any, where: str, lookup: Lookup, problems: list[Problem]) -> Any:
    """The tree with its strings expanded; a Problem stands where one could not be, and is added to `problems`.

    `where` is put before the key, as in `file: sources.contracts.api_key`.
    """
    if isinstance(value, str):
        return _text(value, where, lookup, problems)
    if isinstance(value, Mapping):
        dot = "" if where.endswith(" ") else "."
        return {key: expand(inner, f"{where}{dot}{key}", lookup, problems) for key, inner in value.items()}
    if isinstance(value, list):
        return [expand(inner, f"{where}[{index}]", lookup, problems) for index, inner in enumerate(value)]
    return value


def _text(text: str, where: str, lookup: Lookup, problems: list[Problem]) -> str | Problem:
    try:
        expanded = _TOKEN.sub(lambda token: _value(token, lookup), text)
    except _Unexpandable as error:
        found, expected = error.problem
        problem = Problem(where=where, found=found, expected=expected)
        problems.append(problem)
        return problem
    whole = _TOKEN.fullmatch(text)
    return Expanded(expanded) if whole and whole.group(1) else expanded


def _value(token: re.Match[str], lookup: Lookup) -> str:
    name, default = token.groups()
    if name is None:
        if token.group() == "$$":
            return "$"
        raise _Unexpandable("'${' that belongs to nothing", "${NAME}, ${NAME:-default}, or '$${' for the characters")
    try:
        found = lookup(name)
    except ValueError as error:
        raise _Unexpandable(f"${{{name}}}", str(error)) from error
    if found is not None:
        return found
    if default is None:
        raise _Unexpandable(
            f"${{{name}}}, which is not set", f"the environment variable {name} or {name}_FILE, or ${{{name}:-default}}"
        )
    return str(default)
