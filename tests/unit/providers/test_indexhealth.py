"""Index Health's flow of requests, answer by answer; its hook as the guide says; and its simulator from end to end."""

import base64
import json
import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from werkzeug.test import Client

from webhook_svc.core.errors import (
    DocumentCheckFailed,
    NotGenuine,
    Permanent,
    Problem,
    RenewToken,
    Retryable,
    Unlikely,
    WebhookError,
)
from webhook_svc.core.outgoing import Answer, Call, Listed, Login, Request, Save, Token
from webhook_svc.core.ports import ANSWER_LIMIT, Http, Step, Steps
from webhook_svc.core.registry import guide_of
from webhook_svc.core.settings import Secret, Url, build
from webhook_svc.core.types import CERTIFICATE, DOCUMENT, DocumentRef, Part, RawRequest
from webhook_svc.core.work import Haul
from webhook_svc.download.fetch import Fetcher
from webhook_svc.providers.indexhealth import Events, IndexHealth, IndexHealthSettings, User
from webhook_svc.signing.choice import Nobody
from webhook_svc.simulators.indexhealth import IndexHealthSimulator
from webhook_svc.simulators.mark import MARK
from webhook_svc.simulators.papers import PAPERS, Paper
from webhook_svc.simulators.serve import serve
from webhook_svc.vault.local import LocalVault

API = "https://api.example.test/v1"
NOW = 1_760_000_000.0
OLD = DocumentRef(id="doc 1/2", completed=NOW - 86_400)
BEARER = Token(text="the-token")
SAVED = Answer(status=200, sha256="0" * 64, size=9)
LINK = "https://files.example.test/1?sig=a"
SECRET = "a-secret-of-our-own-hook"


def library(**changed: Any) -> IndexHealth:
    settings = IndexHealthSettings(
        api_base=Url(API + "/"),
        client_id="client-1",
        client_secret=Secret("client-secret"),
        fingerprint=Secret("installation"),
        user=User(first_name="Jo", last_name="Doe", uid="u-1"),
        secrets=(Secret(SECRET),),
        collections=("c-1",),
    )
    return IndexHealth("library", replace(settings, **changed))


def said(content: Any, status: int = 200, **headers: str) -> Answer:
    date = {"date": formatdate(NOW, usegmt=True)}
    return Answer(status=status, body=json.dumps(content).encode(), headers={**date, **headers})


def okay(data: Any) -> Answer:
    return said({"statusCode": 200, "data": data, "message": "OKAY"})


def error(code: int, message: str = "", *, in_body: bool = False, key: str = "statusCode", **headers: str) -> Answer:
    content = {key: code, "data": {}, "message": message}
    return said(content, 200 if in_body else code, **headers)


def details(**changed: Any) -> Answer:
    return okay({"document_id": "doc 1/2", "document_name": "Lease", "document_type": "PDF", **changed})


def link(url: str = LINK) -> Answer:
    return okay({"download_url": url})


def driven(steps: Steps, *answers: Answer) -> list[Step]:
    """Every step but the login, the answers handed out in order to those that ask."""
    left, seen = list(answers), list[Step]()
    try:
        step = next(steps)
        while True:
            if isinstance(step, Login):
                step = steps.send(Answer(status=200, body=BEARER.text.encode()))
                continue
            seen.append(step)
            step = steps.send(left.pop(0) if isinstance(step, Call | Save) else Answer(status=0))
    except StopIteration:
        assert [] == left
        return seen


def flow(provider: IndexHealth, ref: DocumentRef, *answers: Answer) -> list[Step]:
    return driven(provider.steps(ref), *answers)


def raised(provider: IndexHealth, ref: DocumentRef, *answers: Answer) -> WebhookError:
    with pytest.raises(WebhookError) as caught:
        flow(provider, ref, *answers)
    return caught.value


# --- the download ---------------------------------------------------------------------------------------------------


def test_details_and_link_are_asked_for_with_the_token_and_the_file_is_saved_without_it() -> None:
    asked, linked, saved = flow(library(), OLD, details(), link(), SAVED)
    assert isinstance(asked, Call)
    assert isinstance(linked, Call)
    assert isinstance(saved, Save)
    assert [f"{API}/get-document-details", f"{API}/download"] == [asked.request.url, linked.request.url]
    for call in (asked, linked):
        assert ("POST", {"document_id": "doc 1/2"}) == (call.request.method, call.request.json)
        assert {"Authorization": "Bearer the-token"} == call.request.auth
    assert (LINK, {}) == (saved.request.url, dict(saved.request.auth))


