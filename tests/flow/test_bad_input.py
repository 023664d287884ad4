"""Callbacks as bad as they come, over real HTTP against the real gunicorn: each has its promised answer.

None is answered with a 500, none loses an accepted event, none stops the others, and the log keeps quiet about them.

What can go wrong, and the tests that hold the answer (here, unless another file is named; `chain` is
test_bad_input_chain.py; a test below looks for them):

unknown source                   test_an_unknown_source_and_a_wrong_url_token_look_the_same
wrong URL token                  test_an_unknown_source_and_a_wrong_url_token_look_the_same
missing, wrong, stale signature  test_what_is_not_genuine_is_a_401
empty body                       test_a_genuine_body_of_any_kind_is_a_200_and_kept_to_the_byte
  what becomes of it             chain: test_what_cannot_be_understood_is_a_dead_letter_that_can_be_seen
11 MB body                       test_a_body_of_11_mb_is_a_413_even_for_a_sender_that_reads_only_after_sending
chunked body without length      test_a_chunked_body_without_length_is_taken
  above the limit                test_a_chunked_body_above_the_limit_is_a_413
slow bodies and heads            test_a_hundred_slow_senders_are_cut_off_and_slow_nobody_down
encoded body                     test_an_encoded_body_is_a_415
non-UTF-8, not JSON, nested 200 000 deep, NUL, lone surrogate, 20 KB id, duplicate keys, JSON of another shape
                                 test_a_genuine_body_of_any_kind_is_a_200_and_kept_to_the_byte
duplicates                       test_a_copy_is_a_200_and_the_same_event
20 copies at once                test_twenty_copies_at_once_are_one_event
forged before genuine            test_a_forged_copy_before_the_genuine_one_stays_refused_and_stops_nothing
  where nobody signs             chain: test_a_forged_hint_before_the_genuine_one_delays_it_at_most
header of 64 KB                  test_broken_http_gets_its_answer_and_no_echo
store locked                     test_a_locked_store_is_a_503_in_time_and_the_retry_succeeds
store down                       chain: test_a_database_that_is_away_is_a_503_and_the_retry_succeeds
disk full in the vault           chain: test_a_full_disk_is_waited_out_and_nothing_is_lost
  the kernel refuses             unit/vault/test_local.py test_the_kernel_refusing_more_bytes_is_retryable
provider never answers           unit/test_http.py test_a_host_that_never_answers_is_given_up
  nor accepts                    unit/test_http.py test_a_connection_that_is_never_accepted_is_given_up
certificate error                unit/test_http.py test_a_certificate_that_nobody_vouches_for_is_retryable_and_says_so
  of another name                unit/test_http.py test_a_certificate_for_another_name_is_retryable_and_says_so
compressed answer                unit/test_http.py test_an_answer_compressed_against_our_will_is_retryable
  asked for again                chain: test_an_answer_compressed_against_our_will_is_asked_for_again
redirect to a private address    unit/test_http.py test_a_redirect_to_a_forbidden_place_is_permanent
  on the whole way               chain: test_a_redirect_to_a_private_address_is_a_dead_letter_that_says_so
document id with ../             chain: test_a_hostile_document_id_stays_below_the_folder
CR/LF, emoji, 300 characters     chain: test_a_hostile_file_name_becomes_a_plain_one
  in the title                   chain: test_a_hostile_title_becomes_a_plain_file_name
truncated PDF                    chain: test_a_truncated_pdf_is_fetched_again_until_it_is_whole
503 of the provider              chain: test_a_503_of_the_provider_is_waited_out_and_burns_no_try
"""

import hashlib
import hmac
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.guard import check_files, secret
from webhook_svc.core.asking import Query
from webhook_svc.core.types import RawRequest
from webhook_svc.simulators.serve import send
from webhook_svc.store.sql import SqlStore

