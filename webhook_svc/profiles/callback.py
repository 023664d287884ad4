"""A callback, read by its description: what it says, and what its sender wants to hear."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from ..core.errors import NotGenuine, Permanent
from ..core.flow import segment
from ..core.moment import moment
from ..core.payload import texts_at
from ..core.types import DocumentRef, Meaning, RawRequest, Reply, SourceEvent, as_text, at_path
from ..signing.reading import Place, Reading, viewed_json
from .description import Challenge, Description, EventSettings

_MOST_DOCUMENTS: Final = 100
_MOST_EVENTS: Final = 100
_WEIGHT: Final = {Meaning.OTHER: 0, Meaning.TERMINAL: 1, Meaning.READY: 2, Meaning.CHANGED: 3}


def events_in(request: RawRequest, described: Description) -> list[SourceEvent]:
    """What it says. ValueError or Permanent where it cannot be understood."""
    return [_event(callback, described.event) for callback in _callbacks(request, described)]


def contents_of(request: RawRequest, described: Description) -> list[Any]:
    """The JSON of each event. ValueError where there is none."""
    return [callback.body for callback in _callbacks(request, described)]


def id_in(request: RawRequest, described: Description) -> str:
    """The sender's id of it, of several events that of the first; "" whatever is wrong."""
    try:
        return _id(next(_callbacks(request, described)), described.event)
    except (ValueError, Permanent):
        return ""


def _callbacks(request: RawRequest, described: Description) -> "Iterator[_Callback]":
    whole = _Callback(request, described.verify.body_view)
    each = described.event.each
    if not each:
        yield whole
        return
    listed = whole.body if each == "/" else at_path(whole.body, each)
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_EVENTS:
        raise ValueError(f"no list of 1 to {_MOST_EVENTS} events at {each}")
    for one in listed:
        callback = _Callback(request)
        callback.body = one
        yield callback


class _Callback:
    """One event of a request and the paths into it; the JSON is read only where a path asks for it."""

    def __init__(self, request: RawRequest, view: str = "") -> None:
        self._request = request
        self._view = view

    @cached_property
    def body(self) -> Any:
        return viewed_json(self._request, self._view)

    def value(self, path: str) -> Any:
        if not path:
            return None
        if path.startswith("header:"):
            return self._request.header(path.removeprefix("header:"))
        return at_path(self.body, path)

    def text(self, path: str) -> str:
        found = self.value(path)
        return "" if found is None else as_text(found)


def _event(callback: _Callback, said: EventSettings) -> SourceEvent:
    kind = _kind(callback, said)
    if said.type and not kind:
        raise ValueError("the callback names no type of event")
    meaning = said.meaning(kind) if said.type else Meaning.READY
    at = moment(callback.value(said.at))
    documents = () if meaning is Meaning.OTHER else tuple(_documents(callback, said, at))
    return SourceEvent(type=kind, meaning=meaning, id=_id(callback, said), at=at, documents=documents)


def _id(callback: _Callback, said: EventSettings) -> str:
    return "/".join(text for path in said.id.split(" + ") if (text := callback.text(path)))


def _kind(callback: _Callback, said: EventSettings) -> str:
    """The type; of several, where its path has a `*`, the one that means most to us."""
    if "/*" not in said.type:
        return callback.text(said.type)
    kinds = texts_at(callback.body, said.type, _MOST_EVENTS + 1)
    if len(kinds) > _MOST_EVENTS:
        raise ValueError(f"more than {_MOST_EVENTS} types of event at {said.type}")
    return max(kinds, key=lambda kind: _WEIGHT[said.meaning(kind)], default="")


def _documents(callback: _Callback, said: EventSettings, at: float | None) -> list[DocumentRef]:
    found = callback.value(said.document)
    ids = [as_text(item) for item in (found if isinstance(found, list) else [found]) if item is not None]
    if not 0 < len(ids) <= _MOST_DOCUMENTS:
        raise ValueError(f"from 1 to {_MOST_DOCUMENTS} documents at {said.document}, found {len(ids)}")
    completed = moment(callback.value(said.completed)) if said.completed else at
    hints = {name: callback.text(path) for name, path in said.take.items()}
    name, round_ = callback.text(said.name), callback.text(said.round)
    for document in ids:
        segment(document)
    return [DocumentRef(id=document, round=round_, name=name, completed=completed, hints=hints) for document in ids]


# --- answers ----------------------------------------------------------------------------------------------------------


def acknowledgement(request: RawRequest, described: Description) -> Reply:
    said = described.acknowledge
    echoed = request.header(said.echo) if said.echo else None
    headers = ((said.echo, echoed),) if echoed is not None and _is_plain(echoed) else ()
    return Reply(status=said.status, body=said.body.encode(), content_type=said.content_type, headers=headers)


def handshake(request: RawRequest, described: Description) -> Reply | None:
    """The answer to a handshake, None where the request is none. Whether it is genuine is for the caller to judge."""
    asked = described.challenge
    if asked is None or request.method != asked.method:
        return None
    reading = Reading(request, described.verify.body_view)
    try:
        if any(at_path(reading.document, path) != wanted for path, wanted in asked.when.items()):
            return None
        return _answered(asked, reading) if asked.echo else Reply()
    except NotGenuine:
        return None


def _answered(asked: Challenge, reading: Reading) -> Reply:
    """Raises NotGenuine where the value is missing."""
    place = Place.parse(asked.echo)
    text = reading.text(place)
    plain = place.raw(text)
    headers = [("X-Content-Type-Options", "nosniff")]
    if asked.header and _is_plain(text):
        headers.append((asked.header, text))
    if asked.key:
        content = json.dumps({asked.key: text}).encode()
        return Reply(body=content, content_type="application/json", headers=tuple(headers[1:]))
    return Reply(body=plain, headers=tuple(headers))


def _is_plain(text: str) -> bool:
    """May it stand in a header of ours?"""
    return text.isascii() and text.isprintable()