def test_the_direct_download_takes_the_token_and_the_id_as_one_segment() -> None:
    _, saved = flow(library(download="direct"), OLD, details(), SAVED)
    assert isinstance(saved, Save)
    assert (f"{API}/download/doc%201%2F2", "GET") == (saved.request.url, saved.request.method)
    assert {"Authorization": "Bearer the-token"} == saved.request.auth
    assert ("application/json", "text/html") == saved.unless


def test_nothing_is_asked_for_where_the_document_is_not_wanted() -> None:
    assert [] == flow(library(), replace(OLD, parts=(CERTIFICATE,)))
    assert {DOCUMENT} == library().offers()


@pytest.mark.parametrize(
    ("said_of_it", "name", "content_type"),
    [
        ({"document_type": "PDF"}, "Lease.pdf", "application/pdf"),
        ({"document_type": "pdf", "document_name": "Lease.PDF"}, "Lease.PDF", "application/pdf"),
        ({"document_type": "DOCX"}, "Lease.docx", ""),
        ({"document_name": "Lease v1.2", "document_file_path": "a/b.pdf"}, "Lease v1.2.pdf", "application/pdf"),
        ({"document_type": "TXT"}, "Lease.txt", ""),
        ({"document_type": "IMG", "document_file_path": "a/b.PNG"}, "Lease.png", ""),
        ({"document_type": "IMG", "document_name": "scan.jpeg", "document_file_path": "a/b.png"}, "scan.jpeg", ""),
        ({"document_type": "OTHER", "document_file_path": "a/b.pdf"}, "Lease.pdf", ""),
        ({"document_type": "OTHER"}, "Lease", ""),
        ({"document_type": None, "document_file_path": "a/b.pdf"}, "Lease.pdf", "application/pdf"),
        ({"document_type": "PDF", "document_name": ""}, "From the hook.pdf", "application/pdf"),
        ({"document_type": {}, "document_name": 5, "document_file_path": []}, "From the hook", ""),
    ],
)
@pytest.mark.parametrize("way", ["link", "direct"])
def test_the_details_tell_name_and_type(way: str, said_of_it: dict[str, Any], name: str, content_type: str) -> None:
    between = [link()] if way == "link" else []
    ref = replace(OLD, name="From the hook")
    *_, saved = flow(library(download=way), ref, details(**said_of_it), *between, SAVED)
    assert isinstance(saved, Save)
    assert (name, content_type) == (saved.name, saved.content_type)


@pytest.mark.parametrize(
    ("code", "message", "fate", "sentence"),
    [
        (407, "ACCESS_DENIED", Permanent, "Index Health answered 407: access denied"),
        (435, "Document has no file path", Permanent, "somebody has to look at its document_url"),
        (436, "VALIDATION", Permanent, "Index Health answered 436: the request is not accepted (VALIDATION)"),
        (437, "Document not found", Unlikely, "no such document or collection for this user and group"),
        (404, "", Permanent, "look at `api_base`"),
        (418, "", Permanent, "Index Health answered 418: unexpected"),
        (429, "", Retryable, "too many calls"),
        (500, "Failed to generate download URL", Retryable, "(Failed to generate download URL)"),
        (502, "", Retryable, "Index Health answered 502: unexpected"),
    ],
)
@pytest.mark.parametrize("key", ["statusCode", "status"])
@pytest.mark.parametrize("in_body", [False, True])
def test_a_status_means_the_same_by_http_and_in_the_body_in_every_call(
    in_body: bool, key: str, code: int, message: str, fate: type[WebhookError], sentence: str
) -> None:
    answer = error(code, message, in_body=in_body, key=key)
    for answers, way in (((answer,), "link"), ((details(), answer), "link"), ((details(), answer), "direct")):
        trouble = raised(library(download=way), OLD, *answers)
        assert fate is type(trouble)
        assert sentence in str(trouble)


