"""A table as the TOML that a person pastes into the configuration."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def table_text(name: str, table: Mapping[str, Any]) -> str:
    """`[name]` with its values, then its tables. `$` is doubled, because the configuration expands `${X}`."""
    return "\n".join(_table(f"[{name}]", name, table))


def _table(head: str, name: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield head
    for key, value in table.items():
        if not _is_table(value):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        inner = f"{name}.{_key(key)}"
        if isinstance(value, Mapping):
            yield from _table(f"[{inner}]", inner, value)
        elif _is_table(value):
            for item in value:
                yield from _table(f"[[{inner}]]", inner, item)


def _is_table(value: Any) -> bool:
    several = isinstance(value, list | tuple) and bool(value)
    return isinstance(value, Mapping) or (several and all(isinstance(item, Mapping) for item in value))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value.replace("$", "$$"))
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def _text(text: str) -> str:
    """JSON's escapes are TOML's, but for DEL, which JSON leaves alone."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
