"""eSignon's callbacks, its flow of requests answer by answer, and the whole of it against the simulator."""

import json
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import Client

from tests.flows import driven
from tests.flows import requests as asked
from webhook_svc.core.errors import Ignored, NotReady, Permanent, RenewToken, Retryable, Unlikely, WebhookError
from webhook_svc.core.outgoing import Answer, Call, Lacking, Listed, Login, Request, Save, Token
from webhook_svc.core.ports import Step
from webhook_svc.core.settings import Secret, Url, build
from webhook_svc.core.types import CERTIFICATE, DOCUMENT, DocumentRef, Meaning, RawRequest
from webhook_svc.providers.esignon import Esignon, EsignonSettings
from webhook_svc.simulators.esignon import EsignonSimulator

API = "https://api.example.test"
SECRET = "Bearer the-echoed-secret"
NOW = 1_759_501_800.0
DATE = {"date": "Fri, 03 Oct 2025 14:30:00 GMT"}
REF = DocumentRef(id="wf 1/2", hints={"status": "Complete"})
UNSTATED = DocumentRef(id="wf 1/2")
SAVED = Answer(status=200, sha256="0" * 64, size=9)
GONE = Answer(status=403)
BOTH = (DOCUMENT, CERTIFICATE)


def esignon(**changed: Any) -> Esignon:
    settings = EsignonSettings(
        secrets=(Secret(SECRET),),
        company_id="acme",
        email="contracts@acme.example",
        password=Secret("pa55"),
        api_base=Url(API + "/"),
    )
    return Esignon("korea", replace(settings, **changed))


def said(body: Any = None, code: Any = "00", status: int = 200, **headers: str) -> Answer:
    header = {"response_code": "", "result_code": code, "result_msg": "실패\n" + "x" * 500, "session_id": ""}
    content = {"header": header, "body": {} if body is None else body}
    return Answer(status=status, body=json.dumps(content).encode(), headers={**DATE, **headers})


def info(status: Any = "Complete", **changed: Any) -> Answer:
    links = {"download_url": "https://files.test/long", "certificate_url": "https://files.test/long-cert"}
    return said({"workflow_status": status, "workflow_name": "계약서", **links, **changed})


def links(number: int = 1, **changed: Any) -> Answer:
    made = {"doc_url": f"https://files.test/doc{number}", "cert_url": f"https://files.test/cert{number}"}
    return said({**made, "workflow_name": "계약서", **changed})


def flow(provider: Esignon, ref: DocumentRef, *answers: Answer) -> list[Step]:
    return driven(provider.steps(ref), *answers)[0]


# --- the download -----------------------------------------------------------------------------------------------------


def test_the_state_is_asked_for_then_a_link_is_made_and_opened_at_once_without_the_token() -> None:
    state, link, document = asked(flow(esignon(), REF, info(), links(), SAVED))
    assert f"{API}/api/v2/workflows/wf%201%2F2?offset=%2B09%3A00" == state.url
    assert ("POST", f"{API}/workflow/download", {"workflow_id": "wf 1/2"}) == (link.method, link.url, link.json)
    assert [{"Authorization": "esignon tok-1"}] * 2 == [dict(state.auth), dict(link.auth)]
    assert ("https://files.test/doc1", {}) == (document.url, dict(document.auth))


def test_a_client_id_is_sent_where_there_is_one() -> None:
    link = asked(flow(esignon(client_id="c-1"), REF, info(), links(), SAVED))[1]
    assert {"client_id": "c-1", "workflow_id": "wf 1/2"} == link.json


def test_a_korean_title_names_the_document() -> None:
    saved = flow(esignon(), replace(REF, parts=BOTH), info(), links(), SAVED, SAVED)[2:]
    assert [(DOCUMENT, "계약서.pdf"), (CERTIFICATE, "certificate.pdf")] == [
        (one.part, one.name) for one in saved if isinstance(one, Save)
    ]