ROOT = Path(__file__).parents[2]
SECRET = secret("signing-secret")
TOKEN = secret("url-token")
MARK = "B0DY-MARK"
BODY_DEADLINE = 2.0
ACCEPT_TIMEOUT = 1.0
MAX_BODY = 10 * 1024 * 1024

VERIFY = """
[sources.{name}.verify]
alg = "hmac-sha256"
message = "{{ts}}.{{body}}"
encoding = "hex"
signature = "header:X-Signature"
pattern = "v1=([0-9a-f]{{64}})"
vars = {{ ts = 'header:X-Signature ~ t=(\\d+)' }}
tolerance = 3600
[sources.{name}.event]
id = "/id"
type = "/type"
ready = ["done"]
document = "/doc"
[[sources.{name}.download]]
get = "http://127.0.0.1:9/{{document}}"
save = "document"
"""


Answered = tuple[int, dict[str, str], bytes]
"""Status, headers in lower case, body."""


@dataclass(frozen=True)
class Server:
    port: int
    log_file: Path
    database: Path
    store: SqlStore

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def post(self, path: str, body: bytes, *headers: tuple[str, str], method: str = "POST") -> Answered:
        return send(self.url + path, RawRequest(method=method, headers=headers, body=body))

    def signed(self, body: bytes, *headers: tuple[str, str], path: str = "/hooks/plain") -> Answered:
        return self.post(path, body, ("x-signature", signature(body)), *headers)

    def raw(self, request: bytes) -> bytes:
        """Whatever comes back until the server ends the connection."""
        with closing(self.connect()) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return received(connection)

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def event(self, event_id: str) -> dict[str, Any]:
        return next(row for row in self.store.list(Query(kind="events", limit=1000)) if row["id"] == event_id)


def signature(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def received(connection: socket.socket) -> bytes:
    pieces = iter(lambda: connection.recv(65536), b"")
    return b"".join(pieces)


def cut_off(connection: socket.socket) -> bool:
    """By now; leaves what was received where it is."""
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and b" 408 " in connection.recv(65536, socket.MSG_PEEK)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def unique(**more: Any) -> bytes:
    return json.dumps({"id": os.urandom(8).hex(), "type": "note", "mark": MARK, **more}).encode()


def head(body: bytes, *lines: str, path: str = "/hooks/plain") -> bytes:
    fields = (f"POST {path} HTTP/1.1", "Host: x", f"X-Signature: {signature(body)}", *lines, "", "")
    return "\r\n".join(fields).encode()


@contextmanager
def gunicorn(home: Path, extra: str = "") -> Iterator[Server]:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    configuration = f"""
[service]
port = {port}
body_deadline = {BODY_DEADLINE}
accept_timeout = {ACCEPT_TIMEOUT}
[store]
url = "sqlite:///{home}/store.db"
[vault]
path = "{home}/vault"
[log]
level = "debug"
format = "json"
[sources.plain]
provider = "generic"
secrets = ["{SECRET}"]
{VERIFY.format(name="plain")}
[sources.guarded]
provider = "generic"
secrets = ["{SECRET}"]
tokens = ["{TOKEN}"]
{VERIFY.format(name="guarded")}
[sources.anybody]
provider = "generic"
[sources.anybody.verify]
alg = "none"
[sources.anybody.event]
id = "/id"
type = "/type"
ready = ["done"]
document = "/doc"
[[sources.anybody.download]]
get = "http://127.0.0.1:9/{{document}}"
save = "document"
{extra}"""
    own = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "config/gunicorn.py"), "--access-logfile", "-"]
    command = [*gunicorn, "webhook_svc.wiring:wsgi()"]
    environ = {**own, "WEBHOOK_SVC_CONFIG_TOML": configuration}
    with (home / "log").open("wb") as log, ExitStack() as stack:
        process = subprocess.Popen(command, cwd=home, env=environ, stdout=log, stderr=log)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        store = SqlStore(f"sqlite:///{home}/store.db")
        stack.callback(store.close)
        server = Server(port, home / "log", home / "store.db", store)
        until(lambda: ready(server), "the server to be ready", lambda: server.log)
        yield server
    check_files([home / "log"])


