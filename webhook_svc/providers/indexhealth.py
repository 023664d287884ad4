"""Index Health (IndexSDK): a library of documents; your own signed hook or its list tells which one is ready.

Wire facts, read in November 2026:
download and its errors https://docs.indexhealth.ai/docs/documents/download;
token https://docs.indexhealth.ai/docs/authentication/client-credentials;
statuses https://docs.indexhealth.ai/docs/api-guidelines;
details and list https://docs.indexhealth.ai/docs/documents/get-document-details and …/get-documents.
Unknown, nowhere documented: a callback (hence the hook defined here, `secrets`, and polling, `collections`), the
address of the API (`api_base`), how long a token lasts (its `exp`, else until it is refused), whether a status comes by
HTTP or in the body (both are read, the body's error wins), a limit of calls.
Inferred: a document is complete at `avg_progress` 100 (`progress`) and may keep its `updated_at` while it gets there,
any text serves as `fingerprint`, JSON and HTML are no documents, a 437 may pass right after the creation.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any, ClassVar, Final, Literal

from ..core.errors import DocumentCheckFailed, Permanent, RenewToken, Retryable, Unlikely, WebhookError
from ..core.flow import EventTypes, Fates, failure, object_in, segment, token, told, told_in
from ..core.links import address, save_document, seconds_left
from ..core.outgoing import Answer, Call, Listed, Request, Save, Token
from ..core.payload import first_text, moment_at, object_of, objects, text_at, told_id
from ..core.ports import Flow, Provider, Scheme, Step, Steps
from ..core.settings import Secret, Url, setting
from ..core.traits import Traits
from ..core.types import DOCUMENT, EMPTY, DocumentRef, RawRequest, SourceEvent, at_path, parse_json
from ..signing.choice import Nobody
from ..signing.timed import timed

_NAME: Final = "Index Health"
_READY: Final = "document.ready"

# --- settings and events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """The types of the hook; a callback without a type says `document.ready`."""

    ready: tuple[str, ...] = setting("the document can be fetched", (_READY,))
    changed: tuple[str, ...] = setting(
        "ready, and its bytes may differ from those fetched before", ("document.changed",)
    )
    terminal: tuple[str, ...] = setting("the document is gone", ("document.deleted",))


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The token is this person's: other users may see other documents."""

    first_name: str = setting("first name of the user that the token is made for")
    last_name: str = setting("last name")
    date_of_birth: str = setting("YYYY-MM-DD; this, email, uid or eid must be given", "")
    email: str = setting("mail address", "")
    phone: str = setting("telephone number", "")
    uid: str = setting("the user's id", "")
    eid: str = setting("the user's other id", "")
    group_name: str = setting("the tenant's domain; empty for a client of the root tenant", "")

    def __post_init__(self) -> None:
        if not (self.date_of_birth or self.email or self.uid or self.eid):
            raise ValueError("one of date_of_birth, email, uid and eid")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexHealthSettings:
    api_base: Url = setting("address of the API, as Index Health names it to you")
    client_id: str = setting("id of the API client")
    client_secret: Secret = setting("secret of the API client")
    fingerprint: Secret = setting("names this installation to Index Health: any random text that stays the same")
    user: User = setting("the user that the token is made for")
    secrets: tuple[Secret, ...] = setting("your system signs its callbacks with one; none: all are refused", ())
    tolerance: int = setting("seconds that a signature's time may be away from now, both sides", 300)
    collections: tuple[str, ...] = setting("ids of the collections that are looked through for new documents", ())
    progress: float = setting("avg_progress from which a listed document is complete; 0: every document is", 100.0)
    download: Literal["link", "direct"] = setting(
        "link: through a link to the storage, which opens for an hour; direct: from the API itself", "link"
    )
    events: Events = setting("types of event by what they mean", factory=Events)

    def __post_init__(self) -> None:
        if not (self.secrets or self.collections):
            raise ValueError("`secrets` for callbacks of your own, `collections` to look through, or both")
        if self.tolerance <= 0 or not 0 <= self.progress <= 100:
            raise ValueError("a `tolerance` above 0 and a `progress` from 0 to 100")


# --- errors -----------------------------------------------------------------------------------------------------------