@pytest.mark.parametrize(
    ("answer", "fate", "code"),
    [
        (said({"statusCode": 200, "data": {}}, 500), Retryable, "500"),
        (said({"statusCode": 435}, 400), Permanent, "435"),
        (said({"statusCode": "437"}), Unlikely, "437"),
        (said({"statusCode": 500}, 407), Retryable, "500"),
        (said({"statusCode": True, "status": "error"}, 407), Permanent, "407"),
        (said({"statusCode": 9999}, 407), Permanent, "407"),
        (said({"statusCode": 200, "status": 436}), Permanent, "436"),
        (said({"statusCode": 500}, 200, **{"retry-after": "7"}), Retryable, "500"),
    ],
)
def test_the_stricter_of_two_statuses_counts(answer: Answer, fate: type[WebhookError], code: str) -> None:
    trouble = raised(library(), OLD, answer)
    assert fate is type(trouble)
    assert f"answered {code}" in str(trouble)
    assert answer.retry_after() == getattr(trouble, "after", None)


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("way", ["link", "direct"])
def test_a_refused_token_is_renewed_and_permanent_where_the_new_one_is_refused_too(way: str, in_body: bool) -> None:
    refused = error(403, "UNAUTHORIZED", in_body=in_body)
    for answers in ((refused,), (details(), refused)):
        trouble = raised(library(download=way), OLD, *answers)
        assert isinstance(trouble, RenewToken)
        assert isinstance(trouble.otherwise, Permanent)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_link_that_no_longer_opens_is_asked_for_anew_once(status: int) -> None:
    *_, saved = flow(library(), OLD, details(), link(), Answer(status=status), link("https://x.test/2"), SAVED)
    assert isinstance(saved, Save)
    assert "https://x.test/2" == saved.request.url
    trouble = raised(library(), OLD, details(), link(), Answer(status=status), link(), Answer(status=status))
    assert Retryable is type(trouble)


def test_a_storage_that_asks_for_patience_is_given_it() -> None:
    trouble = raised(library(), OLD, details(), link(), Answer(status=503, headers={"retry-after": "9"}))
    assert isinstance(trouble, Retryable)
    assert (9.0, "the document's link answered 503") == (trouble.after, str(trouble))


@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8", ""])
def test_what_is_no_file_is_not_taken_for_one(kind: str) -> None:
    page = Answer(status=200, headers={"content-type": kind}, body=b"{}")
    for answers, way in (((details(), link(), page), "link"), ((details(), page), "direct")):
        trouble = raised(library(download=way), OLD, *answers)
        assert DocumentCheckFailed is type(trouble)
        assert kind.partition(";")[0] in str(trouble)


@pytest.mark.parametrize("answer", [okay({}), okay(None), okay([]), okay({"download_url": 5}), said([]), said({})])
def test_an_answer_without_a_link_may_be_better_next_time(answer: Answer) -> None:
    assert Retryable is type(raised(library(), OLD, details(), answer))


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_an_id_that_climbs_is_not_downloaded(document: str) -> None:
    trouble = raised(library(download="direct"), replace(OLD, id=document), details())
    assert Permanent is type(trouble)


# --- the token ------------------------------------------------------------------------------------------------------


def logged_in(provider: IndexHealth, answer: Answer) -> tuple[Request, Token]:
    login = provider.login()
    asked = next(login)
    assert isinstance(asked, Call)
    with pytest.raises(StopIteration) as end:
        login.send(answer)
    return asked.request, end.value.value


def jwt(claims: Any) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


def test_the_login_sends_the_credentials_in_its_body_alone() -> None:
    asked, _ = logged_in(library(), okay({"access_token": "t"}))
    assert ("POST", f"{API}/generate-client-auth-token") == (asked.method, asked.url)
    assert ({}, {}) == (dict(asked.headers), dict(asked.auth))
    assert {
        "client_id": "client-1",
        "client_secret": "client-secret",
        "fingerprint": "installation",
        "user": {"first_name": "Jo", "last_name": "Doe", "uid": "u-1"},
    } == asked.json


