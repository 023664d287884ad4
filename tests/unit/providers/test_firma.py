"""Firma's flow of requests, answer by answer."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import NotReady, Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.outgoing import Answer, Call, Lacking, Request, Save, Warn
from webhook_svc.core.ports import ANSWER_LIMIT, Http, Step
from webhook_svc.core.settings import Secret, Url
from webhook_svc.core.types import AUDIT, CERTIFICATE, DOCUMENT, DocumentRef
from webhook_svc.download.fetch import Fetcher
from webhook_svc.providers.firma import Firma, FirmaSettings
from webhook_svc.vault.local import LocalVault

API = "https://api.example.test/v1"
REF = DocumentRef(id="sr 1/2", completed=1.0)
DATE = {"date": "Fri, 03 Oct 2025 14:30:00 GMT"}
GONE = Answer(status=403)
SAVED = Answer(status=200, sha256="0" * 64, size=9)


def firma(**changed: Any) -> Firma:
    settings = FirmaSettings(secrets=(Secret("a" * 64),), api_key=Secret("main-key"), api_base=Url(API + "/"))
    return Firma("contracts", replace(settings, **changed))


def said(content: dict[str, Any], status: int = 200, **headers: str) -> Answer:
    return Answer(status=status, body=json.dumps(content).encode(), headers={**DATE, **headers})


def finished(link: str = "https://files.example.test/1?sig=a", **changed: Any) -> Answer:
    return said({"status": "finished", "is_partial": False, "download_url": link, **changed})


def detail(**changed: Any) -> Answer:
    link = {"certificate_only_download_url": "https://files.example.test/c?sig=b"}
    return said({"name": "Lease", "certificate": {"generated": True}, **link, **changed})


def flow(provider: Firma, ref: DocumentRef, *answers: Answer) -> list[Step]:
    """Every step, the answers handed out in order to those that ask."""
    steps, left, seen = provider.steps(ref), list(answers), []
    try:
        step = next(steps)
        while True:
            seen.append(step)
            step = steps.send(left.pop(0) if isinstance(step, Call | Save) else Answer(status=0))
    except StopIteration:
        assert [] == left
        return seen


def page(*ids: str, total: int, pages: int = 9) -> Answer:
    rows = [{"id": one, "finished_on": 100} for one in ids]
    return said({"results": rows, "pagination": {"total_count": total, "total_pages": pages}})


def looked(provider: Firma, answers: Mapping[str, list[Answer]]) -> tuple[list[Request], list[Any]]:
    """What a look at the list since 100 asks and tells; `answers` by the last part of the path, then empty lists."""
    asked: list[Request] = []
    told: list[Any] = []
    left = {name: list(given) for name, given in answers.items()}
    steps, answer = provider.completed_since(100.0), None
    with suppress(StopIteration):
        while True:
            step = steps.send(answer)  # type: ignore[arg-type]  # a generator begins with None
            if isinstance(step, Call):
                asked.append(step.request)
                queue = left.get(step.request.url.partition("?")[0].rpartition("/")[2])
                answer = queue.pop(0) if queue else said({"results": []})
            else:
                told.append(step)
    return asked, told


def test_the_document_is_asked_for_with_the_key_and_saved_without_it() -> None:
    asked, saved = flow(firma(), REF, finished(), SAVED)
    assert isinstance(asked, Call)
    assert isinstance(saved, Save)
    assert f"{API}/signing-requests/sr%201%2F2/download" == asked.request.url
    assert {"Authorization": "main-key"} == asked.request.auth
    assert ("https://files.example.test/1?sig=a", {}) == (saved.request.url, dict(saved.request.auth))
    assert (DOCUMENT, "document.pdf") == (saved.part, saved.name)


def test_the_key_of_the_workspace_that_the_callback_names_is_used() -> None:
    provider = firma(workspace_keys={"ws_456": Secret("its-key")})
    asked, _ = flow(provider, replace(REF, hints={"workspace": "ws_456"}), finished(), SAVED)
    assert isinstance(asked, Call)
    assert {"Authorization": "its-key"} == asked.request.auth


def test_the_title_of_the_detail_call_names_the_document() -> None:
    seen = flow(firma(), replace(REF, parts=(DOCUMENT, CERTIFICATE)), detail(), SAVED, finished(), SAVED)
    assert ["certificate.pdf", "Lease.pdf"] == [step.name for step in seen if isinstance(step, Save)]


def test_a_link_that_ends_within_a_minute_is_asked_for_again() -> None:
    short, long = (
        finished(expires_at="2025-10-03T14:30:59Z"),
        finished("https://x.test/2", expires_at="2025-10-03T14:31:00Z"),
    )
    *_, saved = flow(firma(), REF, short, long, SAVED)
    assert isinstance(saved, Save)
    assert "https://x.test/2" == saved.request.url


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_link_that_no_longer_opens_is_asked_for_anew_once(status: int) -> None:
    *_, saved = flow(firma(), REF, finished(), Answer(status=status), finished("https://x.test/2"), SAVED)
    assert isinstance(saved, Save)
    assert "https://x.test/2" == saved.request.url
    with pytest.raises(Retryable):
        flow(firma(), REF, finished(), GONE, finished(), GONE)


@pytest.mark.parametrize(
    ("answer", "fate", "after"),
    [
        (said({}, 401), Permanent, None),
        (said({}, 402), Permanent, None),
        (said({}, 403), Permanent, None),
        (said({"error": "not_found"}, 404), Unlikely, None),
        (said({"error": "no_document_available"}, 409), Unlikely, None),
        (said({}, 408), Retryable, None),
        (said({}, 418), Permanent, None),
        (said({}, 422), Permanent, None),
        (said({}, 425, **{"retry-after": "2"}), Retryable, 2.0),
        (said({"details": {"retry_after": 17}}, 429), Retryable, 17.0),
        (said({"details": {"retry_after": "x"}}, 429), Retryable, None),
        (said({"details": {"retry_after": 17}}, 429, **{"retry-after": "30"}), Retryable, 30.0),
        (said({"error": "generation_timeout"}, 503, **{"retry-after": "9"}), NotReady, 9.0),
        (said({}, 500), Retryable, None),
        (said({}, 502), Retryable, None),
        (Answer(status=200, body=b"<html>"), Retryable, None),
        (Answer(status=200, body=b"[]"), Retryable, None),
        (said({"status": "in_progress", "is_partial": True}), NotReady, None),
        (finished(is_partial=True), NotReady, None),
        (finished(is_partial=None), NotReady, None),
        (finished(download_url=None), NotReady, None),
        (said({"status": "cancelled"}), Permanent, None),
        (said({"status": "declined"}), Permanent, None),
        (said({"status": "expired"}), Permanent, None),
        (said({"status": ["finished"]}), NotReady, None),
    ],
)
def test_each_answer_of_the_download_call_has_its_fate(
    answer: Answer, fate: type[WebhookError], after: float | None
) -> None:
    with pytest.raises(fate) as raised:
        flow(firma(), REF, answer)
    assert fate is type(raised.value)
    assert after == getattr(raised.value, "after", None)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([detail(certificate={"generated": False})], "not generated yet"),
        ([detail(certificate={"generated": True, "has_error": True})], "Firma reports an error while making it"),
        ([detail(certificate_only_download_error="file_not_accessible")], "Firma cannot reach its file"),
        ([detail(certificate_only_download_url=None)], "Firma gives no certificate_only_download_url yet"),
        ([detail(), GONE, detail(), GONE], "its link answered 403"),
        ([detail(), Answer(status=500)], "its link answered 500"),
        ([detail(), GONE, said({}, 502)], "Firma answered 502: unexpected"),
        ([said({}, 401)], "Firma answered 401: the API key is not accepted"),
        ([said({}, 403)], "Firma answered 403: the API key may not do this"),
        ([said({}, 429)], "Firma answered 429: the rate limit is reached"),
        ([said({}, 500)], "Firma answered 500: unexpected"),
        ([said({}, 503)], "Firma answered 503: the PDF is being built"),
        ([Answer(status=200, body=b"<html>")], "the answer (status 200) is not JSON"),
        ([Answer(status=0, body=b"api.example.test: time-out")], "api.example.test: time-out"),
    ],
)
def test_trouble_with_the_certificate_is_reported_and_the_document_comes(answers: list[Answer], reason: str) -> None:
    seen = flow(firma(), replace(REF, parts=(CERTIFICATE, DOCUMENT)), *answers, finished(), SAVED)
    assert [Lacking(part=CERTIFICATE, reason=reason)] == [step for step in seen if isinstance(step, Lacking)]
    assert DOCUMENT == getattr(seen[-1], "part", None)


def test_what_belongs_to_other_parts_than_the_document_is_optional_beside_it() -> None:
    answers = (detail(), GONE, detail(), SAVED, finished(), SAVED, SAVED)
    seen = flow(firma(), replace(REF, parts=(DOCUMENT, CERTIFICATE, AUDIT)), *answers)
    assert [True, True, True, True, False, False, True] == [
        one.optional for one in seen if isinstance(one, Call | Save)
    ]


@pytest.mark.parametrize(("status", "fate"), [(403, Permanent), (500, Retryable), (503, NotReady)])
def test_a_certificate_that_is_fetched_alone_keeps_its_error(status: int, fate: type[WebhookError]) -> None:
    with pytest.raises(fate):
        flow(firma(), replace(REF, parts=(CERTIFICATE,)), said({}, status))


class Api(Http):
    """Answers by the end of the path: an Answer, whose body is the file where one is saved, or an error."""

    def __init__(self, answers: Mapping[str, Answer | WebhookError]) -> None:
        self._answers = answers

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        answer = self._answers[request.url.partition("?")[0].rpartition("/")[2]]
        if isinstance(answer, WebhookError):
            raise answer
        assert len(answer.body) <= limit
        return answer

    def save(self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Any = ()) -> Answer:
        assert not unless
        answer = self.call(request, limit=limit)
        into(answer.body)
        return answer


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"sr%201%2F2": Retryable("api.example.test: time-out")}, "api.example.test: time-out"),
        ({"sr%201%2F2": said({}, 403)}, "Firma answered 403: the API key may not do this"),
        ({"c": Permanent("files.example.test: not allowed")}, "files.example.test: not allowed"),
        ({"c": Answer(status=200, body=b"<html>")}, "a PDF was announced, and the bytes do not begin like one"),
    ],
)
def test_the_document_is_fetched_whatever_becomes_of_the_certificate(
    tmp_path: Path, trouble: dict[str, Answer | WebhookError], reason: str
) -> None:
    file = Answer(status=200, body=b"%PDF-1.7\n1\nstartxref\n1\n%%EOF\n")
    api = Api({"sr%201%2F2": detail(), "c": file, "download": finished(), "1": file, **trouble})
    haul = Fetcher(LocalVault(tmp_path)).fetch(firma(), api, replace(REF, parts=(DOCUMENT, CERTIFICATE)))
    assert [DOCUMENT] == [part.kind for part in haul.parts]
    assert (Lacking(part=CERTIFICATE, reason=reason),) == haul.lacking


def test_the_audit_trail_is_saved_as_json_with_the_key() -> None:
    [saved] = flow(firma(), replace(REF, parts=(AUDIT,)), SAVED)
    assert isinstance(saved, Save)
    assert (AUDIT, "audit.json", "application/json") == (saved.part, saved.name, saved.content_type)
    assert {"Authorization": "main-key"} == saved.request.auth


PAGE = Answer(status=200, headers={"content-type": "text/html; charset=utf-8"}, body=b"<html>")


@pytest.mark.parametrize(
    ("answer", "reason", "fate"),
    [
        (Answer(status=403), "Firma answered 403: the API key may not do this", Permanent),
        (Answer(status=503), "Firma answered 503: the PDF is being built", NotReady),
        (PAGE, "its call answered with a page for people", Retryable),
    ],
)
def test_an_audit_trail_that_does_not_come_is_lacking_beside_the_document_and_an_error_alone(
    answer: Answer, reason: str, fate: type[WebhookError]
) -> None:
    *_, saved, lacking = flow(firma(), replace(REF, parts=(DOCUMENT, AUDIT)), finished(), SAVED, answer)
    assert isinstance(saved, Save)
    assert (("text/html",), Lacking(part=AUDIT, reason=reason)) == (saved.unless, lacking)
    with pytest.raises(fate):
        flow(firma(), replace(REF, parts=(AUDIT,)), answer)


def test_the_document_without_certificate_pages_comes_from_the_detail_call() -> None:
    only = said({"status": {"finished": True}, "document_only_download_url": "https://x.test/plain"})
    _, saved = flow(firma(document="document_only"), REF, only, SAVED)
    assert isinstance(saved, Save)
    assert "https://x.test/plain" == saved.request.url
    with pytest.raises(Permanent):
        flow(firma(document="document_only"), REF, said({"status": {"sent": True, "declined": True}}))
    with pytest.raises(NotReady):
        flow(firma(document="document_only"), REF, said({"status": {"sent": True}}))


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_an_id_that_climbs_is_asked_of_nobody(document: str) -> None:
    with pytest.raises(Permanent):
        flow(firma(), replace(REF, id=document))


def test_the_list_is_asked_with_every_key_and_stops_at_the_first_older_one() -> None:
    provider = firma(workspace_keys={"ws_1": Secret("its-key")})
    rows = [{"id": "new", "name": "Lease", "finished_on": "1970-01-01T00:01:40Z"}, {"id": "old", "finished_on": 99}]
    page = said({"results": [*rows, {"no": "id"}, 5], "pagination": {"total_pages": 7}})

    asked, told = looked(provider, {"signing-requests": [page, page]})

    assert ["main-key", "its-key"] == [one.auth["Authorization"] for one in asked if "/signing-requests?" in one.url]
    assert [("new", "Lease", {}), ("new", "Lease", {"workspace": "ws_1"})] == [
        (row.ref.id, row.ref.name, dict(row.ref.hints)) for row in told
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"finished_date": "1970-01-01T00:01:40Z", "created_date": "1970-01-01T00:00:00Z"},
        {"date_finished": "1970-01-01T00:01:40Z", "finished_date": None},
        {"timestamps": {"finished_on": "1970-01-01T00:01:40Z"}},
        {"finished_on": 100},
    ],
)
def test_the_time_of_a_row_is_read_under_every_name_that_firma_gave_it(row: dict[str, Any]) -> None:
    rows = said({"results": [{"id": "new", **row}, {"id": "old", "finished_date": "1970-01-01T00:01:39Z"}]})
    _, told = looked(firma(), {"signing-requests": [rows]})
    assert [("new", 100.0, 100.0)] == [(one.ref.id, one.ref.completed, one.completed) for one in told]


def test_a_list_that_got_shorter_between_two_pages_is_read_again() -> None:
    longer, shorter = (page(*ids, total=total) for ids, total in (("ab", 3), ("", 2)))

    asked, told = looked(firma(), {"signing-requests": [longer, shorter, page("b", "c", total=2, pages=1)]})

    assert ["1", "2", "1"] == [one.url.rpartition("&page=")[2] for one in asked if "&page=" in one.url]
    assert ["a", "b", "c"] == [row.ref.id for row in told]


def test_the_webhooks_of_the_company_and_of_each_workspace_are_looked_at() -> None:
    asked, _ = looked(firma(workspace_keys={"ws/1": Secret("its-key")}), {})

    company, workspace = (one for one in asked if "/webhooks?" in one.url)
    assert f"{API}/webhooks?page_size=200" == company.url
    assert f"{company.url}&workspace_id=ws%2F1" == workspace.url
    assert [{"Authorization": "main-key"}, {"Authorization": "its-key"}] == [company.auth, workspace.auth]


OURS = {"url": "https://hooks.example.test/hooks/contracts/t0ken", "enabled": True}
OTHER = {"url": "https://else.example.test/hooks/contracts-2", "enabled": True}
OFF = "Firma has switched off the webhook that calls this source: no callback comes until somebody switches it on there"
FAILING = "Firma failed 7 times in a row to deliver to the webhook that calls this source, and switches it off at 50"
ANY_FAILING = FAILING.replace("the webhook that calls this source", "a webhook (none calls this source by its name)")


@pytest.mark.parametrize(
    ("hooks", "warnings"),
    [
        ([], []),
        ([OURS], []),
        ([{**OURS, "consecutive_failures": 0, "auto_disabled_at": None}], []),
        ([{**OURS, "consecutive_failures": 7}], [FAILING]),
        ([{**OURS, "url": "https://hooks.example.test/hooks/contracts", "consecutive_failures": 7}], [FAILING]),
        ([{**OURS, "url": "https://hooks.example.test/hooks/contracts?token=x", "consecutive_failures": 7}], [FAILING]),
        ([{**OURS, "enabled": False}], [OFF]),
        ([{**OURS, "consecutive_failures": 50, "auto_disabled_at": "2026-11-01T00:00:00Z"}], [OFF]),
        ([{**OURS, "enabled": False}, {**OURS, "enabled": False}], [OFF]),
        ([OURS, {**OTHER, "consecutive_failures": 7}], []),
        ([{**OTHER, "consecutive_failures": 7}], [ANY_FAILING]),
        ([{"url": 5, "consecutive_failures": True, "enabled": "no"}, "text", None], []),
        ({"url": "x"}, []),
    ],
)
def test_a_webhook_in_trouble_is_warned_about(hooks: Any, warnings: list[str]) -> None:
    _, told = looked(firma(), {"webhooks": [said({"results": hooks})]})
    assert [Warn(message=warning) for warning in warnings] == told


@pytest.mark.parametrize(
    "answer", [said({}, 401), said({}, 500), Answer(status=0, body=b"time-out"), Answer(status=200, body=b"<html>")]
)
def test_webhooks_that_cannot_be_asked_for_matter_to_nobody(answer: Answer) -> None:
    _, told = looked(firma(), {"signing-requests": [page("a", total=1, pages=1)], "webhooks": [answer]})
    assert ["a"] == [row.ref.id for row in told]


@pytest.mark.parametrize(("status", "fate"), [(401, Permanent), (429, Retryable), (500, Retryable)])
def test_a_list_that_is_refused_has_the_fate_of_its_status(status: int, fate: type[WebhookError]) -> None:
    with pytest.raises(fate):
        looked(firma(), {"signing-requests": [said({}, status)]})


def test_the_list_is_read_every_half_hour() -> None:
    assert 1800 == firma().polls_every()


def test_a_certificate_that_firma_failed_to_make_is_told_to_a_person_too() -> None:
    failed = detail(certificate={"generated": False, "has_error": True})
    warned, lacking, *_ = flow(firma(), replace(REF, parts=(CERTIFICATE, DOCUMENT)), failed, finished(), SAVED)[1:]
    assert Warn(message="there is no certificate: Firma reports an error while making it") == warned
    assert isinstance(lacking, Lacking)


def test_the_title_is_known_even_where_the_certificate_cannot_be_fetched() -> None:
    answers = (detail(), GONE, said({}, 502), finished(), SAVED)
    *_, saved = flow(firma(), replace(REF, parts=(DOCUMENT, CERTIFICATE)), *answers)
    assert "Lease.pdf" == getattr(saved, "name", None)


def test_a_secret_that_firma_never_makes_is_warned_about() -> None:
    assert [] == firma().warnings()
    [warning] = firma(secrets=(Secret("short"),)).warnings()
    assert "short" not in warning


@pytest.mark.parametrize(
    "wrong", [{"secrets": ()}, {"tolerance": 0}, {"api_key": Secret("a\nb")}, {"workspace_keys": {"w": Secret("a\r")}}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        firma(**wrong)
