"""What a described sender may and may not say, and the requests that its download steps become."""

from collections.abc import Mapping
from typing import Any

import pytest

from webhook_svc.core.errors import NotReady, Permanent, Problem, Retryable, Unlikely, WebhookError
from webhook_svc.core.outgoing import Answer, Call, Lacking, Save
from webhook_svc.core.ports import Step
from webhook_svc.core.settings import build
from webhook_svc.core.types import DocumentRef, RawRequest
from webhook_svc.providers.generic import Generic, GenericSettings
from webhook_svc.signing.presets import PRESETS

BASE = "https://api.example.test/v1"
AUTH = {"Authorization": "Bearer {api_key}"}
FILE = {"get": "{api_base}/c/{document}", "headers": AUTH, "save": "document"}
TABLE: Mapping[str, Any] = {
    "secrets": ["in-house-secret-1"],
    "values": {"api_base": BASE, "api_key": "key-1"},
    "verify": {"alg": "hmac-sha256", "message": "{body}", "signature": "header:X-Signature"},
    "event": {"type": "/type", "ready": ["done"], "document": "/id"},
    "download": [FILE],
}
LINKED: list[Mapping[str, object]] = [
    {"get": "{api_base}/c/{document}", "headers": AUTH, "take": {"link": "/url"}},
    {"get": "{link}", "save": "document"},
]
POSTED = {"post": "{link}", "save": "document"}
SAVED = Answer(status=200, sha256="0" * 64, size=9)


def problems_of(**changed: Any) -> list[Problem]:
    problems: list[Problem] = []
    build(GenericSettings, {**TABLE, **changed}, "sources.x", problems)
    return problems


def generic(**changed: Any) -> Generic:
    problems: list[Problem] = []
    settings = build(GenericSettings, {**TABLE, **changed}, "sources.x", problems)
    assert [] == problems
    return Generic("x", settings, "https://hooks.example.test")


def flow(provider: Generic, ref: DocumentRef, *answers: Answer) -> list[Step]:
    steps, left, seen = provider.steps(ref), list(answers), []
    try:
        step = next(steps)
        while True:
            seen.append(step)
            step = steps.send(left.pop(0) if isinstance(step, Call | Save) else Answer(status=0))
    except StopIteration:
        assert [] == left
        return seen


def test_each_value_is_one_segment_of_the_address_and_headers_are_credentials() -> None:
    [saved] = flow(generic(), DocumentRef(id="a/../b?c", name="Lease"), SAVED)
    assert isinstance(saved, Save)
    assert f"{BASE}/c/a%2F..%2Fb%3Fc" == saved.request.url
    assert ({}, {"Authorization": "Bearer key-1"}) == (dict(saved.request.headers), dict(saved.request.auth))
    assert "Lease.pdf" == saved.name


def test_only_hosts_that_the_operator_wrote_are_trusted() -> None:
    download = [*LINKED, {"get": "https://other.example.test:8443/{document}", "save": "certificate"}]
    assert {"https://api.example.test:443", "https://other.example.test:8443"} == generic(download=download).hosts()


@pytest.mark.parametrize("link", ["https://f.test/a?s=1", "https://münchen.test/a"])
def test_a_link_out_of_an_answer_is_taken_whole(link: str) -> None:
    answer = Answer(status=200, body=b'{"url": "%s"}' % link.encode())
    _, saved = flow(generic(download=LINKED), DocumentRef(id="1"), answer, SAVED)
    assert isinstance(saved, Save)
    assert link == saved.request.url


@pytest.mark.parametrize(
    "link", ["file:///etc/passwd", "//f.test/a", "https://", "https://f.test/a\\r\\nX: y", "https://f.test/a b", "x"]
)
def test_a_link_that_is_no_address_is_followed_nowhere(link: str) -> None:
    with pytest.raises(Permanent) as raised:
        flow(generic(download=LINKED), DocumentRef(id="1"), Answer(status=200, body=b'{"url": "%s"}' % link.encode()))
    assert "f.test" not in str(raised.value)


def test_a_post_sends_its_json_filled_in() -> None:
    step = {
        "post": BASE + "/find",
        "json": {"ids": ["{document}"], "deep": {"n": 1, "s": "{source}"}},
        "save": "document",
    }
    [saved] = flow(generic(download=[step]), DocumentRef(id='"1\\'), SAVED)
    assert isinstance(saved, Save)
    assert ("POST", {"ids": ['"1\\'], "deep": {"n": 1, "s": "x"}}) == (saved.request.method, saved.request.json)