@pytest.mark.parametrize(
    "answer", [okay({"access_token": "t"}), said({"status": 200, "data": {"auth_token": "t"}}, 201)]
)
def test_both_documented_successes_bring_the_token(answer: Answer) -> None:
    assert Token(text="t") == logged_in(library(), answer)[1]


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        (jwt({"exp": NOW + 3600}), 3540.0),
        (jwt({"exp": str(int(NOW) + 3600)}), 3540.0),
        (jwt({"exp": NOW + 30}), 0.0),
        (jwt({"exp": NOW - 30}), 0.0),
        (jwt({"exp": None}), None),
        (jwt({"exp": True}), None),
        (jwt({"exp": {}}), None),
        (jwt({}), None),
        (jwt([]), None),
        ("a.b", None),
        ("a.!!!!!.c", None),
        ("a.AAA.c", None),
    ],
)
def test_a_token_lasts_until_a_minute_before_its_exp_by_the_clock_of_the_server(text: str, lasts: float | None) -> None:
    assert Token(text=text, lasts=lasts) == logged_in(library(), okay({"auth_token": text}))[1]


def test_without_the_time_of_the_server_a_token_is_used_until_it_is_refused() -> None:
    answer = replace(okay({"auth_token": jwt({"exp": NOW + 3600})}), headers={})
    assert logged_in(library(), answer)[1].lasts is None


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize(
    ("code", "fate"), [*((code, Permanent) for code in (400, 401, 403, 407, 435, 436, 437)), (500, Retryable)]
)
def test_a_login_that_is_refused_is_a_matter_of_the_configuration(
    code: int, fate: type[WebhookError], in_body: bool
) -> None:
    login = library().login()
    next(login)
    with pytest.raises(fate, match=f"login answered {code}") as trouble:
        login.send(error(code, in_body=in_body))
    assert "client-secret" not in str(trouble.value)


@pytest.mark.parametrize(
    "data", [{}, {"access_token": ""}, {"access_token": "a\r\nX: y"}, {"auth_token": 5}, {"auth_token": "é"}, None]
)
def test_what_is_no_token_is_asked_for_again_later(data: Any) -> None:
    login = library().login()
    next(login)
    with pytest.raises(Retryable, match="no token"):
        login.send(okay(data))


# --- the list -------------------------------------------------------------------------------------------------------


def row(document: str | None, updated: Any, progress: Any = 100, **more: Any) -> dict[str, Any]:
    return {"document_id": document, "updated_at": updated, "avg_progress": progress, **more}


def listing(provider: IndexHealth, since: float, *answers: Answer) -> list[Listed]:
    return [step for step in driven(provider.completed_since(since), *answers) if isinstance(step, Listed)]


def ids(rows: list[Listed]) -> list[str]:
    return [one.ref.id for one in rows]


def test_each_collection_is_listed_with_the_token() -> None:
    provider = library(collections=("c-1", "c-2"))
    asked = driven(provider.completed_since(0.0), okay([]), okay([]))
    assert [{"collection_id": "c-1"}, {"collection_id": "c-2"}] == [
        one.request.json for one in asked if isinstance(one, Call)
    ]
    assert [f"{API}/get-documents"] * 2 == [one.request.url for one in asked if isinstance(one, Call)]
    assert [dict(one.request.auth) for one in asked if isinstance(one, Call)] == [
        {"Authorization": "Bearer the-token"}
    ] * 2


def test_what_was_completed_since_is_listed_with_its_name_and_time() -> None:
    rows = [row("d-1", "1970-01-01T00:01:40Z", document_name="Lease"), row("too old", 99), row("no time", "?")]
    assert [
        Listed(ref=DocumentRef(id="d-1", name="Lease", completed=100.0), completed=100.0),
        Listed(ref=DocumentRef(id="no time")),
    ] == listing(library(), 100.0, okay(rows))


@pytest.mark.parametrize("progress", [0, 40, 99.9, None, "100", True, [], {}])
def test_what_is_still_processed_is_not_listed(progress: Any) -> None:
    assert ["done"] == ids(listing(library(), 0.0, okay([row("d-1", 10, progress), row("done", 10)])))


def test_the_progress_that_is_enough_can_be_set() -> None:
    rows = [row("half", 10, 50), row("less", 10, 49), row("unknown", 10, None)]
    assert ["half"] == ids(listing(library(progress=50.0), 0.0, okay(rows)))
    assert ["half", "less", "unknown"] == ids(listing(library(progress=0.0), 0.0, okay(rows)))


