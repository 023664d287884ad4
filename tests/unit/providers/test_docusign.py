"""DocuSign's flow of requests answer by answer, its login, its list, and messages of both shapes from the simulator."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Generator
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import Client

from tests.flows import driven, requests
from tests.guard import secret
from webhook_svc.core.errors import (
    Ignored,
    NotGenuine,
    NotReady,
    Permanent,
    Problem,
    RenewToken,
    Retryable,
    Unlikely,
    WebhookError,
)
from webhook_svc.core.outgoing import Answer, Call, Lacking, Listed, Login, Request, Save, Token, Warn
from webhook_svc.core.ports import Step
from webhook_svc.core.settings import Secret, Url, build
from webhook_svc.core.types import CERTIFICATE, DOCUMENT, DocumentRef, Meaning, RawRequest
from webhook_svc.providers.docusign import Docusign, DocusignSettings
from webhook_svc.simulators.docusign import DocusignSimulator, private_key

API, AUTH = "https://na3.docusign.example.test", "https://account.docusign.example.test"
NOW = 1_760_000_000.0
DATE = {"date": formatdate(NOW, usegmt=True)}
BOTH = (DOCUMENT, CERTIFICATE)
REF = DocumentRef(id="env 1/2", name="Named before", hints={"account": "acc-1"})
NOWHERE = replace(REF, hints={})
SAVED = Answer(status=200, sha256="0" * 64, size=9)


def docusign(**changed: Any) -> Docusign:
    settings = DocusignSettings(
        secrets=(Secret(secret("connect-key")),),
        base_uri=Url(API + "/"),
        auth_server=Url(AUTH),
        access_token=Secret("tok-1"),
    )
    return Docusign("contracts", replace(settings, **changed), clock=lambda: NOW)


def said(content: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=json.dumps(content).encode(), headers={**DATE, **named})


def error(code: str, status: int = 400, **headers: str) -> Answer:
    return said({"errorCode": code, "message": "See https://x.test/?a=b"}, status, **headers)


def envelope(status: Any = "completed", title: Any = "Lease") -> Answer:
    return said({"envelopeId": REF.id, "status": status, "emailSubject": title})


def accounts(*found: Any) -> Answer:
    mine = {"account_id": "acc-1", "is_default": True, "base_uri": API}
    return said({"sub": "u-1", "accounts": list(found) or [{"account_id": "acc-0", "is_default": False}, mine]})


def flow(provider: Docusign, ref: DocumentRef, *answers: Answer) -> list[Step]:
    return driven(provider.steps(ref), *answers)[0]


# --- the download -----------------------------------------------------------------------------------------------------


def test_the_envelope_is_asked_for_before_its_document() -> None:
    state, document = requests(flow(docusign(), REF, envelope(), SAVED))
    path = f"{API}/restapi/v2.1/accounts/acc-1/envelopes/env%201%2F2"
    assert [path, f"{path}/documents/combined?certificate=false"] == [state.url, document.url]
    assert [{"Authorization": "Bearer tok-1"}] * 2 == [dict(state.auth), dict(document.auth)]
    assert "application/pdf" == document.headers["Accept"]


def test_the_certificate_comes_behind_the_document() -> None:
    seen = flow(docusign(), replace(REF, parts=BOTH), envelope(), SAVED, SAVED)
    saved = [step for step in seen if isinstance(step, Save)]
    assert [(DOCUMENT, "Lease.pdf", False), (CERTIFICATE, "certificate.pdf", True)] == [
        (one.part, one.name, one.optional) for one in saved
    ]
    assert saved[1].request.url.endswith("/envelopes/env%201%2F2/documents/certificate")


def test_the_certificate_may_stand_at_the_end_of_the_document() -> None:
    _, document = requests(flow(docusign(document="combined_with_certificate"), REF, envelope(), SAVED))
    assert document.url.endswith("/documents/combined?certificate=true")


def test_a_certificate_alone_asks_for_the_envelope_no_more() -> None:
    (certificate,) = flow(docusign(), replace(REF, parts=(CERTIFICATE,)), SAVED)
    assert isinstance(certificate, Save)
    assert certificate.request.url.endswith("/documents/certificate")
    assert not certificate.optional


@pytest.mark.parametrize(("title", "name"), [("", "Named before.pdf"), (5, "Named before.pdf"), ("a.pdf", "a.pdf")])
def test_the_subject_names_the_document(title: Any, name: str) -> None:
    *_, saved = flow(docusign(), REF, envelope(title=title), SAVED)
    assert isinstance(saved, Save)
    assert name == saved.name


@pytest.mark.parametrize("base", ["/", "", "/restapi", "/restapi/"])
def test_the_base_uri_may_be_written_in_several_ways(base: str) -> None:
    state, _ = requests(flow(docusign(base_uri=Url(API + base)), REF, envelope(), SAVED))
    assert state.url.startswith(f"{API}/restapi/v2.1/accounts/")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error("ENVELOPE_DOES_NOT_EXIST", 404), "answered 404: there is no such envelope"),
        (error("X", 401), "answered 401: the token is not accepted"),
        (Answer(status=500), "answered 500: unexpected"),
        (Answer(status=0, body=b"na3: time-out"), "na3: time-out"),
    ],
)
def test_trouble_with_the_certificate_is_reported_after_the_document_came(answer: Answer, reason: str) -> None:
    seen = flow(docusign(), replace(REF, parts=BOTH), envelope(), SAVED, answer)
    assert isinstance(lacking := seen[-1], Lacking)
    assert CERTIFICATE == lacking.part
    assert reason in lacking.reason


def test_a_certificate_that_is_fetched_alone_keeps_its_error() -> None:
    with pytest.raises(Retryable):
        flow(docusign(), replace(REF, parts=(CERTIFICATE,)), Answer(status=500))


# --- the account ------------------------------------------------------------------------------------------------------


def test_without_an_account_the_first_of_ours_is_asked() -> None:
    state, _ = requests(flow(docusign(account_ids=("acc-7", "acc-8")), NOWHERE, envelope(), SAVED))
    assert "/accounts/acc-7/" in state.url


def test_without_any_account_it_is_the_users_default_one() -> None:
    about, state, _ = requests(flow(docusign(), NOWHERE, accounts(), envelope(), SAVED))
    assert (f"{AUTH}/oauth/userinfo", {"Authorization": "Bearer tok-1"}) == (about.url, dict(about.auth))
    assert "/accounts/acc-1/" in state.url


@pytest.mark.parametrize(
    "found",
    [[], [5], [{"account_id": "a"}], [{"is_default": True}], [{"account_id": "a", "is_default": "true"}]],
)
def test_a_user_without_a_default_account_is_told_about(found: list[Any]) -> None:
    with pytest.raises(Permanent, match="name the account in `account_ids`"):
        flow(docusign(), NOWHERE, said({"accounts": found}))


# --- states and errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["declined", "voided", "deleted"])
def test_an_envelope_that_ended_otherwise_asks_for_nothing(status: str) -> None:
    with pytest.raises(Ignored, match=status):
        flow(docusign(), REF, envelope(status))


@pytest.mark.parametrize("status", ["created", "sent", "delivered", "signed", "Completed", "", None, 5, ["completed"]])
def test_an_envelope_is_asked_for_no_more_often_than_allowed(status: Any) -> None:
    with pytest.raises(NotReady, match="the envelope is not finished") as raised:
        flow(docusign(), REF, envelope(status))
    assert raised.value.after is not None
    assert raised.value.after >= 900


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (error("INVALID_REQUEST_PARAMETER"), Permanent),
        (error("ENVELOPE_DOES_NOT_EXIST"), Unlikely),
        (error("ENVELOPE_DOES_NOT_EXIST", 404), Unlikely),
        (error("AUTHORIZATION_INVALID_TOKEN", 401), RenewToken),
        (error("USER_LACKS_PERMISSIONS", 403), Permanent),
        (error("HOURLY_APIINVOCATION_LIMIT_EXCEEDED"), Retryable),
        (error("HOURLY_APIINVOCATION_LIMIT_EXCEEDED", 429), Retryable),
        (error("BURST_APIINVOCATION_LIMIT_EXCEEDED"), Retryable),
        (error("Hourly_Envelope_Polling_Limit_Exceeded"), Retryable),
        (error("API_REQUEST_IS_THROTTLED"), Retryable),
        (Answer(status=429), Retryable),
        (Answer(status=400), Permanent),
        (Answer(status=503), Retryable),
        (Answer(status=302), Permanent),
        (Answer(status=200, body=b"<html>"), Retryable),
        (said([]), Retryable),
    ],
)
def test_each_answer_has_its_fate_before_the_document_and_instead_of_it(
    answer: Answer, fate: type[WebhookError]
) -> None:
    for answers in ([answer], [envelope(), answer]) if not answer.ok else ([answer],):
        with pytest.raises(fate) as raised:
            flow(docusign(), REF, *answers)
        assert fate is type(raised.value)
        assert "://" not in str(raised.value)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"x_ratelimit_reset": str(int(NOW) + 90)}, 90.0),
        ({"x_ratelimit_reset": str(int(NOW) - 90)}, 0.0),
        ({"x_ratelimit_reset": str(int(NOW) + 90), "retry_after": "7"}, 7.0),
        ({"x_ratelimit_reset": str(int(NOW) + 90), "date": "soon"}, None),
        ({"x_ratelimit_reset": "soon"}, None),
        ({"x_burstlimit_remaining": "0"}, None),
    ],
)
@pytest.mark.parametrize("status", [400, 429])
def test_a_limit_is_waited_for_as_long_as_docusign_says(
    status: int, headers: dict[str, str], after: float | None
) -> None:
    with pytest.raises(Retryable) as raised:
        flow(docusign(), REF, error("HOURLY_APIINVOCATION_LIMIT_EXCEEDED", status, **headers))
    assert after == raised.value.after


def test_the_end_of_the_hour_that_comes_with_every_answer_delays_no_other_error() -> None:
    with pytest.raises(Retryable) as raised:
        flow(docusign(), REF, Answer(status=503, headers={**DATE, "x-ratelimit-reset": str(int(NOW) + 90)}))
    assert None is raised.value.after


def test_a_second_refusal_of_the_token_is_permanent() -> None:
    with pytest.raises(RenewToken) as raised:
        flow(docusign(), REF, error("AUTHORIZATION_INVALID_TOKEN", 401))
    assert (Permanent, str(raised.value)) == (type(raised.value.otherwise), str(raised.value.otherwise))


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_an_id_that_climbs_is_asked_of_nobody(document: str) -> None:
    with pytest.raises(Permanent):
        flow(docusign(), replace(REF, id=document))


# --- the token --------------------------------------------------------------------------------------------------------

KEY = {"access_token": None, "integration_key": "app-1", "user_id": "u-1", "private_key": Secret(private_key())}


def logged_in(*answers: Answer, **changed: Any) -> tuple[list[Request], Token]:
    seen, token = driven(docusign(**{**KEY, **changed}).login(), *answers)
    return requests(seen), token


def sent_form(request: Request) -> str:
    assert isinstance(request.body, bytes)
    return request.body.decode("ascii")


def test_the_app_vouches_for_itself_in_the_body_alone() -> None:
    (request,), token = logged_in(said({"access_token": "tok-2", "expires_in": 3600}))
    assert ("POST", f"{AUTH}/oauth/token", {}) == (request.method, request.url, dict(request.auth))
    form = parse_qs(sent_form(request))
    assert ["urn:ietf:params:oauth:grant-type:jwt-bearer"] == form["grant_type"]
    assertion = form["assertion"][0]
    assert assertion not in repr(request)
    claims = json.loads(urlsafe_b64decode(assertion.split(".")[1] + "=="))
    assert {
        "iss": "app-1",
        "sub": "u-1",
        "aud": "account.docusign.example.test",
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
        "scope": "signature impersonation",
    } == claims
    assert Token(text="tok-2", lasts=3540.0) == token


def test_a_token_from_elsewhere_is_taken_as_it_is() -> None:
    assert ([], Token(text="tok-9")) == logged_in(access_token=Secret("tok-9"))


def test_without_consent_a_person_is_told_what_to_do() -> None:
    with pytest.raises(Permanent, match=r"consent_required\. The user has to agree once") as raised:
        logged_in(said({"error": "consent_required"}, 400))
    assert "client_id and a redirect_uri of the app" in str(raised.value)
    assert "app-1" not in str(raised.value)


@pytest.mark.parametrize(
    ("description", "says"),
    [("no_valid_keys_or_signatures", "one of this app's RSA keys"), ("user_not_found", "Are `integration_key`")],
)
def test_a_refused_login_says_what_to_look_at(description: str, says: str) -> None:
    with pytest.raises(Permanent, match=f"invalid_grant {description}. .*{says}"):
        logged_in(said({"error": "invalid_grant", "error_description": description}, 400))


# --- settings ---------------------------------------------------------------------------------------------------------


def problems(**table: Any) -> list[Problem]:
    found: list[Problem] = []
    build(DocusignSettings, {"secrets": ["k"], "base_uri": API, **table}, "here", found)
    return found


def test_a_login_or_a_token_has_to_be_configured() -> None:
    whole = {"integration_key": "app-1", "user_id": "u-1", "private_key": private_key()}
    assert ([], []) == (problems(**whole), problems(access_token="t"))
    for name in whole:
        (problem,) = problems(**{key: value for key, value in whole.items() if key != name})
        assert "or an `access_token` in their place" in problem.expected


@pytest.mark.parametrize("changed", [{"access_token": "a\nb"}, {"access_token": "t", "account_ids": [".."]}])
def test_what_cannot_be_sent_is_not_configured(changed: dict[str, Any]) -> None:
    assert 1 == len(problems(**changed))


def test_a_private_key_that_is_none_stops_the_start() -> None:
    with pytest.raises(ValueError, match="an RSA private key"):
        docusign(**{**KEY, "private_key": Secret(secret("no key"))})


def test_tokens_go_to_the_two_configured_hosts_alone() -> None:
    assert {f"{API}:443", f"{AUTH}:443"} == docusign().hosts()


@pytest.mark.parametrize(
    ("base", "auth", "warned"),
    [
        ("https://na3.docusign.net", "https://account.docusign.com", False),
        ("https://demo.docusign.net", "https://account-d.docusign.com", False),
        ("https://demo.docusign.net", "https://account.docusign.com", True),
        ("https://eu.docusign.net", "https://account-d.docusign.com", True),
        ("https://proxy.acme.example", "https://account-d.docusign.com", False),
    ],
)
def test_a_developer_account_and_production_are_not_mixed_up(base: str, auth: str, warned: bool) -> None:
    assert warned == bool(docusign(base_uri=Url(base), auth_server=Url(auth)).warnings())


# --- the list ---------------------------------------------------------------------------------------------------------


def page(*found: Any, total: Any = "2") -> Answer:
    return said({"resultSetSize": str(len(found)), "totalSetSize": total, "envelopes": list(found)})


def row(number: Any = 1, **changed: Any) -> dict[str, Any]:
    ended = "2025-10-09T08:53:20.0000000Z"
    named = {"envelopeId": f"env-{number}", "status": "completed", "emailSubject": "Lease"}
    return {**named, "completedDateTime": ended, **changed}


def listed(*answers: Answer, since: float = NOW - 60, **changed: Any) -> list[Step]:
    return driven(docusign(**changed).completed_since(since), *answers)[0]


def test_the_list_is_asked_for_by_the_time_of_completion() -> None:
    _, asked = requests(listed(accounts(), page(row())))
    assert f"{API}/restapi/v2.1/accounts/acc-1/envelopes" == asked.url.partition("?")[0]
    assert {
        "from_date": ["2025-10-09T08:52:20Z"],
        "from_to_status": ["completed"],
        "status": ["completed"],
        "order_by": ["completed"],
        "order": ["desc"],
        "count": ["100"],
        "start_position": ["0"],
    } == parse_qs(urlsplit(asked.url).query)


def test_a_row_tells_envelope_account_and_title() -> None:
    *_, found = listed(accounts(), page(row()))
    ref = DocumentRef(id="env-1", name="Lease", completed=NOW, hints={"account": "acc-1"})
    assert Listed(ref=ref, completed=NOW) == found


def test_every_configured_account_is_listed_and_no_other() -> None:
    seen = listed(accounts(), page(row(1)), page(row(2)), account_ids=("acc-7", "acc-8"))
    assert ["acc-7", "acc-8"] == [step.ref.hints["account"] for step in seen if isinstance(step, Listed)]


def test_further_pages_begin_where_the_last_one_ended() -> None:
    pages = [page(*map(row, range(number, number + 100)), total="250") for number in (0, 100, 200)]
    seen = listed(accounts(), *pages)
    starts = [parse_qs(urlsplit(one.url).query)["start_position"] for one in requests(seen)[1:]]
    assert [["0"], ["100"], ["200"]] == starts


@pytest.mark.parametrize("total", [None, 2, "two", "\u0662", [], "9" * 30])
def test_a_list_that_is_not_counted_ends_at_an_empty_page(total: Any) -> None:
    pages = [page(row(1), total=total), page(row(2, status="voided"), total=total), page(row(3), total=total)]
    seen = listed(accounts(), *pages, page(total=total))
    assert ["env-1", "env-3"] == [step.ref.id for step in seen if isinstance(step, Listed)]


def test_rows_that_are_not_completed_or_name_no_envelope_are_left_out() -> None:
    rows = [row(1, status="voided"), row(2, envelopeId=None), row(3, envelopeId=5), "row", row(4)]
    seen = listed(accounts(), page(*rows))
    assert ["env-4"] == [step.ref.id for step in seen if isinstance(step, Listed)]


@pytest.mark.parametrize("body", [{}, {"envelopes": None}, {"envelopes": {}}, {"envelopes": [[]]}])
def test_a_list_of_another_shape_is_an_empty_one(body: Any) -> None:
    assert [] == [step for step in listed(accounts(), said({**body, "totalSetSize": "0"})) if isinstance(step, Listed)]


@pytest.mark.parametrize(
    ("base", "warned"),
    [
        (API, False),
        (API + "/", False),
        (API.upper().replace("HTTPS", "https"), False),
        ("", False),
        (5, False),
        ("https://na4.docusign.example.test", True),
        ("http://[", True),
    ],
)
def test_an_account_that_moved_is_reported(base: Any, warned: bool) -> None:
    moved = accounts({"account_id": "acc-1", "is_default": True, "base_uri": base})
    warnings = [step.message for step in listed(moved, page(row())) if isinstance(step, Warn)]
    assert [warned] == [bool(warnings)]
    assert all("is `base_uri` right" in one and "://" not in one for one in warnings)


# --- against the simulator --------------------------------------------------------------------------------------------


class World:
    """An account, and the provider that its `source` table configures."""

    def __init__(self, **given: Any) -> None:
        self.simulator = DocusignSimulator(clock=lambda: NOW, **given)
        table = self.simulator.source("http://docusign.example.test")
        self.table = {key: value for key, value in table.items() if key != "provider"}
        self.client = Client(self.simulator.wsgi())

    def provider(self, **changed: Any) -> Docusign:
        found: list[Problem] = []
        settings = build(DocusignSettings, {**self.table, **changed}, "here", found)
        assert [] == found
        return Docusign("contracts", settings, clock=lambda: NOW)

    def run(self, steps: Generator[Step, Answer, Any], token: str = "") -> tuple[dict[str, bytes], Any]:
        """The parts that were saved, and what the flow returns."""
        saved: dict[str, bytes] = {}
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return saved, end.value
            answer = self._answer(step, token)
            if isinstance(step, Save) and answer.ok:
                saved[step.part] = answer.body

    def _answer(self, step: Step, token: str) -> Answer:
        if isinstance(step, Login):
            return Answer(status=200, body=token.encode())
        if not isinstance(step, Call | Save):
            return Answer(status=0)
        asked, base = step.request, "http://docusign.example.test"
        headers, body = {**asked.headers, **asked.auth}, asked.body
        assert body is None or isinstance(body, bytes)
        path = asked.url.removeprefix(base)
        with self.client.open(path, base_url=base, method=asked.method, headers=headers, data=body) as got:
            return Answer(status=got.status_code, headers={k.lower(): v for k, v in got.headers}, body=got.data)

    def token(self, **changed: Any) -> str:
        return str(self.run(self.provider(**changed).login())[1].text)


@pytest.mark.parametrize("shape", ["json", "xml"])
@pytest.mark.parametrize("keys", [1, 2, 100])
def test_messages_of_both_shapes_lead_to_the_document_however_many_keys_sign(shape: str, keys: int) -> None:
    world = World(shape=shape, keys=keys)
    first, last = world.simulator.finish("d-1", title="Léase & <more>")
    provider = world.provider()
    for message in (first, last):
        provider.scheme().verify(message, NOW)
    (other,), (ready,) = provider.parse(first), provider.parse(last)
    assert (Meaning.OTHER, Meaning.READY, NOW) == (other.meaning, ready.meaning, ready.documents[0].completed)
    saved, _ = world.run(provider.steps(replace(ready.documents[0], parts=BOTH)), world.token())
    assert {part: world.simulator.document_bytes("d-1", part) for part in BOTH} == saved


def test_more_keys_than_there_may_be_are_refused() -> None:
    world = World(keys=101)
    with pytest.raises(NotGenuine, match="more than 100"):
        world.provider().scheme().verify(world.simulator.finish("d-1")[-1], NOW)


def test_the_title_in_xml_is_the_signings() -> None:
    message = World(shape="xml").simulator.finish("d-1", title="Léase & <more>")[-1]
    (event,) = docusign().parse(message)
    assert "Léase & <more>" == event.documents[0].name


def test_a_message_that_is_sent_again_keeps_its_id() -> None:
    world = World()
    world.simulator.misbehave("duplicate")
    first, again, _ = world.simulator.finish("d-1")
    assert first.body != again.body
    assert world.provider().delivery_id(first) == world.provider().delivery_id(again)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"integration_key": "another"}, "issuer_not_found"),
        ({"user_id": "another"}, "user_not_found"),
        ({"auth_server": "http://elsewhere.test"}, "invalid_audience_or_scope"),
    ],
)
def test_the_simulator_looks_at_the_claims(changed: dict[str, Any], says: str) -> None:
    world = World()
    steps = world.provider(**changed).login()
    asked = next(steps)
    assert isinstance(asked, Call)
    request = replace(asked.request, url="http://docusign.example.test/oauth/token")
    answer = world._answer(Call(request=request), "")
    with pytest.raises(Permanent, match=f"invalid_grant {says}"):
        steps.send(answer)


@pytest.mark.parametrize("assertion", ["", "a.b", "a.b.c", "..", "é.é.é", "e30.e30."])
def test_the_simulator_takes_no_assertion_that_its_app_did_not_sign(assertion: str) -> None:
    world = World()
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    with world.client.post("/oauth/token", data=form) as refused:
        assert (400, "no_valid_keys_or_signatures") == (
            refused.status_code,
            json.loads(refused.data)["error_description"],
        )


def test_the_simulated_user_may_not_have_agreed() -> None:
    world = World()
    world.simulator.consented = False
    with pytest.raises(Permanent, match="consent_required"):
        world.token()


def test_the_account_of_a_stranger_is_told_apart() -> None:
    message = World().simulator.finish("d-1")[-1]
    with pytest.raises(Permanent, match="not among `account_ids`"):
        docusign(account_ids=("acc-1",)).parse(message)


@pytest.mark.parametrize("account", ["..", ".", {}, True])
def test_an_account_that_cannot_stand_in_an_address_is_not_understood(account: Any) -> None:
    message = {"event": "envelope-completed", "data": {"envelopeId": "d-1", "accountId": account}}
    with pytest.raises(Permanent):
        docusign().parse(RawRequest(body=json.dumps(message).encode()))


@pytest.mark.parametrize("body", [b"", b"<", b"\x00<\x00", b"<a" * 1000, b"\xff\xfe<\x00", b'<?xml version="1.0"?>'])
def test_xml_that_is_none_is_at_most_not_understood(body: bytes) -> None:
    request = RawRequest(body=body)
    assert "" == docusign().delivery_id(request)
    with pytest.raises(ValueError, match=r"not XML|not JSON"):
        docusign().parse(request)
