"""requests over urllib3 with the door and the timer built into every connection."""

import http.client
import io
import socket
import ssl
from dataclasses import dataclass
from email.errors import MissingHeaderBodySeparatorDefect
from functools import cache
from operator import itemgetter
from typing import Any, ClassVar, Final

from certifi import where
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from .address import Place
from .door import Door, Timer

CHUNK: Final = 256 * 1024

_NEVER: Final = Retry(False)


class _TimedReader(io.RawIOBase):
    """The socket, each read bounded by what is left of the call: a trickling answer cannot outlast it."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, timer: Timer) -> None:
        self._raw = raw
        self._sock = sock
        self._timer = timer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        with self._timer.bounding(self._sock):
            read: int | None = self._raw.readinto(buffer)
            return read

    def close(self) -> None:
        super().close()
        self._raw.close()


class _TimedResponse(http.client.HTTPResponse):
    timer: ClassVar[Timer]

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, self.timer))

    def begin(self) -> None:
        """Headers that end early, or in a line that is none, may have lost the length: such an answer is not used.

        Nor one of unclear length: urllib3 would refuse it only where nobody closes it any more.
        """
        super().begin()
        broken = any(isinstance(defect, MissingHeaderBodySeparatorDefect) for defect in self.msg.defects)
        if broken or not (self.chunked or _is_clear(self.msg.get_all("content-length", []))):
            self.close()
            raise http.client.HTTPException("broken headers")


def _is_clear(lengths: list[str]) -> bool:
    """One number, which proxies may have doubled, or none at all."""
    said = {length.strip() for line in lengths for length in line.split(",")}
    return len(said) <= 1 and all(length.isascii() and length.isdigit() for length in said)


class _Guarded(HTTPConnection):
    scheme: ClassVar[str] = "http"
    door: ClassVar[Door]
    timer: ClassVar[Timer]

    def _new_conn(self) -> socket.socket:
        self.timer.opened = True
        return self.door.connect(self.scheme, self._dns_host, self.port, self.timer, trusted=self.proxy is not None)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        with self.timer.bounding(self.sock):
            super().send(data)


class _GuardedTls(_Guarded, HTTPSConnection):
    scheme = "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One request on its way."""

    method: str
    place: Place
    trusted: bool
    headers: dict[str, str]


class Lines(HTTPAdapter):
    """The connection pools of requests' adapter over guarded connections, with one TLS context for all of them.

    They are asked directly: `send` would read each address twice more and dress up each answer.
    """

    def __init__(self, door: Door, timer: Timer, ca_file: str) -> None:
        parts = {"door": door, "timer": timer, "response_class": type("Response", (_TimedResponse,), {"timer": timer})}
        plain, tls = type("Plain", (_Guarded,), parts), type("Tls", (_GuardedTls,), parts)
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }
        self._timer = timer
        self._options: dict[str, Any] = {"ssl_context": _tls(ca_file), "cert_reqs": "CERT_REQUIRED", "blocksize": CHUNK}
        super().__init__(pool_connections=32, pool_maxsize=64)

    def ask(self, hop: Hop, body: Any, proxy: str) -> BaseHTTPResponse:
        """The answer, its body unread. Raises what urllib3 raises."""
        manager = self.proxy_manager_for(proxy) if proxy else self.poolmanager
        place = hop.place
        pool: HTTPConnectionPool = manager.connection_from_host(place.host, place.port, place.scheme)
        return pool.urlopen(
            hop.method,
            place.url if proxy and place.scheme == "http" else place.target,
            body,
            hop.headers,
            _NEVER,
            redirect=False,
            assert_same_host=False,
            timeout=self._timer.usual,
            preload_content=False,
            decode_content=False,
        )

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **options, **self._options)
        self._furnish(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options, **self._options)
        self._furnish(manager)
        return manager

    def _furnish(self, manager: Any) -> None:
        """With our pools, told apart by where they lead: all else is the same for all that one manager has."""
        manager.pool_classes_by_scheme = self._pools
        manager.key_fn_by_scheme = dict.fromkeys(self._pools, itemgetter("scheme", "host", "port"))

    def close(self) -> None:
        """At once: urllib3 leaves open connections to the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - the container refuses to be iterated
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()


@cache
def _tls(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=where())
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context