def test_rows_that_nobody_can_read_are_left_out() -> None:
    rows: list[object] = [5, None, [], {}]
    rows += [row("", 10), row(None, 10), {"document_id": {}, "avg_progress": 100}, row("d-1", 10)]
    assert ["d-1"] == ids(listing(library(), 0.0, okay(rows)))


def test_the_next_look_begins_no_later_than_at_the_oldest_document_that_is_still_processed() -> None:
    provider = library(collections=("c-1", "c-2"))
    first = [row("done before", 100), row("done after", 300)]
    found = listing(provider, 0.0, okay(first), okay([row("slow", 200, 40), row("slower", 250, 10)]))
    assert [("done before", 100.0, 100.0), ("done after", 300.0, 200.0)] == [
        (one.ref.id, one.ref.completed, one.completed) for one in found
    ]


def test_one_of_two_documents_of_the_same_time_still_holds_the_next_look_back() -> None:
    for rows in ([row("slow", 200, 40), row("done", 200)], [row("done", 200), row("slow", 200, 40)]):
        assert [200.0] == [one.completed for one in listing(library(), 0.0, okay([*rows, row("newer", 300)]))][1:]


def test_a_document_that_got_nowhere_for_a_day_holds_nobody_up() -> None:
    [found] = listing(library(), 0.0, okay([row("stuck", 100, 40), row("done", 86_500)]))
    assert 86_500.0 == found.completed


@pytest.mark.parametrize("answer", [okay({}), okay(None), said([]), Answer(status=200, body=b"<html>")])
def test_an_answer_that_is_no_list_is_not_taken_for_an_empty_one(answer: Answer) -> None:
    with pytest.raises(Retryable):
        listing(library(), 0.0, answer)


def test_trouble_with_a_collection_names_it() -> None:
    with pytest.raises(Unlikely, match=r"collection c-1\) answered 437"):
        listing(library(), 0.0, error(437, in_body=True))
    with pytest.raises(RenewToken):
        listing(library(), 0.0, error(403))


def test_without_collections_there_is_no_list() -> None:
    assert 300.0 == library().polls_every()
    assert library(collections=()).polls_every() is None
    with pytest.raises(Permanent, match="no `collections`"):
        next(library(collections=()).completed_since(0.0))


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"secrets": (), "collections": ()}, {"tolerance": 0}, {"progress": 101.0}, {"progress": -1.0}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        library(**wrong)


def test_a_user_needs_something_that_tells_them_from_others() -> None:
    with pytest.raises(ValueError, match="one of date_of_birth, email, uid and eid"):
        User(first_name="Jo", last_name="Doe", phone="1")
    assert "e-1" == User(first_name="Jo", last_name="Doe", eid="e-1").eid


def test_a_short_secret_is_warned_about() -> None:
    assert [] == library().warnings()
    [warning] = library(secrets=(Secret("short-one"),)).warnings()
    assert "short-one" not in warning


def test_a_source_that_only_looks_through_collections_refuses_every_callback() -> None:
    assert isinstance(library(secrets=()).scheme(), Nobody)


def test_a_type_in_two_lists_is_refused() -> None:
    with pytest.raises(ValueError):
        Events(ready=("a",), changed=("a",))


# --- the hook as the guide tells it -----------------------------------------------------------------------------------