def test_the_title_of_the_list_serves_where_the_api_names_none() -> None:
    *_, saved = flow(esignon(), replace(REF, name="임대차"), info(), links(workflow_name=5), SAVED)
    assert "임대차.pdf" == getattr(saved, "name", None)


def test_the_links_of_the_details_need_no_call_of_their_own() -> None:
    _, document, certificate = asked(flow(esignon(download="info"), replace(REF, parts=BOTH), info(), SAVED, SAVED))
    assert ["https://files.test/long", "https://files.test/long-cert"] == [document.url, certificate.url]


def test_without_confirmation_a_callback_that_said_complete_is_believed() -> None:
    first, *_ = asked(flow(esignon(confirm=False), REF, links(), SAVED))
    assert f"{API}/workflow/download" == first.url


def test_a_callback_that_said_nothing_is_confirmed_whatever_the_setting() -> None:
    first, *_ = asked(flow(esignon(confirm=False), UNSTATED, info(), links(), SAVED))
    assert "/api/v2/workflows/" in first.url


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_link_that_no_longer_opens_is_made_anew_once(status: int) -> None:
    *_, saved = asked(flow(esignon(), REF, info(), links(), Answer(status=status), links(2), SAVED))
    assert "https://files.test/doc2" == saved.url
    with pytest.raises(Retryable, match="link answered 403"):
        flow(esignon(), REF, info(), links(), GONE, links(2), GONE)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([], "eSignon gives no link to the certificate yet"),
        ([GONE, links(2), GONE], "its link answered 403"),
        ([Answer(status=500)], "its link answered 500"),
        ([GONE, links(2, cert_url=None)], "eSignon gives no link to the certificate yet"),
        ([GONE, Answer(status=502)], "eSignon answered 502: unexpected"),
        ([GONE, Answer(status=401), Answer(status=401)], "the token is refused"),
        ([GONE, Answer(status=0, body=b"api.example.test: time-out")], "api.example.test: time-out"),
    ],
)
def test_trouble_with_the_certificate_is_reported_after_the_document_came(answers: list[Answer], reason: str) -> None:
    first = links() if answers else links(cert_url="")
    seen = flow(esignon(), replace(REF, parts=BOTH), info(), first, SAVED, *answers)
    assert [Lacking(part=CERTIFICATE, reason=reason)] == [step for step in seen if isinstance(step, Lacking)]
    assert {DOCUMENT} == {step.part for step in seen if isinstance(step, Save) and not step.optional}


def test_beside_the_document_everything_for_the_certificate_is_optional() -> None:
    seen = flow(esignon(), replace(REF, parts=BOTH), info(), links(), SAVED, GONE, links(2), SAVED)
    assert [False, False, False, True, True, True] == [one.optional for one in seen if isinstance(one, Call | Save)]


def test_a_certificate_that_is_fetched_alone_keeps_its_error() -> None:
    with pytest.raises(NotReady):
        flow(esignon(), replace(REF, parts=(CERTIFICATE,)), info(), links(cert_url=""))


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Canceled", "Disposal", "Truncate"])
def test_a_workflow_that_ended_otherwise_asks_for_nothing(status: str) -> None:
    with pytest.raises(Ignored):
        flow(esignon(), REF, info(status))


@pytest.mark.parametrize("status", ["Playing", "complete", "", None, ["Complete"]])
def test_a_workflow_whose_callback_said_complete_is_waited_for(status: Any) -> None:
    with pytest.raises(NotReady):
        flow(esignon(), replace(REF, hints={"status": "Complete", "at": "2020-01-31 04:23:28.0"}), info(status))


