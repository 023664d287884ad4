"""What every simulator promises: real callbacks, a real API, documents byte for byte, and each of its quirks."""

import dataclasses
import hashlib
import http.client
import io
import json
import zipfile
from collections.abc import Callable, Generator
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from werkzeug.test import Client

from tests.kinds import can_list, provider_kind, simulator_kind
from webhook_svc.core.errors import NotGenuine, NotReady, Permanent, Problem, RenewToken, Retryable, Unlikely
from webhook_svc.core.outgoing import Answer, Call, Inline, Lacking, Listed, Login, Request, Save, Warn
from webhook_svc.core.ports import Provider, Simulator, Step, Steps
from webhook_svc.core.settings import build
from webhook_svc.core.types import AUDIT, CERTIFICATE, DOCUMENT, Meaning, RawRequest
from webhook_svc.profiles.provider import Described
from webhook_svc.providers import PROVIDERS
from webhook_svc.simulators import SIMULATORS
from webhook_svc.simulators.mark import MARK
from webhook_svc.simulators.serve import send, serve

NOW = 1_760_000_000.0
FETCHED = (Meaning.READY, Meaning.CHANGED)
BASE = "http://sender.example.test"


class World:
    """A simulator, the provider that its `source` table configures, and a clock that both share."""

    def __init__(self, name: str) -> None:
        self.now = NOW
        self.pauses: list[float] = []
        self.refuses_optional = False
        self.sends_wrong_credentials = False
        self.simulator: Simulator = SIMULATORS.load(name)(clock=lambda: self.now, pause=self.pauses.append)
        self.provider = self.provider_at(BASE)
        self.client = Client(self.simulator.wsgi())
        self.seen: list[tuple[Request, Answer]] = []
        self.saved: dict[str, bytes] = {}
        self.lacking: list[str] = []
        self.tokens: list[str] = []
        self.listed: list[str] = []
        self.warnings: list[str] = []

    def provider_at(self, base: str) -> Provider:
        table = self.simulator.source(base)
        kind, problems = provider_kind(table.pop("provider")), list[Problem]()
        settings = build(kind.Settings, table, "sources.test", problems)
        assert [] == problems
        return kind("test", settings, "https://hooks.example.test")

    def fetch(self, document: str, *parts: str) -> None:
        ready = [event for callback in self.simulator.finish(document) for event in self.provider.parse(callback)]
        ref = next(event.documents[0] for event in ready if event.meaning in FETCHED)
        self.again = dataclasses.replace(ref, parts=parts or (DOCUMENT,))
        self.drive(self.provider.steps(self.again))

    def drive(self, steps: Steps) -> None:
        """Runs the steps to their end; a token that is refused is made anew, once."""
        self.result(steps)

    def answer(self, step: Step) -> Answer:
        match step:
            case Save(optional=True) | Call(optional=True) if self.refuses_optional:
                return Answer(status=0, body=b"time-out")
            case Save() | Call():
                return self.exchange(step)
            case Login():
                return Answer(status=200, body=self.token().encode())
            case Inline():
                self.saved[step.part] = step.content
            case Lacking():
                self.lacking.append(step.part)
            case Listed():
                self.listed.append(step.ref.id)
            case Warn():
                self.warnings.append(step.message)
        return Answer(status=0)

    def token(self) -> str:
        """Logs in once; `tokens` counts how often that was."""
        if not self.tokens:
            self.tokens.append(self.result(self.provider.login()).text)
        return self.tokens[-1]

    def result(self, flow: Generator[Step, Answer, Any]) -> Any:
        """What the flow returns in the end."""
        answer: Any = None
        while True:
            try:
                answer = self.answer(flow.send(answer))
            except StopIteration as end:
                return end.value

    def exchange(self, step: Save | Call) -> Answer:
        asked = step.request
        auth, query = asked.auth, asked.auth_query
        if self.sends_wrong_credentials:
            auth, query = dict.fromkeys(auth, "wrong"), dict.fromkeys(query, "wrong")
        url = asked.url + ("&" if "?" in asked.url else "?") * bool(query) + urlencode(query)
        with self.client.open(
            url.removeprefix(BASE),
            base_url=BASE,
            method=asked.method,
            headers={**asked.headers, **auth},
            json=asked.json,
            data=asked.body if isinstance(asked.body, bytes) else None,
        ) as response:
            headers = {"date": formatdate(self.now, usegmt=True)}
            headers |= {name.lower(): value for name, value in response.headers}
            answer = Answer(status=response.status_code, headers=headers, body=response.data)
        self.seen.append((asked, answer))
        if isinstance(step, Save) and answer.ok:
            self.saved[step.part] = answer.body
            digest = hashlib.sha256(answer.body).hexdigest()
            return dataclasses.replace(answer, body=b"", sha256=digest, size=len(answer.body))
        return answer

    def is_genuine(self, callback: RawRequest) -> bool:
        try:
            self.provider.scheme().verify(callback, self.now)
        except NotGenuine:
            return False
        return True


