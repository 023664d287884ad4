"""The client against servers that misbehave, over real sockets."""

import dataclasses
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.addresses import is_never_reached, is_public, read_address
from webhook_svc.core.errors import ArtifactLost, Permanent, Retryable
from webhook_svc.core.outgoing import Answer, Request, Upload
from webhook_svc.http import HttpClient
from webhook_svc.http.door import _opened

Serve = Callable[[socket.socket, bytes], None]


class Server:
    """Accepts on loopback and hands each request, read to the end of its headers, to `serve`."""

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._serve, self._tls = serve, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.origin}"
        self.secure = f"https://{self.origin}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._talk, args=(connection,)))
            self._threads[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as sock:
                while not self.over.is_set() and (head := _head(sock)):
                    self.requests.append(head)
                    self._serve(sock, head)
        except OSError:
            connection.close()  # the client went away: what it saw is what the test looks at

    def close(self) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


def _head(sock: socket.socket) -> bytes:
    read = b""
    while not read.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            return b""
        read += byte
    return read


def answer(body: bytes = b"", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(raw: bytes) -> Serve:
    def serve(sock: socket.socket, _: bytes) -> None:
        sock.sendall(raw)

    return serve


def cut_after(raw: bytes) -> Serve:
    def serve(sock: socket.socket, _: bytes) -> None:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_RDWR)

    return serve


def reset(sock: socket.socket, _: bytes) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(serve: Serve, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(serve, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@contextmanager
def client(*trusted: str, **options: Any) -> Iterator[HttpClient]:
    with closing(HttpClient(trusted=frozenset(trusted), **options)) as made:
        yield made


def ask(server: Server, path: str = "/", limit: int = 1024, **options: Any) -> Answer:
    with client(server.url, **options) as http:
        return http.call(Request(url=server.url + path), limit=limit)


def save(server: Server, limit: int = 10_000_000, **options: Any) -> tuple[Answer, bytes]:
    saved = BytesIO()
    with client(server.url, **options) as http:
        return http.save(Request(url=server.url), saved.write, limit=limit), saved.getvalue()


def naming(*addresses: str) -> Callable[..., list[Any]]:
    """A name server that knows one answer."""

    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        return [info for address in addresses for info in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)]

    return resolve


# --- plain exchange -----------------------------------------------------------------------------------------------


def test_an_answer_has_status_lower_case_headers_and_body(serving: Any) -> None:
    got = ask(serving(always(answer(b"hello", "404 Not Found", "X-Thing: a"))))
    assert (404, "a", b"hello") == (got.status, got.headers["x-thing"], got.body)


def test_a_connection_is_used_again(serving: Any) -> None:
    server, saved = serving(always(answer(b"x"))), list[bytes]()
    with client(server.url) as http:
        for _ in range(3):
            http.call(Request(url=server.url))
        http.save(Request(url=server.url), saved.append, limit=10)
    assert (4, 1, [b"x"]) == (len(server.requests), server.connections, saved)


def test_a_question_on_a_connection_that_the_server_just_closed_is_asked_anew(serving: Any) -> None:
    def serve(sock: socket.socket, head: bytes) -> None:
        if server.requests[1:] == [head]:
            reset(sock, b"")
        else:
            sock.sendall(answer(b"x"))

    server = serving(serve)
    with client(server.url) as http:
        http.call(Request(url=server.url))
        assert b"x" == http.call(Request(url=server.url)).body
    assert (3, 2) == (len(server.requests), server.connections)


def test_a_post_on_a_connection_that_the_server_just_closed_is_not_repeated(serving: Any) -> None:
    server = serving(lambda sock, head: reset(sock, b"") if b"POST" in head else sock.sendall(answer(b"x")))
    with client(server.url) as http:
        http.call(Request(url=server.url))
        with pytest.raises(Retryable, match="cut"):
            http.call(Request(url=server.url, method="POST"))
    assert 2 == len(server.requests)


def test_we_ask_for_no_compression_and_send_credentials_and_json_to_a_trusted_host(serving: Any) -> None:
    def serve(sock: socket.socket, _: bytes) -> None:
        bodies.append(sock.recv(100))
        sock.sendall(answer())

    bodies: list[bytes] = []
    server = serving(serve)
    with client(server.url) as http:
        http.call(Request(url=server.url, method="POST", auth={"Authorization": "Bearer k"}, json={"a": "계"}))
    head = server.requests[0]
    assert b"Accept-Encoding: identity\r\n" in head
    assert b"Authorization: Bearer k\r\n" in head
    assert b"Content-Type: application/json\r\n" in head
    assert ['{"a":"계"}'.encode()] == bodies


def test_no_proxy_or_password_is_taken_from_the_environment(
    serving: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server = serving(always(answer(b"x")))
    assert b"x" == ask(server).body
    assert b"Authorization" not in server.requests[0]


def test_cookies_are_not_kept(serving: Any) -> None:
    server = serving(always(answer(b"", "200 OK", "Set-Cookie: a=b")))
    with client(server.url) as http:
        http.call(Request(url=server.url))
        http.call(Request(url=server.url))
    assert b"Cookie" not in server.requests[1]


def test_an_upload_is_streamed_with_its_length_and_opened_for_each_call(serving: Any) -> None:
    def serve(sock: socket.socket, _: bytes) -> None:
        left = 1_000_000
        while left:
            left -= len(sock.recv(left))
        sock.sendall(answer(b"got it"))

    def opening() -> BytesIO:
        opened.append(BytesIO(b"x" * 1_000_000))
        return opened[-1]

    server, opened = serving(serve), list[BytesIO]()
    with client(server.url) as http:
        for _ in range(2):
            upload = Upload(open=opening, size=1_000_000)
            assert b"got it" == http.call(Request(url=server.url, method="PUT", body=upload)).body
    assert [True, True] == [file.closed for file in opened]
    assert b"Content-Length: 1000000\r\n" in server.requests[1]
    assert b"chunked" not in server.requests[1]


def test_large_bytes_arrive_whole(serving: Any) -> None:
    def serve(sock: socket.socket, _: bytes) -> None:
        while len(got) < 3_000_000:
            got.extend(sock.recv(1_000_000))
        sock.sendall(answer(b"got it"))

    server, got, sent = serving(serve), bytearray(), bytes(range(250)) * 12_000
    with client(server.url) as http:
        http.call(Request(url=server.url, method="POST", body=sent))
    assert sent == got


def test_an_upload_that_is_shorter_than_announced_is_no_success(serving: Any) -> None:
    server: Server = serving(lambda *_: server.over.wait(5))
    upload = Upload(open=lambda: BytesIO(b"abc"), size=4)
    with client(server.url) as http, pytest.raises(Retryable, match="ended 1 bytes before"):
        http.call(Request(url=server.url, method="PUT", body=upload))


def test_an_error_of_our_own_while_uploading_keeps_its_class(serving: Any) -> None:
    class Damaged(BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise ArtifactLost

    server: Server = serving(lambda *_: server.over.wait(5))
    with client(server.url) as http, pytest.raises(ArtifactLost):
        http.call(Request(url=server.url, method="PUT", body=Upload(open=Damaged, size=4)))


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nX-B: b"}, {"X-A": "a\n"}, {"X A": "a"}, {"X-A:": "a"}, {"X-A": "é"}])
@pytest.mark.parametrize("place", ["headers", "auth"])
def test_a_header_that_would_add_headers_is_refused_and_its_value_not_shown(headers: Any, place: str) -> None:
    with client("http://127.0.0.1:9") as http, pytest.raises(Permanent) as error:
        http.call(Request(url="http://127.0.0.1:9", **{place: headers}))
    assert "X-B" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://a.example/x",
        "httpx://a.example",
        "http://",
        "http:///x",
        "//a.example",
        "http://a.example:99999/",
        "http://[::1",
        "http://a b.example/",
        "http://user:secret@a.example/",
        "http://" + "a" * 300 + ".example/",
        "http://.example/",
        "https://xn--.\ud800/",
    ],
)
def test_what_is_no_plain_web_address_is_permanent(url: str) -> None:
    with client() as http, pytest.raises(Permanent) as error:
        http.call(Request(url=url))
    assert "secret" not in str(error.value)


# --- caps ---------------------------------------------------------------------------------------------------------


def test_a_body_larger_than_the_limit_is_permanent_before_it_is_read(serving: Any) -> None:
    with pytest.raises(Permanent, match="larger than 1024 bytes"):
        ask(serving(always(answer(b"", length=1025))))


def test_a_body_without_length_is_cut_off_at_the_limit(serving: Any) -> None:
    def endless(sock: socket.socket, _: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65536)

    saved: list[int] = []
    server = serving(endless)
    with client(server.url) as http, pytest.raises(Permanent, match="larger than 500000 bytes"):
        http.save(Request(url=server.url), lambda chunk: saved.append(len(chunk)), limit=500_000)
    assert sum(saved) <= 500_000


def test_an_error_page_is_cut_and_never_an_error_itself(serving: Any) -> None:
    server = serving(always(answer(b"x" * 3_000_000, "503 Service Unavailable", "Retry-After: 7")))
    got, saved = save(server)
    assert (503, 7.0, 1024 * 1024, b"") == (got.status, got.retry_after(), len(got.body), saved)


def test_a_saved_body_is_counted_and_not_kept(serving: Any) -> None:
    body = bytes(range(256)) * 4000
    got, saved = save(serving(always(answer(body))))
    assert (b"", len(body)) == (got.body, got.size)
    assert body == saved


def test_a_chunked_body_is_put_together(serving: Any) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert b"abcde" == save(serving(always(raw)))[1]


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"half", length=8),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        b"",
    ],
)
def test_a_broken_answer_is_retryable(serving: Any, raw: bytes) -> None:
    with pytest.raises(Retryable, match=r"^127.0.0.1: "):
        save(serving(cut_after(raw)))