@pytest.mark.parametrize(
    ("hints", "details", "fate"),
    [
        ({"at": "2025-10-03 14:20:01.0"}, {}, NotReady),
        ({"at": "2025-10-03 14:19:59.0"}, {}, Ignored),
        ({}, {"last_modify_date": "2025-10-03 23:20:01"}, NotReady),
        ({}, {"last_modify_date": "2025-10-03 23:19:59"}, Ignored),
        ({"at": "soon"}, {"last_modify_date": "2025-10-02"}, Ignored),
        ({}, {"last_modify_date": ["2025"]}, NotReady),
        ({}, {}, NotReady),
    ],
)
def test_a_step_is_waited_for_some_minutes_and_no_longer(
    hints: Mapping[str, str], details: dict[str, Any], fate: type[WebhookError]
) -> None:
    with pytest.raises(fate):
        flow(esignon(), replace(UNSTATED, hints=hints), info("Playing", **details))


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "fate", "otherwise"),
    [
        (said(code="10"), Unlikely, None),
        (said(code=10), Unlikely, None),
        (said(code="94"), RenewToken, Permanent),
        (said(code="47"), RenewToken, Permanent),
        (said(code="99"), Retryable, None),
        (said(code=None), Retryable, None),
        (said(code=["00"]), Retryable, None),
        (said("text"), Retryable, None),
        (said(status=400), Retryable, None),
        (said(status=401), RenewToken, Permanent),
        (said(status=403), RenewToken, Permanent),
        (said(status=404), Unlikely, None),
        (said(status=500), Retryable, None),
        (Answer(status=200, body=b"<html>"), Retryable, None),
        (Answer(status=200, body=b"[]"), Retryable, None),
        (Answer(status=200, body=b"{}"), Retryable, None),
    ],
)
def test_each_answer_about_the_state_has_its_fate(
    answer: Answer, fate: type[WebhookError], otherwise: type[WebhookError] | None
) -> None:
    with pytest.raises(fate) as raised:
        flow(esignon(), REF, *[answer] * (2 if otherwise else 1))
    assert fate is type(raised.value)
    assert otherwise is (type(raised.value.otherwise) if isinstance(raised.value, RenewToken) else None)


@pytest.mark.parametrize("code", ["10", "11", "12", "94", "-1"])
def test_a_code_of_the_download_gets_a_new_token_before_it_is_permanent(code: str) -> None:
    with pytest.raises(RenewToken) as raised:
        flow(esignon(), REF, info(), said(code=code), said(code=code))
    assert isinstance(raised.value.otherwise, Permanent)


def test_a_message_quotes_what_esignon_says_in_one_line_and_not_all_of_it() -> None:
    with pytest.raises(Unlikely) as raised:
        flow(esignon(), REF, said(code="10"))
    assert "finds no workflow of that id for this user (실패 xxx" in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("refusal", [said(code="94"), said(code="47"), said(status=401), said(status=403)])
def test_a_token_that_is_refused_in_one_header_is_sent_in_both(refusal: Answer) -> None:
    first, second, *_ = asked(flow(esignon(), REF, refusal, info(), links(), SAVED))
    token = "esignon tok-1"
    assert [{"Authorization": token}, {"Authorization": token, "Authentication": token}] == [first.auth, second.auth]


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_an_id_that_climbs_is_asked_of_nobody(document: str) -> None:
    with pytest.raises(Permanent):
        flow(esignon(), replace(REF, id=document))


# --- the token --------------------------------------------------------------------------------------------------------


def logged_in(*answers: Answer, **changed: Any) -> tuple[Request, Token]:
    seen, brought = driven(esignon(**changed).login(), *answers)
    return asked(seen)[0], brought


def test_the_login_sends_the_credentials_in_its_body_alone() -> None:
    request, token = logged_in(said({"access_token": "tok-1"}), company_id="ac/me")
    assert ("POST", f"{API}/api/ac%2Fme/login", {}) == (request.method, request.url, dict(request.auth))
    assert {"memb_email": "contracts@acme.example", "memb_pwd": "pa55"} == request.json["body"]
    assert "1001Q" == request.json["header"]["request_code"]
    assert "pa55" not in repr(request)
    assert "tok-1" == token.text