def has_a_list(name: str) -> bool:
    return can_list(simulator_kind(name).provider)


@pytest.fixture(params=SIMULATORS.names())
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def test_every_provider_of_the_registry_has_a_simulator() -> None:
    assert [] == sorted(set(PROVIDERS.names()) - set(SIMULATORS.names()))


def test_its_source_table_names_its_provider(world: World) -> None:
    assert world.simulator.provider == world.simulator.source(BASE)["provider"]


def test_the_table_of_providers_says_what_is_so(world: World) -> None:
    traits = type(world.provider).traits
    assert traits.verify
    assert world.provider.offers() <= set(traits.parts)
    assert traits.lists == (
        type(world.provider).completed_since is not Provider.completed_since and has_a_list_now(world)
    )


def has_a_list_now(world: World) -> bool:
    return world.provider.polls_every() is not None


def test_its_callbacks_are_genuine_and_one_of_them_says_ready(world: World) -> None:
    callbacks = world.simulator.finish("d-1")
    assert [True] * len(callbacks) == [world.is_genuine(callback) for callback in callbacks]
    meanings = {event.meaning for callback in callbacks for event in world.provider.parse(callback)}
    assert meanings & {*FETCHED}


def test_each_callback_has_a_delivery_id_of_its_own(world: World) -> None:
    callbacks = [*world.simulator.finish("d-1"), *world.simulator.finish("d-2")]
    assert len(callbacks) == len({world.provider.delivery_id(callback) for callback in callbacks} - {""})


@pytest.mark.parametrize("document", ["d-1", "a/b", "../../etc/passwd", "ü?#%&", "two words"])
def test_the_steps_bring_the_document_byte_for_byte(world: World, document: str) -> None:
    world.fetch(document)
    assert {DOCUMENT: world.simulator.document_bytes(document)} == world.saved


def test_certificate_and_audit_come_along_where_the_sender_has_them(world: World) -> None:
    world.fetch("d-1", DOCUMENT, CERTIFICATE, AUDIT)
    assert {part: world.simulator.document_bytes("d-1", part) for part in world.saved} == world.saved


def test_the_document_comes_where_everything_that_may_fail_does(world: World) -> None:
    world.refuses_optional = True
    world.fetch("d-1", DOCUMENT, CERTIFICATE, AUDIT)
    assert world.simulator.document_bytes("d-1") == world.saved.pop(DOCUMENT)
    assert {} == world.saved
    assert world.provider.offers() - {DOCUMENT} == set(world.lacking)


def test_a_document_is_a_pdf_or_a_zip_of_them_of_at_least_the_size_that_was_asked_for(world: World) -> None:
    world.simulator.finish("d-1", size=100_000)
    content = world.simulator.document_bytes("d-1")
    assert len(content) >= 100_000
    for document in files_in(content):
        assert document.startswith(b"%PDF-")
        assert document.rstrip().endswith(b"%%EOF")


def test_two_documents_have_different_bytes_and_one_document_always_the_same(world: World) -> None:
    world.simulator.finish("d-1")
    world.simulator.finish("d-2")
    first = world.simulator.document_bytes("d-1")
    assert first == world.simulator.document_bytes("d-1")
    assert first != world.simulator.document_bytes("d-2")


def test_the_api_refuses_a_wrong_credential(world: World) -> None:
    world.sends_wrong_credentials = True
    with pytest.raises((Permanent, RenewToken)):
        world.fetch("d-1")
    assert {} == world.saved


