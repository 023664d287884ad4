"""Index Health (IndexSDK): a library of documents; your own signed hook or its list tells which one is ready.

Wire facts, read in November 2026:
download and its errors https://docs.indexhealth.ai/docs/documents/download;
token https://docs.indexhealth.ai/docs/authentication/client-credentials;
statuses https://docs.indexhealth.ai/docs/api-guidelines;
details and list https://docs.indexhealth.ai/docs/documents/get-document-details and …/get-documents.
Unknown, nowhere documented: a callback (hence the hook defined here, `secrets`, and polling, `collections`), the
address of the API (`api_base`), how long a token lasts (its `exp`, else until it is refused), whether a status comes by
HTTP or in the body (both are read, the body's error wins), a limit of calls.
Inferred: a document is complete at `avg_progress` 100 (`progress`), any text serves as `fingerprint`, JSON and HTML are
no documents, a 437 right after the creation may pass.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any, Literal

from ..core.errors import DocumentCheckFailed, NotReady, Permanent, RenewToken, Retryable, WebhookError
from ..core.flow import EventTypes, Fates, failure, object_in, segment, token, told
from ..core.links import save_document, seconds_left
from ..core.moment import moment
from ..core.payload import first_text, object_of, objects, text_at, told_id
from ..core.ports import Flow, Provider, Scheme, Step, Steps
from ..core.settings import Secret, Url, setting
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
    Token,
    at_path,
    parse_json,
)
from ..signing.choice import Nobody
from ..signing.timed import timed

_NAME = "Index Health"
_SIGNATURE = "X-Signature"
_READY = "document.ready"

# 403 renews the token first, 437 may pass while the document is new: see _error.
_FATES: Fates = {
    401: (Permanent, "the token is not accepted"),
    403: (Permanent, "the token is refused, although it is new"),
    404: (Permanent, "there is no such call: look at `api_base`"),
    407: (Permanent, "access denied: this user or group may not see the document"),
    435: (
        Permanent,
        "the document has no file: it is a link, or was never uploaded; somebody has to look at its document_url",
    ),
    436: (Permanent, "the request is not accepted"),
    437: (Permanent, "no such document or collection for this user and group"),
    429: (Retryable, "too many calls"),
    500: (Retryable, "a fault of the server"),
}
_LOGIN_FATES: Fates = {
    400: (Permanent, "a field of the credentials or of `user` is missing"),
    401: (Permanent, "client_id or client_secret is wrong"),
    403: (Permanent, "the client may not log in"),
    407: (Permanent, "the client may not log in for this group_name"),
    435: (Permanent, "a field of the credentials or of `user` is missing"),
    436: (Permanent, "the credentials or `user` are not accepted"),
    437: (Permanent, "no such client or group_name"),
}
_NO_FILE = ("application/json", "text/html")
_EXTENSIONS = (".pdf", ".docx", ".txt", ".png", ".jpg", ".jpeg", ".gif")
_OF_TYPE = {"PDF": ".pdf", "DOCX": ".docx", "TXT": ".txt"}
_RENEW_BEFORE = 60.0
_NEW = 150.0
_EVERY = 300.0
_STUCK = 86_400.0


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
    secrets: tuple[Secret, ...] = setting(
        "what your own system signs its callbacks with; two during a rotation; none: every callback is refused", ()
    )
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


class IndexHealth(Provider):
    """The documents that one user of one client may see."""

    Settings = IndexHealthSettings
    settings: IndexHealthSettings

    def scheme(self) -> Scheme:
        given = self.settings
        return timed(_SIGNATURE, given.secrets, given.tolerance) if given.secrets else Nobody()

    def warnings(self) -> list[str]:
        if all(len(secret.reveal()) >= 16 for secret in self.settings.secrets):
            return []
        return ["one of `secrets` is shorter than 16 characters: `webhook-svc gen-secret` makes a good one"]

    def offers(self) -> frozenset[str]:
        return frozenset({DOCUMENT})

    def polls_every(self) -> float | None:
        return _EVERY if self.settings.collections else None

    # --- the hook -------------------------------------------------------------------------------------------------

    def delivery_id(self, request: RawRequest) -> str:
        return told_id(request, "id")

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        body = object_of(request)
        kind = first_text(body, "type") or _READY
        at = _signed_at(request)
        meaning = self.settings.events.meaning(kind)
        documents = () if meaning is Meaning.OTHER else (_named_in(body, at),)
        return [SourceEvent(type=kind, meaning=meaning, id=first_text(body, "id"), at=at, documents=documents)]

    # --- the token ------------------------------------------------------------------------------------------------

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

    # --- the download ---------------------------------------------------------------------------------------------

    def steps(self, ref: DocumentRef) -> Steps:
        """The details come first: they tell the name, and whether the file has to be a PDF."""
        if DOCUMENT not in ref.parts:
            return
        bearer = yield from token()
        details = yield from self._data(bearer, "get-document-details", {"document_id": ref.id}, ref.completed)
        save = self._by_link if self.settings.download == "link" else self._directly
        answer = yield from save(bearer, ref, _announced(details, ref.name))
        if not answer.sha256:
            kind = told(answer.headers.get("content-type", "").partition(";")[0], 80)
            raise DocumentCheckFailed(f"{_NAME} sent {kind or 'nothing'}, which is not the document")

    def _by_link(self, bearer: str, ref: DocumentRef, announced: Mapping[str, Any]) -> Flow[Answer]:
        def link() -> Flow[str]:
            data = yield from self._data(bearer, "download", {"document_id": ref.id}, ref.completed)
            if not (found := text_at(data, "download_url")):
                raise Retryable(f"{_NAME} gives no download_url")
            return found

        return (yield from save_document(link, **announced))

    def _directly(self, bearer: str, ref: DocumentRef, announced: Mapping[str, Any]) -> Flow[Answer]:
        request = Request(url=self._url("download", segment(ref.id)), auth=_auth(bearer))
        answer = _judged((yield Save(request=request, **announced)))
        if not answer.ok:
            raise _error(answer, _NAME, ref.completed)
        return answer

    # --- the list -------------------------------------------------------------------------------------------------

    def completed_since(self, when: float) -> Steps:
        """There are no pages. All collections are read before a document is named: see `_end_of`."""
        if not self.settings.collections:
            raise Permanent("no `collections` are configured: there is no list to look through")
        bearer = yield from token()
        complete: list[Listed] = []
        unfinished: list[Listed] = []
        for collection in self.settings.collections:
            data = yield from self._data(bearer, "get-documents", {"collection_id": collection})
            for row in objects(data):
                (complete if self._is_complete(row) else unfinished).extend(_listed(row, when))
        end = _end_of(complete, unfinished)
        for one in complete:
            yield one if one.completed is None else replace(one, completed=min(one.completed, end))

    def _is_complete(self, row: Mapping[str, Any]) -> bool:
        progress = row.get("avg_progress") or 0
        return isinstance(progress, int | float) and progress >= self.settings.progress

    def _data(
        self, bearer: str, call: str, content: Mapping[str, str], completed: float | None = None
    ) -> Flow[Mapping[str, Any] | list[Any]]:
        """What stands in the envelope: an object, of a collection a list."""
        answer = _judged((yield Call(request=self._post(call, content, bearer))))
        collection = content.get("collection_id")
        sender = f"{_NAME} (collection {collection})" if collection else _NAME
        if not answer.ok:
            raise _error(answer, sender, completed)
        data = object_in(answer, _FATES, sender).get("data")
        if not isinstance(data, list if collection else Mapping):
            raise Retryable(f"{sender} sends no data")
        return data

    def _post(self, call: str, content: Mapping[str, Any], bearer: str = "") -> Request:
        return Request(url=self._url(call), method="POST", json=content, auth=_auth(bearer))

    def _url(self, *path: str) -> str:
        return "/".join((self.settings.api_base.rstrip("/"), *path))


def _auth(bearer: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {bearer}"} if bearer else EMPTY


def _signed_at(request: RawRequest) -> float | None:
    found = re.search(r"(?:\A|,)\s*t=([0-9]{1,12})", request.header(_SIGNATURE) or "")
    return moment(found[1]) if found else None


def _named_in(body: Mapping[str, Any], at: float | None) -> DocumentRef:
    document, completed = first_text(body, "document_id"), moment(body.get("completed_at"))
    segment(document)
    name = first_text(body, "document_name")
    return DocumentRef(id=document, name=name, completed=at if completed is None else completed)


def _judged(answer: Answer) -> Answer:
    """The answer under the stricter of its two statuses: an error in the body wins over what HTTP says."""
    with suppress(ValueError):
        body = parse_json(answer.body)
        for value in (at_path(body, "statusCode"), at_path(body, "status")):
            if isinstance(value, int | str) and re.fullmatch("[45][0-9]{2}", str(value)):
                return replace(answer, status=int(value))
    return answer


def _error(answer: Answer, sender: str, completed: float | None) -> WebhookError:
    """`completed` is when the document was: a new one may not be known everywhere yet."""
    said = ""
    with suppress(ValueError):
        said = told(at_path(parse_json(answer.body), "message"), 80)
    error = failure(answer, _FATES, sender, said)
    if answer.status == 403:
        return RenewToken(f"{sender} wants a new token", otherwise=error)
    if answer.status == 437 and abs(seconds_left(answer, completed)) < _NEW:
        return NotReady(f"{error}; it is new and may be not there yet")
    return error


def _announced(details: Mapping[str, Any] | list[Any], title: str) -> Mapping[str, Any]:
    """What the details say of the file. Only a PDF is checked; any other type is the answer's to tell."""
    name, kind = text_at(details, "document_name") or title or DOCUMENT, text_at(details, "document_type").upper()
    known = (_extension(name), _OF_TYPE.get(kind, ""), _extension(text_at(details, "document_file_path")))
    extension = next(filter(None, known), "")
    is_pdf = kind == "PDF" or (not kind and extension == ".pdf")
    return {
        "name": name if _extension(name) else name + extension,
        "content_type": "application/pdf" if is_pdf else "",
        "unless": _NO_FILE,
    }


