import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from webhook_svc.core.errors import BodyTooLarge, BrokenRequest, StoreUnavailable
from webhook_svc.core.settings import Secret
from webhook_svc.pipeline.ingest import Ingest, IngestLimits
from webhook_svc.stage.processes import until
from webhook_svc.store.sql import SqlStore
from webhook_svc.web.app import create_app
from webhook_svc.web.body import read_body
from webhook_svc.web.health import Watched
from webhook_svc.web.hooks import address_of, raw_request

OUTSIDE = {"REMOTE_ADDR": "203.0.113.9"}

Make = Callable[..., FlaskClient]


@pytest.fixture
def client(sqlite_url: str) -> Iterator[Make]:
    store = SqlStore(sqlite_url)

    def make(**watched: Any) -> FlaskClient:
        ingest = Ingest({}, store, lambda: 0.0, IngestLimits())
        facts = {"ready": store.ready, "gauges": store.gauges, **watched}
        return create_app(ingest, Watched(**facts)).test_client()

    yield make
    store.close()


def said(answer: TestResponse) -> dict[str, Any]:
    assert isinstance(answer.json, dict)
    return answer.json


# --- health -------------------------------------------------------------------------------------------------------


def test_a_ready_service_says_so(client: Make) -> None:
    answer = client().get("/readyz")
    assert (200, {"status": "ready", "lanes_unserved": {}}) == (answer.status_code, answer.json)


def test_work_that_no_worker_serves_is_named_and_refuses_no_callback(client: Make) -> None:
    answer = client(unserved=lambda: {"sink:archive": 12.4}).get("/readyz")
    assert (200, {"sink:archive": 12}) == (answer.status_code, said(answer)["lanes_unserved"])


def test_a_store_that_goes_away_between_two_questions_is_not_ready(client: Make) -> None:
    def unserved() -> dict[str, float]:
        raise StoreUnavailable("the disk is full")

    answer = client(unserved=unserved).get("/readyz")
    assert (503, "the disk is full") == (answer.status_code, said(answer)["detail"])


def test_a_service_without_schema_is_not_ready_and_says_why(client: Make, tmp_path: Any) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'empty.db'}")
    answer = client(ready=store.ready).get("/readyz")
    store.close()
    assert (503, "application/problem+json") == (answer.status_code, answer.content_type)
    assert "migrate" in said(answer)["detail"]


def test_a_service_whose_store_is_away_is_not_ready_but_alive(client: Make) -> None:
    store = SqlStore("postgresql://nobody@127.0.0.1:9/none")
    asked = client(ready=store.ready, gauges=store.gauges)
    assert (503, 503, 200) == tuple(asked.get(path).status_code for path in ("/readyz", "/metrics", "/healthz"))
    store.close()


def test_readiness_is_asked_once_for_many_who_look(client: Make) -> None:
    asked: list[int] = []

    def ready() -> str:
        asked.append(1)
        return ""

    looking = client(ready=ready)
    assert {200} == {looking.get("/readyz").status_code for _ in range(20)}
    assert 1 == len(asked)


