"""Providers' steps run against a real server into a real vault."""

import hashlib
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from structlog.testing import capture_logs

from webhook_svc.core.errors import (
    ClaimLost,
    DocumentCheckFailed,
    Held,
    NotReady,
    Permanent,
    RenewToken,
    Retryable,
    StoreUnavailable,
)
from webhook_svc.core.flow import token
from webhook_svc.core.outgoing import Answer, Call, Inline, Lacking, Listed, Login, More, Request, Save, Token, Warn
from webhook_svc.core.ports import Flow, Http, Provider, Scheme, Step, Steps
from webhook_svc.core.types import Artifact, DocumentRef, RawRequest, SourceEvent
from webhook_svc.core.work import Haul
from webhook_svc.download.check import Check
from webhook_svc.download.fetch import Fetcher
from webhook_svc.http import HttpClient
from webhook_svc.vault.local import LocalVault

ZIP = b"PK\x03\x04" + b"x" * 5000 + b"PK\x05\x06" + bytes(16) + b"\x07\x00comment"
PDF = b"%PDF-1.7\n" + b"x" * 5000 + b"\nstartxref\n1234\n%%EOF\n"
REF = DocumentRef(id="doc-1", name="Lease")


class Scripted(Provider):
    """Takes the steps that a test hands it."""

    Settings = object

    def __init__(self, flow: Callable[[DocumentRef], Steps], login: Callable[[], Flow[Token]] | None = None) -> None:
        super().__init__("contracts", None)
        self._flow = flow
        self._login = login or super().login

    def scheme(self) -> Scheme:
        raise NotImplementedError

    def parse(self, _: RawRequest) -> list[SourceEvent]:
        return []

    def steps(self, ref: DocumentRef) -> Steps:
        return self._flow(ref)

    def completed_since(self, when: float) -> Steps:
        return self._flow(DocumentRef(id=str(when)))

    def login(self) -> Flow[Token]:
        return self._login()


class Logins:
    """A login whose tokens are t1, t2, …"""

    def __init__(self, *, lasts: float | None = None) -> None:
        self.made = 0
        self._lasts = lasts

    def __call__(self) -> Flow[Token]:
        self.made += 1
        yield from ()
        return Token(text=f"t{self.made}", lasts=self._lasts)


@pytest.fixture
def vault(tmp_path: Path) -> LocalVault:
    return LocalVault(tmp_path)


@pytest.fixture
def http(httpserver: HTTPServer) -> Iterator[HttpClient]:
    trusted = frozenset({f"http://{httpserver.host}:{httpserver.port}"})
    with closing(HttpClient(trusted=trusted, read_timeout=2)) as client:
        yield client


@pytest.fixture
def run(vault: LocalVault, http: HttpClient) -> Callable[..., Haul]:
    def run(flow: Callable[[DocumentRef], Steps], ref: DocumentRef = REF, **options: Any) -> Haul:
        return Fetcher(vault, max_document=20_000).fetch(Scripted(flow), http, ref, **options)

    return run


@pytest.fixture
def run_with(vault: LocalVault, http: HttpClient) -> Callable[..., Haul]:
    def run_with(flow: Callable[[DocumentRef], Steps], login: Callable[[], Flow[Token]]) -> Haul:
        return Fetcher(vault).fetch(Scripted(flow, login), http, REF)

    return run_with


@pytest.fixture
def saving(run: Callable[..., Haul], httpserver: HTTPServer) -> Callable[..., Haul]:
    """Fetches one document that the server answers with these bytes."""

    def saving(content: bytes, *, status: int = 200, headers: Any = None, check: bool = True, **save: Any) -> Haul:
        httpserver.expect_request("/file").respond_with_data(content, status=status, headers=headers)

        def flow(_: DocumentRef) -> Steps:
            answer = yield Save(request=Request(url=httpserver.url_for("/file")), **save)
            if not answer.ok:
                raise Permanent(f"status {answer.status}: {answer.body.decode()}")

        return run(flow, check=check)

    return saving


def files_below(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file()]