def test_credentials_travel_in_auth_alone(world: World) -> None:
    world.fetch("d-1", DOCUMENT, CERTIFICATE, AUDIT)
    sent = [value for request, _ in world.seen for value in (*request.auth.values(), *request.auth_query.values())]
    shown = [f"{request.url} {dict(request.headers)}" for request, _ in world.seen]
    assert sent
    assert [] == [line for line in shown for value in sent if value.removeprefix("Bearer ") in line]


@pytest.mark.parametrize("name", [name for name in SIMULATORS.names() if has_a_list(name)])
def test_the_list_names_what_was_completed_since(name: str) -> None:
    """It may name more, where times or zones are uncertain, but not what is days older; where it tells no time at all,
    everything."""
    world = World(name)
    world.simulator.finish("too old")
    world.now += 300_000
    callbacks = [callback for number in range(120) for callback in world.simulator.finish(f"d-{number}")]
    named = ids_in(world, callbacks)
    world.drive(world.provider.completed_since(NOW + 299_500))
    untimed = isinstance(world.provider, Described) and not getattr(world.provider.described.list_, "completed", "")
    assert named | ({"too old"} if untimed else set()) == set(world.listed)
    assert 120 == len(named)


def test_over_a_real_port_callback_and_document_are_the_same(world: World) -> None:
    callback = world.simulator.finish("d-1")[0]
    with serve(echo) as echoed, serve(world.simulator.wsgi()) as api:
        status, headers, body = send(f"{echoed.url}/hooks/x", callback)
        assert (200, callback.body) == (status, body)
        assert "/hooks/x" == headers["x-path"]
        provider = world.provider_at(api.url)
        ref = provider.parse(world.simulator.finish("d-1")[-1])[0].documents[0]
        assert world.simulator.document_bytes("d-1") == over_sockets(provider, provider.steps(ref)).body


def test_an_unknown_quirk_names_the_known_ones(world: World) -> None:
    with pytest.raises(ValueError, match="duplicate"):
        world.simulator.misbehave("wrong-signature")


# --- the quirks: one function each, named like the quirk ------------------------------------------------------------


def duplicate(world: World) -> None:
    ids = [world.provider.delivery_id(callback) for callback in world.simulator.finish("d-1")]
    assert 1 == len(ids) - len(set(ids))


def reorder(world: World) -> None:
    assert kinds(world, world.simulator.finish("d-1")) == kinds(world, world.simulator.finish("d-1"))[::-1]


def late(world: World) -> None:
    first = world.simulator.finish("d-1")[0]
    assert not world.is_genuine(first)
    world.now -= 3600
    assert world.is_genuine(first)


def wrong_signature(world: World) -> None:
    first, *_ = world.simulator.finish("d-1")
    assert not world.is_genuine(first)
    assert all(map(world.is_genuine, world.simulator.finish("d-1")))


def rotated_secret(world: World) -> None:
    rotated, *_ = world.simulator.finish("d-1")
    assert world.is_genuine(rotated)


def expired_link(world: World) -> None:
    try:
        world.fetch("d-1")
    except Retryable:
        world.drive(world.provider.steps(world.again))
    assert 403 in [answer.status for _, answer in world.seen]
    assert world.simulator.document_bytes("d-1") == world.saved[DOCUMENT]


def unavailable(world: World) -> None:
    later: tuple[type[NotReady | Retryable], ...] = (NotReady, Retryable)
    with pytest.raises(later) as raised:
        world.fetch("d-1")
    assert 1.0 == raised.value.after
    brings_the_document_at_last(world)


def rate_limited(world: World) -> None:
    with pytest.raises(Retryable) as raised:
        world.fetch("d-1")
    assert 1.0 == raised.value.after
    brings_the_document_at_last(world)


def not_ready(world: World) -> None:
    with pytest.raises((NotReady, Unlikely)):
        world.fetch("d-1")
    brings_the_document_at_last(world)


