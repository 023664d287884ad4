"""Download steps that walk lists, log in, hide credentials, and forgive what only a certificate needs."""

import base64
import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Ignored, NotReady, Permanent, Problem, RenewToken, Retryable, WebhookError
from webhook_svc.core.outgoing import Answer, Call, Lacking, Login, Request, Save
from webhook_svc.core.ports import Step
from webhook_svc.core.settings import Expanded, build
from webhook_svc.core.types import DocumentRef
from webhook_svc.profiles.description import LoginCall
from webhook_svc.profiles.flows import log_in
from webhook_svc.providers.generic import Generic, GenericSettings

BASE = "https://api.example.test/v1"
KEY = secret("key")
TABLE: Mapping[str, Any] = {
    "secrets": [secret("in-house")],
    "values": {"api_base": BASE, "api_key": KEY},
    "verify": {"alg": "hmac-sha256", "message": "{body}", "signature": "header:X-Signature"},
    "event": {"type": "/type", "ready": ["done"], "document": "/id"},
}
FILE = {"get": "{api_base}/files/{file}", "save": "document"}
FILES = {"get": "{api_base}/c/{document}", "each": "/files", "take": {"file": "/id"}}
STATE = {"get": "{api_base}/c/{document}", "expect": {"/state": ["done", "sealed"]}, "ended": {"/state": "declined"}}
PLAIN = {"get": "{api_base}/c/{document}/pdf", "save": "document"}
CERTIFICATE = {"get": "{link}", "save": "certificate", "optional": True}
CERTIFICATE_LINK = {"get": "{api_base}/c/{document}/proof", "take": {"link": "/url"}}
SAVED = Answer(status=200, sha256="0" * 64, size=9)


def generic(*download: Mapping[str, Any], **changed: Any) -> Generic:
    problems: list[Problem] = []
    settings = build(GenericSettings, {**TABLE, "download": list(download), **changed}, "sources.x", problems)
    assert [] == problems
    return Generic("x", settings, "https://hooks.example.test")


def problem_of(*download: Mapping[str, Any], **changed: Any) -> str:
    problems: list[Problem] = []
    build(GenericSettings, {**TABLE, "download": list(download), **changed}, "sources.x", problems)
    [problem] = problems
    return problem.expected


def said(text: str, status: int = 200, **headers: str) -> Answer:
    return Answer(status=status, headers=headers, body=text.encode())


def flow(provider: Generic, answers: Iterable[Answer], *parts: str) -> list[Step]:
    steps, left, seen = provider.steps(DocumentRef(id="1", parts=parts or ("document",))), list(answers), []
    try:
        step = next(steps)
        while True:
            seen.append(step)
            asks = isinstance(step, Call | Save)
            step = steps.send(left.pop(0) if asks else said("token-1") if isinstance(step, Login) else Answer(status=0))
    except StopIteration:
        assert [] == left
        return seen


def requests(seen: Iterable[Step]) -> list[Request]:
    return [step.request for step in seen if isinstance(step, Call | Save)]


def urls(seen: Iterable[Step]) -> list[str]:
    return [request.url.removeprefix(BASE) for request in requests(seen)]


def test_each_file_of_a_list_is_fetched() -> None:
    answers = [said('{"files": [{"id": "a"}, {"id": "b/c"}]}'), SAVED, SAVED]
    assert ["/c/1", "/files/a", "/files/b%2Fc"] == urls(flow(generic(FILES, FILE), answers))


@pytest.mark.parametrize("answer", ['{"title": "Lease", "id": 7}', '{"title": "", "id": "Lease"}', '{"id": "Lease"}'])
def test_of_several_paths_the_first_that_leads_somewhere_is_taken(answer: str) -> None:
    title = {"get": "{api_base}/c/{document}", "take": {"title": "/title | /id"}}
    [save] = flow(generic(title, {**PLAIN, "name": "{title}"}), [said(answer), SAVED])[1:]
    assert isinstance(save, Save)
    assert "Lease.pdf" == save.name


@pytest.mark.parametrize("step", [STATE, PLAIN])
def test_a_2xx_may_say_that_nothing_is_ready(step: dict[str, Any]) -> None:
    with pytest.raises(NotReady) as raised:
        flow(generic({**step, "not_ready": [202]}, *([] if step is PLAIN else [PLAIN])), [said("", 202)])
    assert raised.value.after is None