_FATES: Final[Fates] = {
    403: (Permanent, "the token is refused, although it is new"),  # the first time it is renewed: see _error
    404: (Permanent, "there is no such call: look at `api_base`"),
    407: (Permanent, "access denied: this user or group may not see the document"),
    435: (Permanent, "it has no file: a link, or never uploaded; somebody has to look at its document_url"),
    436: (Permanent, "the request is not accepted"),
    437: (Unlikely, "no such document or collection for this user and group"),
    429: (Retryable, "too many calls"),
    500: (Retryable, "a fault of the server"),
}
_LOGIN_FATES: Final[Fates] = {
    400: (Permanent, "a field of the credentials or of `user` is missing"),
    401: (Permanent, "client_id or client_secret is wrong"),
    403: (Permanent, "the client may not log in"),
    435: (Permanent, "a field of the credentials or of `user` is missing"),
    436: (Permanent, "the credentials or `user` are not accepted"),
}

# --- steps ------------------------------------------------------------------------------------------------------------

_NO_FILE: Final = ("application/json", "text/html")
_ENDINGS: Final = (".pdf", ".docx", ".txt", ".png", ".jpg", ".jpeg", ".gif")
_OF_TYPE: Final = {"PDF": ".pdf", "DOCX": ".docx", "TXT": ".txt"}
_RENEW_BEFORE: Final = 60.0
_STUCK: Final = 86_400.0


class IndexHealth(Provider):
    """The documents that one user of one client may see."""

    Settings = IndexHealthSettings
    settings: IndexHealthSettings
    traits: ClassVar[Traits] = Traits(
        verify="HMAC-SHA256 over time and body, of your own hook",
        lists=True,
        inferred="callbacks: it documents none, so your own hook or polling takes their place",
    )

    def scheme(self) -> Scheme:
        given = self.settings
        return timed("X-Signature", given.secrets, given.tolerance) if given.secrets else Nobody()

    def warnings(self) -> list[str]:
        if all(len(secret.reveal()) >= 16 for secret in self.settings.secrets):
            return []
        return ["one of `secrets` is shorter than 16 characters: `webhook-svc gen-secret` makes a good one"]

    def delivery_id(self, request: RawRequest) -> str:
        return told_id(request, "id")

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        body = object_of(request)
        kind, at = first_text(body, "type") or _READY, moment_at(body, "completed_at")
        return [self.settings.events.event(kind, lambda: _named_in(body, at), id=first_text(body, "id"), at=at)]

    def login(self) -> Generator[Step, Answer, Token]:
        """The documentation shows the success with two names of the token."""
        given = self.settings
        content = {
            "client_id": given.client_id,
            "client_secret": given.client_secret.reveal(),
            "fingerprint": given.fingerprint.reveal(),
            "user": {name: value for name, value in asdict(given.user).items() if value},
        }
        answer = _judged((yield Call(request=self._post("generate-client-auth-token", content))))
        found = object_in(answer, _LOGIN_FATES, f"{_NAME}'s login")
        text = text_at(found, "data.access_token") or text_at(found, "data.auth_token")
        if not re.fullmatch("[!-~]+", text):
            raise Retryable(f"{_NAME}'s login brought no token")
        return Token(text=text, lasts=_lasts(answer, text))

    def steps(self, ref: DocumentRef) -> Steps:
        """The details come first: they tell the name, and whether the file has to be a PDF."""
        if DOCUMENT not in ref.parts:
            return
        bearer = yield from token()
        announced = _announced((yield from self._data(bearer, "get-document-details", document_id=ref.id)), ref.name)
        save = self._by_link if self.settings.download == "link" else self._directly
        answer = yield from save(bearer, ref, announced)
        if not answer.sha256:
            kind = told(answer.content_type, 80) or "nothing"
            raise DocumentCheckFailed(f"{_NAME} sent {kind}, which is not the document")

    def _by_link(self, bearer: str, ref: DocumentRef, announced: Mapping[str, Any]) -> Flow[Answer]:
        def link() -> Flow[str]:
            if not (found := text_at((yield from self._data(bearer, "download", document_id=ref.id)), "download_url")):
                raise Retryable(f"{_NAME} gives no download_url")
            return found

        return (yield from save_document(link, **announced))

    def _directly(self, bearer: str, ref: DocumentRef, announced: Mapping[str, Any]) -> Flow[Answer]:
        request = Request(url=address(self.settings.api_base, "download", ref.id), auth=_auth(bearer))
        answer = _judged((yield Save(request=request, **announced)))
        if not answer.ok:
            raise _error(answer, _NAME)
        return answer

    def polls_every(self) -> float | None:
        return 300.0 if self.settings.collections else None

    def completed_since(self, when: float) -> Steps:
        """There are no pages. All collections are read before a document is named: see `_end`."""
        if not self.settings.collections:
            raise Permanent("no `collections` are configured: there is no list to look through")
        bearer = yield from token()
        rows: list[Mapping[str, Any]] = []
        for collection in self.settings.collections:
            data = yield from self._data(bearer, "get-documents", collection_id=collection)
            if not isinstance(data, list):
                raise Retryable(f"{_NAME} sends no list of the collection {collection}")
            rows += objects(data)
        end = self._end(rows)
        for row in filter(self._is_complete, rows):
            document, updated = text_at(row, "document_id"), moment_at(row, "updated_at")
            if document and (updated is None or updated >= when):
                ref = DocumentRef(id=document, name=text_at(row, "document_name"), completed=updated)
                yield Listed(ref=ref, completed=None if updated is None else min(updated, end))

    def _end(self, rows: Iterable[Mapping[str, Any]]) -> float:
        """What no `completed` may exceed, for the next look begins there: the oldest document that is still processed
        may complete under its old time. One that got nowhere for a day holds nobody up any more."""
        times = [(time, self._is_complete(row)) for row in rows if (time := moment_at(row, "updated_at")) is not None]
        newest = max((time for time, _ in times), default=0.0)
        return min((time for time, complete in times if not complete and newest - time < _STUCK), default=inf)

    def _is_complete(self, row: Mapping[str, Any]) -> bool:
        progress = row.get("avg_progress") or 0
        return isinstance(progress, int | float) and progress >= self.settings.progress

    def _data(self, bearer: str, call: str, **content: str) -> Flow[Any]:
        """What stands in the envelope: an object, of a collection a list."""
        answer = _judged((yield Call(request=self._post(call, content, bearer))))
        sender = f"{_NAME} (collection {content['collection_id']})" if "collection_id" in content else _NAME
        if not answer.ok:
            raise _error(answer, sender)
        return object_in(answer, _FATES, sender).get("data")

    def _post(self, call: str, content: Mapping[str, Any], bearer: str = "") -> Request:
        return Request(url=address(self.settings.api_base, call), method="POST", json=content, auth=_auth(bearer))


