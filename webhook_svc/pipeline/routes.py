"""What routes look at: noted when a callback is parsed, kept with its signing, and read when a bundle goes out."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from ..core.errors import WebhookError
from ..core.flow import told
from ..core.payload import texts_at
from ..core.routing import BETWEEN, META, TYPE, Facts, Route, Routed, facts_in, meets, merged, routed
from ..core.store import Store
from ..core.types import DocumentRef, RawRequest, SourceEvent
from .parties import Parties, Source

LISTED: Final = "listed"
"""The type of an event that reconciliation made: nobody called."""

_MOST: Final = 20
"""Values of one name, and events that are read once more."""


def noted(parties: Parties, source: Source, request: RawRequest, events: list[SourceEvent]) -> list[SourceEvent]:
    """The events, whose documents remember what routes and names will ask for: the type, and the values that the
    source names in its `meta`."""
    if not parties.routes and not source.meta:
        return events
    return [
        replace(event, documents=tuple(_with(ref, {TYPE: told(event.type), **values}) for ref in event.documents))
        for event, values in zip(events, _values(source, request, len(events)), strict=True)
    ]


def inherited(ref: DocumentRef, child: DocumentRef) -> DocumentRef:
    """A document that another led to, with what is known of that."""
    return replace(child, hints=merged(facts_in(ref.hints), child.hints))


def recalled(parties: Parties, source: Source, store: Store, signing_id: str, ref: DocumentRef) -> DocumentRef:
    """What was not noted because nobody asked for it then, out of the events that are still kept."""
    if not parties.routes and not source.meta:
        return ref
    for request in _requests(store, signing_id):
        if TYPE in ref.hints and all(META + name in ref.hints for name in source.meta):
            break
        for event in noted(parties, source, request, _parsed(source, request)):
            for one in event.documents:
                if (one.id, one.round) == (ref.id, ref.round):
                    ref = _with(ref, merged(ref.hints, facts_in(one.hints)))
    return ref


def facts_of(source: str, ref: DocumentRef, title: str) -> Facts:
    types = tuple(ref.hints.get(TYPE, LISTED).split(BETWEEN))
    return Facts(source=source, types=types, title=title, meta=meta_of(ref))


def meta_of(ref: DocumentRef) -> Mapping[str, tuple[str, ...]]:
    """The values that the source named, by their names."""
    found = {name.removeprefix(META): text for name, text in ref.hints.items() if name.startswith(META)}
    return {name: tuple(text.split(BETWEEN)) for name, text in found.items()}


def chosen(parties: Parties, source: Source, ref: DocumentRef, title: str) -> Routed:
    """The sinks of a signing. None at all where it fits no route and its source names no sink."""
    return routed(parties.routes, facts_of(source.name, ref, title), source.sinks)


def astray(parties: Parties, source: Source) -> str:
    """Why a signing that nothing was chosen for waits for a person; "" where its source is meant to go nowhere."""
    concerned = any(meets(_of_the_source(route), Facts(source=source.name)) for route in parties.routes)
    return f"it fits no route, and the source {source.name!r} names no sinks" if concerned else ""


def _of_the_source(route: Route) -> Route:
    return Route(sinks=route.sinks, source=route.source)


def _requests(store: Store, signing_id: str) -> Iterator[RawRequest]:
    for event_id in store.spoken(signing_id)[:_MOST]:
        event = store.event(event_id)
        if event.listed is None:
            yield event.request


def _parsed(source: Source, request: RawRequest) -> list[SourceEvent]:
    """An event that cannot be understood any more tells nothing."""
    try:
        return source.provider.parse(request)
    except (ValueError, WebhookError):
        return []


def _values(source: Source, request: RawRequest, count: int) -> list[dict[str, str]]:
    """For each of so many events its own. A callback that is no JSON has none."""
    try:
        contents = source.provider.contents(request) if source.meta else []
    except ValueError:
        contents = []
    contents = contents * count if len(contents) == 1 else contents
    return [_values_in(source, one) for one in contents] if len(contents) == count else [{}] * count


def _values_in(source: Source, body: Any) -> dict[str, str]:
    found = {name: [told(one) for one in texts_at(body, path)[:_MOST]] for name, path in source.meta.items()}
    return {META + name: BETWEEN.join(filter(None, texts)) for name, texts in found.items() if any(texts)}


def _with(ref: DocumentRef, values: Mapping[str, str]) -> DocumentRef:
    return replace(ref, hints={**ref.hints, **values})