def test_of_a_list_only_what_is_wanted_is_taken() -> None:
    listed = '[{"id": "a", "kind": "draft"}, {"id": "b", "kind": "signed"}, 5, {"kind": "signed"}, {"id": "c"}]'
    steps = {**FILES, "each": "/", "only": {"/kind": ["signed"]}, "take": {"file": "/id"}}
    with pytest.raises(NotReady):
        flow(generic(steps, FILE), [said(listed)])
    whole = listed.replace(', {"kind": "signed"}', "")
    assert ["/c/1", "/files/b"] == urls(flow(generic(steps, FILE), [said(whole), SAVED]))


def test_what_is_asked_for_each_element_belongs_to_that_element() -> None:
    link = {"get": "{api_base}/files/{file}/link", "take": {"link": "/url"}}
    saved = {"get": "{link}", "save": "document", "name": "{file}.pdf"}
    answers = [said('{"files": [{"id": "a"}, {"id": "b"}]}')]
    answers += [said('{"url": "https://f.test/a"}'), said('{"url": "https://f.test/b"}'), SAVED, SAVED]
    seen = flow(generic(FILES, link, saved), answers)
    assert ["https://f.test/a", "https://f.test/b"] == urls(seen)[-2:]
    assert ["a.pdf", "b.pdf"] == [step.name for step in seen if isinstance(step, Save)]


def test_a_link_gets_no_credentials_but_its_own_also_on_a_configured_host() -> None:
    api = {"headers": {"X-Api-Key": secret("key")}}
    answers = [said(f'{{"url": "{BASE}/a?sig=1", "proof": "{BASE}/p"}}'), SAVED]
    seen = flow(generic(BOTH, *SAVES, api=api), answers)
    assert [{"X-Api-Key": secret("key")}, {}] == [request.auth for request in requests(seen)]


BOTH = {"get": "{api_base}/c/{document}", "take": {"link": "/url", "proof": "/proof"}}
SAVES = (
    {"get": "{link}", "save": "document"},
    {"get": "{proof}", "save": "certificate", "optional": True},
)


def test_what_only_another_part_needs_may_be_missing_beside_the_document() -> None:
    answers = [said('{"url": "https://f.test/a", "proof": null}'), SAVED]
    seen = flow(generic(BOTH, *SAVES), answers, "document", "certificate")
    assert ["/c/1", "https://f.test/a"] == urls(seen)
    assert [Lacking(part="certificate", reason="the answer has nothing at /proof yet")] == seen[1:2]


@pytest.mark.parametrize("parts", [("document",), ("document", "certificate")])
def test_what_the_document_needs_may_not_be_missing(parts: tuple[str, ...]) -> None:
    with pytest.raises(NotReady, match="/url"):
        flow(generic(BOTH, *SAVES), [said('{"proof": "https://f.test/p"}')], *parts)


def test_a_certificate_that_is_fetched_alone_is_waited_for_and_needs_nothing_of_the_document() -> None:
    with pytest.raises(NotReady, match="/proof"):
        flow(generic(BOTH, *SAVES), [said('{"url": "https://f.test/a"}')], "certificate")
    seen = flow(generic(BOTH, *SAVES), [said('{"proof": "https://f.test/p"}'), SAVED], "certificate")
    assert ["/c/1", "https://f.test/p"] == urls(seen)


@pytest.mark.parametrize(
    ("told", "kind", "name"),
    [("a", "application/pdf", "a.pdf"), ("a.pdf", "application/pdf", "a.pdf"), ("a.zip", "", "a.zip")],
)
def test_only_a_pdf_gets_the_ending_of_one(told: str, kind: str, name: str) -> None:
    listed = said(f'{{"files": [{{"id": "{told}"}}]}}')
    seen = flow(generic(FILES, {**FILE, "name": "{file}", "content_type": kind}), [listed, SAVED])
    assert [name] == [step.name for step in seen if isinstance(step, Save)]


def test_lists_of_two_answers_do_not_mix() -> None:
    second = {"get": "{api_base}/c/{document}/proofs", "each": "/", "take": {"proof": "/id"}}
    audit = {"get": "{api_base}/proofs/{proof}", "save": "audit", "optional": True}
    answers = [said('{"files": [{"id": "a"}, {"id": "b"}]}'), said('[{"id": "p"}]'), SAVED, SAVED, SAVED]
    seen = flow(generic(FILES, second, FILE, audit), answers, "document", "audit")
    assert ["/files/a", "/files/b", "/proofs/p"] == urls(seen)[2:]


