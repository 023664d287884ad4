"""What every provider promises, held against the vectors in tests/vectors/providers/<name>/."""

import base64
import dataclasses
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kinds import provider_kind
from webhook_svc.core.errors import Ignored, NotGenuine, Permanent, WebhookError
from webhook_svc.core.outgoing import Answer, Call, Save
from webhook_svc.core.ports import Provider
from webhook_svc.core.registry import guide_of
from webhook_svc.core.sections import SourceKeys
from webhook_svc.core.settings import Secret, build
from webhook_svc.core.types import AUDIT, CERTIFICATE, DOCUMENT, DocumentRef, RawRequest, SourceEvent
from webhook_svc.providers import PROVIDERS

FOLDER = Path(__file__).parent.parent / "vectors" / "providers"
URL = "https://hooks.example.test"
NOT_UNDERSTOOD = (ValueError, Permanent, Ignored)
HOSTILE: tuple[object, ...] = (
    *(None, True, 1e308, [], {}, [[]]),
    *("", "..", "../../etc/passwd", "\x00", "\ud800", "x" * 20_000, "a\r\nB: c"),
)
HOSTILE_BODIES = (
    b"",
    b"not json",
    b"\xff\xfe{}",
    b"null",
    b"1",
    b'"text"',
    b"[]",
    b"[[1]]",
    b"{}",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"id": ' + b"9" * 5_000 + b"}",
)
ANSWERS = tuple(
    Answer(status=status, headers=headers, body=body)
    for status in (200, 204, 301, 400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 503)
    for headers in ({}, {"retry-after": "7", "date": "garbage"}, {"retry-after": "\u0663"})
    for body in (b"", b"{}", b"[]", b"null", b"<html>", b'{"status": {}, "details": 1, "expires_at": [], "name": 5}')
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vector:
    """One callback with the settings and the time it is judged with. `others` are secrets of somebody else."""

    provider: str
    name: str
    table: Mapping[str, Any]
    others: list[str]
    request: RawRequest
    said: Mapping[str, Any]

    @property
    def now(self) -> float:
        return float(self.said["now"])

    def built(self, **changed: Any) -> Provider:
        problems: list[Any] = []
        kind = provider_kind(self.provider)
        settings = build(kind.Settings, {**self.table, **changed}, self.name, problems)
        assert [] == problems
        return kind(self.provider, settings, URL)


def raw(said: Mapping[str, Any]) -> RawRequest:
    body = base64.b64decode(said["body_base64"]) if "body_base64" in said else said.get("body", "").encode()
    headers = tuple((name.lower(), value) for name, value in said["headers"])
    return RawRequest(path=said.get("path", "/"), query=said.get("query", ""), headers=headers, body=body)


def read(provider: str) -> Iterator[Vector]:
    for path in sorted((FOLDER / provider).glob("*.json")):
        file = json.loads(path.read_text())
        for said in file["vectors"]:
            table = {**file["settings"], **said.get("settings", {})}
            name = f"{provider}/{path.stem}: {said['name']}"
            others = file.get("other_secrets") or [another(secret) for secret in table.get("secrets", ())]
            asked = raw(said["request"])
            yield Vector(provider=provider, name=name, table=table, others=others, request=asked, said=said)


def another(secret: str) -> str:
    return secret[:-1] + ("0" if secret[-1] != "0" else "1")


VECTORS = [vector for name in PROVIDERS.names() for vector in read(name)]
GENUINE = [vector for vector in VECTORS if vector.said["genuine"]]
SIGNED = [vector for vector in GENUINE if vector.built().scheme().signs]
every = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
genuine = pytest.mark.parametrize("vector", GENUINE, ids=lambda vector: vector.name)
READY = {
    (one.provider, str(sorted(one.table))): one
    for one in reversed(GENUINE)
    if any(event["documents"] for event in one.said.get("events", ()))
}
"""The first callback of each provider, and of each way to configure it, that names a document."""
ready = pytest.mark.parametrize("vector", READY.values(), ids=lambda vector: vector.name)
signed = pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector.name)
signs_the_body, signs_the_time = (
    pytest.mark.parametrize(
        "vector", [vector for vector in SIGNED if what in vector.said["covers"]], ids=lambda v: v.name
    )
    for what in ("body", "time")
)


