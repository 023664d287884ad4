"""Bad input on the whole way: a callback over HTTP, the worker, a provider that misbehaves, the folder."""

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.guard import leaks, secret
from webhook_svc import wiring
from webhook_svc.core.asking import Query
from webhook_svc.core.types import RawRequest
from webhook_svc.simulators.pdf import pdf
from webhook_svc.simulators.serve import send, serve

PATIENCE = 20.0

Answering = Callable[[Request], Response]


@dataclass
class Provider:
    """Answers downloads: first with what stands in `first`, then with `document`."""

    url: str
    document: bytes = field(default_factory=lambda: pdf("Contract"))
    first: list[Response] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        self.asked.append(str(request.environ.get("REQUEST_URI") or request.path))
        if self.first:
            return self.first.pop(0)
        return Response(self.document, headers=self.headers, mimetype="application/pdf")


@dataclass
class Chain:
    """The service in this process: its web side on a real port, its worker on a thread."""

    url: str
    archive: Path
    service: wiring.Service

    def callback(self, source: str = "anybody", **event: Any) -> tuple[int, dict[str, str]]:
        body = json.dumps({"id": os.urandom(8).hex(), "type": "done", **event}).encode()
        return send(f"{self.url}/hooks/{source}", RawRequest(body=body))[:2]

    def insist(self, **event: Any) -> None:
        """As every sender does where the answer is a 503."""
        while self.callback(**event)[0] == 503:
            pass

    def documents(self) -> list[Path]:
        return [path for path in self.archive.rglob("*") if path.is_file() and path.name != "manifest.json"]

    def arrived(self, number: int = 1) -> list[Path]:
        """The documents in the folder once there are so many and the deliveries are done."""

        def done() -> bool:
            return number <= [row["state"] for row in self.rows("deliveries")].count("delivered")

        until(done, f"{number} documents", self.story)
        return self.documents()

    def rows(self, kind: Any) -> list[dict[str, Any]]:
        return self.service.store.list(Query(kind=kind))

    def dead(self) -> list[dict[str, Any]]:
        until(lambda: bool(self.rows("dead")), "a dead letter", self.story)
        return self.rows("dead")

    def attempts(self, event_id: str) -> list[dict[str, Any]]:
        story = self.service.store.timeline(event_id) or {"signings": []}
        return [one for signing in story["signings"] for one in signing["attempts"]]

    def story(self) -> str:
        ids = [str(row["id"]) for row in self.rows("events")]
        return json.dumps([self.service.store.timeline(one) for one in ids], indent=1, default=str)


