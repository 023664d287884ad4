"""What routes look at: kept with the signing when its callback is parsed, and read when its bundle goes out."""

from dataclasses import replace
from typing import Final

from ..core.flow import told
from ..core.payload import texts_at
from ..core.routing import Facts, Route, Routed, meets, routed
from ..core.types import DocumentRef, RawRequest, SourceEvent
from .parties import Parties, Source

LISTED: Final = "listed"
"""The type of an event that reconciliation made: nobody called."""

_TYPE: Final = "event.type"
_META: Final = "meta."
_BETWEEN: Final = "\n"
"""Between several values; a value has no line break."""

_MOST: Final = 20


def noted(parties: Parties, source: Source, request: RawRequest, events: list[SourceEvent]) -> list[SourceEvent]:
    """The events, whose documents remember what routes and names will ask for: the type, and the values that the
    source names in its `meta`."""
    if not parties.routes and not source.meta:
        return events
    values = _values(source, request)
    return [
        replace(event, documents=tuple(_with(ref, {_TYPE: told(event.type), **values}) for ref in event.documents))
        for event in events
    ]


def facts_of(source: str, ref: DocumentRef, title: str) -> Facts:
    return Facts(source=source, type=ref.hints.get(_TYPE, LISTED), title=title, meta=meta_of(ref))


def meta_of(ref: DocumentRef) -> dict[str, tuple[str, ...]]:
    """The values that the source named, by their names."""
    found = {name.removeprefix(_META): text for name, text in ref.hints.items() if name.startswith(_META)}
    return {name: tuple(text.split(_BETWEEN)) for name, text in found.items()}


def chosen(parties: Parties, source: Source, ref: DocumentRef, title: str) -> Routed:
    """The sinks of a signing. None at all where it fits no route and its source names no sink."""
    return routed(parties.routes, facts_of(source.name, ref, title), source.sinks)


def astray(parties: Parties, source: Source) -> str:
    """Why a signing that nothing was chosen for waits for a person; "" where its source is meant to go nowhere."""
    concerned = any(meets(_of_the_source(route), Facts(source=source.name)) for route in parties.routes)
    return f"it fits no route, and the source {source.name!r} names no sinks" if concerned else ""


def _of_the_source(route: Route) -> Route:
    return Route(sinks=route.sinks, source=route.source)


def _values(source: Source, request: RawRequest) -> dict[str, str]:
    """A callback that is no JSON has none."""
    if not source.meta:
        return {}
    try:
        body = request.json()
    except ValueError:
        return {}
    found = {name: [told(one) for one in texts_at(body, path)[:_MOST]] for name, path in source.meta.items()}
    return {_META + name: _BETWEEN.join(filter(None, texts)) for name, texts in found.items() if any(texts)}


def _with(ref: DocumentRef, values: dict[str, str]) -> DocumentRef:
    return replace(ref, hints={**ref.hints, **values})
