from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs
from werkzeug.test import create_environ

from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.core.types import Reply
from webhook_svc.core.work import Accepted
from webhook_svc.pipeline.ingest import Answered, IngestLimits
from webhook_svc.simulators.serve import serve
from webhook_svc.web.app import create_app
from webhook_svc.web.health import Watched

TAKEN = Answered(
    reply=Reply(status=202, body=b"thanks", content_type="text/x-thanks", headers=(("Webhook-Event", "evt_1"),)),
    accepted=Accepted(event_id="evt_1", new=True),
)


class Desk:
    """An ingest for every source. What it has begun ends with `outcome`; `waited` counts who asked for that."""

    limits = IngestLimits()

    def __init__(self, outcome: Answered | Exception) -> None:
        self.outcome = outcome
        self.waited = 0
        self.peers: list[str] = []

    def find(self, name: str, _token: str) -> str:
        return name

    def begin(self, _source: str, _request: Any, _address: str, *, peer: str) -> Callable[[], Answered]:
        self.peers.append(peer)
        return self._end

    def _end(self) -> Answered:
        self.waited += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Started(list[tuple[str, dict[str, str]]]):
    """Remembers the starts of responses."""

    def __call__(self, status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        self.append((status, dict(headers)))


def application(desk: Desk) -> Callable[..., Iterable[bytes]]:
    watching: Any = {"ready": lambda: "", "gauges": dict}
    ingest: Any = desk
    return create_app(ingest, Watched(**watching))


def asked(desk: Desk, method: str = "POST") -> tuple[Started, Iterator[bytes]]:
    started = Started()
    return started, iter(application(desk)(create_environ("/hooks/a", method=method, data=b"x"), started))


def test_a_response_waits_and_starts_only_when_it_is_iterated() -> None:
    desk = Desk(TAKEN)
    started, pieces = asked(desk)
    assert ([], 0) == (started, desk.waited)
    body = b"".join(pieces)
    headers = {"Content-Type": "text/x-thanks", "Content-Length": "6", "Webhook-Event": "evt_1"}
    assert ([("202 Accepted", headers)], 1, b"thanks") == (started, desk.waited, body)


def test_a_response_to_head_tells_its_length_and_has_no_body() -> None:
    started, pieces = asked(Desk(TAKEN), "HEAD")
    assert (b"", "6") == (b"".join(pieces), started[0][1]["Content-Length"])


def test_a_store_that_fails_while_a_response_waits_is_a_503_that_says_when_to_come_back() -> None:
    started, pieces = asked(Desk(StoreUnavailable("the disk is full")))
    assert b"try again later\n" == b"".join(pieces)
    assert ("503 Service Unavailable", "10") == (started[0][0], started[0][1]["Retry-After"])


def test_a_bug_while_a_response_waits_is_a_500_whose_line_and_body_hold_none_of_its_words() -> None:
    with capture_logs() as lines:
        started, pieces = asked(Desk(RuntimeError("S3CRET")))
        body = b"".join(pieces)
    assert ("500 Internal Server Error", b"internal server error\n") == (started[0][0], body)
    assert {"request.failed", "callback"} == {line["event"] for line in lines}
    assert "S3CRET" not in f"{started}{lines}"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (TAKEN, (202, b"thanks", "evt_1")),
        (StoreUnavailable("away"), (503, b"try again later\n", None)),
        (RuntimeError("S3CRET"), (500, b"internal server error\n", None)),
    ],
    ids=["taken", "store away", "bug"],
)
def test_a_server_that_knows_only_wsgi_gives_the_same_answers(
    outcome: Answered | Exception, expected: tuple[int, bytes, str | None]
) -> None:
    with closing(serve(application(Desk(outcome)))) as served, closing(_line(served.url)) as line:
        line.request("POST", "/hooks/a", b"x")
        answer: HTTPResponse = line.getresponse()
        assert expected == (answer.status, answer.read(), answer.getheader("Webhook-Event"))


def test_requests_that_one_thread_begins_all_wait_at_once() -> None:
    desk = Desk(TAKEN)
    begun = [asked(desk) for _ in range(3)]
    assert (0, [[], [], []]) == (desk.waited, [started for started, _ in begun])
    assert [b"thanks"] * 3 == [b"".join(pieces) for _, pieces in begun]


def _line(url: str) -> HTTPConnection:
    where = urlsplit(url)
    return HTTPConnection(str(where.hostname), where.port, timeout=10)


@pytest.mark.parametrize("proxies", [0, 1, 2])
def test_the_peer_is_who_holds_the_connection_whatever_headers_say(proxies: int) -> None:
    desk: Any = Desk(TAKEN)
    watching: Any = {"ready": lambda: "", "gauges": dict, "proxies": proxies}
    headers = {"X-Forwarded-For": "10.0.0.7, 10.0.0.7", "Forwarded": "for=10.0.0.7", "X-Real-Ip": "10.0.0.7"}
    client = create_app(desk, Watched(**watching)).test_client()
    client.post("/hooks/x", data=b"{}", headers=headers, environ_base={"REMOTE_ADDR": "::ffff:203.0.113.9"})
    assert ["203.0.113.9"] == desk.peers