def test_a_store_that_hangs_holds_nobody_who_looks_and_takes_one_thread(
    client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_svc.web.health.ASKED_FOR", 0.05)
    asked: list[int] = []
    go_on = threading.Event()

    def ready() -> str:
        asked.append(1)
        go_on.wait(10)
        return ""

    looking = client(ready=ready)
    answers = [looking.get("/readyz") for _ in range(3)]
    go_on.set()

    assert {(503, "the store does not answer")} == {(one.status_code, said(one)["detail"]) for one in answers}
    assert 1 == len(asked)
    until(lambda: looking.get("/readyz").status_code == 200, "the store's answer")


def test_what_goes_wrong_while_it_looks_is_told_to_whoever_asked(client: Make) -> None:
    def ready() -> str:
        raise ZeroDivisionError

    looking = client(ready=ready)
    assert [500, 500] == [looking.get("/readyz").status_code for _ in range(2)]


@pytest.mark.parametrize("path", ["/version", "/metrics"])
def test_without_a_token_what_is_private_is_for_this_machine(client: Make, path: str) -> None:
    asked = client()
    assert 200 == asked.get(path).status_code
    assert 200 == asked.get(path, environ_base={"REMOTE_ADDR": "::ffff:127.0.0.1"}).status_code
    assert 403 == asked.get(path, environ_base=OUTSIDE).status_code


@pytest.mark.parametrize("proxies", [0, 1])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_came_through_a_proxy_is_not_from_this_machine(client: Make, proxies: int, header: str) -> None:
    asked = client(proxies=proxies)
    assert 403 == asked.get("/metrics", headers={header: "127.0.0.1"}).status_code
    assert 403 == asked.get("/metrics", headers={header: "127.0.0.1"}, environ_base=OUTSIDE).status_code


@pytest.mark.parametrize(
    "given", ["", "S3CRET", "Bearer", "Bearer ", "Bearer s3cret", "Basic S3CRET", "Bearer S3CRETé"]
)
def test_with_a_token_only_its_bearer_is_let_in(client: Make, given: str) -> None:
    asked = client(admin_token=Secret("S3CRET"))
    answer = asked.get("/metrics", headers={"Authorization": given})
    assert (401, "Bearer") == (answer.status_code, answer.headers["WWW-Authenticate"])
    assert 200 == asked.get("/metrics", headers={"Authorization": "bearer S3CRET"}, environ_base=OUTSIDE).status_code


def test_metrics_are_prometheus_text(client: Make) -> None:
    numbers = {("jobs", (("lane", "source:a"),)): 2.0, ("jobs", (("lane", "sink:b"),)): 1.0}
    assert [
        "# TYPE webhook_svc_jobs gauge",
        'webhook_svc_jobs{lane="sink:b"} 1',
        'webhook_svc_jobs{lane="source:a"} 2',
    ] == client(gauges=lambda: numbers).get("/metrics").text.splitlines()


# --- answers ------------------------------------------------------------------------------------------------------


def test_an_unknown_place_and_a_wrong_method_are_problems_in_json(client: Make) -> None:
    asked = client()
    assert (404, "application/problem+json") == ((answer := asked.get("/x")).status_code, answer.content_type)
    answer = asked.delete("/healthz")
    assert (405, "application/problem+json") == (answer.status_code, answer.content_type)
    assert {"GET", "HEAD", "OPTIONS"} == set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize("path", ["//hooks/a", "/hooks//a", "/hooks/a//"])
def test_a_callback_is_never_answered_with_a_redirect(client: Make, path: str) -> None:
    assert 404 == client().post(path).status_code


def test_a_bug_is_a_500_and_its_line_holds_nothing_of_the_request(client: Make) -> None:
    def ready() -> str:
        raise KeyError("B0DY")

    with capture_logs() as lines:
        answer = client(ready=ready).get("/readyz?x=S3CRET")
    assert 500 == answer.status_code
    assert ["request.failed"] == [line["event"] for line in lines]
    assert "KeyError" == lines[0]["error"]
    assert not {"B0DY", "S3CRET"} & set(str(lines).replace("'", " ").split())


# --- the request --------------------------------------------------------------------------------------------------


class Body(io.BytesIO):
    headers: list[tuple[str, str]]


def test_repeated_headers_stay_apart_where_the_server_tells_them() -> None:
    body = Body()
    body.headers = [("X-A", "1"), ("X-B", "2"), ("X-A", "3")]
    environ = {
        "wsgi.input": body,
        "HTTP_X_A": "1,3",
        "HTTP_X_B": "2",
        "REQUEST_METHOD": "POST",
        "RAW_URI": "/p%20q?a=%62",
    }
    request = raw_request(environ, b"")
    assert (("x-a", "1"), ("x-b", "2"), ("x-a", "3")) == request.headers
    assert ("/p%20q", "a=%62") == (request.path, request.query)


def test_headers_as_wsgi_joined_them_where_the_server_does_not_tell() -> None:
    environ = {"HTTP_X_A": "1,3", "CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "", "REQUEST_METHOD": "POST"}
    assert (("x-a", "1,3"), ("content-type", "a/b")) == raw_request(environ, b"").headers


def test_an_ipv4_address_behind_an_ipv6_socket_is_itself_again() -> None:
    assert ["1.2.3.4", "::1", "", "x"] == [address_of(one) for one in ("::ffff:1.2.3.4", "::1", None, "x")]


def read(data: bytes, limit: int = 10, **environ: str) -> bytes:
    return read_body({"wsgi.input": io.BytesIO(data), **environ}, limit)


def test_a_body_is_read_to_its_length_and_no_further() -> None:
    assert b"abc" == read(b"abcdef", CONTENT_LENGTH="3")
    assert b"" == read(b"abc")
    assert b"abc" == read(b"abc", HTTP_TRANSFER_ENCODING="chunked")


def test_a_body_that_is_too_large_cut_or_of_no_length_is_refused() -> None:
    with pytest.raises(BodyTooLarge):
        read(b"", CONTENT_LENGTH="11")
    with pytest.raises(BodyTooLarge):
        read(b"x" * 11, HTTP_TRANSFER_ENCODING="chunked")
    with pytest.raises(BrokenRequest, match="cut short"):
        read(b"ab", CONTENT_LENGTH="3")
    with pytest.raises(BrokenRequest, match="length"):
        read(b"ab", CONTENT_LENGTH="²")


@pytest.mark.parametrize("error", [OSError(), EOFError(), ValueError()])
def test_a_connection_that_breaks_while_a_body_is_read_is_the_sender_s_fault(error: Exception) -> None:
    class Broken:
        def read(self, _size: int) -> bytes:
            raise error

    with pytest.raises(BrokenRequest):
        read_body({"wsgi.input": Broken(), "CONTENT_LENGTH": "3"}, 10)


def test_an_error_of_our_own_while_a_body_is_read_keeps_its_class() -> None:
    class Ours:
        def read(self, _size: int) -> bytes:
            raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        read_body({"wsgi.input": Ours(), "CONTENT_LENGTH": "3"}, 10)