def until(condition: Callable[[], bool], what: str, explain: Callable[[], str] = str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"gave up waiting for {what}\n{explain()}"
        time.sleep(0.02)


@pytest.fixture
def provider(httpserver: HTTPServer) -> Provider:
    answering = Provider(httpserver.url_for("").rstrip("/"))
    httpserver.expect_request(re.compile(".*")).respond_with_handler(answering)
    return answering


@contextmanager
def chain(home: Path, api_base: str, store_url: str) -> Iterator[Chain]:
    configuration = f"""
[service]
accept_timeout = 1.0
[store]
url = "{store_url}"
[vault]
path = "{home}/vault"
[retry]
delays = [0.1, 0.2, 0.5, 1.0]
not_ready = [0.2, 0.5]
[worker]
poll = 0.1
[http]
read_timeout = 2.0
[sources.anybody]
provider = "generic"
parts = ["document"]
sinks = ["archive"]
[sources.anybody.values]
api = "{api_base}"
[sources.anybody.verify]
alg = "none"
[sources.anybody.event]
id = "/id"
type = "/type"
ready = ["done"]
document = "/document"
name = "/name"
[[sources.anybody.download]]
get = "{{api}}/contracts/{{document}}/pdf"
save = "document"
not_ready = [409, 503]
[sinks.archive]
kind = "folder"
path = "{home}/archive"
name = "{{source}}/{{document}}/{{filename}}"
"""
    made = wiring.service(wiring.configured({"WEBHOOK_SVC_CONFIG_TOML": configuration}))
    worker = made.worker()
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        with serve(made.app()) as served:
            yield Chain(served.url, home / "archive", made)
    finally:
        worker.stop()
        running.join()
        made.close()


@pytest.fixture
def way(tmp_path: Path, provider: Provider, store_url: str) -> Iterator[Chain]:
    with chain(tmp_path, provider.url, store_url) as running:
        yield running


def hashes(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def whole(provider: Provider) -> str:
    return hashlib.sha256(provider.document).hexdigest()


# --- the provider -------------------------------------------------------------------------------------------------


def test_a_truncated_pdf_is_fetched_again_until_it_is_whole(way: Chain, provider: Provider) -> None:
    half = provider.document[: len(provider.document) // 2]
    provider.first += [Response(half, mimetype="application/pdf")] * 2
    status, headers = way.callback(document="c1")
    assert 200 == status
    assert [whole(provider)] == hashes(way.arrived())
    assert ["DocumentCheckFailed", "DocumentCheckFailed", ""] == [
        one["error"] for one in way.attempts(headers["webhook-event"])
    ]


def test_a_503_of_the_provider_is_waited_out_and_burns_no_try(way: Chain, provider: Provider) -> None:
    provider.first += [Response("later", 503, headers={"Retry-After": "0"})]
    _, headers = way.callback(document="c1")
    assert [whole(provider)] == hashes(way.arrived())
    assert ["NotReady", ""] == [one["error"] for one in way.attempts(headers["webhook-event"])]


def test_an_answer_compressed_against_our_will_is_asked_for_again(way: Chain, provider: Provider) -> None:
    provider.first += [Response(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}, mimetype="application/pdf")]
    way.callback(document="c1")
    assert [whole(provider)] == hashes(way.arrived())


def test_a_redirect_to_a_private_address_is_a_dead_letter_that_says_so(way: Chain, provider: Provider) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as inside:
        inside.settimeout(0.2)
        place = f"http://127.0.0.1:{inside.getsockname()[1]}/latest/meta-data?key={secret('link')}"
        provider.first += [Response("", 302, headers={"Location": place})]
        way.callback(document="c1")
        (letter,) = way.dead()
        with pytest.raises(TimeoutError):
            inside.accept()
    assert "signing" == letter["what"]
    assert re.search("address", letter["reason"])
    assert [] == leaks(way.story())
    assert [] == way.documents()


# --- names that want to lead elsewhere ----------------------------------------------------------------------------


@pytest.mark.parametrize("document", ["../../etc", "/etc/passwd", "a/b", "x\0y", "\ud800", "é" * 300, "C:\\x", "..x"])
def test_a_hostile_document_id_stays_below_the_folder(
    tmp_path: Path, provider: Provider, sqlite_url: str, document: str
) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_dir()}
    with chain(tmp_path / "home", provider.url, sqlite_url) as way:
        way.callback(document=document)
        (path,) = way.arrived()
    assert (tmp_path / "home/archive/anybody", [whole(provider)]) == (path.parent.parent, hashes([path]))
    assert re.fullmatch(r"/contracts/[^/?#]+/pdf", provider.asked[0])
    assert {"home"} == {path.name for path in tmp_path.iterdir() if path.is_dir() and path not in before}


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_a_document_id_that_is_no_name_is_a_dead_letter_and_asks_for_nothing(
    tmp_path: Path, provider: Provider, sqlite_url: str, document: str
) -> None:
    with chain(tmp_path / "home", provider.url, sqlite_url) as way:
        assert 200 == way.callback(document=document)[0]
        until(
            lambda: bool(way.rows("dead")) or {"ignored"} == {row["state"] for row in way.rows("events")},
            "a closed event",
            way.story,
        )
    assert [] == provider.asked


NAMES = {
    "line breaks": "attachment; filename*=UTF-8''evil%0D%0ASet-Cookie%3A%20a.pdf",
    "emoji": "attachment; filename*=UTF-8''%F0%9F%98%80%20contract.pdf",
    "300 characters": "attachment; filename=" + "n" * 300 + ".pdf",
    "a way up": 'attachment; filename="../../../etc/cron.d/x.pdf"',
    "a hidden file": "attachment; filename=.htaccess",
    "a device": "attachment; filename=CON.pdf",
}


@pytest.mark.parametrize("disposition", NAMES.values(), ids=NAMES)
def test_a_hostile_file_name_becomes_a_plain_one(
    tmp_path: Path, provider: Provider, sqlite_url: str, disposition: str
) -> None:
    provider.headers["Content-Disposition"] = disposition
    with chain(tmp_path, provider.url, sqlite_url) as way:
        way.callback(document="c1")
        (path,) = way.arrived()
    assert tmp_path / "archive/anybody/c1" == path.parent
    assert re.fullmatch(r"[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*", path.name)
    assert len(path.name.encode()) <= 255
    assert [whole(provider)] == hashes([path])


@pytest.mark.parametrize("name", ["a\r\nb", "😀 contract", "n" * 300, "../../x", "\0", "\ud800"])
def test_a_hostile_title_becomes_a_plain_file_name(
    tmp_path: Path, provider: Provider, sqlite_url: str, name: str
) -> None:
    with chain(tmp_path, provider.url, sqlite_url) as way:
        way.callback(document="c1", name=name)
        (path,) = way.arrived()
    assert (tmp_path / "archive/anybody/c1", [whole(provider)]) == (path.parent, hashes([path]))


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 200_000, b'{"id": {"a": 1}, "type": "done"}'])
def test_what_cannot_be_understood_is_a_dead_letter_that_can_be_seen(way: Chain, body: bytes) -> None:
    status, headers, _ = send(f"{way.url}/hooks/anybody", RawRequest(body=body))
    (letter,) = way.dead()
    assert (200, "event", headers["webhook-event"]) == (status, letter["what"], letter["id"])
    assert "not" in letter["reason"]
    assert body == way.service.store.event(letter["id"]).request.body