def stored(vault: LocalVault, haul: Haul) -> list[bytes]:
    found = []
    for part in haul.parts:
        with vault.open(Artifact(sha256=part.sha256, size=part.size)) as file:
            found.append(file.read())
    return found


# --- the flow -----------------------------------------------------------------------------------------------------


def test_answers_come_back_and_the_document_lands_in_the_vault(
    run: Callable[..., Haul], httpserver: HTTPServer, vault: LocalVault
) -> None:
    httpserver.expect_request("/api/doc-1").respond_with_json({"link": httpserver.url_for("/file")})
    httpserver.expect_request("/file").respond_with_data(PDF, content_type="application/pdf")
    answers: list[Answer] = []

    def flow(ref: DocumentRef) -> Steps:
        found = yield Call(request=Request(url=httpserver.url_for(f"/api/{ref.id}")))
        answers.append((yield Save(request=Request(url=found.json()["link"]))))

    haul = run(flow)
    sha256 = hashlib.sha256(PDF).hexdigest()
    assert [("document", "Lease.pdf", sha256, len(PDF), "application/pdf")] == [
        (part.kind, part.name, part.sha256, part.size, part.content_type) for part in haul.parts
    ]
    assert [(200, b"", sha256, len(PDF))] == [(a.status, a.body, a.sha256, a.size) for a in answers]
    assert [PDF] == stored(vault, haul)


def test_everything_a_provider_says_is_in_the_haul(run: Callable[..., Haul], vault: LocalVault) -> None:
    later, other = Lacking(part="audit", reason="not made yet"), DocumentRef(id="doc-2")

    def flow(_: DocumentRef) -> Steps:
        yield Inline(part="certificate", content=PDF, name="proof")
        yield later
        yield More(ref=other)

    haul = run(flow)
    assert ((later,), (other,)) == (haul.lacking, haul.more)
    assert [("certificate", "proof.pdf")] == [(part.kind, part.name) for part in haul.parts]
    assert [PDF] == stored(vault, haul)


def test_an_error_status_goes_back_to_the_steps_and_nothing_is_stored(
    saving: Callable[..., Haul], tmp_path: Path
) -> None:
    with pytest.raises(Permanent, match="status 404: gone"):
        saving(b"gone", status=404)
    assert [] == files_below(tmp_path)


@pytest.mark.parametrize("status", [202, 204])
def test_a_2xx_that_means_later_is_not_ready(saving: Callable[..., Haul], tmp_path: Path, status: int) -> None:
    with pytest.raises(NotReady) as error:
        saving(b"", status=status, headers={"Retry-After": "30"})
    assert 30 == error.value.after
    assert [] == files_below(tmp_path)


def test_a_piece_of_a_file_is_no_document(saving: Callable[..., Haul], tmp_path: Path) -> None:
    with pytest.raises(DocumentCheckFailed, match="206"):
        saving(PDF, status=206)
    assert [] == files_below(tmp_path)


def test_a_document_larger_than_the_limit_is_permanent_and_leaves_nothing(
    saving: Callable[..., Haul], tmp_path: Path
) -> None:
    with pytest.raises(Permanent, match="larger than 20000 bytes"):
        saving(PDF + b"x" * 20_000)
    assert [] == files_below(tmp_path)


def test_a_refused_token_is_renewed_once_and_the_steps_run_anew(run: Callable[..., Haul]) -> None:
    runs: list[str] = []

    def flow(_: DocumentRef) -> Steps:
        runs.append("run")
        yield Inline(part="document", content=PDF)
        if len(runs) == 1:
            raise RenewToken

    assert 1 == len(run(flow).parts)
    assert 2 == len(runs)


def test_a_token_that_is_refused_again_is_retried_later(run: Callable[..., Haul]) -> None:
    def flow(_: DocumentRef) -> Steps:
        yield Inline(part="document", content=PDF)
        raise RenewToken

    with pytest.raises(Retryable, match="a new token was refused too"):
        run(flow)


def test_steps_that_do_not_end_are_stopped(run: Callable[..., Haul]) -> None:
    def flow(_: DocumentRef) -> Steps:
        while True:
            yield Lacking(part="audit", reason="again")

    with pytest.raises(Permanent, match="stopped after 1000"):
        run(flow)


