"""DocuSign: signed Connect messages, and combined documents and certificates of completion from the eSignature API.

Wire facts, read in November 2026 under https://developers.docusign.com: messages platform/webhooks/connect/
json-sim-event-model, …/hmac, …/validate; limits docs/esign-rest-api/esign101/rules-and-limits and
platform/resource-limits; login platform/auth/jwt-get-token; shape of messages and calls: GitHub
docusign/OpenAPI-Specifications, docusign-esign-python-client; legacy XML: docusign/connect-node-listener-aws; several
signatures: neilberkman/docusign_elixir @cc7da20.

Inferred, hence settings or leniency: a limit comes as 400 with a code, or as 429; `X-RateLimit-Reset` is Unix time;
times in XML are those of its `TimeZoneOffset`, in hours; `from_to_status` makes the list count from completion (what is
older is left out here as well); a document that is asked for before its envelope is completed comes unfinished.
Unknown: how long Connect waits (100 s are assumed) and repeats a JSON message (the list is read every half hour).
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from ..core.errors import Ignored, NotReady, Permanent, RenewToken, Retryable, Unlikely, WebhookError
from ..core.flow import EventTypes, Fates, beside_document, failure, forgiving, object_in, segment, token, told, told_in
from ..core.links import address, pdf_name
from ..core.lists import Page, newest_first
from ..core.moment import local_moment
from ..core.oauth import granted
from ..core.outgoing import Answer, Call, Listed, Request, Save, Token, Warn
from ..core.payload import first_text, moment_at, object_of, objects, text_at
from ..core.ports import Clock, Flow, Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting
from ..core.template import header_text, url_segment
from ..core.traits import Traits
from ..core.types import CERTIFICATE, DOCUMENT, EMPTY, DocumentRef, RawRequest, SourceEvent
from ..core.xmltext import is_xml, texts
from ..signing.outgoing.jwt import signed
from ..signing.verify import Verifier, VerifySettings

# --- settings and events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """The `event` of a JSON message; of an XML message `envelope-` and the status of its envelope."""

    ready: tuple[str, ...] = setting("the document can be fetched", ("envelope-completed",))
    terminal: tuple[str, ...] = setting(
        "the signing ended without a document",
        ("envelope-declined", "envelope-voided", "envelope-deleted", "envelope-discard"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocusignSettings:
    secrets: tuple[Secret, ...] = setting("Connect keys (HMAC) as DocuSign shows them; two while they are changed")
    base_uri: Url = setting("the account's base URI, as Apps and Keys shows it")
    integration_key: str = setting("integration key of the app that logs in", "")
    user_id: str = setting("API user id of the person on whose behalf it does", "")
    private_key: Secret | None = setting("the app's RSA private key, PEM; its line ends may be written \\n", None)
    access_token: Secret | None = setting("in place of these three: a token that somebody else renews", None)
    auth_server: Url = setting("where tokens are given out", Url("https://account.docusign.com"))
    account_ids: tuple[str, ...] = setting("API account ids; unset: those of the messages, the user's default one", ())
    document: Literal["combined", "combined_with_certificate"] = setting(
        "combined: all documents in one PDF; combined_with_certificate: the certificate at its end", "combined"
    )
    events: Events = setting("types of event by what they mean", factory=Events)

    def __post_init__(self) -> None:
        if self.access_token is not None:
            header_text(self.access_token.reveal())
        elif not (self.integration_key and self.user_id and self.private_key):
            raise ValueError("`integration_key`, `user_id` and `private_key`, or an `access_token` in their place")
        for account in self.account_ids:
            url_segment(account)


# --- errors -----------------------------------------------------------------------------------------------------------

_FATES: Final[Fates] = {
    400: (Permanent, "the request is not accepted"),
    401: (Permanent, "the token is not accepted, or its user is not one of this account"),
    403: (Permanent, "the user may not do this"),
    404: (Unlikely, "there is no such envelope in this account, or the user may not see it"),
    429: (Retryable, "a limit of calls is reached"),
}
_MEANT: Final = {"ENVELOPE_DOES_NOT_EXIST": 404, "API_REQUEST_IS_THROTTLED": 429}
_REFUSALS: Final = {
    "consent_required": "The user has to agree once: signed in as that user, open /oauth/auth at the auth_server with"
    " response_type=code, scope=signature impersonation, client_id and a redirect_uri of the app",
    "no_valid_keys_or_signatures": "Is `private_key` one of this app's RSA keys?",
    "invalid_grant": "Are `integration_key`, `user_id`, `auth_server` and the clock of this machine right?",
}
_ENDED: Final = ("declined", "voided", "deleted")
_POLITE: Final = 1200.0
"""Seconds between two questions after one envelope: more often than every 15 minutes counts as a violation, and
DocuSign itself advises 20."""
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_HOUR: Final = 3600
_PAGE: Final = 100

# --- messages ---------------------------------------------------------------------------------------------------------

_JSON: Final = {
    "configuration": "configurationId",
    "kind": "event",
    "envelope": "data.envelopeId",
    "account": "data.accountId",
    "recipient": "data.recipientId",
    "generated": "generatedDateTime",
    "completed": "data.envelopeSummary.completedDateTime",
    "title": "data.envelopeSummary.emailSubject",
}
_STATUS: Final = "DocuSignEnvelopeInformation/EnvelopeStatus"
_XML: Final = {
    "kind": f"{_STATUS}/Status",
    "envelope": f"{_STATUS}/EnvelopeID",
    "generated": f"{_STATUS}/TimeGenerated",
    "completed": f"{_STATUS}/Completed",
    "title": f"{_STATUS}/Subject",
    "offset": "DocuSignEnvelopeInformation/TimeZoneOffset",
}
_IDENTITY: Final = ("configuration", "kind", "envelope", "recipient", "generated")
"""DocuSign gives a message no id: these tell it from every other, and stay when it is sent again."""


def _said(request: RawRequest) -> Mapping[str, str]:
    """What a message says, by our own names. ValueError, or Permanent, where it cannot be understood."""
    if not is_xml(request.body):
        body = object_of(request)
        said = {key: first_text(body, path) for key, path in _JSON.items()}
        if not said["account"]:
            raise ValueError("the message names no account")
        return said
    found = texts(request.body, _XML.values())
    said = {key: found.get(path, "") for key, path in _XML.items()}
    return said | {"kind": said["kind"] and f"envelope-{said['kind'].lower()}"}


class Docusign(Provider):
    """One app at DocuSign, on behalf of one user."""

    Settings = DocusignSettings
    settings: DocusignSettings
    traits: ClassVar[Traits] = Traits(
        verify="HMAC-SHA256 over body",
        parts=("document", "certificate"),
        lists=True,
        inferred="the time-out of 100 s, how limits are answered, the list by time of completion",
    )
    deadline: ClassVar[float] = 100.0

    def __init__(self, source: str, settings: DocusignSettings, public_url: str = "", clock: Clock = time.time) -> None:
        """ValueError where nothing can be signed with the private key."""
        super().__init__(source, settings, public_url)
        self._clock = clock
        self._base = settings.base_uri.rstrip("/").removesuffix("/restapi")
        if settings.private_key is not None and settings.access_token is None:
            signed({}, settings.private_key)

    def scheme(self) -> Scheme:
        """One header for each active key, numbered from 1 to at most 100; any of them may be ours."""
        table = VerifySettings(
            alg="hmac-sha256",
            message="{body}",
            encoding="base64",
            signature="header:X-DocuSign-Signature-[0-9]{1,3}",
        )
        return Verifier(table, self.settings.secrets)

    def warnings(self) -> list[str]:
        base, auth = self.settings.base_uri, self.settings.auth_server
        theirs = "docusign.net" in base and "docusign.com" in auth
        if not theirs or ("//demo." in base) == ("//account-d." in auth):
            return []
        return ["`base_uri` and `auth_server`: one is that of the developer account, the other that of production"]

    def offers(self) -> frozenset[str]:
        return frozenset({DOCUMENT, CERTIFICATE})

    def polls_every(self) -> float | None:
        return 1_800.0

    def delivery_id(self, request: RawRequest) -> str:
        try:
            said = _said(request)
        except (ValueError, Permanent):
            return ""
        return "/".join(said.get(key, "") for key in _IDENTITY) if said["envelope"] else ""

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        said = _said(request)
        at, completed = (local_moment(said[key], said.get("offset", "")) for key in ("generated", "completed"))
        ref = partial(self._named_in, said, at if completed is None else completed)
        return [self.settings.events.event(said["kind"], ref, at=at)]

    def _named_in(self, said: Mapping[str, str], completed: float | None) -> DocumentRef:
        """The envelope, and its account; XML names none."""
        envelope, account = said["envelope"], said.get("account", "")
        segment(envelope)
        if account:
            segment(account)
            ours = [one.lower() for one in self.settings.account_ids]
            if ours and account.lower() not in ours:
                raise Permanent("the envelope is one of an account that is not among `account_ids`")
        return DocumentRef(id=envelope, name=said["title"], completed=completed, hints=_hints(account))

    # --- the token ----------------------------------------------------------------------------------------------------

    def login(self) -> Flow[Token]:
        """The JWT grant: the app vouches for itself with its key. A token lasts an hour."""
        given = self.settings
        if given.access_token is not None or given.private_key is None:
            return Token(text=given.access_token.reveal() if given.access_token else "")
        now = int(self._clock())
        who = {"iss": given.integration_key, "sub": given.user_id, "aud": urlsplit(given.auth_server).netloc}
        claims = {**who, "iat": now, "exp": now + _HOUR, "scope": "signature impersonation"}
        form = {"grant_type": _GRANT, "assertion": signed(claims, given.private_key)}
        return (yield from granted(address(given.auth_server, "oauth", "token"), form, "DocuSign", _REFUSALS))

    # --- the download -------------------------------------------------------------------------------------------------

    def steps(self, ref: DocumentRef) -> Steps:
        """Before its envelope is completed, a document is served as well, unfinished: hence the question first. A
        certificate that is fetched alone follows its document, and needs none."""
        envelope = "accounts", (yield from self._account(ref)), "envelopes", ref.id
        if DOCUMENT in ref.parts:
            found = yield from self._asked(self._api(*envelope))
            _must_be_completed(text_at(found, "status"))
            appended = str(self.settings.document == "combined_with_certificate").lower()
            url = self._api(*envelope, "documents", "combined", certificate=appended)
            yield from self._save(ref, DOCUMENT, url, pdf_name(text_at(found, "emailSubject") or ref.name))
        if CERTIFICATE in ref.parts:
            url = self._api(*envelope, "documents", "certificate")
            yield from forgiving(ref, CERTIFICATE, self._save(ref, CERTIFICATE, url, "certificate.pdf"))

    def _save(self, ref: DocumentRef, part: str, url: str, name: str) -> Flow[None]:
        request = _request(url, (yield from token()), "application/pdf")
        answer = yield Save(request=request, part=part, name=name, optional=part != DOCUMENT and beside_document(ref))
        if not answer.ok:
            raise _failure(answer)

    def _account(self, ref: DocumentRef) -> Flow[str]:
        """That of the message. XML names none: then it is the first of ours, or the user's default one."""
        known = ref.hints.get("account") or next(iter(self.settings.account_ids), "")
        return known or _default((yield from self._accounts()))

    # --- the list -----------------------------------------------------------------------------------------------------

    def completed_since(self, when: float) -> Steps:
        """The lists of all accounts; on that occasion a `base_uri` that is no longer theirs is reported."""
        theirs = yield from self._accounts()
        accounts = self.settings.account_ids or (_default(theirs),)
        homes = {text_at(one, "account_id"): text_at(one, "base_uri").rstrip("/").lower() for one in theirs}
        for account in accounts:
            if (home := homes.get(account)) and home != self._base.lower():
                place = told(home.partition("://")[2], 100)
                yield Warn(message=f"DocuSign keeps the account at {place}: is `base_uri` right?")
            yield from newest_first(partial(self._page, account, when), when)

    def _page(self, account: str, since: float, number: int) -> Flow[Page]:
        began = datetime.fromtimestamp(max(0, int(since)), UTC).isoformat().replace("+00:00", "Z")
        query = {"from_date": began, "from_to_status": "completed", "status": "completed"}
        query |= {"order_by": "completed", "order": "desc"}
        query |= {"count": str(_PAGE), "start_position": str((number - 1) * _PAGE)}
        found = yield from self._asked(self._api("accounts", account, "envelopes", **query))
        sent, total = objects(found.get("envelopes")), _count(found.get("totalSetSize"))
        completed = [one for one in sent if one.get("status") == "completed" and text_at(one, "envelopeId")]
        pages = number + bool(sent) if total is None else -(-total // _PAGE)
        return Page(rows=[_row(one, account) for one in completed], total=total, pages=pages)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _accounts(self) -> Flow[list[Mapping[str, Any]]]:
        """Those of the user."""
        found = yield from self._asked(address(self.settings.auth_server, "oauth", "userinfo"))
        return objects(found.get("accounts"))

    def _api(self, *path: str, **query: str) -> str:
        return address(f"{self._base}/restapi/v2.1", *path, **query)

    def _asked(self, url: str) -> Flow[Mapping[str, Any]]:
        answer = yield Call(request=_request(url, (yield from token()), "application/json"))
        if not answer.ok:
            raise _failure(answer)
        return object_in(answer, _FATES, "DocuSign")


def _request(url: str, bearer: str, accept: str) -> Request:
    return Request(url=url, headers={"Accept": accept}, auth={"Authorization": f"Bearer {bearer}"})


def _failure(answer: Answer) -> WebhookError:
    """What an error means stands in its code: most of them, limits too, come with the status 400."""
    code = told_in(answer, "errorCode")
    limited = 429 if code.upper().endswith("_LIMIT_EXCEEDED") else None
    error = failure(answer, _FATES, "DocuSign", code, meant=_MEANT.get(code.upper(), limited))
    return RenewToken(str(error), otherwise=error) if answer.status == 401 else error


def _must_be_completed(status: str) -> None:
    if status in _ENDED:
        raise Ignored(f"the envelope is {status}: it has no final document")
    if status != "completed":
        raise NotReady(f"the envelope is not finished: its status is {told(status, 40) or 'nothing'}", after=_POLITE)


def _row(one: Mapping[str, Any], account: str) -> Listed:
    completed = moment_at(one, "completedDateTime")
    title, hints = text_at(one, "emailSubject"), _hints(account)
    ref = DocumentRef(id=text_at(one, "envelopeId"), name=title, completed=completed, hints=hints)
    return Listed(ref=ref, completed=completed)


def _hints(account: str) -> Mapping[str, str]:
    return {"account": account} if account else EMPTY


def _default(accounts: list[Mapping[str, Any]]) -> str:
    for one in accounts:
        if one.get("is_default") is True and (found := text_at(one, "account_id")):
            return found
    raise Permanent("the user has no default account at DocuSign: name the account in `account_ids`")


def _count(said: Any) -> int | None:
    """A number, which DocuSign writes as text."""
    return int(said) if isinstance(said, str) and re.fullmatch("[0-9]{1,9}", said) else None
