"""Commands that explain what can be configured: providers, sinks."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import click

from ..core.errors import ConfigError
from ..core.registry import Registry, guide_of, what_of
from ..core.sections import SinkKeys, SourceKeys
from ..core.settings import fields_of
from ..core.traits import Traits
from .frame import as_json
from .printing import echo_json, table


@click.command()
@click.argument("name", required=False)
@as_json
def providers(name: str | None, as_json: bool) -> None:
    """List the senders that are understood.

    PROVED BY is how a callback shows that it is genuine. A LIST means that callbacks that never came are found
    (`reconcile`). INFERRED is what the sender's documentation does not say; it can be changed in the configuration.
    With NAME, or file:PATH of a profile of your own: how to set one up, and all its settings.

    \b
    Example:
      webhook-svc providers firma
    """
    from .. import wiring

    registry = wiring.KINDS.providers
    if name is not None:
        _explain_one(registry.load(name), name, SourceKeys, as_json)
    elif as_json:
        echo_json(provider_facts(registry))
    else:
        heads = ("NAME", "PROVED BY", "HANDSHAKE", "PARTS", "LIST", "INFERRED")
        click.echo(table(heads, map(_row, provider_facts(registry)), longest=60))


def provider_facts(registry: Registry) -> list[dict[str, Any]]:
    """Of each provider: name, what, verify, handshake ("" = none), parts, list (can it be reconciled?), inferred ("" =
    all is documented). Of one that cannot be loaded `what` says why, and the rest is empty."""
    return [_facts_of(name, registry) for name in registry.names()]


def _facts_of(name: str, registry: Registry) -> dict[str, Any]:
    try:
        kind: Any = registry.load(name)
        what, traits = what_of(kind), kind.traits
    except ConfigError as error:
        what, traits = str(error), Traits(parts=())
    return {"name": name, **_told(what, traits)}


def _told(what: str, traits: Traits) -> dict[str, Any]:
    return {
        "what": what,
        "verify": traits.verify,
        "handshake": traits.handshake,
        "parts": list(traits.parts),
        "list": traits.lists,
        "inferred": traits.inferred,
    }


def _row(facts: Mapping[str, Any]) -> tuple[str, ...]:
    parts, listed = ", ".join(facts["parts"]), "yes" if facts["list"] else "-"
    verify = facts["verify"] or facts["what"]
    return facts["name"], verify, facts["handshake"] or "-", parts, listed, facts["inferred"] or "nothing"


@click.command()
@click.argument("name", required=False)
@as_json
def sinks(name: str | None, as_json: bool) -> None:
    """List the kinds of destination.

    A repeat, after a crash or a lost answer, leaves one effect, or it can be recognised and is counted.
    With NAME: how to set one up, the rights it needs, its limits and all its settings.

    \b
    Example:
      webhook-svc sinks s3
    """
    from .. import wiring

    registry = wiring.KINDS.sinks
    if name is not None:
        _explain_one(registry.load(name), name, SinkKeys, as_json)
    elif as_json:
        echo_json(sink_facts(registry))
    else:
        rows = [(one["name"], one["what"], one["repeat"], one["largest"]) for one in sink_facts(registry)]
        click.echo(table(("NAME", "WHAT IT IS", "A REPEAT", "LARGEST FILE"), rows, longest=70))


def sink_facts(registry: Registry) -> list[dict[str, str]]:
    """Of each kind of sink: name, what, repeat, proof, largest, and the extra it needs ("" = none). Of one whose
    library is missing `what` is the install line, and the rest is empty."""
    return [{"name": name, "extra": registry.extra_of(name), **_facts(registry, name)} for name in registry.names()]


def _facts(registry: Registry, name: str) -> dict[str, str]:
    try:
        kind: Any = registry.load(name)
    except ConfigError as error:
        return {"what": str(error), "repeat": "", "proof": "", "largest": ""}
    return {
        "what": what_of(kind),
        "repeat": "one effect" if kind.create_only else "counted",
        "proof": kind.proof,
        "largest": _size(kind.max_bytes) if kind.carries_files else "no files, a notice",
    }


def _size(most: int | None) -> str:
    if most is None:
        return "any"
    power = next(power for power in (4, 3, 2, 1, 0) if most >= 1000**power)
    return f"{most / 1000**power:.3g} {('B', 'KB', 'MB', 'GB', 'TB')[power]}"


def _explain_one(kind: Any, name: str, common: type, as_json: bool) -> None:
    rows = [*_settings(common), *_settings(kind.Settings)]
    if as_json:
        keys = ("key", "type", "default", "doc")
        echo_json(
            {
                "name": name,
                **_about_json(kind),
                "guide": guide_of(kind),
                "settings": [dict(zip(keys, row, strict=True)) for row in rows],
            }
        )
        return
    click.echo(f"{name}: {what_of(kind)}\n")
    if guide := guide_of(kind).strip():
        click.echo(guide + "\n")
    for line in _about(kind):
        click.echo(line)
    click.echo(table(("SETTING", "TYPE", "DEFAULT", "WHAT IT DOES"), rows, longest=40))


def _about_json(kind: Any) -> dict[str, Any]:
    """Of a provider what the table says of it, and the sender's patience; nothing of a sink."""
    if not hasattr(kind, "traits"):
        return {}
    return {**_told(what_of(kind), kind.traits), "deadline": kind.deadline}


def _about(kind: Any) -> Iterator[str]:
    """What is known of a provider, each in a line; nothing of a sink."""
    traits = getattr(kind, "traits", None)
    if traits is None:
        return
    yield f"Proved by:  {traits.verify}"
    yield f"Handshake:  {traits.handshake or 'none'}"
    yield f"Parts:      {', '.join(traits.parts)}"
    yield f"List:       {'yes: what was never told is found' if traits.lists else 'none: a lost callback is not found'}"
    yield f"Inferred:   {traits.inferred or 'nothing, its documentation says all this'}"
    yield f"Deadline:   for an answer to a callback the sender is taken to wait {kind.deadline:g} s\n"


def _settings(kind: type, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """A line for each setting; the keys of a table in the table follow it as `table.key`."""
    hints = typing.get_type_hints(kind)
    for field, (key, what, default, doc) in zip(dataclasses.fields(kind), fields_of(kind), strict=True):
        inner = _inner(hints[field.name])
        if inner is None:
            yield prefix + key, what, _as_written(default), doc
        else:
            given = "required" if default == "required" else ""
            yield prefix + key, what, given, doc
            yield from _settings(inner, f"{prefix}{key}.")


def _as_written(default: str) -> str:
    """A default as a person would write it into the file."""
    if default.startswith("("):
        return f"[{default[1:-1].removesuffix(',')}]"
    return {"None": "unset", "True": "true", "False": "false"}.get(default, default)


def _inner(hint: Any) -> type | None:
    """The dataclass in a hint such as `Table`, `Table | None` or `tuple[Table, ...]`."""
    found = [one for one in (hint, *typing.get_args(hint)) if isinstance(one, type) and dataclasses.is_dataclass(one)]
    return found[0] if found else None
