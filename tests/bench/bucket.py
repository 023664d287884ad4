"""An S3 that throws away what it is sent, and remembers its size and checksum: all that the sink asks for.

`python -m tests.bench.bucket` prints its address and serves until it is ended.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from .service import beside

_stored: dict[str, tuple[str, str]] = {}


@contextmanager
def bucket() -> Iterator[str]:
    """Its address, in a process of its own."""
    with beside("tests.bench.bucket") as (address, _):
        yield address


def _serve(sock: socket.socket) -> None:
    scratch = memoryview(bytearray(1024 * 1024))
    with sock, sock.makefile("rb") as stream:
        while line := stream.readline():
            method, path, _ = line.decode().split()
            sock.sendall(_answer(method, path, _headers(stream), stream, scratch))


def _answer(method: str, path: str, headers: dict[str, str], stream: BinaryIO, scratch: memoryview) -> bytes:
    if method == "PUT":
        left = length = int(headers["content-length"])
        while left:
            left -= stream.readinto(scratch[:left])  # type: ignore[attr-defined]
        _stored[path] = str(length), headers["x-amz-checksum-sha256"]
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    if path not in _stored:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    told = "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nx-amz-checksum-sha256: {}\r\n\r\n"
    return told.format(*_stored[path]).encode()


def _headers(stream: BinaryIO) -> dict[str, str]:
    found = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        found[name.lower()] = value.strip()
    return found


def _main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    _main()