def test_a_post_to_a_link_may_send_what_the_sender_said() -> None:
    download = [LINKED[0], {**POSTED, "json": {"id": "{document}", "from": "{link}"}}]
    link = Answer(status=200, body=b'{"url": "https://f.test/a"}')
    _, saved = flow(generic(download=download), DocumentRef(id="1"), link, SAVED)
    assert isinstance(saved, Save)
    assert {"id": "1", "from": "https://f.test/a"} == saved.request.json


def test_the_hash_and_the_name_that_an_answer_tells_are_used() -> None:
    steps = [
        {**LINKED[0], "take": {"link": "/url", "hash": "/sum", "file": "/file"}},
        {**LINKED[1], "sha256": "{hash}", "name": "{file}"},
    ]
    body = b'{"url": "https://f.test/a", "sum": "AB12", "file": "a.pdf"}'
    _, saved = flow(generic(download=steps), DocumentRef(id="1"), Answer(status=200, body=body), SAVED)
    assert isinstance(saved, Save)
    assert ("ab12", "a.pdf") == (saved.sha256, saved.name)


def test_steps_for_parts_that_nobody_wants_are_left_out() -> None:
    certificate = {"get": "{api_base}/cert/{document}", "save": "certificate"}
    provider = generic(download=[FILE, certificate])
    assert 1 == len(flow(provider, DocumentRef(id="1"), SAVED))
    assert 2 == len(flow(provider, DocumentRef(id="1", parts=("document", "certificate")), SAVED, SAVED))
    assert {"document", "certificate"} == provider.offers()


def test_an_optional_part_that_cannot_be_fetched_is_lacking() -> None:
    certificate = {"get": "{api_base}/cert/{document}", "save": "certificate", "optional": True}
    ref = DocumentRef(id="1", parts=("document", "certificate"))
    *_, lacking = flow(generic(download=[FILE, certificate]), ref, SAVED, Answer(status=404))
    assert Lacking(part="certificate", reason="its address answered 404") == lacking


@pytest.mark.parametrize(
    ("answer", "fate", "after"),
    [
        (Answer(status=409, headers={"retry-after": "5"}), NotReady, 5.0),
        (Answer(status=401), Permanent, None),
        (Answer(status=404), Unlikely, None),
        (Answer(status=429, headers={"retry-after": "5"}), Retryable, 5.0),
        (Answer(status=500), Retryable, None),
        (Answer(status=200, body=b'{"status": "signing", "url": "https://f.test"}'), NotReady, None),
        (Answer(status=200, body=b'{"status": "finished", "url": null}'), NotReady, None),
        (Answer(status=200, body=b'{"status": "finished", "url": []}'), Permanent, None),
        (Answer(status=200, body=b"<html>"), Retryable, None),
    ],
)
def test_each_answer_has_its_fate(answer: Answer, fate: type[WebhookError], after: float | None) -> None:
    steps = [{**LINKED[0], "not_ready": [409], "expect": {"/status": "finished"}}, LINKED[1]]
    with pytest.raises(fate) as raised:
        flow(generic(download=steps), DocumentRef(id="1"), answer)
    assert fate is type(raised.value)
    assert after == getattr(raised.value, "after", None)


def test_a_link_that_no_longer_opens_is_asked_for_anew_on_the_next_try() -> None:
    with pytest.raises(Retryable):
        flow(
            generic(download=LINKED),
            DocumentRef(id="1"),
            Answer(status=200, body=b'{"url": "https://f.test/a"}'),
            Answer(status=403),
        )


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\x00", "\u20ac", "\ud800"])
def test_a_value_that_a_header_cannot_hold_is_sent_to_nobody(value: str) -> None:
    step = {**FILE, "headers": {"X-Name": "{name}"}}
    with pytest.raises(Permanent) as raised:
        flow(generic(download=[step]), DocumentRef(id="1", name=value))
    assert value not in str(raised.value)


def test_what_the_operator_configured_wins_over_what_an_old_callback_said() -> None:
    ref = DocumentRef(id="1", hints={"api_base": "https://evil.test", "document": "2"})
    [saved] = flow(generic(), ref, SAVED)
    assert isinstance(saved, Save)
    assert f"{BASE}/c/1" == saved.request.url


