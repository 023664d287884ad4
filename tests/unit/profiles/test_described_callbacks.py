"""Callbacks with several events, wildcards and joined ids; handshakes that only a known sender gets; echoes."""

import hmac
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest

from tests.guard import secret
from webhook_svc.core.errors import NotGenuine, Problem
from webhook_svc.core.settings import build
from webhook_svc.core.types import Meaning, RawRequest
from webhook_svc.pipeline.ingest import handshake
from webhook_svc.pipeline.parties import Parties, Source
from webhook_svc.pipeline.routes import meta_of, noted
from webhook_svc.providers.generic import Generic, GenericSettings

BASE = "https://api.example.test/v1"
CLIENT = secret("client-id")
TABLE: Mapping[str, Any] = {
    "secrets": [CLIENT],
    "values": {"api_base": BASE},
    "verify": {"alg": "equal", "signature": "header:X-Client"},
    "event": {"type": "/type", "ready": ["done"], "changed": ["sealed"], "terminal": ["gone"], "document": "/id"},
    "download": [{"get": "{api_base}/c/{document}", "save": "document"}],
}


def generic(**changed: Any) -> Generic:
    problems: list[Problem] = []
    settings = build(GenericSettings, {**TABLE, **changed}, "sources.x", problems)
    assert [] == problems
    return Generic("x", settings, "https://hooks.example.test")


def event(**changed: Any) -> dict[str, Any]:
    return {**TABLE["event"], **changed}


def said(content: Any) -> RawRequest:
    return RawRequest(body=json.dumps(content).encode())


def test_every_event_of_a_list_is_read() -> None:
    provider = generic(event=event(each="/", id="/n"))
    two = said([{"n": 1, "type": "seen", "id": "a"}, {"n": 2, "type": "done", "id": "b"}])
    assert [Meaning.OTHER, Meaning.READY] == [one.meaning for one in provider.parse(two)]
    assert "1" == provider.delivery_id(two)


@pytest.mark.parametrize("content", [[], {}, "x", None, [{"type": "done", "id": "a"}] * 101])
def test_a_list_of_events_that_is_none_is_not_understood(content: Any) -> None:
    provider = generic(event=event(each="/"))
    with pytest.raises(ValueError, match="no list of 1 to 100 events"):
        provider.parse(said(content))
    assert "" == provider.delivery_id(said(content))


def test_an_element_of_a_list_may_be_no_event() -> None:
    with pytest.raises(ValueError, match="no type"):
        generic(event=event(each="/")).parse(said([7]))


@pytest.mark.parametrize(
    ("kinds", "meaning"),
    [
        (["seen", "done"], Meaning.READY),
        (["gone", "done", "sealed"], Meaning.CHANGED),
        (["gone", "seen"], Meaning.TERMINAL),
        (["seen"], Meaning.OTHER),
    ],
)
def test_of_several_types_the_one_that_means_most_counts(kinds: list[str], meaning: Meaning) -> None:
    provider = generic(event=event(type="/events/*/type"))
    [one] = provider.parse(said({"id": "a", "events": [{"type": kind} for kind in kinds]}))
    assert meaning is one.meaning


def test_more_types_than_anybody_looks_at_are_not_understood() -> None:
    provider = generic(event=event(type="/events/*/type"))
    with pytest.raises(ValueError, match="more than 100 types"):
        provider.parse(said({"id": "a", "events": [{"type": "seen"}] * 100 + [{"type": "done"}]}))


FIELDS = {"alg": "hmac-sha256", "message": "{json:/type}", "signature": "header:X-S"}
BODY = {"alg": "hmac-sha256", "message": "{body}", "signature": "header:X-S"}


@pytest.mark.parametrize(("verify", "title"), [(FIELDS, ""), (BODY, "Lease")])
def test_a_title_that_the_signature_does_not_cover_is_none(verify: dict[str, str], title: str) -> None:
    provider = generic(verify=verify, event=event(name="/name"))
    [one] = provider.parse(said({"type": "done", "id": "a", "name": "Lease"}))
    assert [title] == [ref.name for ref in one.documents]


@pytest.mark.parametrize(
    ("verify", "secrets", "hints"),
    [
        (FIELDS, [CLIENT], True),
        (BODY, [CLIENT], False),
        ({"alg": "none"}, [], True),
        (TABLE["verify"], [CLIENT], False),
    ],
)
def test_a_callback_whose_document_nobody_signed_is_a_hint(
    verify: dict[str, str], secrets: list[str], hints: bool
) -> None:
    assert hints == generic(verify=verify, secrets=secrets).hints()


def test_each_event_of_a_list_has_values_of_its_own() -> None:
    provider = generic(event=event(each="/"))
    table = [{"type": "done", "id": "a", "customer": "acme"}, {"type": "done", "id": "b", "customer": "rival"}]
    source = Source(
        name="x", provider=provider, scheme=provider.scheme(), http=Nowhere(), meta={"customer": "/customer"}
    )
    events = noted(Parties(sources={"x": source}, sinks={}), source, said(table), provider.parse(said(table)))
    assert [("acme",), ("rival",)] == [meta_of(ref)["customer"] for one in events for ref in one.documents]


