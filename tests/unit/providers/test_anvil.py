"""Anvil: what is encrypted is read with the key and proves nothing, and only completed packets are fetched."""

import dataclasses
import json
from typing import Any

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Ignored, NotReady, Permanent, Problem, Unlikely, WebhookError
from webhook_svc.core.outgoing import Answer, Call, Save
from webhook_svc.core.settings import build
from webhook_svc.core.types import DocumentRef, RawRequest
from webhook_svc.providers.anvil import Anvil, AnvilSettings
from webhook_svc.simulators.anvil import AnvilSimulator

REF = DocumentRef(id="p-1", name="Lease")


def anvil(**changed: Any) -> Anvil:
    problems: list[Problem] = []
    table = {"secrets": [secret("token")], "api_key": secret("key"), **changed}
    settings = build(AnvilSettings, table, "sources.x", problems)
    assert [] == problems
    return Anvil("x", settings)


def of(simulator: AnvilSimulator, **changed: Any) -> Anvil:
    table = simulator.source("http://127.0.0.1:1")
    del table["provider"]
    return anvil(**{**table, **changed})


def packet(**said: Any) -> Answer:
    told = {"eid": "p-1", "name": "Lease", "status": "completed", "documentGroup": {"eid": "g-1"}, **said}
    return Answer(status=200, body=json.dumps({"data": {"etchPacket": told}}).encode())


def test_what_is_encrypted_says_the_same_as_what_is_not() -> None:
    told = [anvil().parse(one) for one in AnvilSimulator().finish("p-1")]
    hidden = AnvilSimulator(encrypted=True)
    callbacks = hidden.finish("p-1")
    assert b"p-1" not in b"".join(one.body for one in callbacks)
    provider = of(hidden)
    read = [provider.parse(one) for one in callbacks]
    assert [event.type for events in told for event in events] == [event.type for events in read for event in events]
    assert "p-1" == read[-1][0].documents[0].id


def test_an_event_that_is_encrypted_anew_has_the_id_that_it_had() -> None:
    simulator = AnvilSimulator(encrypted=True)
    simulator.misbehave("duplicate")
    first, again, *_ = simulator.finish("p-1")
    assert first.body != again.body
    assert of(simulator).delivery_id(first) == of(simulator).delivery_id(again) != ""


def test_an_encrypted_callback_without_the_key_is_kept_for_when_it_is_there() -> None:
    simulator = AnvilSimulator(encrypted=True)
    callback = simulator.finish("p-1")[-1]
    with pytest.raises(ValueError, match="private_key"):
        of(simulator, private_key=None).parse(callback)
    assert "" == of(simulator, private_key=None).delivery_id(callback)


def test_who_can_encrypt_and_has_no_token_is_refused() -> None:
    simulator = AnvilSimulator(encrypted=True)
    forged = json.loads(simulator.finish("p-1")[-1].body)
    forged["token"] = secret("another token")
    request = RawRequest(body=json.dumps(forged).encode())
    assert of(simulator).parse(request)
    with pytest.raises(WebhookError):
        of(simulator).scheme().verify(request, 0.0)


@pytest.mark.parametrize("opened", [b"", b"[]", b"7", b"\xff", b"{"])
def test_what_opens_and_holds_no_object_is_not_understood(opened: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_svc.providers.anvil.unwrapped", lambda _text, _key: opened)
    simulator = AnvilSimulator(encrypted=True)
    with pytest.raises(ValueError, match=r"JSON|no object"):
        of(simulator).parse(simulator.finish("p-1")[-1])


def test_a_private_key_that_is_none_is_refused_at_start() -> None:
    problems: list[Problem] = []
    table = {"secrets": [secret("token")], "api_key": secret("key"), "private_key": secret("no key")}
    build(AnvilSettings, table, "sources.x", problems)
    assert ["an RSA private key in PEM form, without a password"] == [one.expected for one in problems]


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (packet(status="sent"), NotReady),
        (packet(status=None), NotReady),
        (packet(status="declined"), Ignored),
        (packet(documentGroup=None), NotReady),
        (Answer(status=200, body=b'{"data": {"etchPacket": null}, "errors": [{"message": "x"}]}'), Unlikely),
        (Answer(status=404), Unlikely),
        (Answer(status=401), Permanent),
    ],
)
def test_files_are_fetched_of_a_completed_packet_alone(answer: Answer, fate: type[WebhookError]) -> None:
    flow = anvil().steps(REF)
    asked = next(flow)
    assert isinstance(asked, Call)
    assert {"eid": "p-1"} == asked.request.json["variables"]
    with pytest.raises(WebhookError) as raised:
        flow.send(answer)
    assert fate is type(raised.value)


def test_what_graphql_says_of_an_error_is_told() -> None:
    flow = anvil().steps(REF)
    next(flow)
    with pytest.raises(Unlikely, match=r"^Anvil knows no such etchPacket, or cannot tell now \(no field x\)$"):
        flow.send(Answer(status=200, body=b'{"data": null, "errors": [{"message": "no field\\nx"}]}'))


def test_the_files_of_a_completed_packet_come_as_one_zip() -> None:
    flow = anvil().steps(dataclasses.replace(REF, name=""))
    next(flow)
    saved = flow.send(packet())
    assert isinstance(saved, Save)
    assert ("https://app.useanvil.com/api/document-group/g-1.zip", "Lease.zip", "application/zip") == (
        saved.request.url,
        saved.name,
        saved.content_type,
    )


def test_a_callback_that_is_believed_names_the_files_itself() -> None:
    said = {"action": "etchPacketComplete", "data": {"documentGroup": {"eid": "g-7"}}}
    [event] = anvil(confirm=False).parse(RawRequest(body=json.dumps(said).encode()))
    saved = next(anvil(confirm=False).steps(event.documents[0]))
    assert isinstance(saved, Save)
    assert saved.request.url.endswith("/api/document-group/g-7.zip")


def test_what_a_list_names_is_asked_for_also_where_callbacks_are_believed() -> None:
    assert isinstance(next(anvil(confirm=False).steps(REF)), Call)


def test_a_source_without_an_organisation_has_no_list() -> None:
    assert (None, 3600.0) == (anvil().polls_every(), anvil(organization="acme").polls_every())