def _extension(name: str) -> str:
    return next((one for one in _EXTENSIONS if name.lower().endswith(one)), "")


def _lasts(answer: Answer, text: str) -> float | None:
    """Until a minute before the `exp` of the JWT, by the server's own clock; None where one of them is not told."""
    payload = text.split(".")[1] if text.count(".") == 2 else ""
    with suppress(ValueError):
        claims = parse_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        left = seconds_left(answer, at_path(claims, "exp"))
        return None if left == inf else max(left - _RENEW_BEFORE, 0.0)
    return None


def _listed(row: Mapping[str, Any], when: float) -> list[Listed]:
    document, updated = text_at(row, "document_id"), moment(row.get("updated_at"))
    if not document or (updated is not None and updated < when):
        return []
    ref = DocumentRef(id=document, name=text_at(row, "document_name"), completed=updated)
    return [Listed(ref=ref, completed=updated)]


def _end_of(complete: list[Listed], unfinished: list[Listed]) -> float:
    """What no `completed` may exceed, for the next look begins there: the oldest document that is still processed may
    complete under its old time. One that got nowhere for a day holds nobody up any more."""
    times = [one.completed for one in (*complete, *unfinished) if one.completed is not None]
    waiting = [one.completed for one in unfinished if one.completed is not None]
    return min((time for time in waiting if max(times) - time < _STUCK), default=inf)