def test_an_answer_of_unclear_length_is_closed_at_once(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []

    def noted(*given: Any) -> socket.socket:
        opened.append(_opened(*given))
        return opened[-1]

    monkeypatch.setattr("webhook_svc.http.door._opened", noted)
    server = serving(always(b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc"))
    with client(server.url) as http:
        with pytest.raises(Retryable, match="not HTTP"):
            http.call(Request(url=server.url))
        assert [-1] == [sock.fileno() for sock in opened]


def test_a_length_that_a_proxy_doubled_is_one_length(serving: Any) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"
    assert b"abc" == ask(serving(cut_after(raw))).body


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP, br"])
def test_an_answer_compressed_against_our_will_is_retryable(serving: Any, encoding: str) -> None:
    server = serving(always(answer(b"\x1f\x8b", "200 OK", f"Content-Encoding: {encoding}")))
    with pytest.raises(Retryable, match="compressed although asked not to"):
        save(server)


@pytest.mark.parametrize(
    ("raw", "body"),
    [(answer(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"), b""), (answer(b"x" * 2000), b"x" * 1024)],
    ids=["compressed", "large"],
)
def test_what_was_done_is_done_whatever_is_said_of_it(serving: Any, raw: bytes, body: bytes) -> None:
    server = serving(always(raw))
    with client(server.url) as http:
        got = http.call(Request(url=server.url, method="POST", body=b"act"), limit=1024)
    assert (200, body) == (got.status, got.body)


def test_the_status_of_a_compressed_error_page_still_counts(serving: Any) -> None:
    got = ask(serving(always(answer(b"\x1f\x8b", "409 Conflict", "Content-Encoding: gzip"))))
    assert (409, b"") == (got.status, got.body)


# --- time ---------------------------------------------------------------------------------------------------------


def trickling(first: bytes) -> Serve:
    def serve(sock: socket.socket, _: bytes) -> None:
        sock.sendall(first)
        while True:
            sock.sendall(b"x")
            threading.Event().wait(0.02)

    return serve


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="headers"),
        pytest.param(b"H", id="status"),
        pytest.param(b"HTTP/1.1 500 Oh\r\n\r\n", id="error page"),
    ],
)
def test_a_trickle_cannot_outlast_the_whole_time(serving: Any, first: bytes) -> None:
    with pytest.raises(Retryable, match="whole call"):
        save(serving(trickling(first)), read_timeout=5, total_timeout=0.3)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_a_host_that_never_answers_is_given_up(serving: Any, first: bytes) -> None:
    def serve(sock: socket.socket, _: bytes) -> None:
        sock.sendall(first)
        server.over.wait(5)

    server = serving(serve)
    with pytest.raises(Retryable, match="no answer in time"):
        save(server, read_timeout=0.1)


def test_a_host_that_takes_no_upload_is_given_up(serving: Any) -> None:
    server: Server = serving(lambda *_: server.over.wait(5))
    with client(server.url, read_timeout=0.1) as http, pytest.raises(Retryable, match="no answer in time"):
        http.call(Request(url=server.url, method="PUT", body=b"x" * 30_000_000))


def test_a_connection_that_is_never_accepted_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        origin = f"127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.create_connection(full.getsockname()[:2], 1)]
        with (
            client(f"http://{origin}", connect_timeout=0.1) as http,
            pytest.raises(Retryable, match="no answer in time"),
        ):
            http.call(Request(url=f"http://{origin}"))
        waiting[0].close()


# --- cut connections ----------------------------------------------------------------------------------------------


def test_a_reset_connection_is_retryable(serving: Any) -> None:
    with pytest.raises(Retryable, match=r"127\.0\.0\.1: the connection was cut"):
        ask(serving(reset), "/path?token=secret")


def test_a_refused_connection_is_retryable_and_names_host_and_cause_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        origin = f"127.0.0.1:{unused.getsockname()[1]}"
    with client(f"http://{origin}") as http, pytest.raises(Retryable) as error:
        http.call(Request(url=f"http://{origin}/path?token=secret"))
    assert "127.0.0.1: the connection was refused" == str(error.value)
    assert error.value.__cause__ is None


def test_a_name_that_does_not_exist_is_retryable() -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with client(resolve=resolve) as http, pytest.raises(Retryable, match=r"nowhere\.example: the name cannot be"):
        http.call(Request(url="http://nowhere.example/"))


def test_an_error_of_the_receiver_is_not_taken_for_one_of_the_network(serving: Any) -> None:
    def full(_: bytes) -> None:
        raise Retryable("disk full")

    server = serving(always(answer(b"x")))
    with client(server.url) as http, pytest.raises(Retryable, match=r"^disk full$"):
        http.save(Request(url=server.url), full, limit=10)


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """Self-signed, for signed.example and 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signed.example")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    names = [x509.DNSName("signed.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    (folder / "both.pem").write_bytes(pem)
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return folder / "ca.pem", context


def test_a_certificate_that_nobody_vouches_for_is_retryable_and_says_so(serving: Any, certificate: Any) -> None:
    server = serving(always(answer(b"x")), certificate[1])
    with client(server.secure) as http, pytest.raises(Retryable, match=r"its certificate does not hold \(self-signed"):
        http.call(Request(url=f"{server.secure}/"))
    assert [] == server.requests


def test_a_certificate_for_another_name_is_retryable_and_says_so(serving: Any, certificate: Any) -> None:
    server = serving(always(answer(b"x")), certificate[1])
    origin = f"other.example:{server.port}"
    options = {"ca_file": str(certificate[0]), "resolve": naming("127.0.0.1")}
    with (
        client(f"https://{origin}", **options) as http,
        pytest.raises(Retryable, match=r"Hostname mismatch.*other\.example"),
    ):
        http.call(Request(url=f"https://{origin}/"))


def test_the_name_is_proved_although_the_judged_address_is_connected(serving: Any, certificate: Any) -> None:
    server = serving(always(answer(b"x")), certificate[1])
    origin = f"signed.example:{server.port}"
    with client(f"https://{origin}", ca_file=str(certificate[0]), resolve=naming("127.0.0.1")) as http:
        assert b"x" == http.call(Request(url=f"https://{origin}/")).body
    assert f"Host: {origin}\r\n".encode() in server.requests[0]


def test_plain_http_where_tls_was_asked_is_retryable(serving: Any) -> None:
    server = serving(always(answer(b"x")))
    with client(server.secure, connect_timeout=0.2) as http, pytest.raises(Retryable):
        http.call(Request(url=f"{server.secure}/"))


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "0.0.0.0",  # noqa: S104 - refused, not bound
        "100.64.0.1",
        "192.88.99.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
        "::1",
        "::",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "2002:a00:1::",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "5f00::1",
        "100::1",
    ],
)
def test_an_address_that_not_everybody_can_reach_is_not_public(address: str) -> None:
    assert is_public(read_address(address)) is False


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450::1"])
def test_an_address_that_everybody_can_reach_is_public(address: str) -> None:
    assert is_public(read_address(address)) is True


@given(st.ip_addresses())
def test_what_is_never_reached_is_never_public(address: Any) -> None:
    known_exception = ipaddress.ip_address("168.63.129.16")
    assert address == known_exception or not (is_never_reached(address) and is_public(address))


def forbidden(url: str, *addresses: str, **options: Any) -> str:
    with client(**{"resolve": naming(*addresses), **options}) as http, pytest.raises(Permanent) as error:
        http.call(Request(url=url))
    return str(error.value)


def test_another_host_must_lead_to_public_addresses_only() -> None:
    assert "not a public address" in forbidden("http://a.example/", "8.8.8.8", "10.0.0.1")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "localhost"])
def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    assert "not a public address" in forbidden(f"http://{host}/", resolve=socket.getaddrinfo)


def test_a_host_in_allow_hosts_may_be_private(serving: Any) -> None:
    server = serving(always(answer(b"x")))
    for allowed in ("Inside.example", f"inside.example:{server.port}"):
        with client(allow_hosts=frozenset({allowed}), resolve=naming("127.0.0.1")) as http:
            assert b"x" == http.call(Request(url=f"http://inside.example:{server.port}/")).body


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"]
)
def test_metadata_addresses_are_never_asked_even_if_allowed(address: str) -> None:
    allow = frozenset({"a.example"})
    told = forbidden("http://a.example/latest/meta-data", address, allow_hosts=allow)
    assert "metadata" in told
    assert told.startswith("a link or redirect leads to a.example: ")


def test_our_own_port_is_never_asked_even_if_allowed(serving: Any) -> None:
    server = serving(always(answer(b"x")))
    options = {"allow_hosts": frozenset({"a.example"}), "own_ports": frozenset({server.port})}
    assert "is our own" in forbidden(f"http://a.example:{server.port}/", "127.0.0.1", **options)
    assert 0 == server.connections


def test_a_name_is_looked_up_once_and_the_judged_address_is_connected(serving: Any) -> None:
    """DNS rebinding: public when it is judged, private when it is connected."""
    server, looked_up = serving(always(answer(b"x"))), []

    def rebinding(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        return naming("192.0.2.1" if len(looked_up) > 1 else "127.0.0.1")(host, port)

    allow = frozenset({"a.example"})
    with client(allow_hosts=allow, resolve=rebinding) as http:
        assert b"x" == http.call(Request(url=f"http://a.example:{server.port}/")).body
    assert ["a.example"] == looked_up


def test_credentials_never_go_to_a_host_that_is_not_configured(serving: Any) -> None:
    server = serving(always(answer(b"x")))
    with client("http://127.0.0.1:1", allow_hosts=frozenset({"127.0.0.1"})) as http:
        http.call(Request(url=server.url, auth={"Authorization": "Bearer secret"}))
    assert b"secret" not in server.requests[0]


def test_credentials_for_https_never_go_over_http(serving: Any) -> None:
    server = serving(always(answer(b"x")))
    with client(server.secure, allow_hosts=frozenset({"127.0.0.1"})) as http:
        http.call(Request(url=server.url, auth={"Authorization": "Bearer secret"}))
    assert b"secret" not in server.requests[0]


def test_another_scheme_of_a_trusted_address_is_judged_as_a_strangers(serving: Any) -> None:
    server = serving(always(answer(b"x")))
    with client(server.secure) as http, pytest.raises(Permanent, match="not a public address"):
        http.call(Request(url=server.url))
    assert [] == server.requests


def test_an_address_that_two_readers_understand_differently_gets_no_credentials(serving: Any) -> None:
    server = serving(always(answer(b"x")))
    with client("http://trusted.example:80", resolve=naming("10.0.0.1")) as http, pytest.raises(Permanent):
        http.call(Request(url=f"http://{server.origin}\\@trusted.example/", auth={"Authorization": "Bearer secret"}))
    assert [] == server.requests


# --- redirects ----------------------------------------------------------------------------------------------------


def sending_to(location: str, status: str = "302 Found") -> Serve:
    return always(answer(b"moved", status, f"Location: {location}"))


@pytest.mark.parametrize("status", ["301 M", "302 M", "303 M", "307 M", "308 M"])
def test_a_redirect_to_another_host_is_followed_without_credentials(serving: Any, status: str) -> None:
    target = serving(always(answer(b"the file")))
    source = serving(sending_to(f"{target.url}/file?sig=1", status))
    request = Request(url=source.url, auth={"Authorization": "Bearer secret"}, headers={"X-Key": "k", "Accept": "a/b"})
    with client(source.url, allow_hosts=frozenset({target.origin})) as http:
        assert b"the file" == http.call(request).body
    assert b"secret" in source.requests[0]
    assert target.requests[0].startswith(b"GET /file?sig=1 HTTP/1.1\r\n")
    assert b"secret" not in target.requests[0]
    assert b"X-Key" not in target.requests[0]
    assert b"Accept: a/b" in target.requests[0]


def test_a_redirect_to_a_trusted_host_adds_no_credentials(serving: Any) -> None:
    target = serving(always(answer(b"the file")))
    source = serving(sending_to(target.url))
    with client(target.url, allow_hosts=frozenset({source.origin})) as http:
        assert b"the file" == http.call(Request(url=source.url, auth={"Authorization": "Bearer secret"})).body
    assert b"secret" not in source.requests[0] + target.requests[0]


def test_parameters_that_are_credentials_go_to_a_trusted_host_alone(serving: Any) -> None:
    request = Request(url="", auth_query={"key": "s&3", "id": "1"})
    server = serving(always(answer(b"x")))
    with client(server.url) as http:
        http.call(dataclasses.replace(request, url=f"{server.url}/?a=b"))
        http.call(dataclasses.replace(request, url=f"{server.url}/c"))
    with client(allow_hosts=frozenset({server.origin})) as http:
        http.call(dataclasses.replace(request, url=f"{server.url}/d"))
    assert [b"/?a=b&key=s%263&id=1", b"/c?key=s%263&id=1", b"/d"] == [one.split(b" ")[1] for one in server.requests]


def test_a_redirect_takes_no_parameters_along_that_are_credentials(serving: Any) -> None:
    target = serving(always(answer(b"the file")))
    source = serving(sending_to(f"{target.url}/file"))
    with client(source.url, target.url) as http:
        http.call(Request(url=source.url, auth_query={"key": "secret"}))
    assert b"GET /file HTTP" in target.requests[0]


def test_a_relative_redirect_keeps_credentials_and_connection(serving: Any) -> None:
    def serve(sock: socket.socket, head: bytes) -> None:
        sock.sendall(answer(b"x") if b"/next" in head else answer(b"moved", "302 Found", "Location: next"))

    server = serving(serve)
    with client(server.url) as http:
        assert b"x" == http.call(Request(url=f"{server.url}/a/first", auth={"X-Key": "k"})).body
    assert server.requests[1].startswith(b"GET /a/next ")
    assert b"X-Key: k\r\n" in server.requests[1]
    assert 1 == server.connections


@pytest.mark.parametrize(
    "location", ["http://10.0.0.1/", "http://169.254.169.254/latest", "file:///etc/passwd", "http://127.1/", "//[::1]/"]
)
def test_a_redirect_to_a_forbidden_place_is_permanent(serving: Any, location: str) -> None:
    with pytest.raises(Permanent):
        ask(serving(sending_to(location)))


def test_a_redirect_from_https_to_http_is_permanent(serving: Any, certificate: Any) -> None:
    target = serving(always(answer(b"the file")))
    source = serving(sending_to(target.url), certificate[1])
    origin = f"https://signed.example:{source.port}"
    options = {"ca_file": str(certificate[0]), "resolve": naming("127.0.0.1")}
    with client(origin, target.url, **options) as http, pytest.raises(Permanent, match="from https to http"):
        http.call(Request(url=origin))
    assert [] == target.requests


def test_a_redirect_that_leads_round_in_circles_ends(serving: Any) -> None:
    server = serving(sending_to("/again"))
    with pytest.raises(Permanent, match="more than 5 redirects"):
        ask(server)
    assert 6 == len(server.requests)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_redirect_of_what_changes_something_is_returned_as_it_stands(serving: Any, method: str) -> None:
    server = serving(sending_to("/elsewhere", "307 Temporary Redirect"))
    with client(server.url) as http:
        got = http.call(Request(url=server.url, method=method))
    assert (307, "/elsewhere") == (got.status, got.headers["location"])


# --- proxy --------------------------------------------------------------------------------------------------------


def test_a_configured_proxy_is_asked_and_untrusted_names_are_judged_before(serving: Any) -> None:
    proxy = serving(always(answer(b"through the proxy")))
    with client("http://a.example:80", proxy=proxy.url, resolve=naming("127.0.0.1")) as http:
        assert b"through the proxy" == http.call(Request(url="http://a.example/x")).body
        with pytest.raises(Permanent, match="not a public address"):
            http.call(Request(url="http://b.example/x"))
    assert [b"GET http://a.example/x HTTP/1.1"] == [head.split(b"\r\n")[0] for head in proxy.requests]


def test_a_proxy_that_refuses_is_retryable(serving: Any) -> None:
    proxy = serving(always(answer(b"", "407 Proxy Authentication Required")))
    with (
        client("https://a.example:443", proxy=proxy.url) as http,
        pytest.raises(Retryable, match=r"a\.example: the proxy"),
    ):
        http.call(Request(url="https://a.example/x"))