def test_a_list_within_a_list_has_the_values_of_both() -> None:
    envelopes = {"get": "{api_base}/c/{document}", "each": "/e", "take": {"set": "/id"}}
    files = {"get": "{api_base}/e/{set}", "each": "/f", "take": {"alpha": "/id"}}
    saved = {"get": "{api_base}/e/{set}/f/{alpha}", "save": "document"}
    answers = [said('{"e": [{"id": "1"}, {"id": "2"}]}'), said('{"f": [{"id": "a"}]}'), said('{"f": [{"id": "b"}]}')]
    for one, two in (("set", "alpha"), ("zeta", "alpha"), ("alpha", "zeta")):
        text = json.dumps([envelopes, files, saved]).replace('"set"', '"#"').replace("{set}", "{#}")
        text = text.replace("alpha", two).replace("#", one)
        seen = flow(generic(*json.loads(text)), [*answers, SAVED, SAVED])
        assert ["/e/1/f/a", "/e/2/f/b"] == urls(seen)[-2:]


def test_of_several_certificates_all_come_or_none() -> None:
    proofs = {"get": "{api_base}/c/{document}", "each": "/files", "take": {"file": "/id"}}
    certificate = {"get": "{api_base}/p/{file}", "save": "certificate", "optional": True}
    listed = said('{"files": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}')
    provider = generic(PLAIN, proofs, certificate)
    seen = flow(provider, [SAVED, listed, SAVED, said("", 503), SAVED], "document", "certificate")
    assert Lacking(part="certificate", reason="its address answered 503") == seen[-1]


def test_an_optional_part_that_is_fetched_alone_has_its_own_fate() -> None:
    proof = {"get": "{api_base}/p/{document}", "save": "certificate", "optional": True}
    with pytest.raises(Retryable):
        flow(generic(PLAIN, proof), [said("", 503)], "certificate")


def test_a_hash_that_was_not_told_stops_the_download() -> None:
    event = {**TABLE["event"], "take": {"sum": "/sum"}}
    steps = generic({**PLAIN, "sha256": "{sum}"}, event=event).steps(DocumentRef(id="1", hints={"sum": ""}))
    with pytest.raises(Permanent, match="was not told"):
        next(steps)


def test_many_steps_are_judged_in_a_moment() -> None:
    chain = [
        {"get": f"{{api_base}}/{{{f'v{n}' if n else 'document'}}}", "take": {f"v{n + 1}": "/id"}} for n in range(40)
    ]
    assert {"document"} == generic(*chain, {"get": "{api_base}/{v40}", "save": "document"}).offers()


@pytest.mark.parametrize("listed", ['{"files": []}', '{"files": null}', '{"files": {"id": "a"}}', "[]", "7"])
def test_a_list_that_holds_nothing_yet_is_waited_for(listed: str) -> None:
    with pytest.raises(NotReady):
        flow(generic({**FILES, "wait": 900.0}, FILE), [said(listed)])


def test_a_list_without_end_is_refused() -> None:
    listed = ",".join(f'{{"id": "{number}"}}' for number in range(101))
    with pytest.raises(Permanent, match="more than 100 files"):
        flow(generic(FILES, FILE), [said(f'{{"files": [{listed}]}}')])


@pytest.mark.parametrize("state", ["done", "sealed"])
def test_one_of_several_expected_values_will_do(state: str) -> None:
    assert 2 == len(flow(generic(STATE, PLAIN), [said(f'{{"state": "{state}"}}'), SAVED]))


def test_a_signing_that_ended_is_not_waited_for() -> None:
    with pytest.raises(Ignored, match="ended without a document, says /state"):
        flow(generic(STATE, PLAIN), [said('{"state": "declined"}')])


@pytest.mark.parametrize("value", ["1", "true", '"True"', "null", "{}", "[true]"])
def test_values_are_compared_with_their_type(value: str) -> None:
    step = {**STATE, "expect": {"/state": True}, "ended": {}}
    if value == "true":
        assert flow(generic(step, PLAIN), [said(f'{{"state": {value}}}'), SAVED])
    else:
        with pytest.raises(NotReady):
            flow(generic(step, PLAIN), [said(f'{{"state": {value}}}')])