@pytest.mark.parametrize(
    ("expires", "lasts"),
    [
        (None, 43_200.0),
        ("some day", 43_200.0),
        ("2025-11-02 23:30:00", 43_200.0),
        ("2025-10-04 00:30:00", 3_600.0),
        ("2025-10-03T15:30:00Z", 3_600.0),
        (1_759_505_400_000, 3_600.0),
        ("1759505400000", 3_600.0),
        ("2025-10-03 20:00:00", 60.0),
    ],
)
def test_a_token_is_kept_for_half_a_day_and_not_beyond_its_end(expires: Any, lasts: float) -> None:
    _, token = logged_in(said({"access_token": "tok-1", "expire_date": expires}))
    assert lasts == token.lasts


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (said(code="10"), Permanent),
        (said(code="12"), Permanent),
        (said(code="95"), Permanent),
        (said(code="99"), Retryable),
        (said(code="94"), Retryable),
        (said(code="77"), Retryable),
        (said(status=400), Retryable),
        (said(status=401), Permanent),
        (said(status=403), Permanent),
        (said(status=503), Retryable),
        (said({"access_token": ""}), Retryable),
        (said({"access_token": 5}), Retryable),
        (said({"access_token": "a\r\nX: y"}), Retryable),
        (Answer(status=200, body=b"<html>"), Retryable),
    ],
)
def test_each_answer_of_the_login_has_its_fate(answer: Answer, fate: type[WebhookError]) -> None:
    with pytest.raises(fate) as raised:
        logged_in(answer)
    assert fate is type(raised.value)
    assert "pa55" not in str(raised.value)


# --- the list ---------------------------------------------------------------------------------------------------------


def row(document: Any = "w-1", ended: Any = "2025-10-03 23:00:00.0", **changed: Any) -> dict[str, Any]:
    return {"wfuid": document, "wf_title": "계약서", "wf_status": "Complete", "end_date": ended, **changed}


def listed(since: float, *answers: Answer, **changed: Any) -> tuple[list[dict[str, Any]], list[Listed]]:
    """The bodies that were asked with, and what was listed."""
    seen, _ = driven(esignon(templates=("t-1",), **changed).completed_since(since), *answers)
    return [one.json["body"] for one in asked(seen)], [step for step in seen if isinstance(step, Listed)]


EMPTY = said({"wf_list": []})


def test_the_list_is_asked_day_by_day_from_the_day_before_to_the_servers_tomorrow() -> None:
    bodies, _ = listed(NOW - 3600, EMPTY, EMPTY, EMPTY)
    days = [("2025-10-02", "2025-10-03"), ("2025-10-03", "2025-10-04"), ("2025-10-04", "2025-10-05")]
    assert days == [(body["start_date"], body["end_date"]) for body in bodies]
    assert {("END", "acme", "t-1")} == {(b["search_date_type"], b["comp_id"], b["doc_uid"]) for b in bodies}
    assert [{"doc_uid": "t-1"}] == bodies[0]["field_list"]


def test_a_list_that_is_asked_for_from_the_beginning_of_time_begins_there() -> None:
    bodies, _ = listed(0.0, replace(EMPTY, headers={"date": "Thu, 01 Jan 1970 00:00:00 GMT"}))
    assert [("1970-01-01", "1970-01-02")] == [(body["start_date"], body["end_date"]) for body in bodies]


@pytest.mark.parametrize("date", [{}, {"date": "soon"}, {"date": "Fri, 03 Oct 99999999999 14:30:00 GMT"}])
def test_a_server_that_tells_no_time_leaves_the_mark_where_it_is(date: dict[str, str]) -> None:
    with pytest.raises(Retryable, match="Date"):
        listed(NOW, replace(EMPTY, headers=date))