def _auth(bearer: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {bearer}"} if bearer else EMPTY


def _named_in(body: Mapping[str, Any], at: float | None) -> DocumentRef:
    document = first_text(body, "document_id")
    segment(document)
    return DocumentRef(id=document, name=first_text(body, "document_name"), completed=at)


def _judged(answer: Answer) -> Answer:
    """The answer under the stricter of its two statuses: an error in the body wins over what HTTP says."""
    with suppress(ValueError):
        body = parse_json(answer.body)
        for value in (at_path(body, "statusCode"), at_path(body, "status")):
            if isinstance(value, int | str) and re.fullmatch("[45][0-9]{2}", str(value)):
                return replace(answer, status=int(value))
    return answer


def _error(answer: Answer, sender: str) -> WebhookError:
    error = failure(answer, _FATES, sender, told_in(answer, "message"))
    return RenewToken(f"{sender} wants a new token", otherwise=error) if answer.status == 403 else error


def _announced(details: Any, title: str) -> Mapping[str, Any]:
    """What the details say of the file. Only a PDF is checked; any other type is the answer's to tell."""
    name, path = text_at(details, "document_name") or title or DOCUMENT, text_at(details, "document_file_path").lower()
    kind = text_at(details, "document_type").upper()
    ending = _OF_TYPE.get(kind) or next((one for one in _ENDINGS if path.endswith(one)), "")
    name = name if name.lower().endswith(_ENDINGS) else name + ending
    is_pdf = kind == "PDF" or (not kind and name.lower().endswith(".pdf"))
    return {"name": name, "content_type": "application/pdf" if is_pdf else "", "unless": _NO_FILE}


def _lasts(answer: Answer, text: str) -> float | None:
    """Until a minute before the `exp` of the JWT, by the server's own clock; None where one of them is not told."""
    payload = text.split(".")[1] if text.count(".") == 2 else ""
    with suppress(ValueError):
        claims = parse_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        left = seconds_left(answer, at_path(claims, "exp"))
        return None if left == inf else max(left - _RENEW_BEFORE, 0.0)
    return None