def test_a_callback_that_was_read_before_a_name_was_configured_is_explained() -> None:
    provider = generic(
        event={**TABLE["event"], "take": {"tenant": "/t"}}, download=[{**FILE, "get": "{api_base}/{tenant}"}]
    )
    with pytest.raises(Permanent, match="replay"):
        flow(provider, DocumentRef(id="1"))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"secrets": []}, "needs at least one secret"),
        ({"download": []}, 'save = "document"'),
        ({"download": [{**FILE, "save": "certificate"}]}, 'save = "document"'),
        ({"download": [FILE, FILE]}, "no two the same part"),
        ({"download": [FILE, LINKED[0]]}, "saves"),
        ({"download": [{**FILE, "post": BASE}]}, "exactly one of get and post"),
        ({"download": [{"save": "document"}]}, "exactly one of get and post"),
        ({"download": [{**FILE, "json": {}}]}, "post only"),
        ({"download": [{**FILE, "take": {"a": "/a"}}]}, "either saves"),
        ({"download": [{"get": BASE}]}, "either saves"),
        ({"download": [{**LINKED[0], "optional": True}, LINKED[1]]}, "with save only"),
        ({"download": [{**FILE, "optional": True}]}, "not optional"),
        ({"download": [{**FILE, "get": "{api_base}/{"}]}, "a lone '{'"),
        ({"download": [{**FILE, "get": "{api_base}/{documnet}"}]}, "{documnet}"),
        ({"download": [{**FILE, "headers": {"A": "{nobody}"}}]}, "{nobody}"),
        ({"download": [{**FILE, "get": "{link}"}]}, "{link}"),
        ({"download": [{**FILE, "get": "{document}/x"}]}, "begins with a configured value"),
        ({"download": [{**FILE, "get": "{api_base}{document}"}]}, "begins with a configured value"),
        ({"download": [{**FILE, "get": "https://{document}/x"}]}, "begins with a configured value"),
        ({"download": [{**FILE, "get": "https://host{document}"}]}, "begins with a configured value"),
        ({"download": [{**FILE, "get": "ftp://host/x"}]}, "begins with a configured value"),
        ({"download": [{**LINKED[0], "take": {"document": "/url"}}, FILE]}, "another name for 'document'"),
        ({"download": [{**LINKED[0], "take": {"api_key": "/url"}}, FILE]}, "another name for 'api_key'"),
        ({"download": [{**FILE, "get": "{api_key}/x"}]}, "an http(s) address without query"),
        ({"values": {"api_base": "https://api.test/?a=", "api_key": "key-1"}}, "an http(s) address without query"),
        ({"values": {"api_base": "https://münchen.test", "api_key": "key-1"}}, "in ASCII, as in the DNS"),
        ({"values": {"document": "x"}}, "another name for 'document'"),
        ({"event": {**TABLE["event"], "take": {"api_key": "/k"}}}, "another name for 'api_key'"),
        ({"download": [LINKED[0], {**POSTED, "json": {"a": ["{api_key}"]}}]}, "step 2 without {api_key} in its json"),
        ({"event": {**TABLE["event"], "ready": []}}, "nothing would ever be fetched"),
        ({"event": {"ready": ["done"], "document": "/id"}}, "a path in `type`"),
        ({"event": {"document": ""}}, "a path in `document`"),
        ({"event": {**TABLE["event"], "terminal": ["done"]}}, "done is not"),
        ({"acknowledge": {"status": 500}}, "from 200 to 299"),
        ({"challenge": {"echo": "nowhere"}}, "names no place"),
        ({"challenge": {"echo": "json:/challenge", "method": "POST"}}, "may be a callback"),
    ],
)
def test_a_description_that_cannot_work_is_refused_with_a_sentence(changed: dict[str, Any], expected: str) -> None:
    [problem] = problems_of(**changed)
    assert expected in problem.expected
    assert "key-1" not in str(problem)


