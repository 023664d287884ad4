"""Requests out, answers in: credentials, redirects and caps."""

import json
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from .. import __version__
from ..core.addresses import read_address
from ..core.errors import Permanent, Retryable
from ..core.ports import ANSWER_LIMIT
from ..core.settings import host_of
from ..core.types import Answer, Request, Upload
from .door import Door, Resolve, Timer
from .fates import translated
from .wire import CHUNK, Adapter

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_AS_IT_IS: Final = ("", "identity", "none", "binary", "7bit", "8bit", "utf-8", "aws-chunked")
_SAFE_METHODS: Final = ("GET", "HEAD")
_DRAINED: Final = 64 * 1024
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
        self._adapter = Adapter(self._door, self._timer, ca_file)
        self._timeouts = connect_timeout, read_timeout
        self._total = total_timeout
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._max_redirects = max_redirects

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        """The whole answer. An error page is cut at `limit`, another body that is larger is Permanent."""
        with self._answered(request) as (host, raw):
            body = _whole(host, raw, limit) if _is_good(raw) else _beginning(host, raw, limit)
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
        self._adapter.close()

    @contextmanager
    def _answered(self, request: Request) -> Iterator[tuple[str, urllib3.HTTPResponse]]:
        """(host, answer) after the redirects that may be followed; every hop is judged anew."""
        url, first, before = request.url, "", ""
        with self._timer.call(self._total), ExitStack() as answers:
            for _ in range(self._max_redirects + 1):
                prepared, origin = self._prepared(request, url, first)
                _check_redirect(before, origin)
                host, first, before = _host(origin), first or origin, origin
                response = self._sent(request, prepared, origin)
                answers.callback(response.raw.close)
                target = _redirect(prepared, response)
                if not target:
                    yield host, response.raw
                    return
                _drain(host, response.raw)
                url = target
        raise Permanent(f"{host}: more than {self._max_redirects} redirects")

    def _prepared(self, request: Request, url: str, first: str) -> tuple[requests.PreparedRequest, str]:
        """The request for this hop and its origin. What is judged is the address as requests will read it."""
        body, kind = _payload(request)
        prepared = requests.PreparedRequest()
        with translated("the address"):
            prepared.prepare(method=_method(request), url=url, data=body)
            origin = _origin(prepared.url or "")
        headers, auth = _checked(request.headers), _checked(request.auth)
        if first and origin != first:
            # Whoever sent us here chose the address: not even a trusted host gets credentials by its word.
            headers, auth = {name: value for name, value in headers.items() if name.lower().startswith("accept")}, {}
        prepared.headers.update({**self._headers, **kind, **headers})
        if self._door.trusts(origin):
            prepared.headers.update(auth)
        return prepared, origin

    def _sent(self, request: Request, prepared: requests.PreparedRequest, origin: str) -> requests.Response:
        with ExitStack() as files, translated(_host(origin)):
            if upload := _upload(request):
                prepared.headers["Content-Length"] = str(upload.size)
                prepared.body = _Sized(files.enter_context(upload.open()), upload.size)  # type: ignore[assignment]
            self._timer.opened = False
            try:
                return self._exchange(prepared, origin)
            except requests.ConnectionError:
                # A server may close an idle connection just as it is used again: asking anew is harmless here.
                if self._timer.opened or prepared.method not in _SAFE_METHODS or prepared.body:
                    raise
                return self._exchange(prepared, origin)

    def _exchange(self, prepared: requests.PreparedRequest, origin: str) -> requests.Response:
        scheme, host, port = _split(origin)
        proxies = {} if _is_loopback(host) else self._proxies
        if proxies and not self._door.trusts(origin):
            self._door.judged(scheme, host, port)
        return self._adapter.send(prepared, stream=True, timeout=self._timeouts, proxies=proxies)


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


def _method(request: Request) -> str:
    if not _TOKEN.fullmatch(request.method):
        raise Permanent("the method is not one of HTTP")
    return request.method.upper()


def _origin(url: str) -> str:
    """`scheme://host:port`. Permanent for what is no plain web address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise Permanent("only http and https addresses are asked")
    if parts.username or parts.password:
        raise Permanent(f"{parts.hostname}: user and password do not belong into an address")
    return host_of(url)


def _split(origin: str) -> tuple[str, str, int]:
    scheme, _, place = origin.partition("://")
    host, _, port = place.rpartition(":")
    return scheme, host, int(port)


def _host(origin: str) -> str:
    return _split(origin)[1]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or read_address(host).is_loopback
    except ValueError:
        return False


def _payload(request: Request) -> tuple[bytes | None, Mapping[str, str]]:
    if request.json is not None:
        text = json.dumps(request.json, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace"), {"Content-Type": "application/json"}
    return (None if isinstance(request.body, Upload) or _upload(request) else request.body), {}


def _upload(request: Request) -> Upload | None:
    """What is sent in pieces: a time-out is then one for a piece, however long a large body takes."""
    body = request.body
    if isinstance(body, bytes) and len(body) > CHUNK:
        return Upload(open=lambda: BytesIO(body), size=len(body))
    return body if isinstance(body, Upload) else None


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Permanent where a header would add headers of its own, or cannot be written. Values are never shown."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or any(character in value for character in "\r\n\0"):
            raise Permanent(f"the header {name[:40]!r} holds a line break, NUL or a name that is none")
        if not value.isascii():
            raise Permanent(f"the header {name!r} holds characters beyond ASCII")
    return dict(headers)


# --- answers ------------------------------------------------------------------------------------------------------


def _redirect(prepared: requests.PreparedRequest, response: requests.Response) -> str:
    """Where the answer sends us, "" if nowhere. Only questions follow: a POST or PUT is answered as it stands."""
    location = response.headers.get("location", "")
    if response.status_code not in _REDIRECTS or prepared.method not in _SAFE_METHODS or prepared.body or not location:
        return ""
    with translated("the redirect"):
        return urljoin(prepared.url or "", location.encode("latin-1").decode("utf-8", "replace"))


def _check_redirect(before: str, origin: str) -> None:
    if before.startswith("https:") and origin.startswith("http:"):
        raise Permanent(f"{_host(before)}: it redirects from https to http, where anybody can read and change the file")


def _drain(host: str, raw: urllib3.HTTPResponse) -> None:
    """A short body is read, so that the connection can be used again."""
    if raw.length_remaining is not None and raw.length_remaining <= _DRAINED:
        with translated(host):
            raw.read(raw.length_remaining + 1, decode_content=False)


def _is_good(raw: urllib3.HTTPResponse) -> bool:
    return 200 <= raw.status < 300


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _whole(host: str, raw: urllib3.HTTPResponse, limit: int) -> bytes:
    return b"".join(_capped(host, raw, limit))


def _capped(host: str, raw: urllib3.HTTPResponse, limit: int) -> Iterator[bytes]:
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


def _type(raw: urllib3.HTTPResponse) -> str:
    return str(raw.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _beginning(host: str, raw: urllib3.HTTPResponse, limit: int) -> bytes:
    """Of an error page: enough to read its reason; nothing where it is compressed, its status is what counts."""
    if raw.headers.get("content-encoding", "").strip().lower() not in _AS_IT_IS:
        return b""
    with translated(host):
        return raw.read(limit, decode_content=False)


def _chunks(host: str, raw: urllib3.HTTPResponse) -> Iterator[bytes]:
    while True:
        with translated(host):
            chunk = raw.read(CHUNK, decode_content=False)
        if not chunk:
            return
        yield chunk