class Heard:
    """A server that keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[RawRequest] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        headers = tuple(
            (name.removeprefix("HTTP_").replace("_", "-").lower(), value)
            for name, value in environ.items()
            if name.startswith(("HTTP_", "CONTENT_")) and isinstance(value, str)
        )
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        self.requests.append(RawRequest(method=environ["REQUEST_METHOD"], headers=headers, body=body))
        start("200 OK", [])
        return []


def snippet(language: str) -> str:
    return guide_of(IndexHealth).partition(f"```{language}\n")[2].partition("```")[0]


def signed_at(request: RawRequest) -> float:
    found = re.match("t=([0-9]+),", request.header("x-signature") or "")
    assert found
    return float(found[1])


def understood(request: RawRequest) -> tuple[str, str]:
    """(event id, document) of a callback that is genuine."""
    assert "POST" == request.method
    assert library().scheme().verify(request, signed_at(request))
    [event] = library().parse(request)
    return event.id, event.documents[0].id


def test_the_python_of_the_guide_makes_a_genuine_callback() -> None:
    code: dict[str, Any] = {}
    exec(snippet("python"), code)  # noqa: S102 - it is our own guide that is tried
    heard = Heard()
    with serve(heard) as hook:
        code["announce"](hook.url, SECRET, id="upload-42", document_id="doc-123")
    assert [("upload-42", "doc-123")] == [understood(request) for request in heard.requests]


@pytest.mark.skipif(not (which("openssl") and which("curl")), reason="openssl and curl are not here")
def test_the_shell_of_the_guide_makes_a_genuine_callback() -> None:
    heard = Heard()
    with serve(heard) as hook:
        known = {"PATH": os.environ["PATH"], "SECRET": SECRET, "URL": hook.url}
        subprocess.run(["sh", "-ec", snippet("sh")], env=known, check=True, timeout=30, capture_output=True)
    assert [("upload-42", "doc-123")] == [understood(request) for request in heard.requests]


def test_the_window_of_the_signature_can_be_set() -> None:
    [callback, _] = IndexHealthSimulator(secret=SECRET, clock=lambda: NOW).finish("d-1")
    assert library(tolerance=400).scheme().verify(callback, NOW + 400)
    with pytest.raises(NotGenuine):
        library(tolerance=400).scheme().verify(callback, NOW + 401)


# --- the simulator ----------------------------------------------------------------------------------------------------


class Town:
    """A simulator and the provider that its table configures, with vault and tokens as they are in the service."""

    def __init__(self, home: Path, *, in_body: bool = False, **settings: Any) -> None:
        self.now = NOW
        self.simulator = IndexHealthSimulator(clock=lambda: self.now, in_body=in_body)
        table, problems = {**self.simulator.source(API), **settings}, list[Problem]()
        assert "indexhealth" == table.pop("provider")
        self.provider = IndexHealth("library", build(IndexHealthSettings, table, "library", problems))
        assert [] == problems
        self.api = Wire(self)
        self.vault = LocalVault(home)
        self._fetcher = Fetcher(self.vault, monotonic=lambda: self.now)

    def ref(self, title: str, size: int = 0) -> DocumentRef:
        *_, callback = self.simulator.finish("d-1", title=title, size=size)
        [event] = self.provider.parse(callback)
        return event.documents[0]

    def fetch(self, ref: DocumentRef) -> Haul:
        return self._fetcher.fetch(self.provider, self.api, ref)


class Wire(Http):
    """What the simulator answers, dated by its clock."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._client = Client(town.simulator.wsgi())
        self.asked: list[str] = []

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        with self._client.open(
            request.url.removeprefix(API).removeprefix("https://api.example.test"),
            base_url="https://api.example.test",
            method=request.method,
            headers={**request.headers, **request.auth},
            json=request.json,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers}
            body, status = response.data, response.status_code
        assert len(body) <= limit
        self.asked.append(request.url.removeprefix(API).partition("?")[0].split("/")[1])
        return Answer(status=status, headers={"date": formatdate(self._town.now, usegmt=True), **headers}, body=body)

    def save(self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Any = ()) -> Answer:
        answer = self.call(request, limit=limit)
        if not answer.ok or answer.headers["content-type"].partition(";")[0] in unless:
            return answer
        into(answer.body)
        return replace(answer, body=b"", size=len(answer.body))


def only(haul: Haul) -> Part:
    [part] = haul.parts
    return part


@pytest.fixture(params=[(way, in_body) for way in ("link", "direct") for in_body in (False, True)])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    way, in_body = request.param
    return Town(tmp_path, in_body=in_body, download=way)


@pytest.mark.parametrize("title", [f"Lease{one.extension}" for one in PAPERS] + ["Lease"])
def test_files_of_every_type_arrive_byte_for_byte_under_their_names(town: Town, title: str) -> None:
    part = only(town.fetch(town.ref(title, size=70_000)))
    name = title if "." in title else f"{title}.pdf"
    mime = next(one.mime for one in PAPERS if name.endswith(one.extension))
    assert (name, mime) == (part.name, part.content_type)
    with town.vault.open(part) as saved:  # type: ignore[arg-type]  # of an artifact the vault reads hash and size
        assert town.simulator.document_bytes("d-1") == saved.read()
    assert part.size >= 70_000