@pytest.mark.parametrize("name", PROVIDERS.names())
def test_a_provider_brings_vectors_that_are_genuine_and_vectors_that_are_not(name: str) -> None:
    verdicts = {vector.said["genuine"] for vector in VECTORS if vector.provider == name}
    assert {True, False} == verdicts


@every
def test_the_verdict_is_as_written(vector: Vector) -> None:
    assert vector.said["genuine"] == is_genuine(vector.built(), vector.request, vector.now)


@genuine
def test_the_callback_is_understood_as_written(vector: Vector) -> None:
    if "events" in vector.said:
        assert vector.said["events"] == [plain(event) for event in vector.built().parse(vector.request)]
    else:
        with pytest.raises(NOT_UNDERSTOOD):
            vector.built().parse(vector.request)


@genuine
def test_the_delivery_id_is_as_written(vector: Vector) -> None:
    assert vector.said["delivery_id"] == vector.built().delivery_id(vector.request)


@signs_the_body
def test_a_changed_body_is_refused(vector: Vector) -> None:
    for place in {0, len(vector.request.body) // 2, len(vector.request.body) - 1}:
        body = bytearray(vector.request.body)
        body[place] ^= 1
        assert not is_genuine(vector.built(), dataclasses.replace(vector.request, body=bytes(body)), vector.now)


@signs_the_time
def test_a_clock_outside_the_window_is_refused(vector: Vector) -> None:
    assert is_genuine(vector.built(), vector.request, vector.now)
    for seconds in (-301, 301, 86_400 * 365, -86_400 * 365):
        assert not is_genuine(vector.built(), vector.request, vector.now + seconds), seconds


@signed
def test_another_secret_is_refused(vector: Vector) -> None:
    assert vector.others
    assert not is_genuine(vector.built(secrets=vector.others), vector.request, vector.now)


@signed
def test_a_spoiled_signature_header_is_refused(vector: Vector) -> None:
    texts = ("", "garbage", "é\x80ÿ", ",", "=" * 5_000, f"t={'9' * 400},v1={'0' * 64}", "t=,v1=")
    for name in vector.said["signed_in"]:
        for values in ([], *([text] for text in texts)):
            spoiled = with_header(vector.request, name, values)
            assert not is_genuine(vector.built(), spoiled, vector.now), values


@signed
def test_a_doubled_signature_header_is_refused(vector: Vector) -> None:
    for name in vector.said["signed_in"]:
        value = vector.request.header(name) or ""
        assert not is_genuine(vector.built(), with_header(vector.request, name, [value, value]), vector.now)


@every
def test_headers_of_any_kind_never_raise_anything_but_not_genuine(vector: Vector) -> None:
    scheme = vector.built().scheme()
    for name, value in vector.request.headers:
        for values in ([], [""], [value, value], [value[:-1]], [value + ","], ["\xff" * 70_000], [value * 3]):
            spoiled = with_header(vector.request, name, values)
            is_genuine(vector.built(), spoiled, vector.now)
            assert len(spoiled.headers) == len(scheme.mask(spoiled).headers)


@every
def test_a_hostile_body_is_at_most_not_understood(vector: Vector) -> None:
    provider = vector.built()
    for request in hostile(vector.request):
        assert isinstance(provider.delivery_id(request), str)
        understood(provider, request)


@ready
def test_whatever_the_callback_says_no_credential_leaves_the_credential_headers(vector: Vector) -> None:
    provider = vector.built()
    secrets = list(revealed(provider.settings))
    for request in (vector.request, *hostile(vector.request)):
        for ref in refs(understood(provider, request)):
            for outgoing in asked(provider, ref, Answer(status=200, body=b"{}")):
                shown = f"{outgoing.url} {dict(outgoing.headers)}"
                assert [] == [secret for secret in secrets if secret in shown]


@ready
def test_a_hostile_id_stays_one_segment_of_the_url(vector: Vector) -> None:
    provider = vector.built()
    usual = next((asked(provider, ref, Answer(status=200)) for ref in refs(understood(provider, vector.request))), [])
    for request in hostile(vector.request):
        for ref in refs(understood(provider, request)):
            for ordinary, outgoing in zip(usual, asked(provider, ref, Answer(status=200)), strict=False):
                assert ordinary.url.count("/") == outgoing.url.count("/")
                assert ordinary.url.split("/")[:3] == outgoing.url.split("/")[:3]
                assert outgoing.url.isascii()
                assert outgoing.url.isprintable()


@genuine
def test_every_answer_of_the_api_ends_in_an_error_whose_class_is_the_fate(vector: Vector) -> None:
    provider = vector.built()
    for ref in refs(provider.parse(vector.request) if "events" in vector.said else []):
        for answer in ANSWERS:
            asked(provider, ref, answer)


@pytest.mark.parametrize("name", PROVIDERS.names())
def test_the_configuration_in_its_guide_can_be_pasted(name: str) -> None:
    kind = provider_kind(name)
    text = guide_of(kind).partition("```toml\n")[2].partition("```")[0]
    [table] = tomllib.loads(text)["sources"].values()
    assert name == table["provider"]
    problems: list[Any] = []
    of_every_source = {field.name for field in dataclasses.fields(SourceKeys)}
    filled = {key: filled_in(table[key], name, key) for key in table.keys() - of_every_source}
    build(kind.Settings, filled, "guide", problems)
    assert [] == problems


def filled_in(value: Any, name: str, key: str) -> Any:
    """What a reader fills in for `${SECRET}`: some senders' secrets have a form of their own."""
    is_open = isinstance(value, list) and all(str(one).startswith("${") for one in value)
    vector = next(vector for vector in GENUINE if vector.provider == name)
    return vector.table.get(key, value) if is_open else value


def is_genuine(provider: Provider, request: RawRequest, now: float) -> bool:
    try:
        provider.scheme().verify(request, now)
    except NotGenuine:
        return False
    return True


def understood(provider: Provider, request: RawRequest) -> list[SourceEvent]:
    try:
        return provider.parse(request)
    except NOT_UNDERSTOOD:
        return []


def refs(events: list[SourceEvent]) -> list[DocumentRef]:
    found = [ref for event in events for ref in event.documents]
    return [dataclasses.replace(ref, parts=(DOCUMENT, CERTIFICATE, AUDIT)) for ref in found]


def asked(provider: Provider, ref: DocumentRef, answer: Answer) -> list[Any]:
    """The requests that go out if every one of them is answered alike; only errors of ours may end the flow."""
    sent: list[Any] = []
    steps = provider.steps(ref)
    try:
        step = next(steps)
        while len(sent) < 20:
            if isinstance(step, Call | Save):
                sent.append(step.request)
            step = steps.send(answer)
    except (StopIteration, WebhookError):
        pass
    return sent


def with_header(request: RawRequest, name: str, values: list[str]) -> RawRequest:
    kept = [(key, value) for key, value in request.headers if key != name.lower()]
    return dataclasses.replace(request, headers=(*kept, *((name.lower(), value) for value in values)))


def hostile(request: RawRequest) -> Iterator[RawRequest]:
    for body in HOSTILE_BODIES:
        yield dataclasses.replace(request, body=body)
    try:
        document = request.json()
    except ValueError:
        return
    for changed in with_a_leaf_replaced(document):
        yield dataclasses.replace(request, body=json.dumps(changed).encode())


def with_a_leaf_replaced(value: Any) -> Iterator[Any]:
    yield from HOSTILE
    if isinstance(value, dict):
        for key in value:
            yield {other: inner for other, inner in value.items() if other != key}
            yield from ({**value, key: changed} for changed in with_a_leaf_replaced(value[key]))


def revealed(settings: Any) -> Iterator[str]:
    """Every secret in the settings, but not the addresses that stand among the values of a template."""
    if isinstance(settings, Secret):
        yield from [] if settings.reveal().startswith("http") else [settings.reveal()]
    elif dataclasses.is_dataclass(settings):
        for field in dataclasses.fields(settings):
            yield from revealed(getattr(settings, field.name))
    elif isinstance(settings, Mapping | tuple):
        for inner in settings.values() if isinstance(settings, Mapping) else settings:
            yield from revealed(inner)


def plain(event: SourceEvent) -> dict[str, Any]:
    documents = [
        {"id": ref.id, "round": ref.round, "name": ref.name, "completed": ref.completed, "hints": dict(ref.hints)}
        for ref in event.documents
    ]
    return {"type": event.type, "meaning": str(event.meaning), "id": event.id, "at": event.at, "documents": documents}