def test_values_of_a_form_are_found_where_its_json_stands() -> None:
    provider = generic(verify={**TABLE["verify"], "body_view": "form:json"})
    request = RawRequest(
        headers=(("content-type", "application/x-www-form-urlencoded"),),
        body=b"json=" + quote(json.dumps({"type": "done", "id": "a", "customer": "acme"})).encode(),
    )
    source = Source(
        name="x", provider=provider, scheme=provider.scheme(), http=Nowhere(), meta={"customer": "/customer"}
    )
    [one] = noted(Parties(sources={"x": source}, sinks={}), source, request, provider.parse(request))
    assert [("acme",)] == [meta_of(ref)["customer"] for ref in one.documents]


def test_an_id_may_be_joined_of_several_values() -> None:
    provider = generic(event=event(id="/a + /b/c + /missing"))
    assert "1/x" == provider.delivery_id(said({"a": 1, "b": {"c": "x"}}))
    assert "" == provider.delivery_id(said({"a": []}))


HANDSHAKE = {"echo": "header:X-Client", "key": "client", "header": "X-Client", "genuine": True}


def asking(client: str) -> RawRequest:
    return RawRequest(method="GET", headers=(("x-client", client),))


def test_a_known_sender_gets_its_handshake_back_in_header_and_body() -> None:
    reply = generic(challenge=HANDSHAKE).challenge(asking(CLIENT))
    assert reply is not None
    assert (200, {"client": CLIENT}) == (reply.status, json.loads(reply.body))
    assert (("X-Client", CLIENT),) == reply.headers


@pytest.mark.parametrize("client", ["", "stranger", f"{CLIENT}x", "a\r\nX: y", "\xff", "x" * 70_000])
def test_a_stranger_gets_no_answer_to_a_handshake(client: str) -> None:
    provider = generic(challenge=HANDSHAKE)
    source = Source(name="x", provider=provider, scheme=provider.scheme(), http=Nowhere())
    with suppress(NotGenuine):
        assert handshake(source, asking(client), 0.0) is None


class Nowhere:
    """Nobody is asked anything here."""

    def call(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("asked")

    save = call


def test_a_handshake_that_is_signed_with_the_time_is_held_against_it() -> None:
    verify = {"preset": "stripe"}
    provider = generic(verify=verify, challenge={"method": "POST", "when": {"/type": "hello"}, "genuine": True})
    source = Source(name="x", provider=provider, scheme=provider.scheme(), http=Nowhere())
    body = b'{"type": "hello"}'
    signature = hmac.new(CLIENT.encode(), b"1760000000." + body, "sha256").hexdigest()
    request = RawRequest(headers=(("stripe-signature", f"t=1760000000,v1={signature}"),), body=body)
    assert handshake(source, request, 1_760_000_010.0) is not None
    with pytest.raises(NotGenuine):
        handshake(source, request, 1_760_009_999.0)


def test_a_handshake_may_want_no_more_than_a_2xx() -> None:
    provider = generic(challenge={"method": "POST", "when": {"/type": "verification"}})
    reply = provider.challenge(said({"type": "verification"}))
    assert reply is not None
    assert (200, b"") == (reply.status, reply.body)
    assert provider.challenge(said({"type": "done"})) is None


@pytest.mark.parametrize(("sent", "echoed"), [("id-1", (("X-Client", "id-1"),)), ("a\nb", ()), ("\xff", ())])
def test_an_acknowledgement_echoes_a_header(sent: str, echoed: tuple[tuple[str, str], ...]) -> None:
    reply = generic(acknowledge={"echo": "X-Client"}).acknowledge(RawRequest(headers=(("x-client", sent),)))
    assert echoed == reply.headers


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"challenge": {"key": "x"}}, "a place in `echo`"),
        ({"challenge": {"method": "POST"}}, "may be a callback"),
        ({"challenge": {"method": "GET", "when": {"/a": "b"}}}, "a GET has no body"),
        ({"challenge": {"echo": "query:a", "header": "X-A: b\r\nX-Evil"}}, "the header 'X-A: b"),
        ({"acknowledge": {"content_type": "text/plain\r\nX-Evil: 1"}}, "a line break or NUL"),
        ({"acknowledge": {"status": 204, "body": "x"}}, "has no body"),
        ({"event": {**TABLE["event"], "document": "json:/id"}}, "a path such as"),
        ({"acknowledge": {"echo": "X-.*"}}, "the name of one header"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_sentence(changed: dict[str, Any], expected: str) -> None:
    problems: list[Problem] = []
    build(GenericSettings, {**TABLE, **changed}, "sources.x", problems)
    assert [True] == [expected in problem.expected for problem in problems]
