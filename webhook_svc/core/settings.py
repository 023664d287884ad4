"""A table of the configuration becomes a frozen Settings dataclass; every problem is collected, none raised singly.

Types that a field may have: str, int, float, bool, Secret, Url, Literal, `X | None`, `tuple[X, ...]`,
`Mapping[str, X]`, and dataclasses of these. `field(metadata={"doc": …})`, written `setting(…)`, documents it.
A field named after a Python keyword ends in an underscore that its key in the file does not have (`from_`: `from`).
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from .errors import Problem

_BOOLEANS: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
_NAMES: Final[Mapping[Any, str]] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class Secret:
    """Text that prints as `***` everywhere; `reveal()` is the one way to it. Hashable, to fit frozen values."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is not pickled")


def too_short(secrets: Iterable[Secret], least: int = 16) -> list[str]:
    """What `Provider.warnings` says of secrets that could be guessed."""
    if all(len(secret.reveal()) >= least for secret in secrets):
        return []
    return [f"one of `secrets` is shorter than {least} characters: `webhook-svc gen-secret` makes a good one"]


class Url(str):
    """An http(s) address written in the configuration: its host is trusted as written."""

    __slots__ = ()


class _BeyondAscii(ValueError):
    """A host in letters of its language."""


class Expanded(str):
    """A string that came whole out of `${X}`: it takes the field's type. Empty, it counts as not given."""

    __slots__ = ()


def setting(doc: str, default: Any = dataclasses.MISSING, *, factory: Any = dataclasses.MISSING) -> Any:
    """A dataclass field with its documentation (shown by `webhook-svc providers NAME` and `sinks NAME`)."""
    metadata = {"doc": doc}
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    if default is not dataclasses.MISSING:
        return dataclasses.field(default=default, metadata=metadata)
    return dataclasses.field(metadata=metadata)


def build(
    kind: type, table: Mapping[str, Any], where: str, problems: list[Problem], *, also: Iterable[str] = ()
) -> Any:
    """The Settings object, or None after adding to `problems`. `kind.__post_init__` may raise ValueError.

    `also` are keys that were taken out of the table before: they are offered where a key is unknown.
    A Problem that stands in the place of a value (see core.expand) is reported where the value is used.
    """
    before = len(problems)
    hints = get_type_hints(kind)
    known = {_key(field.name): field for field in dataclasses.fields(kind) if field.init}
    problems.extend(unknown_key(where, key, [*known, *also]) for key in table if key not in known)
    values: dict[str, Any] = {}
    for key, field in known.items():
        hint = hints[field.name]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if key in table and (required or not _not_given(table[key])):
            values[field.name] = _convert(hint, table[key], f"{where}.{key}", problems)
        elif required:
            problems.append(Problem(where=f"{where}.{key}", found="nothing", expected=_describe(hint)))
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except ValueError as error:
        problems.append(Problem(where=where, found="settings that do not work", expected=str(error)))
        return None


def fields_of(kind: type) -> Iterator[tuple[str, str, str, str]]:
    """(name, type, default, documentation) of each setting, for help texts."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            default = "***" if isinstance(field.default, Secret) else repr(field.default)
        else:
            default = "required" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())
        yield _key(field.name), _describe(hints[field.name]), default, field.metadata.get("doc", "")


def hosts_in(settings: Any) -> frozenset[str]:
    """The origin of every Url that stands in the settings: the hosts that are trusted and receive credentials."""
    return frozenset(_hosts(settings))


def host_of(url: str) -> str:
    """The origin, `scheme://host:port` in lower case, the port spelt out. ValueError where the URL has no host.

    Nor is a host beyond ASCII taken: what is asked in the end is its xn-- form, and another text is another origin.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("the URL has no host")
    if not parts.hostname.isascii():
        raise _BeyondAscii("an address whose host is written in ASCII, as in the DNS: xn--…")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname.lower()}:{port}"


