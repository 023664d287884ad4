"""eSignon (이싸인온): a callback for each step of a workflow, and its document and history certificate from the API.

Wire facts, read in November 2026:
callbacks https://api.esignon.net/workflow/start/exportapi and …/nonfacestart, v3 https://developer.esignon.net/reference/export-api;
login https://api.esignon.net/eng-1/issued/token; links https://api.esignon.net/eng-1/workflow/downloadurl;
state, and links that last https://api.esignon.net/workflow/view/workflowinfo;
list https://api.esignon.net/v/eng-1/workflow/view/readbydate; these pages' source: GitHub eSignon/eSignonAPI @308f29a.
Inferred: callbacks are POSTs; the secret comes in the HTTP header or in that of the JSON (the pages differ); braces
around values are a slip of the documentation; a callback without `status`, as in v3, says only that something moved;
the v2 pages mean `Authorization` where they write `Authentication` (`both_headers`); documents are PDFs.
Unknown: retries and time-out of callbacks (none and 2 s are assumed), all keys of v3, how long a token lasts, the code
that an expired one gets, those of the download, limits of calls, the zone of times in the list (`offset`), whether it
may be asked without `templates`.
"""

import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from math import inf
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from ..core.errors import Ignored, NotReady, Permanent, RenewToken, Retryable, Unlikely, WebhookError
from ..core.flow import (
    EventTypes,
    Fates,
    beside_document,
    failure,
    forgiving,
    object_in,
    quiet_object,
    segment,
    token,
    told,
)
from ..core.links import pdf_name, save_beside, save_link, seconds_left
from ..core.moment import moment
from ..core.payload import first_text, objects, text_at
from ..core.ports import Flow, Provider, Scheme, Step, Steps
from ..core.settings import Secret, Url, setting
from ..core.template import url_segment
from ..core.types import (
    CERTIFICATE,
    DOCUMENT,
    EMPTY,
    Answer,
    Call,
    DocumentRef,
    Listed,
    Meaning,
    RawRequest,
    Reply,
    Request,
    SourceEvent,
    Token,
    at_path,
)
from ..signing.choice import AnyOf
from ..signing.verify import Verifier, VerifySettings

_FATES: Fates = {
    400: (Retryable, "connection failed"),
    401: (Permanent, "the token is not accepted"),
    403: (Permanent, "the token may not do this"),
    404: (Permanent, "there is no such call: are `api_base` and `company_id` right?"),
    429: (Retryable, "too many calls"),
}

# The same number means different things in different calls. An expired token's code is unknown: what stands in no table
# gets a new token once ("*"), and is permanent after that.
_Codes = Mapping[str, tuple[type[Permanent | Retryable | RenewToken], str]]
_EVERY_CALL: _Codes = {
    "94": (RenewToken, "the token is not accepted"),
    "99": (Retryable, "an unexpected exception"),
    "*": (RenewToken, "a code that its documentation does not name"),
}
_CODES: Mapping[str, _Codes] = {
    "login": {
        "10": (Permanent, "`email` or `password` is wrong"),
        "12": (Permanent, "it cannot read the request"),
        "95": (Permanent, "the company is not entitled to the API; eSignon's support can change that"),
        "99": (Retryable, "an unexpected exception"),
        "*": (Retryable, "a code that its documentation does not name"),
    },
    "info": {**_EVERY_CALL, "10": (Unlikely, "it finds no workflow of that id for this user")},
    "download": _EVERY_CALL,
    "search": {
        **_EVERY_CALL,
        "12": (Permanent, "it cannot read the request"),
        "17": (Permanent, "a condition is missing: list the ids of your templates in `templates`"),
        "18": (Permanent, "there is no condition: list the ids of your templates in `templates`"),
        "19": (Permanent, "it does not take the dates"),
    },
}
_ENDED = {"Canceled": "was cancelled", "Disposal": "was discarded", "Truncate": "was deleted"}