def test_every_template_has_a_list() -> None:
    seen, _ = driven(esignon(templates=("t-1", "t-2")).completed_since(NOW + 3600), EMPTY, EMPTY, EMPTY, EMPTY)
    assert ["t-1", "t-1", "t-2", "t-2"] == [one.json["body"]["doc_uid"] for one in asked(seen)]


def test_without_templates_there_is_no_list_and_check_says_so() -> None:
    assert (900.0, None) == (esignon(templates=("t-1",)).polls_every(), esignon().polls_every())
    assert [False, True] == ["`templates`" in "".join(esignon(templates=t).warnings()) for t in (("t-1",), ())]
    with pytest.raises(Permanent, match="`templates`"):
        driven(esignon().completed_since(NOW))


def test_what_the_list_holds_is_listed_from_the_given_time_on() -> None:
    rows = [
        row("new"),
        row("old", "2025-10-02 22:29:59.0"),
        row(12584),
        row("whole day", "2025-10-03"),
        row("no time", None),
        row("no state", wf_status=None),
        row("playing", wf_status="Playing"),
        row(None),
        row(["x"]),
        "row",
    ]
    _, found = listed(NOW - 3600, said({"wf_list": rows}), said({"wf_list": None}), said({"wf_list": {}}))
    assert ["new", "12584", "whole day", "no time", "no state"] == [one.ref.id for one in found]
    assert (NOW - 1800, "계약서", {"status": "Complete"}) == (found[0].completed, found[0].ref.name, found[0].ref.hints)
    assert [1_759_417_200.0, None] == [found[2].completed, found[3].completed]
    assert {} == found[4].ref.hints


def test_a_list_in_another_zone_than_the_settings_say_loses_nothing() -> None:
    """Finished at 14:20 UTC and written so; read as Seoul's, it lies nine hours earlier."""
    _, found = listed(NOW - 3600, said({"wf_list": [row("new", "2025-10-03 14:20:00.0")]}), EMPTY, EMPTY)
    assert ["new"] == [one.ref.id for one in found]


@pytest.mark.parametrize("code", ["17", "18"])
def test_a_list_that_wants_templates_says_so(code: str) -> None:
    with pytest.raises(Permanent, match="`client_id` and `templates`"):
        listed(NOW, said(code=code))


# --- callbacks and settings -------------------------------------------------------------------------------------------


def test_a_callback_is_answered_with_an_empty_object() -> None:
    reply = esignon().acknowledge(RawRequest())
    assert (200, b"{}", "application/json") == (reply.status, reply.body, reply.content_type)


def said_by(**body: Any) -> tuple[str, Meaning, list[Mapping[str, str]]]:
    known = {"worktype": "CF", "wfuid": "1", "workdatetime": "2020-01-31 04:23:28.0"}
    [event] = esignon().parse(RawRequest(body=json.dumps({"header": {}, "body": {**known, **body}}).encode()))
    return event.type, event.meaning, [ref.hints for ref in event.documents]


@pytest.mark.parametrize("status", ["single", "complete", "", "{}"])
def test_a_customers_own_parameter_called_status_hides_no_completion(status: str) -> None:
    assert ("CF", Meaning.READY, [{"at": "2020-01-31 04:23:28.0"}]) == said_by(status=status)
    assert ("export", Meaning.READY) == said_by(status=status, worktype="")[:2]
    assert ("RT", Meaning.TERMINAL) == said_by(status=status, worktype="RT")[:2]


def test_a_type_of_work_that_nobody_documents_is_recorded_and_asks_for_nothing() -> None:
    assert ("XX", Meaning.OTHER, []) == said_by(worktype="XX")


def test_without_a_secret_an_unguessable_url_is_demanded() -> None:
    assert not esignon().needs_url_token()
    open_to_all = esignon(secrets=())
    assert open_to_all.needs_url_token()
    assert not open_to_all.scheme().signs


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": "+0900"},
        {"offset": "+25:00"},
        {"company_id": ""},
        {"company_id": ".."},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        esignon(**wrong)