def _hosts(value: Any) -> Iterator[str]:
    if isinstance(value, Url):
        yield host_of(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _hosts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _hosts(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _hosts(inner)


def _key(name: str) -> str:
    return name.removesuffix("_")


def unknown_key(where: str, key: str, known: Iterable[str]) -> Problem:
    return Problem(where=f"{where}.{key}", found="an unknown key", expected=suggestion(key, known))


def suggestion(name: str, known: Iterable[str]) -> str:
    """What was expected instead of an unknown name: the one that looks like it, else all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"{close[0]!r} (did you mean that?)" if close else f"one of: {', '.join(names) or 'none'}"


def _not_given(value: Any) -> bool:
    return isinstance(value, Expanded) and not value


def _convert(hint: Any, value: Any, where: str, problems: list[Problem]) -> Any:
    if isinstance(value, Problem):
        problems.append(value)
        return None
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(_not_none(args), value, where, problems)
    if origin is Literal:
        return _choice(args, value, where, problems)
    if origin is tuple:
        return _items(args[0], value, where, problems)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(args[1], value, where, problems)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return build(hint, value, where, problems)
        return _wrong(hint, value, where, problems)
    if hint is Any:
        problems.extend(problems_in(value))
        return value
    return _scalar(hint, value, where, problems)


def problems_in(value: Any) -> Iterator[Problem]:
    """Every Problem that stands in the place of a value, however deep."""
    if isinstance(value, Problem):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from problems_in(inner)


def _scalar(hint: Any, value: Any, where: str, problems: list[Problem]) -> Any:
    if isinstance(value, Expanded) and hint in (int, float, bool):
        value = _from_text(hint, value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, bool) and type(value) is hint:
        return value
    if hint in (str, Secret, Url) and isinstance(value, str):
        if hint is Secret and not value.strip():
            problems.append(Problem(where=where, found="an empty secret", expected="a secret"))
            return None
        if hint is Url and (expected := _why_no_address(value)):
            problems.append(Problem(where=where, found=_shown(value), expected=expected))
            return None
        return str(value) if hint is str else hint(value)
    return _wrong(hint, value, where, problems)


def _from_text(hint: Any, value: str) -> Any:
    text = value.strip()
    if hint is bool:
        return _BOOLEANS.get(text.lower(), value)
    try:
        return hint(text)
    except ValueError:
        return value


def _why_no_address(value: str) -> str:
    """What is expected instead, "" where the address can be used."""
    try:
        fits = urlsplit(value).scheme in ("http", "https") and bool(host_of(value))
    except _BeyondAscii as error:
        return str(error)
    except ValueError:
        fits = False
    return "" if fits else _describe(Url)


def _items(hint: Any, value: Any, where: str, problems: list[Problem]) -> Any:
    items = [Expanded(item.strip()) for item in value.split(",")] if isinstance(value, Expanded) else value
    if not isinstance(items, list | tuple):
        return _wrong(tuple[hint, ...], value, where, problems)
    given = [(index, item) for index, item in enumerate(items) if not _not_given(item)]
    if value and not given and hint is Secret:
        problems.append(Problem(where=where, found="only empty secrets", expected="at least one secret"))
    return tuple(_convert(hint, item, f"{where}[{index}]", problems) for index, item in given)


def _mapping(hint: Any, value: Any, where: str, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        return _wrong(Mapping[str, hint], value, where, problems)
    converted = {key: _convert(hint, item, f"{where}.{key}", problems) for key, item in value.items()}
    return types.MappingProxyType(converted)


def _choice(allowed: tuple[Any, ...], value: Any, where: str, problems: list[Problem]) -> Any:
    plain = str(value) if isinstance(value, Expanded) else value
    if plain in allowed and not isinstance(plain, bool):
        return plain
    close = get_close_matches(str(plain), [str(item) for item in allowed], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    expected = "one of: " + ", ".join(map(str, allowed)) + hint
    problems.append(Problem(where=where, found=_shown(plain), expected=expected))
    return None


def _wrong(hint: Any, value: Any, where: str, problems: list[Problem]) -> None:
    found = "something else" if _holds_secret(hint) else _shown(value)
    problems.append(Problem(where=where, found=found, expected=_describe(hint)))


def _holds_secret(hint: Any) -> bool:
    return hint is Secret or any(_holds_secret(arg) for arg in get_args(hint))


def _shown(value: Any) -> str:
    """A value of the file, for an error message. Text is shown only where it is short: it may be a secret."""
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 24 and not isinstance(value, Expanded) else "a text"
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, list | tuple) else repr(value)


def _not_none(args: tuple[Any, ...]) -> Any:
    rest = [arg for arg in args if arg is not type(None)]
    return rest[0] if len(rest) == 1 else Any


def _describe(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if hint in _NAMES:
        return _NAMES[hint]
    if hint in (Secret, Url, Any):
        return {Secret: "a secret", Url: "an http(s) address"}.get(hint, "anything")
    if origin in (Union, types.UnionType):
        return _describe(_not_none(args)) + " (optional)"
    if origin is Literal:
        return "one of: " + ", ".join(map(str, args))
    if origin is tuple:
        return f"a list of {_describe(args[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table of {_describe(args[1])}"
    return "a table" if dataclasses.is_dataclass(hint) else typing.cast(str, getattr(hint, "__name__", str(hint)))
