"""What the flows of many providers have in common: types of event, judging answers, parts that may lack.

Links that expire are followed with `core.links`, lists read page by page with `core.lists`, foreign JSON with
`core.payload`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from .errors import Ignored, NotReady, Permanent, RenewToken, Retryable, WebhookError
from .outgoing import Answer, Lacking, Login
from .ports import Flow
from .settings import setting
from .template import url_segment
from .types import DOCUMENT, DocumentRef, Meaning, SourceEvent, at_path

T = TypeVar("T")

Fates = Mapping[int, tuple[type[Permanent | NotReady | Retryable], str]]
"""What an error status means, in a table that can be held against the provider's documentation."""

_MAY_PASS = (408, 425)  # it took too long, it is too early: said by gateways that no provider's table knows


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTypes:
    """Which types of event mean what; every other type is kept and asks for nothing."""

    ready: tuple[str, ...] = setting("the document can be fetched", ())
    changed: tuple[str, ...] = setting("ready, and its bytes may differ from those fetched before", ())
    terminal: tuple[str, ...] = setting("the signing ended without a document", ())

    def __post_init__(self) -> None:
        every = (*self.ready, *self.changed, *self.terminal)
        twice = sorted({kind for kind in every if every.count(kind) > 1})
        if twice:
            raise ValueError(f"each type in one of the lists and once: {', '.join(twice)} is not")

    def meaning(self, kind: str) -> Meaning:
        if kind in self.changed:
            return Meaning.CHANGED
        if kind in self.ready:
            return Meaning.READY
        return Meaning.TERMINAL if kind in self.terminal else Meaning.OTHER

    def event(
        self, kind: str, document: Callable[[], DocumentRef], *, id: str = "", at: float | None = None
    ) -> SourceEvent:
        """What a callback of that type says; `document` is asked only where the type means something to us."""
        if not kind:
            raise ValueError("the callback names no type of event")
        meaning = self.meaning(kind)
        documents = () if meaning is Meaning.OTHER else (document(),)
        return SourceEvent(type=kind, meaning=meaning, id=id, at=at, documents=documents)


def token() -> Flow[str]:
    """The source's token, from memory or by a login."""
    return (yield Login()).body.decode()


def segment(text: str) -> str:
    """A foreign id as one path segment. Permanent where it is empty or would climb."""
    try:
        return url_segment(text)
    except ValueError:
        raise Permanent("the document id cannot stand in a URL") from None


def object_in(answer: Answer, fates: Fates, sender: str) -> Mapping[str, Any]:
    """The JSON object of a 2xx; for every other answer the error that its status means."""
    if not answer.ok:
        raise failure(answer, fates, sender)
    found = answer.json()
    if not isinstance(found, Mapping):
        raise Retryable("the answer is not a JSON object")
    return found


def quiet_object(answer: Answer) -> Mapping[str, Any]:
    """The JSON object of a 2xx; an empty one for an answer that nobody misses."""
    with suppress(Retryable):
        if answer.ok and isinstance(found := answer.json(), Mapping):
            return found
    return {}


def failure(answer: Answer, fates: Fates, sender: str, said: str = "", *, meant: int | None = None) -> WebhookError:
    """The error that the status means. Outside the table 408, 425 and all from 500 on may pass; the others do not.

    `said` is the sender's own word for it (see `told`), `meant` the status that this word stands for where the sender
    answers with another.
    """
    if answer.status == 0:
        return Retryable(answer.body.decode(errors="replace"))
    status = meant or answer.status
    may_pass = status >= 500 or status in _MAY_PASS
    fate, meaning = fates.get(status, (Retryable if may_pass else Permanent, "unexpected"))
    message = f"{sender} answered {answer.status}: {meaning}" + (f" ({said})" if said else "")
    return fate(message) if issubclass(fate, Permanent) else fate(message, after=_pause(answer, limited=status == 429))


def server_time(answer: Answer) -> float | None:
    """When the server answered, by its own clock; None where it does not tell."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def told(value: Any, most: int = 200) -> str:
    """Foreign text fit for a message: one line of printable characters, cut; "" where it is no text."""
    text = value[:most] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def told_in(answer: Answer, path: str) -> str:
    """What the JSON of the answer says there, fit for a message; "" where it is no JSON, or no text stands there."""
    with suppress(Retryable):
        return told(at_path(answer.json(), path))
    return ""


def _pause(answer: Answer, *, limited: bool) -> float | None:
    """`Retry-After`, or what some senders say instead where a limit is reached: `x-ratelimit-reset`, or seconds in the
    body."""
    after = answer.retry_after()
    if after is None and limited:
        after = _until(answer.headers.get("x-ratelimit-reset", ""), server_time(answer))
    if after is None and limited:
        with suppress(Retryable):
            found = at_path(answer.json(), "details.retry_after")
            after = float(found) if isinstance(found, int | float) and 0 < found < 1e7 else None
    return after


def _until(text: str, now: float | None) -> float | None:
    """A few seconds in digits; a longer number is the Unix time of its end."""
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    if len(text) < 8:
        return float(text)
    return None if now is None else max(float(text) - now, 0.0)


def beside_document(ref: DocumentRef) -> bool:
    """Whether trouble with another part would keep a document back; alone, its error is worth a try of its own."""
    return DOCUMENT in ref.parts


def forgiving(ref: DocumentRef, part: str, flow: Flow[T]) -> Flow[T | None]:
    """A flow for another part than the document: beside that, its errors make the part lacking, and end in None."""
    try:
        return (yield from flow)
    except (NotReady, Retryable, Permanent, RenewToken, Ignored) as error:
        if not beside_document(ref):
            raise
        yield Lacking(part=part, reason=str(error))
        return None