def test_a_short_secret_is_warned_about() -> None:
    assert [] == esignon(templates=("t-1",)).warnings()
    [warning] = esignon(templates=("t-1",), secrets=(Secret("short"),)).warnings()
    assert "'short'" not in warning


# --- against the simulator, in its other shapes -----------------------------------------------------------------------


class Simulated:
    """A simulator, the provider of its source, and what was saved."""

    def __init__(self, **given: Any) -> None:
        self.simulator = EsignonSimulator(clock=lambda: NOW, **given)
        table = self.simulator.source(API)
        assert "esignon" == table.pop("provider")
        self.provider = Esignon("korea", build(EsignonSettings, table, "sources.korea", []))
        self.client = Client(self.simulator.wsgi())
        self.saved: dict[str, bytes] = {}

    def run(self, steps: Generator[Step, Answer, Any]) -> Any:
        answer: Any = None
        while True:
            try:
                answer = self.answer(steps.send(answer))
            except StopIteration as end:
                return end.value

    def answer(self, step: Step) -> Answer:
        if isinstance(step, Login):
            return Answer(status=200, body=self.run(self.provider.login()).text.encode())
        if not isinstance(step, Call | Save):
            return Answer(status=0)
        path, headers = step.request.url.removeprefix(API), {**step.request.headers, **step.request.auth}
        with self.client.open(
            path, base_url=API, method=step.request.method, headers=headers, json=step.request.json
        ) as response:
            answer = Answer(status=response.status_code, headers=DATE, body=response.data)
        if isinstance(step, Save):
            self.saved[step.part] = answer.body
        return answer

    def finish(self, document: str) -> list[tuple[str, Meaning, list[str]]]:
        """Its callbacks as they are understood; all are genuine, and the documents that they name are fetched."""
        callbacks = self.simulator.finish(document)
        for callback in callbacks:
            self.provider.scheme().verify(callback, NOW)
        events = [event for callback in callbacks for event in self.provider.parse(callback)]
        for ref in (ref for event in events for ref in event.documents):
            self.run(self.provider.steps(replace(ref, parts=BOTH)))
        return [(event.type, event.meaning, [ref.id for ref in event.documents]) for event in events]


@pytest.mark.parametrize(
    ("shape", "step", "end"),
    [
        ("legacy", ("Playing", Meaning.OTHER, []), ("Complete", Meaning.READY, ["12584"])),
        ("embed", ("Playing", Meaning.OTHER, []), ("Complete", Meaning.READY, ["12584"])),
        ("unstated", ("CF", Meaning.READY, ["12584"]), ("CF", Meaning.READY, ["12584"])),
        ("v3", ("v3", Meaning.READY, ["12584"]), ("v3", Meaning.READY, ["12584"])),
    ],
)
@pytest.mark.parametrize("download", ["links", "info"])
def test_callbacks_of_every_shape_lead_to_document_and_certificate(
    shape: Any, step: tuple[str, Meaning, list[str]], end: tuple[str, Meaning, list[str]], download: Any
) -> None:
    here = Simulated(shape=shape, download=download)
    assert [step, end] == here.finish("12584")
    assert {part: here.simulator.document_bytes("12584", part) for part in BOTH} == here.saved


def test_the_simulated_login_refuses_a_wrong_password() -> None:
    here = Simulated()
    here.provider.settings = replace(here.provider.settings, password=Secret("wrong"))
    with pytest.raises(Permanent, match="`email` or `password`"):
        here.run(here.provider.login())


def test_the_simulated_list_knows_its_template_alone() -> None:
    here = Simulated()
    here.provider.settings = replace(here.provider.settings, templates=("another",))
    with pytest.raises(Permanent, match="`templates`"):
        here.run(here.provider.completed_since(NOW))