def test_a_token_that_expired_is_renewed_unseen(town: Town) -> None:
    ref = town.ref("Lease")
    town.fetch(ref)
    town.simulator.misbehave("token_expired")
    assert only(town.fetch(ref))
    assert 2 == town.api.asked.count("generate-client-auth-token")


def test_a_token_is_used_until_a_minute_before_its_end_and_renewed_before_it_is_refused(town: Town) -> None:
    ref = town.ref("Lease")
    for seconds, logins in ((0, 1), (3539, 1), (1, 2)):
        town.now += seconds
        town.fetch(ref)
        assert logins == town.api.asked.count("generate-client-auth-token")


def test_a_document_that_is_not_there_ends_the_same_by_http_and_in_the_body(town: Town) -> None:
    with pytest.raises(Unlikely, match="answered 437"):
        town.fetch(replace(town.ref("Lease"), id="another"))


def test_wrong_credentials_end_the_same_by_http_and_in_the_body(town: Town) -> None:
    town.simulator.api_key = "another"
    with pytest.raises(Permanent, match="client_id or client_secret is wrong"):
        town.fetch(town.ref("Lease"))


def test_a_json_error_with_status_200_is_never_a_document(town: Town) -> None:
    ref = town.ref("Lease.txt")
    town.simulator.misbehave("json_file")
    with pytest.raises(DocumentCheckFailed, match="sent application/json, which is not the document"):
        town.fetch(ref)
    assert only(town.fetch(ref))


def test_a_name_that_climbs_stays_in_its_folder(town: Town) -> None:
    town.simulator.misbehave("hostile_name")
    assert re.fullmatch(r"[^/\\\r\n\x00]+\.pdf", only(town.fetch(town.ref("Lease"))).name)


def test_the_list_of_the_simulator_leaves_out_what_is_still_processed(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.ref("Lease")
    assert ["d-1"] == [one.ref.id for one in Fetcher(town.vault).listed(town.provider, town.api, NOW).rows]
    town.simulator.processed["d-1"] = 40
    assert () == Fetcher(town.vault).listed(town.provider, town.api, NOW).rows


def test_the_login_of_the_simulator_shows_both_successes_in_turn(tmp_path: Path) -> None:
    town = Town(tmp_path)
    names = []
    for _ in range(2):
        login = town.provider.login()
        asked = next(login)
        assert isinstance(asked, Call)
        names += town.api.call(asked.request).json()["data"]
    assert ["access_token", "auth_token"] == names


BEGINNINGS = {
    ".pdf": b"%PDF-",
    ".docx": b"PK\x03\x04",
    ".txt": b"Lease",
    ".png": b"\x89PNG\r\n",
    ".jpg": b"\xff\xd8\xff",
    ".jpeg": b"\xff\xd8\xff",
    ".gif": b"GIF89a",
}


@pytest.mark.parametrize("one", PAPERS, ids=lambda one: one.extension)
def test_a_paper_begins_like_its_type(one: Paper) -> None:
    assert one.content("Lease", 0).startswith(BEGINNINGS[one.extension])


@pytest.mark.parametrize("one", PAPERS, ids=lambda one: one.extension)
def test_a_paper_says_the_mark_and_has_the_size_that_was_asked_for(one: Paper) -> None:
    content = one.content("Lease", 100_000)
    assert MARK.encode() in content
    assert len(content) >= 100_000


@pytest.mark.parametrize("one", PAPERS, ids=lambda one: one.extension)
def test_papers_of_two_titles_differ_and_of_one_title_never(one: Paper) -> None:
    assert one.content("Lease", 0) == one.content("Lease", 0)
    assert one.content("Lease", 0) != one.content("Other", 0)


def test_a_docx_is_a_zip_that_opens() -> None:
    docx = next(one for one in PAPERS if one.extension == ".docx")
    with zipfile.ZipFile(BytesIO(docx.content("A < B", 10))) as archive:
        assert archive.testzip() is None
        assert b"A &lt; B" in archive.read("word/document.xml")
