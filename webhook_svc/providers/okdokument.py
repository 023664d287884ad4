"""OKdokument / Signatus (Seyfor Slovensko): unsigned `sendinfo` callbacks; nothing is believed before the API says so.

Wire facts, read in November 2026, under https://wiki.signatus.com/documentation/okdokument-api/ or `/?p=N`:
callback ?p=33 · states 1-6-document-states · several rounds ?p=30 · key 2-1-authorization · download
2-6-download-document · metadata ?p=43 · list ?p=42 · deletion 1-7-storing-and-deleting-documents.

`errorsendinfo` is all that is left to see of a document whose callback failed, whether its signer pressed Submit or
Cancel. So it is listed, but not forwarded: a person decides, or `signed` says that here it means signed.

Inferred, hence settings: `canceled` in a callback (the wiki shows `signed` alone); ten days of life counted from the
last change; the zone of `modification`, by the wiki's example that of Bratislava (`date` counts where it is later).
Inferred too: `errorsendinfo` as a filter of the list; that a document fetched twice has the same bytes, by which a
round of the list is known as that of a callback.
Unknown: the production host (no default), retries, time-out and addresses of the sender, rate limits, an audit file.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, ClassVar, Final, Literal
from zoneinfo import ZoneInfo

from ..core.errors import Ignored, NotReady, Permanent, Retryable, Unlikely, WebhookError
from ..core.flow import EventTypes, Fates, failure, object_in, segment, told, told_in
from ..core.links import address, pdf_name, seconds_left
from ..core.moment import moment
from ..core.outgoing import AlsoRound, Answer, Call, Listed, Request, Save, Warn
from ..core.payload import object_of, objects, text_at
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting
from ..core.template import header_text
from ..core.traits import Traits
from ..core.types import DOCUMENT, DocumentRef, Meaning, RawRequest, SourceEvent
from ..signing.verify import Verifier, VerifySettings

_UNTOLD: Final = "errorsendinfo"

# --- settings and events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """`state` of the callback; what the API says decides in the end."""

    ready: tuple[str, ...] = setting("the document can be fetched", ("signed",))
    terminal: tuple[str, ...] = setting("the signing ended, also in the API's words", ("canceled", "cancelled"))
    other: Literal["confirm", "ignore"] = setting("every other state: ask the API what it means, or ignore", "confirm")


@dataclass(frozen=True, slots=True, kw_only=True)
class OkdokumentSettings:
    api_base: Url = setting("address of the API; https://apidev.okdokument.com is the test system")
    api_key: Secret = setting("API key of the account (header x-api-key)")
    secrets: tuple[Secret, ...] = setting("what sendInfoURL carries as ?token=; two while it is changed", ())
    allow_anybody: bool = setting("take callbacks of anybody: neither `secrets` here nor `tokens` in the path", False)
    events: Events = setting("states in callbacks by what they mean", factory=Events)
    signed: tuple[str, ...] = setting("states by which the API calls a document signed", ("signed",))
    time_zone: str = setting("the zone of the times that the API writes", "Europe/Bratislava")
    kept_days: float = setting("days after the signing until OKdokument deletes the document", 10.0)
    warn_days: float = setting("days before that from which a fetch warns", 3.0)

    def __post_init__(self) -> None:
        if self.secrets and self.allow_anybody:
            raise ValueError("either `secrets` or `allow_anybody`")
        if not self.signed or {*self.signed} & {*self.events.terminal}:
            raise ValueError("at least one state in `signed`, and none that is in `events.terminal` too")
        if not 0 < self.kept_days < 36_500:
            raise ValueError("`kept_days` above 0 and below 36500")
        header_text(self.api_key.reveal())
        try:
            ZoneInfo(self.time_zone)
        except (OSError, LookupError, ValueError):
            raise ValueError("a `time_zone` that this system knows, such as Europe/Bratislava") from None


# --- errors -----------------------------------------------------------------------------------------------------------

_FATES: Final[Fates] = {
    401: (Permanent, "the API key is not accepted"),
    403: (Permanent, "the API key may not do this"),
    404: (Unlikely, "unknown document: deleted (after ten days), of another account, or made up by a forged callback"),
    429: (Retryable, "too many requests"),
    500: (Retryable, "an error on its side"),
}
_UNDECIDED: Final = (
    f"OKdokument could not deliver its callback ({_UNTOLD}), so whether the signer submitted or canceled is not known: "
    f"look there; where nobody can cancel, add {_UNTOLD} to `signed`; then replay"
)

# --- steps ------------------------------------------------------------------------------------------------------------

_DAY: Final = 86_400.0
_GUESSABLE: Final = 22  # characters of base64 that hold 128 bits


class Okdokument(Provider):
    """One account at OKdokument."""

    Settings = OkdokumentSettings
    settings: OkdokumentSettings
    traits: ClassVar[Traits] = Traits(
        verify="the secret in the query, or URL token",
        lists=True,
        inferred="canceled in a callback, the life of a document, retries and time-out",
    )

    def scheme(self) -> Scheme:
        if not self.settings.secrets:
            return Verifier(VerifySettings(alg="none"), ())
        return Verifier(VerifySettings(alg="equal", signature="query:token"), self.settings.secrets, self.public_url)

    def callback_query(self) -> str:
        return "?token=<secret>" if self.settings.secrets else ""

    def needs_url_token(self) -> bool:
        return not self.settings.secrets and not self.settings.allow_anybody

    def warnings(self) -> list[str]:
        found = []
        if self.settings.allow_anybody:
            found.append("`allow_anybody`: whoever knows the URL can make this source ask OKdokument for documents")
        if any(len(secret.reveal()) < _GUESSABLE for secret in self.settings.secrets):
            found.append("one of `secrets` is so short that it could be guessed: webhook-svc gen-secret makes one")
        if _UNTOLD in self.settings.signed:
            found.append(f"`signed` has {_UNTOLD}: what a signer canceled may be forwarded as if it were signed")
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
        """The metadata decide. Save looks for a PDF in the bytes: the wiki announces application/json for them."""
        if DOCUMENT not in ref.parts:
            return
        answer = yield Call(request=self._request("document", "metadata", ref.id))
        found = self._confirmed(ref, answer)
        modified = self._modified(found)
        left = seconds_left(answer, modified and modified + self.settings.kept_days * _DAY)
        if left < self.settings.warn_days * _DAY:
            yield Warn(message=f"document {told(ref.id)}: {_deadline(left)}")
        yield AlsoRound(round=_listed_as(found))
        name = pdf_name(text_at(found, "filename"))
        answer = yield Save(request=self._request("document", ref.id), part=DOCUMENT, name=name)
        if not answer.ok:
            raise _refusal(answer, _deadline(left))

    def _confirmed(self, ref: DocumentRef, answer: Answer) -> Mapping[str, Any]:
        """The metadata of a document that is signed. An id in other letters would be another signing to us."""
        if not answer.ok:
            raise _refusal(answer)
        found = object_in(answer, _FATES, "OKdokument")
        state = found.get("state")
        if text_at(found, "id") not in ("", ref.id):
            raise Permanent("OKdokument knows the document by another id than the callback names")
        if state in self.settings.events.terminal:
            raise Ignored(f"OKdokument says {state}: there is no signed document")
        if state in self.settings.signed:
            return found
        if state == _UNTOLD:
            raise Unlikely(_UNDECIDED)
        raise NotReady(f"OKdokument does not call the document signed: its state is {told(state) or 'missing'}")

    def _modified(self, found: Mapping[str, Any]) -> float | None:
        """When it was changed last; the later of two, for a time that is too early could fall out of the list."""
        times = [moment(found.get("date"))]
        with suppress(ValueError, OverflowError):
            written = datetime.fromisoformat(text_at(found, "modification"))
            times.append(
                moment(written.replace(tzinfo=written.tzinfo or ZoneInfo(self.settings.time_zone)).isoformat())
            )
        return max((time for time in times if time is not None), default=None)

    def polls_every(self) -> float:
        return 3600.0

    def completed_since(self, when: float) -> Steps:
        """The list has no pages. A callback that fails moves its document from `signed` to `errorsendinfo`: asked in
        this order, a document that moves meanwhile is listed twice rather than never."""
        untold: list[str] = []
        for state in (*(state for state in self.settings.signed if state != _UNTOLD), _UNTOLD):
            for row in (yield from self._rows(state)):
                document, changed = text_at(row, "id"), self._modified(row)
                if changed is not None and changed < when:
                    continue
                untold += [document] if state == _UNTOLD else []
                name, round_ = text_at(row, "filename").removesuffix(".pdf"), _listed_as({"state": state, **row})
                yield Listed(
                    ref=DocumentRef(id=document, round=round_, name=name, completed=changed), completed=changed
                )
        if untold:
            told_of = f"{len(untold)}, such as {told(untold[0])}"
            yield Warn(message=f"documents whose callback OKdokument could not deliver ({_UNTOLD}): {told_of}")

    def _rows(self, state: str) -> Flow[list[Mapping[str, Any]]]:
        """A server that does not know the filter may list everything, hence the second look at the state."""
        answer = yield Call(request=self._request("list", "flat", state=state))
        if not answer.ok:
            raise _refusal(answer)
        rows = answer.json()
        if not isinstance(rows, list):
            raise Retryable("the list of OKdokument is not a JSON array")
        return [row for row in objects(rows) if text_at(row, "id") and row.get("state", state) == state]

    def _request(self, *path: str, **query: str) -> Request:
        base = self.settings.api_base.rstrip("/").removesuffix("/JSON")
        url = address(base, "JSON", *path, **query)
        return Request(url=url, auth={"x-api-key": self.settings.api_key.reveal()})


def _listed_as(found: Mapping[str, Any]) -> str:
    """The list and the metadata name no round: state and time of the last change stand for it."""
    return f"listed {text_at(found, 'state')} {text_at(found, 'modification')}"


def _said(request: RawRequest) -> tuple[str, str, str]:
    """Signature request, document and state. ValueError where one of them is missing."""
    body = object_of(request)
    said = text_at(body, "signatureRequestId"), text_at(body, "id"), text_at(body, "state")
    if not all(said):
        raise ValueError("the callback needs text under `state`, `id` and `signatureRequestId`")
    return said


def _refusal(answer: Answer, deadline: str = "") -> WebhookError:
    """What the status means, what the error body says, and how long there is still something to fetch."""
    said = "; ".join(filter(None, (told_in(answer, "message"), deadline)))
    return failure(answer, _FATES, "OKdokument", said)


def _deadline(left: float) -> str:
    if not isfinite(left):
        return ""
    if left <= 0:
        return "its time is over: OKdokument deletes it any moment"
    return f"it is deleted at OKdokument in about {left / _DAY:.1f} days"
