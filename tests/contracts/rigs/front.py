"""A door in front of a real server or a stand-in: it loses answers, breaks connections and invents error statuses."""

import http.client
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What one request is answered with. `passes`: the server behind sees it first, its answer is thrown away.

    Status 0: the connection is reset.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"no: hunter2"
    passes: bool = False


@dataclass
class Front:
    """Forwards everything to `upstream`, but the request number `at` (from 0; None: every one) meets the fault."""

    address: str
    upstream: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method and target of every request since `forget`."""
    aside: tuple[str, ...] = ()
    """Beginnings of targets, such as that of a login, that a fault for every request leaves alone."""
    fault: Fault | None = None
    at: int | None = None

    def meet(self, fault: Fault, at: int | None = None) -> None:
        """From here on the requests are counted anew, and this is what happens to them."""
        self.forget()
        self.fault, self.at = fault, at

    def forget(self) -> None:
        """All goes through again, and is counted from here."""
        self.fault, self.at = None, None
        self.seen.clear()

    def arrived(self, method: str, target: str) -> Fault | None:
        number = len(self.seen)
        self.seen.append((method, target))
        if self.at is None:
            return None if target.startswith(self.aside) else self.fault
        return self.fault if self.at == number else None


class _Door(BaseHTTPRequestHandler):
    front: Front
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        fault = self.front.arrived(self.command, self.path)
        length = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:  # the sink broke off; nobody behind is left to wait for the rest
            self.close_connection = True
            return
        if "chunked" in self.headers.get("transfer-encoding", ""):
            raise NotImplementedError("a request in chunks")
        if fault is None or fault.passes:
            answer, content = self._forwarded(body)
        if fault is None:
            self._answer(answer.status, dict(answer.getheaders()), content)
        elif fault.status:
            self._answer(fault.status, fault.headers, fault.body)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    def _forwarded(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        place = urlsplit(self.front.upstream)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect"):
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        length = next((value for name, value in headers.items() if name.lower() == "content-length"), None)
        if self.command == "HEAD" and length is not None:
            self.send_header("Content-Length", length)
        elif status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that is reset is what the test wants."""


@contextmanager
def before(upstream: str) -> Iterator[Front]:
    """A door before the server at that address (`http://host:port`)."""
    door = type("Door", (_Door,), {})
    server = _Quiet(("127.0.0.1", 0), door)
    front = Front(address=f"http://127.0.0.1:{server.server_port}", upstream=upstream)
    door.front = front  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