def test_an_error_of_the_network_ends_the_steps_and_closes_them(run: Callable[..., Haul]) -> None:
    ended: list[str] = []

    def flow(_: DocumentRef) -> Steps:
        try:
            yield Call(request=Request(url="http://10.0.0.1/"))
        except Permanent:
            ended.append("the steps saw it")
        finally:
            ended.append("closed")

    with pytest.raises(Permanent, match="not a public address"):
        run(flow)
    assert ["closed"] == ended


def test_a_link_to_a_private_address_is_refused_wherever_it_comes_from(
    run: Callable[..., Haul], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/file").respond_with_data("", 302, headers={"Location": "http://192.168.0.1/a.pdf"})

    def flow(_: DocumentRef) -> Steps:
        yield Save(request=Request(url=httpserver.url_for("/file")))

    with pytest.raises(Permanent, match="not a public address"):
        run(flow)


# --- tokens -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fetching(vault: LocalVault, http: HttpClient, clock: Any) -> Callable[..., Haul]:
    """One fetcher for many fetches, whose steps are a document and the refusal of the tokens in `refused`."""
    fetcher = Fetcher(vault, monotonic=clock)

    def fetching(login: Callable[[], Flow[Token]], seen: list[str], refused: Mapping[str, RenewToken]) -> Haul:
        def flow(_: DocumentRef) -> Steps:
            seen.append((yield from token()))
            if seen[-1] in refused:
                raise refused[seen[-1]]
            yield Inline(part="document", content=PDF)

        return fetcher.fetch(Scripted(flow, login), http, REF)

    return fetching


def test_a_token_serves_the_fetches_that_follow(fetching: Callable[..., Haul]) -> None:
    login, seen = Logins(), list[str]()
    for _ in range(3):
        fetching(login, seen, {})
    assert (1, ["t1"] * 3) == (login.made, seen)


def test_a_token_is_brought_anew_when_its_time_is_over(fetching: Callable[..., Haul], clock: Any) -> None:
    login, seen = Logins(lasts=60), list[str]()
    for seconds in (0, 59, 1):
        clock.advance(seconds)
        fetching(login, seen, {})
    assert ["t1", "t1", "t2"] == seen


def test_an_old_token_that_is_refused_is_renewed_once_and_the_steps_run_anew(fetching: Callable[..., Haul]) -> None:
    login, seen = Logins(), list[str]()
    fetching(login, seen, {})
    haul = fetching(login, seen, {"t1": RenewToken("expired")})
    assert (["t1", "t1", "t2"], 1) == (seen, len(haul.parts))


def test_a_new_token_that_is_refused_is_renewed_once_too(fetching: Callable[..., Haul]) -> None:
    login, seen = Logins(), list[str]()
    refused = {one: RenewToken("refused", otherwise=Permanent("not allowed")) for one in ("t1", "t2")}
    with pytest.raises(Permanent, match="not allowed"):
        fetching(login, seen, refused)
    assert (2, ["t1", "t2"]) == (login.made, seen)


def test_a_renewed_token_that_is_refused_too_has_the_fate_that_the_steps_named(fetching: Callable[..., Haul]) -> None:
    login, seen = Logins(), list[str]()
    fetching(login, seen, {})
    refused = {one: RenewToken(one, otherwise=Permanent(f"{one} may not do this")) for one in ("t1", "t2")}
    with pytest.raises(Permanent, match="t2 may not do this"):
        fetching(login, seen, refused)
    assert ["t1", "t1", "t2"] == seen


def test_a_login_sends_its_credentials_and_reads_the_answer(
    run_with: Callable[..., Haul], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/login", method="POST", json={"secret": "s3cret"}).respond_with_json({"token": "t"})
    asked = Request(url=httpserver.url_for("/login"), method="POST", json={"secret": "s3cret"})
    seen: list[Answer] = []

    def login() -> Flow[Token]:
        return Token(text=(yield Call(request=asked)).json()["token"])

    def flow(_: DocumentRef) -> Steps:
        seen.append((yield Login()))

    run_with(flow, login)
    assert [(200, b"t")] == [(answer.status, answer.body) for answer in seen]
    assert "s3cret" not in repr(asked)


def login_within_login() -> Flow[Token]:
    return Token(text=(yield from token()))


def saving_login() -> Flow[Token]:
    yield Inline(part="document", content=PDF)
    return Token(text="t")


def endless_login() -> Flow[Token]:
    while True:
        yield Warn(message="once more")


@pytest.mark.parametrize(
    ("login", "message"),
    [
        (login_within_login, "a login that needs a login"),
        (saving_login, "Inline steps do not belong here"),
        (endless_login, "stopped after 10"),
    ],
)
def test_a_login_that_cannot_be_one_is_permanent(
    run_with: Callable[..., Haul], login: Callable[[], Flow[Token]], message: str
) -> None:
    def flow(_: DocumentRef) -> Steps:
        yield Login()

    with pytest.raises(Permanent, match=message):
        run_with(flow, login)


def test_the_error_of_a_login_is_the_fate_of_the_fetch(run_with: Callable[..., Haul]) -> None:
    def login() -> Flow[Token]:
        yield from ()
        raise Retryable("the token endpoint is down", after=7)

    def flow(_: DocumentRef) -> Steps:
        yield Login()

    with pytest.raises(Retryable, match="endpoint is down") as error:
        run_with(flow, login)
    assert 7 == error.value.after


def test_a_list_logs_in_too(vault: LocalVault, http: HttpClient) -> None:
    login, fetcher = Logins(), Fetcher(vault)

    def flow(_: DocumentRef) -> Steps:
        text = yield from token()
        if text == "t1":
            raise RenewToken("expired")
        yield Listed(ref=DocumentRef(id=text))

    def nothing(_: DocumentRef) -> Steps:
        yield Login()

    fetcher.fetch(Scripted(nothing, login), http, REF)
    found = fetcher.listed(Scripted(flow, login), http, 0.0)
    assert ["t2"] == [line.ref.id for line in found.rows]


# --- warnings -----------------------------------------------------------------------------------------------------


def warned(_: DocumentRef) -> Steps:
    yield Warn(message="the callback is switched off")
    yield Warn(message="the key ends soon")


def test_what_a_person_should_know_is_in_the_haul_and_in_the_log(run: Callable[..., Haul]) -> None:
    with capture_logs() as lines:
        haul = run(warned)
    assert ("the callback is switched off", "the key ends soon") == haul.warnings
    assert [("warning", "contracts", warning) for warning in haul.warnings] == [
        (line["log_level"], line["source"], line["detail"]) for line in lines
    ]


def test_the_warnings_of_a_list_are_kept_beside_its_rows(vault: LocalVault, http: HttpClient) -> None:
    with capture_logs():
        found = Fetcher(vault).listed(Scripted(warned), http, 0.0)
    assert ((), ("the callback is switched off", "the key ends soon")) == (found.rows, found.warnings)


# --- answers in place of a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_an_answer_that_is_no_file_comes_back_with_its_body(
    run: Callable[..., Haul], httpserver: HTTPServer, tmp_path: Path, kind: str
) -> None:
    httpserver.expect_request("/file").respond_with_data('{"code": "07"}', content_type=kind)
    answers: list[Answer] = []

    def flow(_: DocumentRef) -> Steps:
        answers.append((yield Save(request=Request(url=httpserver.url_for("/file")), unless=("application/json",))))

    assert () == run(flow).parts
    assert [(200, {"code": "07"}, "")] == [(one.status, one.json(), one.sha256) for one in answers]
    assert [] == files_below(tmp_path)


def test_an_answer_of_another_type_is_the_file(saving: Callable[..., Haul]) -> None:
    haul = saving(PDF, headers={"Content-Type": "application/pdf"}, unless=("application/json",))
    assert [len(PDF)] == [part.size for part in haul.parts]


@pytest.mark.parametrize("step", [Save(request=Request(url="http://127.0.0.1:9/")), More(ref=REF)])
def test_a_list_brings_no_documents(vault: LocalVault, http: HttpClient, step: Step) -> None:
    def flow(_: DocumentRef) -> Steps:
        yield step

    with pytest.raises(Permanent, match="steps do not belong here"):
        Fetcher(vault).listed(Scripted(flow), http, 0.0)


# --- optional steps -----------------------------------------------------------------------------------------------


@pytest.fixture
def beside(run: Callable[..., Haul], httpserver: HTTPServer) -> Callable[[Call | Save], tuple[Haul, Answer]]:
    """Fetches a document after another step, and tells what that step was sent."""
    httpserver.expect_request("/file").respond_with_data(PDF)

    def beside(step: Call | Save) -> tuple[Haul, Answer]:
        answers: list[Answer] = []

        def flow(_: DocumentRef) -> Steps:
            answers.append((yield step))
            yield Save(request=Request(url=httpserver.url_for("/file")))

        return run(flow), answers[0]

    return beside


def test_an_optional_part_behind_a_refused_address_is_lacking_and_the_document_comes(
    beside: Callable[[Call | Save], tuple[Haul, Answer]],
) -> None:
    haul, answer = beside(Save(request=Request(url="http://10.0.0.1/c.pdf"), part="certificate", optional=True))
    assert ["document"] == [part.kind for part in haul.parts]
    assert ["certificate"] == [one.part for one in haul.lacking]
    assert "not a public address" in haul.lacking[0].reason
    assert (0, haul.lacking[0].reason) == (answer.status, answer.body.decode())


def test_an_optional_part_that_is_no_pdf_is_lacking_and_leaves_nothing(
    beside: Callable[[Call | Save], tuple[Haul, Answer]], httpserver: HTTPServer, vault: LocalVault
) -> None:
    httpserver.expect_request("/c").respond_with_data(b"<html>")
    haul, _ = beside(Save(request=Request(url=httpserver.url_for("/c")), part="certificate", optional=True))
    assert ["certificate"] == [one.part for one in haul.lacking]
    assert [PDF] == stored(vault, haul)


def test_an_optional_call_that_fails_is_answered_with_status_0(
    beside: Callable[[Call | Save], tuple[Haul, Answer]],
) -> None:
    haul, answer = beside(Call(request=Request(url="http://10.0.0.1/"), optional=True))
    assert (0, False) == (answer.status, answer.ok)
    assert (["document"], ()) == ([part.kind for part in haul.parts], haul.lacking)


class Refusing(Http):
    """Raises the same error for whatever is asked."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def call(self, *_: Any, **__: Any) -> Answer:
        raise self._error

    save = call


@pytest.mark.parametrize("error", [Held(), ClaimLost(), StoreUnavailable(), OSError("disk full")])
def test_what_is_not_the_providers_trouble_ends_optional_steps_too(vault: LocalVault, error: Exception) -> None:
    def flow(_: DocumentRef) -> Steps:
        yield Save(request=Request(url="https://x.test/"), part="certificate", optional=True)

    with pytest.raises(type(error)):
        Fetcher(vault).fetch(Scripted(flow), Refusing(error), REF)


@pytest.mark.parametrize("error", [NotReady("later"), Retryable("time-out"), Permanent("refused")])
def test_the_reason_of_the_failed_step_is_kept_whatever_the_steps_say_of_it(
    vault: LocalVault, error: Exception
) -> None:
    def flow(_: DocumentRef) -> Steps:
        answer = yield Save(request=Request(url="https://x.test/"), part="certificate", optional=True)
        yield Lacking(part="certificate", reason=f"status {answer.status}")

    haul = Fetcher(vault).fetch(Scripted(flow), Refusing(error), REF)
    assert (Lacking(part="certificate", reason=str(error)),) == haul.lacking


def test_a_part_that_comes_at_a_second_try_is_not_lacking(run: Callable[..., Haul], httpserver: HTTPServer) -> None:
    httpserver.expect_request("/c").respond_with_data(PDF)

    def flow(_: DocumentRef) -> Steps:
        for url in ("http://10.0.0.1/", httpserver.url_for("/c")):
            yield Save(request=Request(url=url), part="certificate", optional=True)

    assert () == run(flow).lacking


# --- checks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (PDF[: len(PDF) // 2], "cut off"),
        (PDF[:-7], "cut off"),
        (PDF.replace(b"startxref", b"startxxxx"), "cut off"),
        (PDF + b" " * 2100, "cut off"),
        (b"<html>Please log in</html>", "begin"),
        (b" " * 1024 + PDF, "begin"),
    ],
)
def test_what_is_no_whole_pdf_is_not_kept(
    saving: Callable[..., Haul], tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(DocumentCheckFailed, match=reason):
        saving(content)
    assert [] == files_below(tmp_path)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + PDF, b"\n" * 1000 + PDF, PDF + b"\n" * 1000])
def test_a_pdf_with_a_little_around_it_is_whole_and_unchanged(
    saving: Callable[..., Haul], vault: LocalVault, content: bytes
) -> None:
    assert [content] == stored(vault, saving(content))


def test_a_check_that_a_person_waived_lets_the_bytes_through(saving: Callable[..., Haul], vault: LocalVault) -> None:
    assert [b"no pdf"] == stored(vault, saving(b"no pdf", check=False, sha256="0" * 64))


def test_an_empty_file_is_never_a_document(saving: Callable[..., Haul]) -> None:
    with pytest.raises(DocumentCheckFailed, match="empty"):
        saving(b"", check=False, content_type="application/zip")


def test_the_hash_that_a_provider_names_is_compared(saving: Callable[..., Haul], tmp_path: Path) -> None:
    assert 1 == len(saving(PDF, sha256=hashlib.sha256(PDF).hexdigest().upper()).parts)
    before = files_below(tmp_path)
    with pytest.raises(DocumentCheckFailed, match="SHA-256"):
        saving(PDF, sha256="0" * 64)
    assert before == files_below(tmp_path)


def test_inline_bytes_are_checked_too(run: Callable[..., Haul]) -> None:
    def flow(_: DocumentRef) -> Steps:
        yield Inline(part="document", content=PDF[:-9])

    with pytest.raises(DocumentCheckFailed):
        run(flow)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "do not begin like one"),
        (PDF, "do not begin like one"),
        (ZIP[:-1], "cut off"),
        (ZIP[:-30], "cut off"),
    ],
)
def test_what_is_no_whole_zip_does_not_pass_for_one(content: bytes, reason: str) -> None:
    check = Check("application/zip")
    check.update(content)
    with pytest.raises(DocumentCheckFailed, match=reason):
        check.finish()


@pytest.mark.parametrize("content", [ZIP, b"PK\x05\x06" + bytes(18)], ids=["of files", "of none"])
def test_a_whole_zip_passes(content: bytes) -> None:
    check = Check("application/zip")
    check.update(content)
    check.finish()


@pytest.mark.parametrize("size", [1, 7, 1023, 1024, 2049, 10_000])
def test_a_pdf_is_checked_the_same_in_whatever_chunks_it_comes(size: int) -> None:
    whole, cut = Check("application/pdf; charset=binary"), Check("application/PDF")
    for start in range(0, len(PDF), size):
        whole.update(PDF[start : start + size])
        cut.update(PDF[:-8][start : start + size])
    whole.finish()
    with pytest.raises(DocumentCheckFailed, match="cut off"):
        cut.finish()


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "save", "header"),
    [
        ("given.pdf", {"name": "given.pdf"}, 'attachment; filename="sent.pdf"'),
        ("given.pdf", {"name": "given"}, None),
        ("sent.pdf", {}, 'attachment; filename="sent.pdf"'),
        ("passwd.pdf", {}, 'attachment; filename="../../etc/passwd"'),
        ("a X-Evil_ 1.pdf", {"name": "a\r\nX-Evil: 1"}, None),
        ("🎉.pdf", {"name": "🎉.pdf"}, None),
        ("Lease.pdf", {}, None),
        ("certificate.pdf", {"part": "certificate"}, None),
        ("Lease.csv", {"content_type": "text/csv"}, None),
    ],
)
def test_a_part_is_named(saving: Callable[..., Haul], expected: str, save: Any, header: str | None) -> None:
    haul = saving(PDF, headers={"Content-Disposition": header} if header else None, **save)
    assert [expected] == [part.name for part in haul.parts]


def test_a_name_of_300_characters_is_cut(saving: Callable[..., Haul]) -> None:
    name = saving(PDF, name="계약" * 150 + ".pdf").parts[0].name
    assert len(name.encode()) <= 180
    assert name.endswith("계약.pdf")


def test_names_in_one_haul_differ_even_where_case_does_not_count(run: Callable[..., Haul]) -> None:
    def flow(_: DocumentRef) -> Steps:
        for name in ("a.pdf", "A.pdf", "a.pdf", "a-2.pdf"):
            yield Inline(part="document", content=PDF, name=name)

    assert ["a.pdf", "A-2.pdf", "a-3.pdf", "a-2-2.pdf"] == [part.name for part in run(flow).parts]


def test_the_type_is_the_one_announced_else_the_one_answered(saving: Callable[..., Haul]) -> None:
    answered = {"Content-Type": "Text/XML; charset=utf-8"}
    assert "text/xml" == saving(b"<a/>", headers=answered, content_type="").parts[0].content_type
    assert "text/csv" == saving(b"a,b", headers=answered, content_type="text/csv").parts[0].content_type


# --- lists --------------------------------------------------------------------------------------------------------


def test_a_list_is_read_to_its_end(vault: LocalVault, http: HttpClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/list").respond_with_json(["a", "b"])

    def flow(_: DocumentRef) -> Steps:
        answer = yield Call(request=Request(url=httpserver.url_for("/list")))
        for name in answer.json():
            yield Listed(ref=DocumentRef(id=name))

    found = Fetcher(vault).listed(Scripted(flow), http, 0.0)
    assert ["a", "b"] == [line.ref.id for line in found.rows]


def test_what_a_list_names_twice_counts_once_and_each_round_counts(vault: LocalVault, http: HttpClient) -> None:
    def flow(_: DocumentRef) -> Steps:
        for name, round in (("a", "1"), ("a", "2"), ("a", "1"), ("b", "")):
            yield Listed(ref=DocumentRef(id=name, round=round))

    found = Fetcher(vault).listed(Scripted(flow), http, 0.0)
    assert [("a", "1"), ("a", "2"), ("b", "")] == [(line.ref.id, line.ref.round) for line in found.rows]


# --- memory -------------------------------------------------------------------------------------------------------


class Large(socketserver.StreamRequestHandler):
    """Answers with 200 MB that begin and end like a PDF."""

    def handle(self) -> None:
        self.rfile.readline()
        block = b"\0" * 1_000_000
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200_000_000 + len(PDF) * 2))
        self.wfile.write(PDF)
        for _ in range(200):
            self.wfile.write(block)
        self.wfile.write(PDF)


FETCH_LARGE = """
import resource, sys
from pathlib import Path
from webhook_svc.core.outgoing import Request, Save
from webhook_svc.core.types import Artifact, DocumentRef
from webhook_svc.download.fetch import Fetcher
from webhook_svc.http import HttpClient
from webhook_svc.vault.local import LocalVault

root, port = Path(sys.argv[1]), sys.argv[2]
vault, http = LocalVault(root), HttpClient(trusted=frozenset({f"http://127.0.0.1:{port}"}))

class Provider:
    source = "large"
    def steps(self, ref):
        yield Save(request=Request(url=f"http://127.0.0.1:{port}/"))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak()
part = Fetcher(vault).fetch(Provider(), http, DocumentRef(id="1")).parts[0]
with vault.open(Artifact(sha256=part.sha256, size=part.size)) as stored:
    while stored.read(262144):
        pass
print((peak() - before) // 1024, part.size)
"""


def test_memory_stays_level_while_a_large_document_passes(tmp_path: Path) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Large) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        arguments = [sys.executable, "-c", FETCH_LARGE, str(tmp_path), str(server.server_address[1])]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        thread.join()
    grown, size = map(int, done.stdout.split())
    assert 200_000_000 + len(PDF) * 2 == size
    assert grown < 10
