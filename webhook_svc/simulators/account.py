"""What every simulated account has: made-up secrets, signings, links that expire, and its quirks."""

import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flask import Flask, Response, abort, jsonify, request

from ..core.ports import Clock
from ..core.types import RawRequest
from .mark import MARK
from .pdf import pdf
from .quirks import HOSTILE_NAME, LATE, Pause, Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A completed signing; `title` is what the API calls it, `signed` what stands in its files."""

    id: str
    title: str
    signed: str
    size: int
    finished: float

    def file(self, part: str) -> bytes:
        if part == "document":
            return pdf(self.signed, size=self.size)
        return pdf(f"{part.capitalize()}: {self.signed}")


class Account:
    """The common half of a simulator; the other half knows the wire. `quirks` is that of the Simulator."""

    quirks: ClassVar[tuple[str, ...]]
    link_life: ClassVar[float] = 3600.0

    def __init__(
        self, *, secret: str = "", api_key: str = "", clock: Clock = time.time, pause: Pause = time.sleep
    ) -> None:
        self.secret = secret or made_up(64)
        self.next_secret = made_up(64)
        self.api_key = api_key or made_up(32)
        self.clock = clock
        self.shown = Quirks(self.quirks, pause)
        self.signed: dict[str, Signed] = {}
        self._links: dict[str, tuple[str, str, float]] = {}
        self._unlisted: set[str] = set()

    def misbehave(self, quirk: str, *, times: int = 1) -> None:
        self.shown.add(quirk, times)

    def document_bytes(self, document: str, part: str = "document") -> bytes:
        return self.signed[document].file(part)

    def sign(self, document: str, title: str, size: int) -> Signed:
        """The signing is complete from now on."""
        signed = title or f"Contract {document}"
        shown = HOSTILE_NAME if self.shown.take("hostile_name") else signed
        self.signed[document] = Signed(id=document, title=shown, signed=signed, size=size, finished=self.clock())
        return self.signed[document]

    def sent(self, callbacks: Iterable[Callable[[], RawRequest]]) -> list[RawRequest]:
        """Each callback as often, and all in the order, that the quirks want; none where they are dropped."""
        if self.shown.take("dropped"):
            return []
        sent = [callback() for callback in callbacks for _ in range(2 if self.shown.take("duplicate") else 1)]
        return sent[::-1] if self.shown.take("reorder") else sent

    def signed_at(self) -> int:
        """The time that a signature names."""
        return int(self.clock()) - (LATE if self.shown.take("late") else 0)

    def listed(self, page: int, size: int) -> tuple[list[Signed], int]:
        """A page of the list, newest first, and how many entries it has. One that is missing on demand vanishes from
        the first page while a later one is asked for."""
        everything = sorted(self.signed.values(), key=lambda signed: signed.finished, reverse=True)
        if page > 1 and self.shown.take("list_shrinks"):
            self._unlisted.add(everything[0].id)
        newest = [signed for signed in everything if signed.id not in self._unlisted]
        return newest[(page - 1) * size : page * size], len(newest)

    def found(self, document: str, missing: Callable[[], Response]) -> Signed:
        """The signing; the answer of `missing` ends the request where there is none, or it hides on demand."""
        if document not in self.signed or self.shown.take("not_found"):
            abort(missing())
        return self.signed[document]

    def link(self, document: str, part: str = "document") -> str:
        """A link to a file that opens for a while, at another path of this server. It takes no credentials."""
        token = made_up(24)
        self._links[token] = (document, part, self.clock() + self.link_life)
        return f"{request.host_url}files/{token}?X-Amz-Signature={made_up(32)}"

    def linked_file(self, token: str, *, kind: str = "application/pdf") -> Response:
        """The view behind such a link; storage hosts refuse requests that bring another kind of credential."""
        if request.headers.get("Authorization") or request.headers.get("x-api-key"):
            return Response("<Error><Code>InvalidArgument</Code></Error>", 400, mimetype="application/xml")
        document, part, until = self._links.get(token, ("", "", 0.0))
        if self.clock() > until or self.shown.take("expired_link"):
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, mimetype="application/xml")
        return self.shown.file(self.document_bytes(document, part), kind)

    def app(self, guard: Callable[[], Response | None], views: Mapping[str, Callable[..., Response]]) -> Flask:
        """The API: `METHOD /path` → view, behind the guard, and beside it the links, which stand elsewhere."""
        app = Flask(type(self).__name__, static_folder=None)
        app.before_request(lambda: None if request.path.startswith("/files/") else guard())
        for rule, view in {"GET /files/<token>": self.linked_file, **views}.items():
            method, _, path = rule.partition(" ")
            app.add_url_rule(path, rule, view, methods=[method])
        return app

    def timed_signature(self, body: bytes) -> str:
        """`t=…,v1=…`, the HMAC-SHA256 over time, dot and body; two of them while the secret changes."""
        at = self.signed_at()
        keys = [self.next_secret, self.secret] if self.shown.take("rotated_secret") else [self.secret]
        keys = ["somebody else's"] if self.shown.take("wrong_signature") else keys
        digests = (hmac.digest(key.encode(), b"%d." % at + body, "sha256").hex() for key in keys)
        return ",".join([f"t={at}", *(f"v1={digest}" for digest in digests)])

    def trouble(self, error: Callable[[int, float | None], Response]) -> Response | None:
        """What the next quirk answers in place of the API; `error` makes the provider's own answer of status and
        Retry-After."""
        if self.shown.take("rate_limited"):
            return error(429, 1)
        if self.shown.take("rate_limited_silently"):
            return error(429, None)
        if self.shown.take("server_error"):
            return error(500, None)
        if self.shown.take("unavailable"):
            return error(503, 1)
        return self.shown.page()


def said(status: int, after: float | None = None, /, **content: Any) -> Response:
    """JSON with that status, and `Retry-After` where a pause is named."""
    answer = jsonify(content)
    answer.status_code = status
    if after is not None:
        answer.headers["Retry-After"] = str(round(after))
    return answer


def made_up(digits: int) -> str:
    """Hexadecimal digits, so that they fit wherever a provider writes secrets; the first of them are the mark."""
    return (MARK + secrets.token_hex(digits // 2))[:digits]
