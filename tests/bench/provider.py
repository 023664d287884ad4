"""A provider that is no bottleneck: raw sockets, one thread a connection, PDFs of any size made while they are sent.

`python -m tests.bench.provider SIZE LATENCY` prints its address and serves until it is ended.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from .service import beside

_BLOCK = memoryview(bytes(1024 * 1024))
_TAIL = b"\nstartxref\n0\n%%EOF\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    url: str
    pid: int


@contextmanager
def provider(size: int, latency: float = 0.0) -> Iterator[Provider]:
    """In a process of its own. `latency` in seconds goes before every answer."""
    with beside("tests.bench.provider", str(size), str(latency)) as (address, pid):
        yield Provider(url=address, pid=pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """Firma's link, and the file behind it: the document's own name stands in its bytes, so no two are equal."""

    url: str
    size: int
    latency: float

    def serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, sock.makefile("rb") as lines, suppress(ConnectionError):  # of one that was killed
            while path := _path(lines):
                time.sleep(self.latency)
                if path.startswith("/files/"):
                    self._send_file(sock, path.removeprefix("/files/"))
                else:
                    self._send_link(sock, path.split("/")[2])

    def _send_link(self, sock: socket.socket, document: str) -> None:
        link = {
            "status": "finished",
            "is_partial": False,
            "download_url": f"{self.url}/files/{document}",
            "expires_at": "2999-01-01T00:00:00Z",
        }
        body = json.dumps(link).encode()
        sock.sendall(_head("application/json", len(body)) + body)

    def _send_file(self, sock: socket.socket, document: str) -> None:
        start = b"%%PDF-1.7\n%%%b\n" % document.encode()
        left = self.size - len(start) - len(_TAIL)
        first = _BLOCK[: left % len(_BLOCK)]
        _send(sock, _head("application/pdf", self.size), start, first)
        for _ in range(left // len(_BLOCK)):
            sock.sendall(_BLOCK)
        sock.sendall(_TAIL)


def _path(lines: BinaryIO) -> str:
    """Of the next request; "" at the end of the connection."""
    line = lines.readline()
    while lines.readline() not in (b"\r\n", b""):
        pass
    return line.split()[1].decode() if line else ""


def _head(kind: str, length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind.encode(), length)


def _send(sock: socket.socket, *pieces: bytes | memoryview) -> None:
    sent = sock.sendmsg(pieces)
    for piece in pieces:
        view = memoryview(piece)
        sock.sendall(view[min(sent, len(view)) :])
        sent -= min(sent, len(view))


def _main(size: str, latency: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    answers = _Answers(url=url, size=int(size), latency=float(latency))
    print(url, flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=answers.serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    _main(*sys.argv[1:])
