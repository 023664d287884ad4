"""Requests out, answers in: credentials, redirects and caps."""

import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import BinaryIO, Final
from urllib.parse import urlencode, urljoin

import urllib3

from .. import __version__
from ..core.addresses import read_address
from ..core.errors import Permanent, Retryable
from ..core.outgoing import Answer, Request, Upload, json_bytes
from ..core.ports import ANSWER_LIMIT
from ..core.types import EMPTY
from .address import read
from .door import Door, Resolve, Timer
from .fates import translated
from .wire import CHUNK, Hop, Lines

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_AS_IT_IS: Final = ("", "identity", "none", "binary", "7bit", "8bit", "utf-8", "aws-chunked")
_SAFE_METHODS: Final = ("GET", "HEAD")
_DRAINED: Final = 64 * 1024
_LARGE: Final = 32 * 1024 * 1024
_LARGE_CHUNK: Final = 1024 * 1024
_BREAK: Final = re.compile(r"[\r\n\0]")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HttpClient:
    """core.ports.Http over requests. One for each source or sink; threads may share it; `close` it at the end.

    A look-up of a name is bounded by the system's resolver alone. With a proxy, names of untrusted hosts are judged
    here and looked up again by the proxy; loopback is reached directly.
    """

    def __init__(
        self,
        *,
        trusted: frozenset[str],
        allow_hosts: frozenset[str] = frozenset(),
        own_ports: frozenset[int] = frozenset(),
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        total_timeout: float = 600.0,
        proxy: str = "",
        ca_file: str = "",
        user_agent: str = f"webhook-svc/{__version__}",
        max_redirects: int = 5,
        clock: Callable[[], float] = time.monotonic,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._door = Door(trusted, allow_hosts, own_ports, resolve)
        self._timer = Timer(clock, connect_timeout, read_timeout)
        self._lines = Lines(self._door, self._timer, ca_file)
        self._total = total_timeout
        self._proxy = proxy
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._max_redirects = max_redirects

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        """The whole answer to a question; a body that is larger than `limit` is Permanent.

        What was done is done, whatever is said of it: of an answer to an act, and of an error page, the beginning does.
        """
        with self._answered(request) as (host, raw):
            whole = _is_good(raw) and _asks(request)
            body = _whole(host, raw, limit) if whole else _beginning(host, raw, limit)
            return Answer(status=raw.status, headers=_lower(raw.headers), body=body, size=len(body))

    def save(
        self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Collection[str] = ()
    ) -> Answer:
        with self._answered(request) as (host, raw):
            if not _is_good(raw) or _type(raw) in unless:
                body = _beginning(host, raw, ANSWER_LIMIT)
                return Answer(status=raw.status, headers=_lower(raw.headers), body=body, size=len(body))
            size = 0
            for chunk in _capped(host, raw, limit):
                into(chunk)
                size += len(chunk)
            return Answer(status=raw.status, headers=_lower(raw.headers), size=size)

    def close(self) -> None:
        self._lines.close()

    @contextmanager
    def _answered(self, request: Request) -> Iterator[tuple[str, urllib3.BaseHTTPResponse]]:
        """(host, answer) after the redirects that may be followed; every hop is judged anew."""
        url, first, before = request.url, "", ""
        with self._timer.call(self._total), ExitStack() as answers:
            for _ in range(self._max_redirects + 1):
                hop = self._hop(request, url, first)
                _check_redirect(before, hop)
                first, before = first or hop.place.origin, hop.place.origin
                raw = self._sent(request, hop)
                answers.callback(raw.close)
                target = _redirect(request, hop, raw)
                if not target:
                    yield hop.place.host, raw
                    return
                _drain(hop.place.host, raw)
                url = target
        raise Permanent(f"{hop.place.host}: more than {self._max_redirects} redirects")

    def _hop(self, request: Request, url: str, first: str) -> Hop:
        place = read(url)
        headers, auth = _checked(request.headers), _checked(request.auth)
        if first and place.origin != first:
            # Whoever sent us here chose the address: not even a trusted host gets credentials by its word.
            headers, auth = {name: value for name, value in headers.items() if name.lower().startswith("accept")}, {}
        trusted = self._door.trusts(place.origin)
        if request.auth_query and trusted and not first:
            place = read(_with_query(url, request.auth_query))
        return Hop(
            place=place,
            trusted=trusted,
            method=_method(request),
            headers=_merged(self._headers, _kind(request), headers, auth if trusted else EMPTY),
        )

    def _sent(self, request: Request, hop: Hop) -> urllib3.BaseHTTPResponse:
        with ExitStack() as files, translated(hop.place.host):
            body: bytes | _Sized | None
            if upload := _upload(request):
                body = _Sized(files.enter_context(upload.open()), upload.size)
                hop.headers["Content-Length"] = str(upload.size)
            else:
                body = _content(request)
            self._timer.opened = False
            try:
                return self._exchange(hop, body)
            except (urllib3.exceptions.ProtocolError, urllib3.exceptions.SSLError):
                # A server may close an idle connection just as it is used again: asking anew is harmless here.
                if self._timer.opened or not _asks(request):
                    raise
                return self._exchange(hop, body)

    def _exchange(self, hop: Hop, body: "bytes | _Sized | None") -> urllib3.BaseHTTPResponse:
        proxy = self._proxy if self._proxy and not _is_loopback(hop.place.host) else ""
        if proxy and not hop.trusted:
            self._door.judged(hop.place.scheme, hop.place.host, hop.place.port)
        return self._lines.ask(hop, body, proxy)


class _Sized:
    """An upload as urllib3 reads it: never more than announced, and an error where it is less."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, amount: int) -> bytes:
        chunk = self._file.read(min(amount, self._left))
        if not chunk and self._left:
            raise Retryable(f"the upload ended {self._left} bytes before its announced size")
        self._left -= len(chunk)
        return chunk


# --- requests -----------------------------------------------------------------------------------------------------


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query, errors='backslashreplace')}"


def _method(request: Request) -> str:
    if not _TOKEN.fullmatch(request.method):
        raise Permanent("the method is not one of HTTP")
    return request.method.upper()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or read_address(host).is_loopback
    except ValueError:
        return False


def _content(request: Request) -> bytes | None:
    if request.json is not None:
        return json_bytes(request.json)
    return request.body if isinstance(request.body, bytes) else None


def _kind(request: Request) -> Mapping[str, str]:
    return {} if request.json is None else {"Content-Type": "application/json"}


def _asks(request: Request) -> bool:
    """A question changes nothing: it may be repeated, and follow where it is led."""
    return request.method.upper() in _SAFE_METHODS and not request.body and request.json is None


def _upload(request: Request) -> Upload | None:
    """What is sent in pieces: a time-out is then one for a piece, however long a large body takes."""
    body = request.body
    if isinstance(body, bytes) and len(body) > CHUNK:
        return Upload(open=lambda: BytesIO(body), size=len(body))
    return body if isinstance(body, Upload) else None


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Permanent where a header would add headers of its own, or cannot be written. Values are never shown."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _BREAK.search(value):
            raise Permanent(f"the header {name[:40]!r} holds a line break, NUL or a name that is none")
        if not value.isascii():
            raise Permanent(f"the header {name!r} holds characters beyond ASCII")
    return dict(headers)


def _merged(*parts: Mapping[str, str]) -> dict[str, str]:
    """The later wins, however it is spelt."""
    merged = {name.lower(): (name, value) for part in parts for name, value in part.items()}
    return dict(merged.values())


# --- answers ------------------------------------------------------------------------------------------------------


def _redirect(request: Request, hop: Hop, raw: urllib3.BaseHTTPResponse) -> str:
    """Where the answer sends us, "" if nowhere. Only questions follow: a POST or PUT is answered as it stands."""
    location = raw.headers.get("location", "")
    if raw.status not in _REDIRECTS or not location or not _asks(request):
        return ""
    with translated("the redirect"):
        return urljoin(hop.place.url, location.encode("latin-1").decode("utf-8", "replace"))


def _check_redirect(before: str, hop: Hop) -> None:
    if before.startswith("https:") and hop.place.scheme == "http":
        host = before.partition("://")[2].rpartition(":")[0]
        raise Permanent(f"{host}: it redirects from https to http, where anybody can read and change the file")


def _drain(host: str, raw: urllib3.BaseHTTPResponse) -> None:
    """A short body is read, so that the connection can be used again."""
    if raw.length_remaining is not None and raw.length_remaining <= _DRAINED:
        with translated(host):
            raw.read(raw.length_remaining + 1, decode_content=False)


def _is_good(raw: urllib3.BaseHTTPResponse) -> bool:
    return 200 <= raw.status < 300


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _whole(host: str, raw: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    return b"".join(_capped(host, raw, limit))


def _capped(host: str, raw: urllib3.BaseHTTPResponse, limit: int) -> Iterator[bytes]:
    """The body as it is on the wire. Permanent beyond `limit`, Retryable where it is encoded or cut short."""
    encoding = raw.headers.get("content-encoding", "").strip().lower()
    if encoding not in _AS_IT_IS:
        raise Retryable(f"{host}: answered compressed although asked not to")
    left = limit
    if (raw.length_remaining or 0) <= left:
        for chunk in _chunks(host, raw):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        else:
            return
    raise Permanent(f"{host}: the answer is larger than {limit} bytes")


def _type(raw: urllib3.BaseHTTPResponse) -> str:
    return str(raw.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _beginning(host: str, raw: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    """Of an error page: enough to read its reason; nothing where it is compressed, its status is what counts."""
    if raw.headers.get("content-encoding", "").strip().lower() not in _AS_IT_IS:
        return b""
    with translated(host):
        return raw.read(limit, decode_content=False)


def _chunks(host: str, raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Larger ones of a large body: then what each costs counts more than its memory."""
    taken = 0
    while True:
        with translated(host):
            chunk = raw.read(CHUNK if taken < _LARGE else _LARGE_CHUNK, decode_content=False)
        if not chunk:
            return
        taken += len(chunk)
        yield chunk
