"""Which sinks a signing goes to: routes, read in order, whose conditions it meets; else the sinks of its source."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from .settings import setting
from .types import EMPTY

SIGNER: Final = "signer"
"""The name in a source's `meta` that `signer` conditions look at."""

TYPE: Final = "event.type"
META: Final = "meta."
"""Where the facts stand among the hints of a document."""

BETWEEN: Final = "\n"
"""Between several values of one fact; none of them has a line break."""

_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A signing meets it where every condition that is given holds; one of several patterns is enough."""

    sinks: tuple[str, ...] = setting("where a signing goes that meets every condition")
    name: str = setting("what it is called in `check`; unset: its number", "")
    source: tuple[str, ...] = setting("patterns (*, ?, [abc]) of the source's name", ())
    type: tuple[str, ...] = setting("patterns of the event's type", ())
    title: tuple[str, ...] = setting("patterns of the document's name; upper and lower case are one", ())
    signer: tuple[str, ...] = setting("patterns of a signer; the source's meta.signer says where signers stand", ())
    meta: Mapping[str, str] = setting("a pattern for each value that the source's `meta` names", factory=dict)

    def __post_init__(self) -> None:
        if not self.sinks or len(set(self.sinks)) < len(self.sinks):
            raise ValueError("at least one sink, each once")
        patterns = (*self.source, *self.type, *self.title, *self.signer, *self.meta.values())
        if any(not one or len(one) > _LONGEST for one in patterns):
            raise ValueError(f"patterns of 1 to {_LONGEST} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What routes look at: the types of all events that spoke of the signing ("listed": the provider's list did), and
    all values of each name in `meta`."""

    source: str
    types: tuple[str, ...] = ()
    title: str = ""
    meta: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The sinks in the order they were named, and the names of the routes that chose them (none: the source did)."""

    sinks: tuple[str, ...]
    routes: tuple[str, ...] = ()


def merged(known: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """The hints of a document after another event: of facts the types add up and what is known stays, so that the
    order in which events come makes no difference; other hints are those of the newest."""
    types = [*known.get(TYPE, "").split(BETWEEN), *told.get(TYPE, "").split(BETWEEN)]
    found = {**known, **told, **{name: text for name, text in known.items() if name.startswith(META)}}
    return {**found, TYPE: BETWEEN.join(dict.fromkeys(filter(None, types)))} if any(types) else found


def facts_in(hints: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in hints.items() if name == TYPE or name.startswith(META)}


def routed(routes: Sequence[Route], facts: Facts, default: Iterable[str]) -> Routed:
    """All routes that are met choose together; `default` is asked only where none is."""
    met = [(route, name_of(route, number)) for number, route in enumerate(routes, 1) if meets(route, facts)]
    if not met:
        return Routed(sinks=tuple(default))
    sinks = dict.fromkeys(sink for route, _ in met for sink in route.sinks)
    return Routed(sinks=tuple(sinks), routes=tuple(name for _, name in met))


def meets(route: Route, facts: Facts) -> bool:
    conditions = [
        (route.source, (facts.source,)),
        (route.type, facts.types),
        (route.title, (facts.title,)),
        (route.signer, facts.meta.get(SIGNER, ())),
        *(((pattern,), facts.meta.get(name, ())) for name, pattern in route.meta.items()),
    ]
    return all(_one_fits(patterns, values) for patterns, values in conditions if patterns)


def name_of(route: Route, number: int) -> str:
    return route.name or f"route {number}"


def _one_fits(patterns: Iterable[str], values: Iterable[str]) -> bool:
    """Composed, for what comes from a Mac may write a letter and its accent as two characters."""
    composed = [normalize("NFC", value) for value in values]
    return any(_compiled(pattern).fullmatch(value) for pattern in patterns for value in composed)


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(normalize("NFC", pattern)), re.IGNORECASE)