_HTTP_HEADER, _JSON_HEADER = "header:Authorization", "json:/header/authorization"
_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}")
_IDENTITY = ("wfuid", "processid", "actionid", "worktype", "workdatetime", "status")
_LONGEST_LOGIN = 12 * 3600.0
_SETTLED = 600.0
_DAY = 86_400.0
_DATE_ALONE = len("2026-11-22")


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """The `status` of a callback, else its `worktype`, else `export`; `v3` for every flat one."""

    ready: tuple[str, ...] = setting(
        "the document can be fetched, or the API is to say so", ("Complete", "CF", "export", "v3")
    )
    terminal: tuple[str, ...] = setting("the signing ended without a document", ("Canceled", "RT"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EsignonSettings:
    company_id: str = setting("the company's technical id, not its name")
    email: str = setting("the user whose documents are fetched")
    password: Secret = setting("that user's password")
    authorization: Literal["echoed", "none"] = setting(
        "echoed: callbacks bring one of `secrets`; none: they bring nothing, and only a URL token keeps strangers out",
        "echoed",
    )
    secrets: tuple[Secret, ...] = setting(
        "values of export_api_info.authorization; old ones too, a workflow keeps the one it was started with", ()
    )
    client_id: str = setting("id that eSignon's support issues; sent where it is set", "")
    api_base: Url = setting("address of the API", Url("https://docs.esignon.net"))
    offset: str = setting("zone of times that name none, and of the dates in the list: ±hh:mm", "+09:00")
    confirm: bool = setting("ask whether a workflow is complete although its callback says so", True)
    download: Literal["links", "info"] = setting(
        "links: new ones that open for five minutes; info: those of the workflow's details", "links"
    )
    both_headers: bool = setting(
        "send the token as Authentication too, at once; else only where it is refused as Authorization", False
    )
    templates: tuple[str, ...] = setting("ids of the templates whose completed documents are listed", ())
    events: Events = setting("types of callback by what they mean", factory=Events)

    def __post_init__(self) -> None:
        if (self.authorization == "echoed") is not bool(self.secrets):
            raise ValueError('either `secrets`, or `authorization = "none"` and no secret')
        if not _OFFSET.fullmatch(self.offset):
            raise ValueError("an `offset` of the form +09:00")
        _zone(self.offset)
        url_segment(self.company_id)


class Esignon(Provider):
    """One user of one company at eSignon."""

    Settings = EsignonSettings
    settings: EsignonSettings
    deadline: ClassVar[float] = 2.0

    def scheme(self) -> Scheme:
        if self.settings.authorization == "none":
            return Verifier(VerifySettings(alg="none"), ())
        places = (_HTTP_HEADER, _JSON_HEADER)
        tables = (VerifySettings(alg="equal", signature=place) for place in places)
        return AnyOf(schemes=tuple(Verifier(table, self.settings.secrets) for table in tables))

    def needs_url_token(self) -> bool:
        return self.settings.authorization == "none"

    def warnings(self) -> list[str]:
        if all(len(secret.reveal()) >= 16 for secret in self.settings.secrets):
            return []
        return ["one of `secrets` is shorter than 16 characters: `webhook-svc gen-secret` makes a good one"]

    def offers(self) -> frozenset[str]:
        return frozenset({DOCUMENT, CERTIFICATE})

    def polls_every(self) -> float | None:
        return 900.0

    # --- callbacks ------------------------------------------------------------------------------------------------

    def acknowledge(self, request: RawRequest) -> Reply:  # noqa: ARG002  the surface gives it
        return Reply(body=b"{}", content_type="application/json")

    def delivery_id(self, request: RawRequest) -> str:
        """What tells one step of one workflow from every other; the pages name no id of an event."""
        try:
            body = _read(request).get("body")
            known = [first_text(body, key) for key in _IDENTITY]
        except (ValueError, Permanent):
            return ""
        return "/".join(known) if known[0] else ""

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        """Each key is read from its own place, for customers may add keys of any name (`request_params`)."""
        said = _read(request)
        body = said.get("body")
        if isinstance(body, Mapping):
            status, at = _value(body, "status"), _value(body, "workdatetime")
            kind, document = status or _value(body, "worktype") or "export", _value(body, "wfuid")
        else:
            status, at, kind, document = "", "", "v3", _value(said, "workflow_id")
        if not document:
            raise ValueError("the callback names no workflow, or several")
        segment(document)
        meaning = self.settings.events.meaning(kind)
        hints = {"status": status} if status else {"at": at} if at else EMPTY
        ref = DocumentRef(id=document, completed=moment(at) if status else None, hints=hints)
        documents = () if meaning is Meaning.OTHER else (ref,)
        return [SourceEvent(type=kind, meaning=meaning, at=moment(at), documents=documents)]

    # --- the token ------------------------------------------------------------------------------------------------

    def login(self) -> Generator[Step, Answer, Token]:
        given = self.settings
        content = _envelope("1001Q", {"memb_email": given.email, "memb_pwd": given.password.reveal()})
        answer = yield Call(request=self._request("api", given.company_id, "login", content=content))
        found = _body_of(answer, "login")
        text = text_at(found, "access_token")
        if not re.fullmatch(r"[!-~]+", text):
            raise Retryable("eSignon's login brought no token")
        left = seconds_left(answer, self._moment(found.get("expire_date")))
        return Token(text=text, lasts=min(max(left, 60.0), _LONGEST_LOGIN))

    # --- the download ---------------------------------------------------------------------------------------------

    def steps(self, ref: DocumentRef) -> Steps:
        """The document first: its link opens for five minutes, and so do those that every new try asks for."""
        if self.settings.download == "links" and (self.settings.confirm or "status" not in ref.hints):
            yield from self._complete(ref)
        links = yield from self._links(ref)
        if DOCUMENT in ref.parts:
            yield from self._document(ref, links)
        if CERTIFICATE in ref.parts:
            yield from forgiving(ref, CERTIFICATE, self._certificate(ref, links))

    def _document(self, ref: DocumentRef, links: Mapping[str, str]) -> Flow[None]:
        name = pdf_name(links["title"] or ref.name)
        answer = yield from save_link(_link(links, DOCUMENT), lambda: self._anew(ref, DOCUMENT), DOCUMENT, name)
        if not answer.ok:
            raise Retryable(f"the document's link answered {answer.status}", after=answer.retry_after())

    def _certificate(self, ref: DocumentRef, links: Mapping[str, str]) -> Flow[None]:
        link = _link(links, CERTIFICATE)
        yield from save_beside(ref, CERTIFICATE, link, lambda: self._anew(ref, CERTIFICATE), "certificate.pdf")

    def _anew(self, ref: DocumentRef, part: str) -> Flow[str]:
        optional = part != DOCUMENT and beside_document(ref)
        return _link((yield from self._links(ref, optional=optional)), part)

    def _links(self, ref: DocumentRef, *, optional: bool = False) -> Flow[Mapping[str, str]]:
        """The links by part, and the title."""
        if self.settings.download == "info":
            found = yield from self._complete(ref, optional=optional)
            keys = "download_url", "certificate_url"
        else:
            content = {"workflow_id": ref.id, **self._client()}
            _, found = yield from self._asked("download", "workflow", "download", content=content, optional=optional)
            keys = "doc_url", "cert_url"
        document, certificate, title = (text_at(found, key) for key in (*keys, "workflow_name"))
        return {DOCUMENT: document, CERTIFICATE: certificate, "title": title}

    def _complete(self, ref: DocumentRef, *, optional: bool = False) -> Flow[Mapping[str, Any]]:
        """The details of a workflow that is complete.

        One that is not yet, although its callback said so, will be. A callback without a word about it came for a step:
        some minutes after the step the next one has its own callback, so nothing waits for days.
        """
        query = f"offset={quote(self.settings.offset, safe='')}"
        path = "api", "v2", "workflows", ref.id
        answer, found = yield from self._asked("info", *path, query=query, optional=optional)
        state = text_at(found, "workflow_status")
        if state == "Complete":
            return found
        if state in _ENDED:
            raise Ignored(f"the workflow {_ENDED[state]}: it has no document")
        moved = moment(ref.hints.get("at")) or self._moment(found.get("last_modify_date"))
        if state == "Playing" and "status" not in ref.hints and -seconds_left(answer, moved) > _SETTLED:
            raise Ignored("the workflow goes on: its next step brings a callback of its own")
        raise NotReady(f"the workflow is not finished: its status is {told(state, 40) or 'nothing'}")

    # --- the list -------------------------------------------------------------------------------------------------

    def completed_since(self, when: float) -> Steps:
        """The list is not paged, and an answer has its limit: a day or two at a time, up to the server's tomorrow.

        It begins a day early and ends a day late, for its days may begin at another hour than ours.
        """
        for template in self.settings.templates or ("",):
            first, now = max(when, _DAY) - _DAY, inf
            while first < now + _DAY:
                answer, found = yield from self._asked_for_days(template, first, first + _DAY)
                yield from self._rows(found, when)
                first, now = first + _DAY, -seconds_left(answer, 0)

    def _asked_for_days(self, template: str, first: float, last: float) -> Flow[tuple[Answer, Mapping[str, Any]]]:
        company = self.settings.company_id
        start, end = (datetime.fromtimestamp(each, _zone(self.settings.offset)).date() for each in (first, last))
        days = {"search_date_type": "END", "start_date": str(start), "end_date": str(end)}
        chosen = {"doc_uid": template, "field_list": [{"doc_uid": template}]} if template else {}
        content = _envelope("5009Q", {"comp_id": company, **self._client(), **days, **chosen})
        content["header"].update(api_name="start api", version="1.1.60")
        return (yield from self._asked("search", "api", company, "search", content=content))

    def _rows(self, found: Mapping[str, Any], when: float) -> Iterator[Listed]:
        for row in objects(found.get("wf_list")):
            document, ended, state = row.get("wfuid"), text_at(row, "end_date"), text_at(row, "wf_status")
            completed = self._moment(ended)
            earlier = completed is not None and completed < when and len(ended) > _DATE_ALONE
            if isinstance(document, str | int) and document and state in ("", "Complete") and not earlier:
                hints = {"status": state} if state else EMPTY
                ref = DocumentRef(id=str(document), name=text_at(row, "wf_title"), completed=completed, hints=hints)
                yield Listed(ref=ref, completed=completed)

    # --- calls ----------------------------------------------------------------------------------------------------

    def _asked(
        self, call: str, *path: str, optional: bool = False, **rest: Any
    ) -> Flow[tuple[Answer, Mapping[str, Any]]]:
        """The answer, and the body in its envelope."""
        bearer = f"esignon {(yield from token())}"
        auth = {"Authorization": bearer}
        both = {**auth, "Authentication": bearer}
        request = self._request(*path, auth=both if self.settings.both_headers else auth, **rest)
        answer = yield Call(request=request, optional=optional)
        if _is_refused(answer) and not self.settings.both_headers:
            answer = yield Call(request=self._request(*path, auth=both, **rest), optional=optional)
        return answer, _body_of(answer, call)

    def _request(self, *path: str, query: str = "", content: Any = None, auth: Mapping[str, str] = EMPTY) -> Request:
        url = "/".join((self.settings.api_base.rstrip("/"), *map(segment, path)))
        return Request(
            url=f"{url}?{query}" if query else url,
            method="GET" if content is None else "POST",
            headers={"Accept": "application/json"},
            auth=auth,
            json=content,
        )

    def _client(self) -> dict[str, str]:
        return {"client_id": self.settings.client_id} if self.settings.client_id else {}

    def _moment(self, told_time: Any) -> float | None:
        """A time that may name no zone; a date is its first moment."""
        text = told_time if isinstance(told_time, str) else ""
        full = f"{text} 00:00" if len(text) == _DATE_ALONE else text
        return moment(full + self.settings.offset) or moment(told_time)


def _read(request: RawRequest) -> Mapping[str, Any]:
    """The JSON object of a callback. ValueError where it is none.

    A key that stands twice with different values says nothing: nobody knows which of the two a customer's own parameter
    is. So a doubled status leaves the word to the API, and a doubled id is not understood, for a person to see.
    """
    try:
        found = json.loads(request.body, object_pairs_hook=_unambiguous)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"not JSON: {type(error).__name__}") from None
    if not isinstance(found, Mapping):
        raise ValueError("the body is not a JSON object")
    return found


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = value if found.get(key, value) == value else None
    return found


def _value(body: Mapping[str, Any], key: str) -> str:
    text = first_text(body, key).strip()
    return text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text


def _envelope(code: str, body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {"header": {"request_code": code, "session_id": ""}, "body": dict(body)}


def _is_refused(answer: Answer) -> bool:
    return answer.status in (401, 403) or _code(quiet_object(answer)) == "94"


def _body_of(answer: Answer, call: str) -> Mapping[str, Any]:
    """Business failures come with status 200: the code in the envelope decides."""
    if answer.status in (401, 403) and call != "login":
        raise RenewToken("the token is refused", otherwise=failure(answer, _FATES, "eSignon"))
    envelope = object_in(answer, _FATES, "eSignon")
    code, body = _code(envelope), envelope.get("body")
    if code != "00":
        raise _fate(call, code, told(at_path(envelope, "header.result_msg")))
    if not isinstance(body, Mapping):
        raise Retryable("eSignon's answer has no body")
    return body


def _code(envelope: Any) -> str:
    code = at_path(envelope, "header.result_code")
    return str(code) if isinstance(code, str | int) else ""


def _fate(call: str, code: str, said: str) -> WebhookError:
    if not code:
        return Retryable("the answer is not one of eSignon's: it has no result code")
    fate, meaning = _CODES[call].get(code, _CODES[call]["*"])
    message = f"eSignon's {call} answered {told(code, 10)}: {meaning}" + (f" ({said})" if said else "")
    return RenewToken(message, otherwise=Permanent(message)) if issubclass(fate, RenewToken) else fate(message)


def _link(links: Mapping[str, str], part: str) -> str:
    if not links[part]:
        raise NotReady(f"eSignon gives no link to the {part} yet")
    return links[part]


def _zone(offset: str) -> tzinfo | None:
    return datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo
