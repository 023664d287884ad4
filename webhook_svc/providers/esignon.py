"""eSignon (이싸인온): a callback for each step of a workflow, and its document and history certificate from the API.

Wire facts, read in November 2026:
callbacks https://api.esignon.net/workflow/start/exportapi and …/nonfacestart, v3 https://developer.esignon.net/reference/export-api;
login https://api.esignon.net/eng-1/issued/token; links https://api.esignon.net/eng-1/workflow/downloadurl;
state, and links that last https://api.esignon.net/workflow/view/workflowinfo;
list https://api.esignon.net/v/eng-1/workflow/view/readbydate; these pages' source: GitHub eSignon/eSignonAPI @308f29a.
Inferred: callbacks are POSTs; the secret comes in the HTTP header or in that of the JSON (the pages differ); braces
around values are a slip of the documentation; a callback without `status`, as in v3, says only that something moved;
the v2 pages mean `Authorization` where they write `Authentication` (both are sent where it is refused); documents are
PDFs.
Unknown: retries and time-out of callbacks (none and 2 s are assumed), all keys of v3, how long a token lasts (12 hours
at most are assumed), the code that an expired one gets, those of the download, limits of calls, the zone of times in
the list (`offset`; a day more than asked for is listed, whichever it is).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Literal

from ..core.errors import Ignored, NotReady, Permanent, RenewToken, Retryable, Unlikely, WebhookError
from ..core.flow import (
    EventTypes,
    Fates,
    beside_document,
    failure,
    forgiving,
    object_in,
    segment,
    server_time,
    token,
    told,
)
from ..core.links import address, pdf_name, save_beside, save_document, seconds_left
from ..core.moment import moment
from ..core.outgoing import Answer, Call, Listed, Request, Token
from ..core.payload import first_text, object_of, objects, text_at, unambiguous
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting, too_short
from ..core.template import url_segment
from ..core.traits import Traits
from ..core.types import CERTIFICATE, DOCUMENT, DocumentRef, Meaning, RawRequest, Reply, SourceEvent, at_path
from ..signing.choice import AnyOf
from ..signing.verify import Verifier, VerifySettings

# --- settings and events ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """The `status` of a callback; where it is none of these, its `worktype`, else `export`; `v3` for every flat one."""

    ready: tuple[str, ...] = setting(
        "the document can be fetched, or the API is to say so", ("Complete", "CF", "export", "v3")
    )
    terminal: tuple[str, ...] = setting("the signing ended without a document", ("Canceled", "RT"))
    running: tuple[str, ...] = setting("the signing goes on", ("Playing",))

    def knows(self, status: str) -> bool:
        return status in self.running or self.meaning(status) is not Meaning.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class EsignonSettings:
    company_id: str = setting("the company's technical id, not its name")
    email: str = setting("the user whose documents are fetched")
    password: Secret = setting("that user's password")
    secrets: tuple[Secret, ...] = setting(
        "values of export_api_info.authorization, old ones too (a workflow keeps its own); none: set `tokens`", ()
    )
    client_id: str = setting("id that eSignon's support issues; sent where it is set", "")
    api_base: Url = setting("address of the API", Url("https://docs.esignon.net"))
    offset: str = setting("zone of times that name none: ±hh:mm", "+09:00")
    confirm: bool = setting("ask whether a workflow is complete although its callback says so", True)
    download: Literal["links", "info"] = setting(
        "links: new ones that open for five minutes; info: those of the workflow's details", "links"
    )
    templates: tuple[str, ...] = setting("ids of the templates whose completed documents are listed", ())
    events: Events = setting("types of callback by what they mean", factory=Events)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[+-](0[0-9]|1[0-4]):[0-5][0-9]", self.offset):
            raise ValueError("an `offset` of the form +09:00")
        url_segment(self.company_id)


# --- errors -------------------------------------------------------------------------------------------------------

_STATUSES: Fates = {
    400: (Retryable, "connection failed"),
    401: (Permanent, "the token is not accepted"),
    403: (Permanent, "the token may not do this"),
    404: (Unlikely, "there is no such workflow or call: are `api_base` and `company_id` right?"),
    429: (Retryable, "too many calls"),
}

# Business failures come with status 200 and a code, and the same code means different things in different calls. An
# expired token's is unknown: a code that nobody documents gets a new token once, and is permanent after that.
_CODES: Mapping[tuple[str, str], tuple[type[Permanent | Retryable | RenewToken], str]] = {
    ("login", "10"): (Permanent, "`email` or `password` is wrong"),
    ("login", "12"): (Permanent, "it cannot read the request"),
    ("login", "95"): (Permanent, "the company is not entitled to the API; eSignon's support can change that"),
    ("login", "*"): (Retryable, "an unexpected exception, or a code that its documentation does not name"),
    ("info", "10"): (Unlikely, "it finds no workflow of that id for this user"),
    ("search", "12"): (Permanent, "it cannot read the request"),
    ("search", "17"): (Permanent, "a condition is missing: are `client_id` and `templates` right?"),
    ("search", "18"): (Permanent, "there is no condition: are `client_id` and `templates` right?"),
    ("search", "19"): (Permanent, "it does not take the dates"),
    ("*", "94"): (RenewToken, "the token is not accepted"),
    ("*", "99"): (Retryable, "an unexpected exception"),
    ("*", "*"): (RenewToken, "a code that its documentation does not name"),
}
_ENDED = {"Canceled": "was cancelled", "Disposal": "was discarded", "Truncate": "was deleted"}

_ECHOED = ("header:Authorization", "json:/header/authorization")
_IDENTITY = ("wfuid", "processid", "actionid", "worktype", "workdatetime", "status")
_LONGEST_LOGIN = 12 * 3600.0
_SETTLED = 600.0
_DAY = 86_400.0


class Esignon(Provider):
    """One user of one company at eSignon."""

    Settings = EsignonSettings
    settings: EsignonSettings
    traits: ClassVar[Traits] = Traits(
        verify="the secret in a header or the body, or URL token",
        parts=("document", "certificate"),
        lists=True,
        inferred="that callbacks are POSTs, where the secret stands, retries, the zone of times",
    )
    deadline: ClassVar[float] = 2.0

    def scheme(self) -> Scheme:
        if not self.settings.secrets:
            return Verifier(VerifySettings(alg="none"), ())
        tables = (VerifySettings(alg="equal", signature=place) for place in _ECHOED)
        return AnyOf(schemes=tuple(Verifier(table, self.settings.secrets) for table in tables))

    def needs_url_token(self) -> bool:
        return not self.settings.secrets

    def warnings(self) -> list[str]:
        blind = [] if self.settings.templates else ["without `templates` a callback that never came is never found"]
        return [*too_short(self.settings.secrets), *blind]

    def polls_every(self) -> float | None:
        return 900.0 if self.settings.templates else None

    # --- callbacks ------------------------------------------------------------------------------------------------

    def acknowledge(self, request: RawRequest) -> Reply:  # noqa: ARG002  the surface gives it
        return Reply(body=b"{}", content_type="application/json")

    def delivery_id(self, request: RawRequest) -> str:
        """What tells one step of one workflow from every other; the pages name no id of an event."""
        try:
            body = object_of(request, unambiguous).get("body")
            known = [first_text(body, key) for key in _IDENTITY]
        except (ValueError, Permanent):
            return ""
        return "/".join(known) if known[0] else ""

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        """Each key is read from its own place, for customers may add keys of any name (`request_params`)."""
        said = object_of(request, unambiguous)
        body = said.get("body")
        if isinstance(body, Mapping):
            status, at, document = (_value(body, key) for key in ("status", "workdatetime", "wfuid"))
            # A word that eSignon does not use is a customer's own, in a shape without status: the API is asked.
            status = status if self.settings.events.knows(status) else ""
            kind = status or _value(body, "worktype") or "export"
        else:
            status, at, document, kind = "", "", _value(said, "workflow_id"), "v3"
        if not document:
            raise ValueError("the callback names no workflow, or several")
        segment(document)
        hints = {"status": status} if status else {"at": at} if at else {}
        ref = DocumentRef(id=document, completed=moment(at) if status else None, hints=hints)
        return [self.settings.events.event(kind, lambda: ref, at=moment(at))]

    def login(self) -> Flow[Token]:
        given = self.settings
        content = _envelope("1001Q", {"memb_email": given.email, "memb_pwd": given.password.reveal()})
        url = address(given.api_base, "api", given.company_id, "login")
        answer = yield Call(request=Request(url=url, method="POST", json=content))
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
            name = pdf_name(links["title"] or ref.name)
            yield from save_document(partial(self._anew, ref, DOCUMENT), name, link=_link(links, DOCUMENT))
        if CERTIFICATE in ref.parts:
            yield from forgiving(ref, CERTIFICATE, self._certificate(ref, links))

    def _certificate(self, ref: DocumentRef, links: Mapping[str, str]) -> Flow[None]:
        again = partial(self._anew, ref, CERTIFICATE)
        yield from save_beside(ref, CERTIFICATE, _link(links, CERTIFICATE), again, "certificate.pdf")

    def _anew(self, ref: DocumentRef, part: str) -> Flow[str]:
        optional = part != DOCUMENT and beside_document(ref)
        return _link((yield from self._links(ref, optional=optional)), part)

    def _links(self, ref: DocumentRef, *, optional: bool = False) -> Flow[Mapping[str, str]]:
        """The links by part, and the title. The two calls name them differently."""
        if self.settings.download == "info":
            found = yield from self._complete(ref, optional=optional)
        else:
            content = {"workflow_id": ref.id, **self._client()}
            _, found = yield from self._asked("download", "workflow", "download", content=content, optional=optional)
        return {
            DOCUMENT: text_at(found, "doc_url") or text_at(found, "download_url"),
            CERTIFICATE: text_at(found, "cert_url") or text_at(found, "certificate_url"),
            "title": text_at(found, "workflow_name"),
        }

    def _complete(self, ref: DocumentRef, *, optional: bool = False) -> Flow[Mapping[str, Any]]:
        """The details of a workflow that is complete.

        One that is not yet, although its callback said so, will be. A callback without a word about it came for a step:
        some minutes after the step the next one has its own callback, so nothing waits for days.
        """
        path = "api", "v2", "workflows", ref.id
        answer, found = yield from self._asked("info", *path, optional=optional, offset=self.settings.offset)
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

        Its days and times may be of another zone than `offset`: hence a day more on both sides.
        """
        if not self.settings.templates:
            raise Permanent("no `templates` are configured, and eSignon lists nothing without them")
        since = max(when - _DAY, 0.0)
        for template in self.settings.templates:
            day, end = since, since + _DAY
            while day < end:
                path, content = ("api", self.settings.company_id, "search"), self._search(template, day)
                answer, found = yield from self._asked("search", *path, content=content)
                yield from self._rows(found, since)
                if (now := server_time(answer)) is None:
                    raise Retryable("eSignon's answer has no Date, which would tell where the list ends")
                day, end = day + _DAY, now + _DAY

    def _search(self, template: str, day: float) -> Mapping[str, Any]:
        first, last = (str(datetime.fromtimestamp(each, UTC).date()) for each in (day, day + _DAY))
        days = {"search_date_type": "END", "start_date": first, "end_date": last}
        chosen = {"doc_uid": template, "field_list": [{"doc_uid": template}]}
        content = {"comp_id": self.settings.company_id, **self._client(), **days, **chosen}
        return _envelope("5009Q", content, api_name="start api", version="1.1.60")

    def _rows(self, found: Mapping[str, Any], since: float) -> Iterator[Listed]:
        for row in objects(found.get("wf_list")):
            document, state, completed = row.get("wfuid"), text_at(row, "wf_status"), self._moment(row.get("end_date"))
            earlier = completed is not None and completed < since
            if isinstance(document, str | int) and document and state in ("", "Complete") and not earlier:
                hints = {"status": state} if state else {}
                ref = DocumentRef(id=str(document), name=text_at(row, "wf_title"), completed=completed, hints=hints)
                yield Listed(ref=ref, completed=completed)

    def _asked(
        self, call: str, *path: str, optional: bool = False, content: Any = None, **query: str
    ) -> Flow[tuple[Answer, Mapping[str, Any]]]:
        """The answer, and the body in its envelope."""
        bearer = f"esignon {(yield from token())}"
        url, method = address(self.settings.api_base, *path, **query), "GET" if content is None else "POST"
        request = Request(url=url, method=method, auth={"Authorization": bearer}, json=content)
        answer = yield Call(request=request, optional=optional)
        with suppress(RenewToken):
            return answer, _body_of(answer, call)
        both = replace(request, auth={**request.auth, "Authentication": bearer})
        answer = yield Call(request=both, optional=optional)
        return answer, _body_of(answer, call)

    def _client(self) -> dict[str, str]:
        return {"client_id": self.settings.client_id} if self.settings.client_id else {}

    def _moment(self, told_time: Any) -> float | None:
        """A time that may name no zone; a date is its first moment."""
        text = told_time if isinstance(told_time, str) else ""
        full = f"{text} 00:00" if len(text) == len("2026-11-22") else text
        return moment(full + self.settings.offset) or moment(told_time)


def _value(body: Mapping[str, Any], key: str) -> str:
    text = first_text(body, key).strip()
    return text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text


def _envelope(code: str, body: Mapping[str, Any], **header: str) -> Mapping[str, Any]:
    return {"header": {"request_code": code, "session_id": "", **header}, "body": body}


def _body_of(answer: Answer, call: str) -> Mapping[str, Any]:
    """What stands in the envelope; the error that status or code mean where it is one."""
    if answer.status in (401, 403) and call != "login":
        raise RenewToken("the token is refused", otherwise=failure(answer, _STATUSES, "eSignon"))
    envelope = object_in(answer, _STATUSES, "eSignon")
    code, body = at_path(envelope, "header.result_code"), envelope.get("body")
    if not isinstance(code, str | int):
        raise Retryable("the answer is not one of eSignon's: it has no result code")
    if code != "00":
        raise _error(call, str(code), told(at_path(envelope, "header.result_msg")))
    if not isinstance(body, Mapping):
        raise Retryable("eSignon's answer has no body")
    return body


def _error(call: str, code: str, said: str) -> WebhookError:
    rows = (call, code), (call, "*"), ("*", code), ("*", "*")
    fate, meaning = next(_CODES[row] for row in rows if row in _CODES)
    message = f"eSignon's {call} answered {told(code, 10)}: {meaning}" + (f" ({said})" if said else "")
    return RenewToken(message, otherwise=Permanent(message)) if issubclass(fate, RenewToken) else fate(message)


def _link(links: Mapping[str, str], part: str) -> str:
    if link := links[part]:
        return link
    raise NotReady(f"eSignon gives no link to the {part} yet")