@pytest.mark.parametrize(
    ("answer", "after"),
    [(said('{"state": "sent"}'), 900.0), (said("", 409), 900.0), (said("", 409, **{"retry-after": "5"}), 5.0)],
)
def test_the_wait_that_a_step_names_holds_where_the_answer_names_none(answer: Answer, after: float) -> None:
    with pytest.raises(NotReady) as raised:
        flow(generic({**STATE, "wait": 900.0, "not_ready": [409]}, PLAIN), [answer])
    assert after == raised.value.after


def test_what_only_an_unwanted_part_needs_is_not_asked() -> None:
    provider = generic(PLAIN, CERTIFICATE_LINK, CERTIFICATE)
    assert ["/c/1/pdf"] == urls(flow(provider, [SAVED]))
    both = [SAVED, said('{"url": "https://f.test/p"}'), SAVED]
    assert ["/c/1/pdf", "/c/1/proof", "https://f.test/p"] == urls(flow(provider, both, "document", "certificate"))


@pytest.mark.parametrize("answer", [said("", 404), said("", 500), said("{}"), said("<html>")])
def test_trouble_with_what_only_a_certificate_needs_makes_it_lacking(answer: Answer) -> None:
    provider = generic(CERTIFICATE_LINK, CERTIFICATE, PLAIN)
    seen = flow(provider, [answer, SAVED], "document", "certificate")
    assert ["certificate"] == [step.part for step in seen if isinstance(step, Lacking)]
    with pytest.raises(WebhookError):
        flow(provider, [answer], "certificate")


def test_the_state_is_asked_for_a_supplement_too() -> None:
    provider = generic(STATE, PLAIN, {**CERTIFICATE, "get": "{api_base}/c/{document}/proof"})
    assert ["/c/1", "/c/1/proof"] == urls(flow(provider, [said('{"state": "done"}'), SAVED], "certificate"))


def test_what_every_request_has_is_sent_with_each_and_its_own_keys_win() -> None:
    own = {**PLAIN, "headers": {"Accept": "application/pdf"}}
    api = {"headers": {"X-Key": "{api_key}", "Accept": "*/*"}, "secret_query": {"key": "{api_key}"}}
    sent = requests(flow(generic(STATE, own, api=api), [said('{"state": "done"}'), SAVED]))
    assert ["*/*", "application/pdf"] == [request.auth["Accept"] for request in sent]
    assert [KEY, KEY] == [request.auth["X-Key"] for request in sent]
    assert [{"key": KEY}, {"key": KEY}] == [request.auth_query for request in sent]
    assert KEY not in str(sent)


def test_user_and_password_become_basic_authentication() -> None:
    [request] = requests(flow(generic({**PLAIN, "basic": "{api_key}:"}), [SAVED]))
    assert f"{KEY}:" == base64.b64decode(request.auth["Authorization"].removeprefix("Basic ")).decode()


def test_a_form_is_sent_as_one() -> None:
    step = {"post": "{api_base}/find", "form": {"id": "{document}", "q": "a&b"}, "save": "document"}
    [request] = requests(flow(generic(step), [SAVED]))
    assert (b"id=1&q=a%26b", "POST") == (request.body, request.method)
    assert "application/x-www-form-urlencoded" == request.headers["Content-Type"]


WITH_TOKEN = {**PLAIN, "headers": {"Authorization": "Bearer {token}"}}
LOGIN = {"post": "{api_base}/token", "form": {"key": "{api_key}"}}


def test_a_token_is_asked_for_once_and_renewed_where_it_is_refused() -> None:
    provider = generic({**STATE, "headers": {"Authorization": "Bearer {token}"}}, PLAIN, login=LOGIN)
    first, *_ = seen = flow(provider, [said('{"state": "done"}'), SAVED])
    assert isinstance(first, Login)
    assert "Bearer token-1" == requests(seen)[0].auth["Authorization"]
    with pytest.raises(RenewToken) as raised:
        flow(provider, [said("", 401)])
    assert Permanent is type(raised.value.otherwise)


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (said("", 400), Permanent),
        (said("", 401), Permanent),
        (said("", 503), Retryable),
        (said("{}"), Retryable),
        (said('{"access_token": 7}'), Retryable),
        (said('{"access_token": "a\\r\\nb"}'), Retryable),
        (said("<html>"), Retryable),
        (said('{"error": "invalid_code"}'), Permanent),
        (said('{"error": "temporarily_unavailable"}'), Retryable),
        (said('{"error": "a\\r\\nb"}'), Retryable),
    ],
)
def test_a_login_that_fails_has_its_fate(answer: Answer, fate: type[WebhookError]) -> None:
    login = generic(WITH_TOKEN, login=LOGIN).login()
    next(login)
    with pytest.raises(fate) as raised:
        login.send(answer)
    assert fate is type(raised.value)