# --- forged and repeated ------------------------------------------------------------------------------------------


def test_a_forged_hint_before_the_genuine_one_delays_it_at_most(way: Chain, provider: Provider) -> None:
    """Nobody signs these: the provider's API says that the document is not there yet, and later that it is."""
    provider.first += [Response("", 409)]
    assert 200 == way.callback(document="c1")[0]
    until(lambda: bool(provider.asked), "the first question", way.story)
    assert 200 == way.callback(document="c1")[0]
    assert [whole(provider)] == hashes(way.arrived())
    assert 1 == len(way.rows("deliveries"))


def test_many_hints_at_once_are_one_document(way: Chain, provider: Provider) -> None:
    threads = [threading.Thread(target=way.insist, kwargs={"document": "c1", "id": str(one)}) for one in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [whole(provider)] == hashes(way.arrived())
    until(lambda: not open_jobs(way), "rest", way.story)
    assert (20, 1) == (len(way.rows("events")), len(way.rows("deliveries")))


def open_jobs(way: Chain) -> bool:
    return any(name == "jobs" and number for (name, _), number in way.service.store.gauges().items())


# --- our own troubles ---------------------------------------------------------------------------------------------


def test_a_full_disk_is_waited_out_and_nothing_is_lost(
    way: Chain, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []

    def write(handle: int, data: Any) -> int:
        if len(refused) < 2 and "/vault/" in os.readlink(f"/proc/self/fd/{handle}"):
            refused.append(handle)
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        return os.write(handle, data)

    monkeypatch.setattr("webhook_svc.files.new.os", SimpleNamespace(**{**vars(os), "write": write}))
    _, headers = way.callback(document="c1")
    assert [whole(provider)] == hashes(way.arrived())
    attempts = way.attempts(headers["webhook-event"])
    assert ["Retryable", "Retryable", ""] == [one["error"] for one in attempts]
    assert "No space left" in attempts[0]["message"]
    assert [] == list((way.archive.parent / "vault/tmp").iterdir())


class Wire:
    """A line to a server that can be cut: whoever uses it is thrown out, and nobody gets in."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._up = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._up = False
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._up = True

    def close(self) -> None:
        self.cut()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                inner = self._server.accept()[0]
            except OSError:
                return
            if not self._up:
                inner.close()
                continue
            outer = socket.create_connection(("127.0.0.1", self._target))
            self._open += [inner, outer]
            for one, other in ((inner, outer), (outer, inner)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_database_that_is_away_is_a_503_and_the_retry_succeeds(
    tmp_path: Path, provider: Provider, postgres_url: str
) -> None:
    port = int(re.findall(r":(\d+)/", postgres_url)[0])
    with (
        closing(Wire(port)) as wire,
        chain(tmp_path, provider.url, postgres_url.replace(str(port), str(wire.port))) as way,
    ):
        assert 200 == way.callback(document="c1", id="first")[0]
        way.arrived()
        wire.cut()
        started = time.monotonic()
        status, headers = way.callback(document="c2", id="second")
        assert (503, "10") == (status, headers["retry-after"])
        assert time.monotonic() - started < 3.0
        until(lambda: 503 == readiness(way), "an unready service")
        wire.mend()
        until(lambda: 200 == way.callback(document="c2", id="second")[0], "the database")
        assert 2 == len(way.arrived(2))


def readiness(way: Chain) -> int:
    return send(f"{way.url}/readyz", RawRequest(method="GET"))[0]