def certificate_late(world: World) -> None:
    world.fetch("d-1", DOCUMENT, CERTIFICATE)
    assert [CERTIFICATE] == world.lacking
    assert [DOCUMENT] == list(world.saved)
    world.drive(world.provider.steps(dataclasses.replace(world.again, parts=(CERTIFICATE,))))
    assert world.simulator.document_bytes("d-1", CERTIFICATE) == world.saved[CERTIFICATE]


def truncated(world: World) -> None:
    world.fetch("d-1")
    assert is_cut(world)
    assert str(len(world.saved[DOCUMENT])) == world.seen[-1][1].headers["content-length"]


def short_of_length(world: World) -> None:
    world.fetch("d-1")
    assert is_cut(world)
    whole = world.simulator.document_bytes("d-1")
    assert str(len(whole)) == world.seen[-1][1].headers["content-length"]


def trickle(world: World) -> None:
    world.fetch("d-1")
    assert len(world.pauses) >= 10
    assert world.simulator.document_bytes("d-1") == world.saved[DOCUMENT]


def reset(world: World) -> None:
    callback = world.simulator.finish("d-1")[-1]
    with serve(world.simulator.wsgi()) as api:
        provider = world.provider_at(api.url)
        steps = provider.steps(provider.parse(callback)[0].documents[0])
        with pytest.raises(ConnectionResetError):
            over_sockets(provider, steps)


def dropped(world: World) -> None:
    assert [] == world.simulator.finish("d-1")
    assert world.simulator.document_bytes("d-1")
    assert world.simulator.finish("d-2")


def empty_file(world: World) -> None:
    world.fetch("d-1")
    assert b"" == world.saved[DOCUMENT]


def html_file(world: World) -> None:
    world.fetch("d-1")
    assert world.saved[DOCUMENT].startswith(b"<!doctype html>")
    assert 200 == world.seen[-1][1].status


def json_file(world: World) -> None:
    try:
        world.fetch("d-1")
    except Retryable:
        pass  # where JSON is never a document, the provider reads it
    else:
        assert world.saved[DOCUMENT].startswith(b"{")
    assert 200 == world.seen[-1][1].status


def private_redirect(world: World) -> None:
    with pytest.raises((Retryable, Permanent)):
        world.fetch("d-1")
    assert "169.254.169.254" in world.seen[-1][1].headers["location"]


def rate_limited_silently(world: World) -> None:
    with pytest.raises(Retryable) as raised:
        world.fetch("d-1")
    assert raised.value.after is None
    brings_the_document_at_last(world)


def server_error(world: World) -> None:
    with pytest.raises(Retryable):
        world.fetch("d-1")
    brings_the_document_at_last(world)


def html_page(world: World) -> None:
    with pytest.raises(Retryable):
        world.fetch("d-1")
    brings_the_document_at_last(world)


def not_found(world: World) -> None:
    with pytest.raises((NotReady, Retryable, Permanent)):
        world.fetch("d-1")
    brings_the_document_at_last(world)


def hostile_name(world: World) -> None:
    world.fetch("d-1")
    assert world.simulator.document_bytes("d-1") == world.saved[DOCUMENT]


def token_expired(world: World) -> None:
    with pytest.raises(RenewToken):
        world.fetch("d-1")
    old = world.tokens.pop()
    brings_the_document_at_last(world)
    assert old != world.tokens[-1]


def token_down(world: World) -> None:
    with pytest.raises(Retryable):
        world.fetch("d-1")
    brings_the_document_at_last(world)


def list_shrinks(world: World) -> None:
    named = ids_in(world, [callback for number in range(120) for callback in world.simulator.finish(f"d-{number}")])
    world.drive(world.provider.completed_since(NOW - 1))
    assert sorted(named) == sorted(world.listed)


def hook_failing(world: World) -> None:
    assert [True] == ["3 times" in warning for warning in warnings_of_the_list(world)]
    assert [] == warnings_of_the_list(world)


def hook_disabled(world: World) -> None:
    assert [True] == ["switched off" in warning for warning in warnings_of_the_list(world)]
    assert [] == warnings_of_the_list(world)


def callback_failed(world: World) -> None:
    """Nothing is sent, and the list warns."""
    assert [] == world.simulator.finish("d-1")
    assert [True] == ["could not deliver" in warning for warning in warnings_of_the_list(world)]


