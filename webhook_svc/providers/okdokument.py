"""OKdokument / Signatus (Seyfor Slovensko): unsigned `sendinfo` callbacks; nothing is believed before the API says so.

Wire facts, read in November 2026, under https://wiki.signatus.com/documentation/okdokument-api/ or `/?p=N`:
callback ?p=33 · states 1-6-document-states · several rounds ?p=30 · key 2-1-authorization · download
2-6-download-document · metadata ?p=43 · list ?p=42 · deletion 1-7-storing-and-deleting-documents.

Inferred, hence settings: `canceled` in a callback (the spelling of the state list; the wiki shows `signed` alone);
`errorsendinfo` as a signed document whose callback failed, and as a filter of the list; ten days of life counted from
`modification`; the zone of that time, from the wiki's example, where it is the Bratislava form of `date`.
The wiki's callback has typographic quotes, a slip of its editor: JSON has straight ones.
Unknown: the production host (no default), retries, time-out and addresses of the sender, rate limits, an audit file.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Literal
from zoneinfo import ZoneInfo

from ..core.errors import Ignored, NotReady, Permanent, Retryable, Unlikely, WebhookError
from ..core.flow import EventTypes, Fates, failure, object_in, segment, told
from ..core.links import address, pdf_name, seconds_left
from ..core.moment import moment
from ..core.payload import object_of, objects, text_at
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.sections import URL_TOKEN
from ..core.settings import Secret, Url, setting
from ..core.template import header_text
from ..core.types import (
    DOCUMENT,
    EMPTY,
    Answer,
    Call,
    DocumentRef,
    Listed,
    Meaning,
    RawRequest,
    Request,
    Save,
    SourceEvent,
    Warn,
    at_path,
)
from ..signing.verify import Verifier, VerifySettings

_SENDER = "OKdokument"
_UNTOLD = "errorsendinfo"
_FROM_LIST = "modified:"
_TYPOGRAPHIC = ("“".encode(), "”".encode(), b"\x93", b"\x94")
_DAY = 86_400.0
_GUESSABLE = 22  # characters of base64 that hold 128 bits

_FATES: Fates = {
    401: (Permanent, "the API key is not accepted"),
    403: (Permanent, "the API key may not do this"),
    404: (
        Unlikely,
        "it knows no such document: deleted (ten days after the signing), of another account than the API key, "
        "or made up by a forged callback",
    ),
    429: (Retryable, "too many requests"),
    500: (Retryable, "an error on its side"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """`state` of the callback; what the API says decides in the end."""

    ready: tuple[str, ...] = setting("the document can be fetched", ("signed",))
    terminal: tuple[str, ...] = setting("the signing ended, also in the API's words", ("canceled", "cancelled"))
    other: Literal["confirm", "ignore"] = setting("every other state: ask the API what it means, or ignore", "confirm")


@dataclass(frozen=True, slots=True, kw_only=True)
class OkdokumentSettings:
    api_base: Url = setting("address of the API, without /JSON; https://apidev.okdokument.com is the test system")
    api_key: Secret = setting("API key of the account (header x-api-key)")
    secrets: tuple[Secret, ...] = setting("tokens in the query of sendInfoURL; two while it is changed", ())
    parameter: str = setting("the query parameter of sendInfoURL that carries the token", "token")
    allow_anybody: bool = setting("take callbacks of anybody: neither `secrets` here nor `tokens` in the path", False)
    events: Events = setting("states in callbacks by what they mean", factory=Events)
    signed: tuple[str, ...] = setting("states that the API gives to signed documents; listed too", ("signed", _UNTOLD))
    time_zone: str = setting("the zone of the times that the API writes", "Europe/Bratislava")
    kept_days: float = setting("days after the signing until OKdokument deletes the document", 10.0)
    warn_days: float = setting("days before that from which a fetch warns", 3.0)

    def __post_init__(self) -> None:
        if not URL_TOKEN.fullmatch(self.parameter):
            raise ValueError("a `parameter` of letters, digits and . _ ~ -")
        if self.secrets and self.allow_anybody:
            raise ValueError("either `secrets` or `allow_anybody`")
        if not self.signed or {*self.signed} & {*self.events.terminal}:
            raise ValueError("at least one state in `signed`, and none that is in `events.terminal` too")
        if not (isfinite(self.kept_days) and isfinite(self.warn_days) and self.kept_days > 0):
            raise ValueError("`kept_days` above 0, and both numbers of days finite")
        if self.api_base.rstrip("/").endswith("/JSON"):
            raise ValueError("an `api_base` without /JSON")
        header_text(self.api_key.reveal())
        try:
            ZoneInfo(self.time_zone)
        except (OSError, LookupError, ValueError):
            raise ValueError("a `time_zone` that this system knows, such as Europe/Bratislava") from None


class Okdokument(Provider):
    """One account at OKdokument."""

    Settings = OkdokumentSettings
    settings: OkdokumentSettings

    def scheme(self) -> Scheme:
        if not self.settings.secrets:
            return Verifier(VerifySettings(alg="none"), ())
        table = VerifySettings(alg="equal", signature=f"query:{self.settings.parameter}")
        return Verifier(table, self.settings.secrets, self.public_url)

    def needs_url_token(self) -> bool:
        return not self.settings.secrets and not self.settings.allow_anybody

    def offers(self) -> frozenset[str]:
        return frozenset({DOCUMENT})

    def polls_every(self) -> float | None:
        return 3600.0

    def warnings(self) -> list[str]:
        found = []
        if self.settings.allow_anybody:
            found.append("`allow_anybody`: whoever knows the URL can make this source ask OKdokument for documents")
        secrets = [secret.reveal() for secret in self.settings.secrets]
        if any(len(secret) < _GUESSABLE for secret in secrets):
            found.append("one of `secrets` is so short that it could be guessed: webhook-svc gen-secret makes one")
        if not all(map(URL_TOKEN.fullmatch, secrets)):
            found.append("one of `secrets` is not of letters, digits and . _ ~ -: it is percent-encoded in sendInfoURL")
        return found

    def delivery_id(self, request: RawRequest) -> str:
        """OKdokument has no id of its own for an event: request, document and state together name it."""
        try:
            return "/".join(map(segment, _said(request)))
        except (ValueError, Permanent):
            return ""

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        round_, document, state = _said(request)
        segment(document)
        meaning = self.settings.events.meaning(state)
        if meaning is Meaning.OTHER and self.settings.events.other == "confirm":
            meaning = Meaning.READY
        documents = () if meaning is Meaning.OTHER else (DocumentRef(id=document, round=round_),)
        return [SourceEvent(type=state, meaning=meaning, documents=documents)]

    def steps(self, ref: DocumentRef) -> Steps:
        if DOCUMENT not in ref.parts:
            return
        answer = yield Call(request=self._request("document", "metadata", ref.id))
        found = _object(answer)
        self._must_be_signed(found.get("state"))
        left = seconds_left(answer, self._deletion(found))
        if left < self.settings.warn_days * _DAY:
            yield Warn(message=f"document {told(ref.id)}: {_deadline(left)}")
        # Save looks for a PDF in the bytes: the wiki announces application/json for them.
        name = pdf_name(text_at(found, "filename"))
        answer = yield Save(request=self._request("document", ref.id), part=DOCUMENT, name=name)
        if not answer.ok:
            raise _refusal(answer, _deadline(left))

    def _must_be_signed(self, state: Any) -> None:
        if state in self.settings.events.terminal:
            raise Ignored(f"OKdokument says {state}: there is no signed document")
        if state not in self.settings.signed:
            raise NotReady(f"OKdokument does not call the document signed: its state is {told(state) or 'missing'}")

    def _deletion(self, found: Mapping[str, Any]) -> float | None:
        modified = self._modified(found)
        return None if modified is None else modified + self.settings.kept_days * _DAY

    def _modified(self, found: Mapping[str, Any]) -> float | None:
        try:
            written = datetime.fromisoformat(text_at(found, "modification"))
            zone = written.tzinfo or ZoneInfo(self.settings.time_zone)
            return moment(written.replace(tzinfo=zone).isoformat())
        except (ValueError, OverflowError):
            return moment(found.get("date"))

    def completed_since(self, when: float) -> Steps:
        """The list has no pages. A callback that fails moves its document from `signed` to `errorsendinfo`: asked in
        this order, a document that moves meanwhile is listed twice rather than never."""
        untold: list[str] = []
        for state in self.settings.signed:
            for row in (yield from self._rows(state)):
                listed = self._listed(row)
                if listed.completed is None or listed.completed >= when:
                    yield listed
                    untold += [listed.ref.id] if state == _UNTOLD else []
        if untold:
            yield Warn(
                message=f"OKdokument could not deliver its callback (documents in the state {_UNTOLD}: {len(untold)}, "
                f"such as {told(untold[0])}); whether they were submitted or canceled it does not say"
            )

    def _rows(self, state: str) -> Flow[list[Mapping[str, Any]]]:
        """A server that does not know the filter may list everything, hence the second look at the state."""
        answer = yield Call(request=self._request("list", "flat", query={"state": state}))
        if not answer.ok:
            raise _refusal(answer)
        rows = answer.json()
        if not isinstance(rows, list):
            raise Retryable("the list of OKdokument is not a JSON array")
        return [row for row in objects(rows) if text_at(row, "id") and row.get("state", state) == state]

    def _listed(self, row: Mapping[str, Any]) -> Listed:
        """The list names no round: the time of the last change stands for it, in words that no round may use."""
        modified, title = self._modified(row), text_at(row, "filename").removesuffix(".pdf")
        round_ = _FROM_LIST + text_at(row, "modification")
        return Listed(
            ref=DocumentRef(id=text_at(row, "id"), round=round_, name=title, completed=modified), completed=modified
        )

    def _request(self, *path: str, query: Mapping[str, str] = EMPTY) -> Request:
        url = address(self.settings.api_base, "JSON", *path, **query)
        return Request(url=url, auth={"x-api-key": self.settings.api_key.reveal()})


def _said(request: RawRequest) -> tuple[str, str, str]:
    """Signature request, document and state. ValueError where one of them is missing."""
    try:
        body = object_of(request)
    except ValueError:
        if any(quote in request.body for quote in _TYPOGRAPHIC):
            raise ValueError(
                "the body is not JSON: it has typographic quotes, like the wiki's example, where straight ones belong"
            ) from None
        raise
    said = text_at(body, "signatureRequestId"), text_at(body, "id"), text_at(body, "state")
    if not all(said):
        raise ValueError("the callback needs text under `state`, `id` and `signatureRequestId`")
    if said[0].startswith(_FROM_LIST):
        raise ValueError(f"a signatureRequestId does not begin with {_FROM_LIST}")
    return said


def _object(answer: Answer) -> Mapping[str, Any]:
    if not answer.ok:
        raise _refusal(answer)
    return object_in(answer, _FATES, _SENDER)


def _refusal(answer: Answer, deadline: str = "") -> WebhookError:
    """What the status means, what the error body says, and how long there is still something to fetch."""
    with suppress(Retryable):
        deadline = "; ".join(filter(None, (told(at_path(answer.json(), "message")), deadline)))
    return failure(answer, _FATES, _SENDER, deadline)


def _deadline(left: float) -> str:
    if not isfinite(left):
        return ""
    if left <= 0:
        return "its time is over: OKdokument deletes it any moment"
    return f"it is deleted at OKdokument in about {left / _DAY:.1f} days"