def test_a_login_may_prove_its_secret_by_a_digest_that_is_new_each_time() -> None:
    form = {"nonce": "{nonce}", "created_at": "{created}", "digest": "{digest}"}
    asked = LoginCall(post="{api_base}/token", form=form, wsse="api_key")
    values = {"api_base": BASE, "api_key": "secret"}
    step = next(log_in(asked, values, clock=lambda: 1_760_000_000.0, random=lambda size: b"n" * size))
    assert isinstance(step, Call)
    assert isinstance(step.request.body, bytes)
    sent = dict(parse_qsl(step.request.body.decode()))
    nonce = base64.b64encode(b"n" * 20).decode()
    assert {"nonce": nonce, "created_at": "2025-10-09T08:53:20Z", "digest": "bwE2MxNhoHHZz5da9c/7yW+2lyE="} == sent


@pytest.mark.parametrize(("lasts", "kept"), [("3600", 3240.0), ("30", 60.0), ("true", None), ("null", None)])
def test_a_token_lasts_a_little_less_than_is_said(lasts: str, kept: float | None) -> None:
    login = generic(WITH_TOKEN, login=LOGIN).login()
    next(login)
    with pytest.raises(StopIteration) as end:
        login.send(said(f'{{"access_token": "t", "expires_in": {lasts}}}'))
    assert ("t", kept) == (end.value.value.text, end.value.value.lasts)


@pytest.mark.parametrize(
    ("download", "changed", "expected"),
    [
        ([{**PLAIN, "headers": {"X-Key": "a\r\nB: c"}}], {}, "header"),
        ([{**PLAIN, "headers": {"X\r\nKey": "a"}}], {}, "header"),
        ([{**PLAIN, "headers": {"X-Key": "é"}}], {}, "ASCII"),
        ([PLAIN], {"api": {"headers": {"X Key": "a"}}}, "header"),
        ([{**PLAIN, "headers": {"X-Key": "{token}"}}], {}, "{token}"),
        ([{**FILES, "take": {}}, FILE], {}, "either saves a part"),
        ([{**STATE, "only": {"/a": 1}}, PLAIN], {}, "each with take, and only with each"),
        ([{**PLAIN, "form": {"a": "b"}}], {}, "post only"),
        ([PLAIN], {"login": {"post": "{document}/x"}}, "{document}"),
        (
            [FILES, {**FILES, "take": {"other": "/id"}}, {"get": "{api_base}/{file}/{other}", "save": "document"}],
            {},
            "its list is another",
        ),
        ([PLAIN], {"login": LOGIN}, "a request that uses {token}, or no login"),
        ([{**PLAIN, "name": "{document:upper}"}], {}, "after the colon stands nothing"),
        ([{"post": "{api_base}/x", "json": {"day": datetime.date(2026, 1, 1)}, "save": "document"}], {}, "no dates"),
        ([CERTIFICATE_LINK, {"post": "{link}", "json": {"k": Expanded("x")}, "save": "document"}], {}, "environment"),
        ([PLAIN], {"event": {**TABLE["event"], "take": {"since": "/s"}}}, "another name for 'since'"),
        ([PLAIN], {"login": {**LOGIN, "wsse": "another"}}, "a configured value in login.wsse"),
        ([PLAIN], {"login": {**LOGIN, "form": {"nonce": "{nonce}"}}}, "{nonce}"),
        ([PLAIN], {"values": {**TABLE["values"], "token": "x"}, "login": LOGIN}, "another name for 'token'"),
        ([PLAIN], {"values": {**TABLE["values"], "page": "x"}}, "another name for 'page'"),
        ([CERTIFICATE_LINK, {"post": "{link}", "form": {"k": "{api_key}"}, "save": "document"}], {}, "{api_key}"),
    ],
)
def test_steps_that_cannot_work_are_refused_with_a_sentence(
    download: list[Mapping[str, Any]], changed: Mapping[str, Any], expected: str
) -> None:
    assert expected in problem_of(*download, **changed)