SHOWN_BY_ALL = (
    *(duplicate, reorder, dropped, wrong_signature),
    *(truncated, short_of_length, trickle, reset, empty_file, html_file, json_file, private_redirect),
    *(rate_limited, rate_limited_silently, server_error, unavailable, html_page),
    *(not_ready, not_found, hostile_name),
)
SHOWN_WHERE_IT_APPLIES = (
    *(late, rotated_secret, expired_link, certificate_late, token_expired, token_down),
    *(list_shrinks, hook_failing, hook_disabled, callback_failed),
)
QUIRKS: dict[str, Callable[[World], None]] = {
    shows.__name__: shows for shows in (*SHOWN_BY_ALL, *SHOWN_WHERE_IT_APPLIES)
}


@pytest.mark.parametrize(
    ("name", "quirk"), [(name, quirk) for name in SIMULATORS.names() for quirk in simulator_kind(name).quirks]
)
def test_the_quirk_shows(name: str, quirk: str) -> None:
    world = World(name)
    world.simulator.misbehave(quirk)
    QUIRKS[quirk](world)


@pytest.mark.parametrize("name", SIMULATORS.names())
def test_the_quirks_that_every_provider_can_show_are_there(name: str) -> None:
    unsigned = {"wrong_signature"} if not World(name).provider.scheme().signs else set()
    assert unsigned == {shows.__name__ for shows in SHOWN_BY_ALL} - set(simulator_kind(name).quirks)


def kinds(world: World, callbacks: list[RawRequest]) -> list[str]:
    return [event.type for callback in callbacks for event in world.provider.parse(callback)]


def ids_in(world: World, callbacks: list[RawRequest]) -> set[str]:
    """The documents that callbacks name."""
    return {ref.id for callback in callbacks for event in world.provider.parse(callback) for ref in event.documents}


def brings_the_document_at_last(world: World) -> None:
    world.drive(world.provider.steps(world.again))
    assert world.simulator.document_bytes("d-1") == world.saved[DOCUMENT]


def warnings_of_the_list(world: World) -> list[str]:
    """What a look at the list warns of; never a secret, whatever stands in a callback's URL."""
    world.warnings.clear()
    world.drive(world.provider.completed_since(NOW - 1))
    assert [] == [warning for warning in world.warnings if MARK in warning]
    return list(world.warnings)


def files_in(content: bytes) -> list[bytes]:
    """Those of a ZIP, or the file itself."""
    if not content.startswith(b"PK"):
        return [content]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(name) for name in archive.namelist()]


def is_cut(world: World) -> bool:
    whole, saved = world.simulator.document_bytes("d-1"), world.saved[DOCUMENT]
    return whole.startswith(saved) and len(saved) < len(whole)


def over_sockets(provider: Provider, flow: Generator[Step, Answer, Any]) -> Answer:
    """The last answer of the flow, fetched over real connections."""
    answer, text = Answer(status=0), ""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Login):
                text = text or logged_in(provider)
                step = flow.send(Answer(status=200, body=text.encode()))
                continue
            if isinstance(step, Call | Save):
                answer = over_a_socket(step.request)
            if isinstance(step, Save) and answer.ok:
                answer = dataclasses.replace(answer, sha256=hashlib.sha256(answer.body).hexdigest())
            step = flow.send(answer)
    except StopIteration:
        return answer


def logged_in(provider: Provider) -> str:
    flow = provider.login()
    try:
        step = next(flow)
        while True:
            step = flow.send(over_a_socket(step.request) if isinstance(step, Call) else Answer(status=0))
    except StopIteration as end:
        return str(end.value.text)


def over_a_socket(asked: Request) -> Answer:
    parts = urlsplit(asked.url)
    body = asked.body if isinstance(asked.body, bytes) else None
    body = body if asked.json is None else json.dumps(asked.json).encode()
    kind = {} if asked.json is None else {"Content-Type": "application/json"}
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        target = f"{parts.path}?{'&'.join(filter(None, (parts.query, urlencode(asked.auth_query))))}"
        connection.request(asked.method, target, body, {**kind, **asked.headers, **asked.auth})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=headers, body=response.read())
    finally:
        connection.close()


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
    return [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]