@pytest.mark.parametrize(
    "verify", [{"alg": "none"}, {"alg": "equal", "signature": "header:X-Token"}], ids=["none", "equal"]
)
@pytest.mark.parametrize("link", ["link", "name"])
def test_a_callback_that_is_not_signed_does_not_choose_the_address(verify: dict[str, str], link: str) -> None:
    event = {**TABLE["event"], "name": "/name", "take": {"link": "/url"}}
    download = [{"get": f"{{{link}}}", "save": "document"}]
    secrets = [] if verify["alg"] == "none" else ["in-house-secret-1"]
    [problem] = problems_of(secrets=secrets, verify=verify, event=event, download=download)
    assert f"step 1 with another address than {{{link}}}, which the callback says" in problem.expected
    assert [] == problems_of(secrets=secrets, verify=verify, download=LINKED)
    assert [] == problems_of(event=event, download=download)


@pytest.mark.parametrize(("message", "link"), [("{json:/id}", "/url"), ("{body}", "header:X-Link")])
def test_a_link_that_the_signature_does_not_cover_is_never_the_address(message: str, link: str) -> None:
    event = {**TABLE["event"], "take": {"link": link}}
    verify = {**TABLE["verify"], "message": message}
    [problem] = problems_of(verify=verify, event=event, download=[{"get": "{link}", "save": "document"}])
    assert "the signature does not cover it" in problem.expected


def test_the_acknowledgement_is_as_written() -> None:
    reply = generic(acknowledge={"status": 202, "body": "[accepted]"}).acknowledge(RawRequest())
    assert (202, b"[accepted]") == (reply.status, reply.body)


def test_a_handshake_gets_its_value_back() -> None:
    provider = generic(challenge={"echo": "query:token"})
    reply = provider.challenge(RawRequest(method="GET", query="token=a%2Bb"))
    assert reply is not None
    assert (b"a+b", "text/plain; charset=utf-8") == (reply.body, reply.content_type)
    assert provider.challenge(RawRequest(method="POST", query="token=a")) is None
    assert provider.challenge(RawRequest(method="GET", query="token=a&token=b")) is None
    assert provider.challenge(RawRequest(method="GET")) is None


def test_a_handshake_in_json_is_told_from_a_callback() -> None:
    provider = generic(
        challenge={"echo": "json:/challenge", "method": "POST", "when": {"/type": "hello"}, "key": "challenge"}
    )
    reply = provider.challenge(RawRequest(body=b'{"type": "hello", "challenge": "\\ud800<b>"}'))
    assert reply is None
    reply = provider.challenge(RawRequest(body=b'{"type": "hello", "challenge": "<b>"}'))
    assert reply is not None
    assert (b'{"challenge": "<b>"}', "application/json") == (reply.body, reply.content_type)
    for body in (b'{"type": "done", "challenge": "x"}', b"", b"[]", b"\xff"):
        assert provider.challenge(RawRequest(body=body)) is None


def test_no_authentication_is_warned_about() -> None:
    assert [] == generic().warnings()
    assert 1 == len(generic(secrets=[], verify={"alg": "none"}).warnings())


def test_what_rfc_9421_is_not_asked_to_cover_is_warned_about_and_what_it_is_asked_to_is_not() -> None:
    raw = {"alg": "hmac-sha256", "message": "{base}", "encoding": "base64", "signature": "header:Signature"}
    assert [] == generic(verify={"preset": "rfc9421"}).warnings()
    warned = [one.partition(":")[0] for one in generic(verify=raw).warnings()]
    assert ["the signature does not cover /id", "the signature does not cover /type"] == sorted(warned)


def test_the_guide_lists_every_preset() -> None:
    assert [] == [name for name in PRESETS if f"\n- `{name}`: " not in Generic.guide]


@pytest.mark.parametrize(
    ("message", "uncovered"),
    [
        ("{ts}.{body}", ["header:X-Round"]),
        ("{json:/id}{json:type}", ["header:X-Round", "/meta/url"]),
        ("{type}|{json:meta.url}|{header:x-round}", ["/id"]),
        ("{piece}{ts}", ["/id", "/type", "header:X-Round", "/meta/url"]),
    ],
)
def test_a_value_that_the_signature_does_not_cover_is_warned_about(message: str, uncovered: list[str]) -> None:
    places = {"ts": "header:X-Time", "type": "json:type", "piece": "json:/id ~ ^(.)"}
    event = {**TABLE["event"], "round": "header:X-Round", "take": {"link": "/meta/url", "again": "/id"}}
    warned = generic(verify={**TABLE["verify"], "message": message, "vars": places}, event=event).warnings()
    expected = [f"the signature does not cover {path}: a captured callback" for path in uncovered]
    assert expected == [warning.partition(" verifies")[0] for warning in warned]