def ready(server: Server) -> bool:
    try:
        return 200 == server.post("/readyz", b"", method="GET")[0]
    except OSError:
        return False


def until(condition: Callable[[], bool], what: str, explain: Callable[[], str] = str, seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"gave up waiting for {what}\n{explain()}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of this module. Whatever they sent, at the end nothing of it is in the log."""
    with gunicorn(tmp_path_factory.mktemp("service")) as running:
        yield running
        log = running.log
    for hidden in (SECRET, TOKEN, MARK, "v1=", "QUERY-MARK", "Traceback"):
        assert hidden not in log, [line for line in log.splitlines() if hidden in line][:3]
    assert not re.search(r'"status": 5(?!03|01)\d\d', log)
    for line in log.splitlines():
        assert isinstance(json.loads(line), dict)


# --- who, and is it genuine ---------------------------------------------------------------------------------------


def test_an_unknown_source_and_a_wrong_url_token_look_the_same(server: Server) -> None:
    body = unique()
    answers = [
        server.signed(body, path=path)
        for path in (
            "/hooks/nobody",
            "/hooks/guarded",
            "/hooks/guarded/wrong",
            "/hooks/plain/extra",
            f"/hooks/x/{TOKEN}",
        )
    ]
    assert {404} == {status for status, _, _ in answers}
    assert 1 == len({content for _, _, content in answers})
    shown = [{key for key in headers if key != "date"} for _, headers, _ in answers]
    assert [shown[0]] * 5 == shown


def test_the_right_url_token_lets_the_callback_in(server: Server) -> None:
    assert 200 == server.signed(unique(), path=f"/hooks/guarded/{TOKEN}")[0]
    assert 200 == server.signed(unique(), path=f"/hooks/guarded/{TOKEN}/?q=QUERY-MARK")[0]


def test_a_url_token_is_stored_as_a_fingerprint(server: Server) -> None:
    _, headers, _ = server.signed(unique(), path=f"/hooks/guarded/{TOKEN}")
    assert TOKEN not in server.store.event(headers["webhook-event"]).request.path


@pytest.mark.parametrize(
    "given",
    [
        (),
        (("x-signature", ""),),
        (("x-signature", "v1=" + "0" * 64),),
        (("x-signature", signature(b"other bytes")),),
        (("x-signature", signature(b"{}", secret="somebody else's")),),
        (("x-signature", signature(b"{}", at=time.time() - 3601)),),
        (("x-signature", signature(b"{}", at=time.time() + 7200)),),
        (("x-signature", signature(b"{}")), ("x-signature", signature(b"{}", secret="another"))),
        (("x-signature", "é" * 100),),
        (("x_signature", signature(b"{}")),),
    ],
    ids=[
        "missing",
        "empty",
        "no-time",
        "other-body",
        "other-secret",
        "stale",
        "future",
        "doubled",
        "latin",
        "underscore",
    ],
)
def test_what_is_not_genuine_is_a_401(server: Server, given: tuple[tuple[str, str], ...]) -> None:
    assert 401 == server.post("/hooks/plain", b"{}", *given)[0]


def test_a_refused_callback_is_listed_and_makes_no_event(server: Server) -> None:
    before = len(server.store.list(Query(kind="events", limit=1000)))
    assert 401 == server.post("/hooks/guarded/" + TOKEN, unique())[0]
    assert before == len(server.store.list(Query(kind="events", limit=1000)))
    assert "guarded" in {row["source"] for row in server.store.list(Query(kind="refused"))}


def test_a_forged_copy_before_the_genuine_one_stays_refused_and_stops_nothing(server: Server) -> None:
    body = unique()
    assert 401 == server.post("/hooks/plain", body)[0]
    status, headers, _ = server.signed(body)
    assert (200, 0) == (status, server.event(headers["webhook-event"])["copies"])


# --- bytes that are genuine, and strange --------------------------------------------------------------------------

STRANGE = {
    "empty": b"",
    "not UTF-8": b'{"id": "\xff\xfe\xf0"}',
    "UTF-16": '{"id": "a"}'.encode("utf-16"),
    "not JSON": b"B0DY-MARK is no JSON",
    "nested 200 000 deep": b"[" * 200_000 + b"]" * 200_000,
    "objects 200 000 deep": b'{"id":' * 200_000,
    "a null in the id": b'{"id": "a\\u0000b", "type": "note"}',
    "a lone surrogate in the id": b'{"id": "\\ud800", "type": "note"}',
    "an id of 20 KB": json.dumps({"id": "x" * 20_000, "type": "note"}).encode(),
    "duplicate keys": b'{"id": "1", "id": "2", "type": "note", "type": "done"}',
    "a list": b"[1, 2, 3]",
    "a number": b"1e999999",
    "a number of 10 000 digits": b'{"id": ' + b"9" * 10_000 + b"}",
    "the id is an object": b'{"id": {"a": 1}, "type": ["note"]}',
    "NaN": b'{"id": NaN}',
    "nulls": b"\0" * 1000,
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
def test_a_genuine_body_of_any_kind_is_a_200_and_kept_to_the_byte(server: Server, body: bytes) -> None:
    status, headers, _ = server.signed(body)
    assert 200 == status
    assert body == server.store.event(headers["webhook-event"]).request.body


def test_a_body_of_the_largest_size_is_kept_and_one_byte_more_is_a_413(server: Server) -> None:
    body = b"m" * MAX_BODY
    status, headers, _ = server.signed(body)
    assert 200 == status
    assert body == server.store.event(headers["webhook-event"]).request.body
    assert 413 == server.signed(body + b"m")[0]


def test_a_body_of_11_mb_is_a_413_even_for_a_sender_that_reads_only_after_sending(server: Server) -> None:
    status, headers, _ = server.signed(b"m" * (11 * 1024 * 1024))
    assert (413, "close") == (status, headers["connection"])


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity"])
def test_an_encoded_body_is_a_415(server: Server, encoding: str) -> None:
    assert 415 == server.signed(unique(), ("content-encoding", encoding))[0]


def chunked(body: bytes, size: int = 1000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_chunked_body_without_length_is_taken(server: Server) -> None:
    body = unique(more="x" * 5000)
    answer = server.raw(head(body, "Transfer-Encoding: chunked", "Connection: close") + chunked(body))
    event_id = re.search(rb"(?i)webhook-event: (\S+)", answer)
    assert 200 == status_of(answer)
    assert event_id
    assert body == server.store.event(event_id[1].decode()).request.body


def test_a_chunked_body_above_the_limit_is_a_413(server: Server) -> None:
    body = b"m" * (MAX_BODY + 1)
    with closing(server.connect()) as connection:
        connection.sendall(head(body, "Transfer-Encoding: chunked"))
        connection.sendall(chunked(body, 1 << 20))
        assert 413 == status_of(received(connection))


@pytest.mark.parametrize(
    "wire",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"5\r\nabcdefgh\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"5\r\nabc",
        b"5;\x00\r\nabcde\r\n0\r\n\r\n",
    ],
)
def test_broken_chunks_are_a_400(server: Server, wire: bytes) -> None:
    assert 400 == status_of(server.raw(head(b"abc", "Transfer-Encoding: chunked") + wire))


def test_a_body_that_stops_in_the_middle_is_a_400(server: Server) -> None:
    assert 400 == status_of(server.raw(head(b"abc", "Content-Length: 100") + b"abc"))


def test_a_sender_that_waits_for_leave_to_send_gets_it(server: Server) -> None:
    body = unique()
    with closing(server.connect()) as connection:
        connection.sendall(head(body, f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close"))
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == connection.recv(1000)
        connection.sendall(body)
        answer = received(connection)
    assert (200, 1) == (status_of(answer), answer.count(b"HTTP/1.1"))


# --- copies -------------------------------------------------------------------------------------------------------


def test_a_copy_is_a_200_and_the_same_event(server: Server) -> None:
    body = unique()
    answers = [server.signed(body) for _ in range(3)]
    ids = {headers["webhook-event"] for _, headers, _ in answers}
    assert ({200}, 1) == ({status for status, _, _ in answers}, len(ids))
    assert 2 == server.event(ids.pop())["copies"]


def test_twenty_copies_at_once_are_one_event(server: Server) -> None:
    body = unique()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: server.signed(body), range(20)))
    ids = {headers["webhook-event"] for _, headers, _ in answers}
    assert ({200}, 1) == ({status for status, _, _ in answers}, len(ids))
    assert 19 == server.event(ids.pop())["copies"]


def test_an_id_alone_never_suppresses_other_bytes(server: Server) -> None:
    ids = {server.signed(json.dumps({"id": "same", "n": n}).encode())[1]["webhook-event"] for n in range(3)}
    assert 3 == len(ids)


def test_a_callback_of_anybody_is_a_hint_and_a_forged_one_does_not_silence_the_genuine_one(server: Server) -> None:
    forged = server.post("/hooks/anybody", b'{"id": "e1", "type": "done", "doc": "other"}')
    genuine = server.post("/hooks/anybody", b'{"id": "e1", "type": "done", "doc": "mine"}')
    assert (200, 200) == (forged[0], genuine[0])
    assert forged[1]["webhook-event"] != genuine[1]["webhook-event"]
    assert server.store.event(genuine[1]["webhook-event"]).hint


# --- HTTP that is broken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND"])
def test_another_method_is_a_405_that_names_the_right_one(server: Server, method: str) -> None:
    status, headers, _ = server.post("/hooks/plain", b"", method=method)
    assert 405 == status
    assert "POST" in headers["allow"]


BROKEN = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "bare line feeds": (b"POST /hooks/plain HTTP/1.1\nHost: x\n\n", 400),
    "a space in the path": (b"POST /hooks/plain /x HTTP/1.1\r\n\r\n", 400),
    "a path that is not ASCII": (b"POST /hooks/\xff\xfe HTTP/1.1\r\n\r\n", 400),
    "a Content-Length that is no number": (head(b"", "Content-Length: ten"), 400),
    "a negative Content-Length": (head(b"", "Content-Length: -1"), 400),
    "a Content-Length of strange digits": (head(b"")[:-2] + b"Content-Length: \xb2\r\n\r\n", 400),
    "a huge Content-Length": (head(b"", "Content-Length: " + "9" * 5000), 400),
    "two Content-Lengths": (head(b"", "Content-Length: 0", "Content-Length: 5"), 400),
    "length and chunks": (head(b"", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "chunks twice": (head(b"", "Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", 400),
    "an unknown coding": (head(b"", "Transfer-Encoding: brotli"), 501),
    "a null in a header": (head(b"")[:-2] + b"X-A: \0\r\n\r\n", 400),
    "a folded header": (head(b"")[:-2] + b"X-A: b\r\n c\r\n\r\n", 400),
    "a header without a colon": (head(b"")[:-2] + b"v1=B0DY-MARK\r\n\r\n", 400),
    "a header of 64 KB": (head(b"", "X-Long: " + "a" * 65536), 431),
    "a header of 20 KB": (head(b"", "X-Long: " + "a" * 20_000), 431),
    "100 signatures": (head(b"", *(f"X-DocuSign-Signature-{n}: a" for n in range(100)), *["Accept: b"] * 20), 200),
    "200 headers": (head(b"", *(f"X-{n}: a" for n in range(200))), 431),
    "a URL of 9 KB": (head(b"", path="/hooks/plain?QUERY-MARK=" + "a" * 9000), 414),
    "an expectation nobody can meet": (head(b"", "Expect: miracles"), 417),
    "a script name": (head(b"", "SCRIPT_NAME: /x", "PATH_INFO: /y"), 200),
    "contradicting schemes": (head(b"", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"), 200),
    "HTTP/1.0": (head(b"").replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
    "HTTP/1.0 with chunks": (head(b"", "Transfer-Encoding: chunked").replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
    "dots in the path": (head(b"", path="/hooks/%2e%2e/healthz"), 404),
    "an encoded slash": (head(b"", path="/hooks%2Fplain"), 200),
    "a null in the path": (head(b"", path="/hooks/plain%00"), 404),
    "two slashes": (head(b"", path="//hooks//plain"), 404),
    "bytes that are not UTF-8 in the path": (head(b"", path="/hooks/%ff%fe"), 404),
    "a whole URL as the target": (head(b"", path="http://elsewhere/hooks/plain"), 200),
}


@pytest.mark.parametrize(("wire", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_http_gets_its_answer_and_no_echo(server: Server, wire: bytes, expected: int) -> None:
    answer = server.raw(wire)
    assert expected == status_of(answer)
    assert not re.search(rb"B0DY-MARK|v1=|aaaa|Traceback", answer)


def test_pipelined_requests_are_answered_in_their_order(server: Server) -> None:
    first, second = unique(), unique()
    wire = b"".join(head(body, f"Content-Length: {len(body)}") + body for body in (first, second))
    refused = b"POST /hooks/plain HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    answer = server.raw(wire + refused + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [b"200", b"200", b"401", b"200"] == re.findall(rb"HTTP/1.1 (\d+)", answer)
    assert 2 == len(set(re.findall(rb"(?i)webhook-event: (\S+)", answer)))


def test_a_connection_is_used_again_after_a_401(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(b"POST /hooks/plain HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        with connection.makefile("rb") as answer:
            refused = b"".join(iter(answer.readline, b"not genuine\n"))
        assert 401 == status_of(refused)
        body = unique()
        connection.sendall(head(body, f"Content-Length: {len(body)}", "Connection: close") + body)
        assert 200 == status_of(received(connection))


def test_a_body_that_nobody_read_is_not_taken_for_the_next_request(server: Server) -> None:
    smuggled = head(b"", "Content-Length: 0")
    outer = f"POST /hooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: {len(smuggled)}\r\n\r\n".encode()
    answer = server.raw(outer + smuggled)
    assert [b"404"] == re.findall(rb"HTTP/1.1 (\d+)", answer)


# --- slow senders -------------------------------------------------------------------------------------------------


@contextmanager
def trickling(server: Server, wires: list[bytes], rest: bytes) -> Iterator[list[socket.socket]]:
    """Connections that send a beginning at once, and behind it `rest`, four bytes a second."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        connections = [stack.enter_context(closing(server.connect())) for _ in wires]
        for connection, wire in zip(connections, wires, strict=True):
            connection.sendall(wire)
        running = [True]
        stack.callback(running.clear)
        pool.submit(_drip, connections, rest, running)
        yield connections
        running.clear()


def _drip(connections: list[socket.socket], rest: bytes, running: list[bool]) -> None:
    for byte in rest:
        for connection in connections:
            try:
                connection.send(bytes([byte]))
            except OSError:
                continue  # it was cut off, as it should be
        time.sleep(0.25)
        if not running:
            return


SLOW = {
    "bodies": (head(b"x", "Content-Length: 500"), b"x" * 100),
    "chunked bodies": (head(b"x", "Transfer-Encoding: chunked") + b"1\r\n0\r\n", b"1\r\nx\r\n" * 20),
    "heads": (b"POST /hooks/plain HTTP/1.1\r\nHost: x\r\n", b"X-Slow: " + b"x" * 100),
    "second requests behind a first": (head(b"", "Content-Length: 0") + b"POST /hooks/plain HT", b"x" * 100),
}


@pytest.mark.parametrize(("wire", "rest"), SLOW.values(), ids=SLOW)
def test_a_hundred_slow_senders_are_cut_off_and_slow_nobody_down(server: Server, wire: bytes, rest: bytes) -> None:
    """Where each of them had a thread, another sender would always wait until most of them were cut off; on a machine
    that is busy with something else it may once."""
    for _ in range(5):
        with trickling(server, [wire] * 100, rest) as connections:
            assert 200 == server.signed(unique())[0]
            in_time = 50 < sum(not cut_off(one) for one in connections)
            answers = [received(connection) for connection in connections]
        assert {408} == {int(re.findall(rb"HTTP/1.1 (\d+)", answer)[-1]) for answer in answers}
        if in_time:
            return
    pytest.fail("whoever sends in order waits for those who do not")


def test_senders_that_do_not_hang_up_stop_nobody(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(closing(server.connect()))
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert 200 == status_of(received(connection))
        started = time.monotonic()
        assert 200 == server.signed(unique())[0]
        assert time.monotonic() - started < 1.0


def test_connections_that_say_nothing_stop_nobody(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(closing(server.connect()))
        started = time.monotonic()
        assert 200 == server.signed(unique())[0]
        assert time.monotonic() - started < 1.0


def test_more_connections_than_there_is_room_for_stop_nobody_for_long(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(600):
            connection = stack.enter_context(closing(server.connect()))
            connection.sendall(b"POST /hooks/plain HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        started = time.monotonic()
        assert 200 == server.signed(unique())[0]
        assert time.monotonic() - started < 2.0


# --- our own troubles ---------------------------------------------------------------------------------------------


@contextmanager
def locked(server: Server, how: str) -> Iterator[None]:
    import fcntl
    import sqlite3

    if how == "flock":
        with (server.database.parent / "store.db.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with closing(sqlite3.connect(server.database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("how", ["flock", "BEGIN EXCLUSIVE"])
def test_a_locked_store_is_a_503_in_time_and_the_retry_succeeds(server: Server, how: str) -> None:
    body = unique()
    with locked(server, how):
        started = time.monotonic()
        status, headers, _ = server.signed(body)
        assert (503, "10") == (status, headers["retry-after"])
        assert time.monotonic() - started < ACCEPT_TIMEOUT + 1.0
        assert 401 == server.post("/hooks/plain", body)[0]
    until(lambda: 200 == server.signed(body)[0], "the store to be free")
    status, headers, _ = server.signed(body)
    assert 200 == status
    assert body == server.store.event(headers["webhook-event"]).request.body


# --- for machines that watch --------------------------------------------------------------------------------------


def test_health_is_for_everybody_and_the_rest_for_this_machine(server: Server) -> None:
    def asked(path: str, *headers: tuple[str, str]) -> int:
        return server.post(path, b"", *headers, method="GET")[0]

    paths = ("/healthz", "/readyz", "/version", "/metrics")
    assert [200, 200, 200, 200] == [asked(path) for path in paths]
    assert [200, 200, 403, 403] == [asked(path, ("x-forwarded-for", "127.0.0.1")) for path in paths]
    assert 405 == server.post("/healthz", b"")[0]


# --- the table above ----------------------------------------------------------------------------------------------


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"(?:(chain:|\S+\.py) )?(test_\w+)$", __doc__ or "", re.MULTILINE)
    assert len(named) > 30
    for file, name in named:
        places = {"": Path(__file__), "chain:": Path(__file__).with_name("test_bad_input_chain.py")}
        path = places.get(file) or ROOT / "tests" / file
        assert f"\ndef {name}(" in path.read_text(), f"{path.name} has no {name}"
