"""A receiver of Standard Webhooks that believes nothing, and acts once upon each id.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, 22 Nov 2026
"""

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

from werkzeug.formparser import parse_form_data
from werkzeug.wrappers import Request, Response

from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.ports import Sink
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.verify import Verifier, VerifySettings

from .base import SECRETS, Bundle, Rig, make_sink
from .front import before
from .servers import Servers, served

WHSEC = "whsec_" + b64encode(SECRETS[2].encode()).decode()
SCHEME = VerifySettings(
    alg="hmac-sha256",
    key="whsec",
    message="{id}.{ts}.{body}",
    encoding="base64",
    signature="header:webhook-signature",
    pattern="(?:^| )v1,([^ ]*)",
    vars={"id": "header:webhook-id", "ts": "header:webhook-timestamp"},
    tolerance=300,
)


class Receiver:
    """What arrived: for each `webhook-id` its payload, its files by path, and the bodies of all its tries."""

    def __init__(self, secret: str = WHSEC) -> None:
        self.verifier = Verifier(SCHEME, [Secret(secret)])
        self.payloads: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.bodies: dict[str, list[bytes]] = {}
        self.stamps: list[str] = []
        self.signatures: list[str] = []
        self.answers: list[tuple[int, Mapping[str, str]]] = []
        """What the next requests are answered with, after they were acted upon."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        return Response(*self._answer(request))(environ, start_response)

    def _answer(self, request: Request) -> tuple[str, int, Mapping[str, str]]:
        if request.headers.get("Authorization") != f"Bearer {SECRETS[0]}" or request.args.get("token") != SECRETS[1]:
            return f"no: {SECRETS[0]}", 401, {}
        if request.method == "OPTIONS":
            return "", 204, {"Allow": "POST, OPTIONS"}
        if request.method != "POST":
            return "", 405, {}
        body = request.get_data()
        headers = tuple((name.lower(), value) for name, value in request.headers.items())
        try:
            self.verifier.verify(RawRequest(headers=headers, body=body), time.time())
        except NotGenuine:
            return "the signature does not hold", 401, {}
        status, extra = self._taken(request, body)
        return ("", *self.answers.pop(0)) if self.answers else ("", status, extra)

    def _taken(self, request: Request, body: bytes) -> tuple[int, Mapping[str, str]]:
        key = request.headers["webhook-id"]
        seen = self.bodies.setdefault(key, [])
        seen.append(body)
        self.stamps.append(request.headers["webhook-timestamp"])
        self.signatures.append(request.headers["webhook-signature"])
        if body != seen[0]:
            return 422, {}
        if key not in self.payloads:
            self.payloads[key], found = _read(request, body)
            self.files |= found
        return 204, {}


def _read(request: Request, body: bytes) -> tuple[Any, dict[str, bytes]]:
    """(payload, files by path)"""
    if request.mimetype == "application/json":
        payload = json.loads(body)
        described = payload["data"]["files"]
        return payload, {one["path"]: b64decode(one["content"], validate=True) for one in described if "content" in one}
    _, form, files = parse_form_data({**request.environ, "wsgi.input": BytesIO(body)})
    payload = json.loads(form["payload"])
    described, sent = payload["data"]["files"], files.getlist("file")
    assert [one["name"] for one in described] == [one.filename for one in sent]
    found = {}
    for one, file in zip(described, sent, strict=True):
        with file.stream:
            found[one["path"]] = file.stream.read()
    return payload, found


class WebhookRig(Rig):
    behind = "stand-in"
    real = False
    over_http = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.receiver = Receiver()
        self.front = start.enter_context(before(start.enter_context(served(self.receiver))))
        self.sink = self.make()
        self.broken = self.make(headers={"Authorization": f"Bearer {SECRETS[0]}-wrong"})

    def make(self, **changes: Any) -> Sink:
        table = {
            "url": f"{self.front.address}/in?token={SECRETS[1]}",
            "secrets": [WHSEC],
            "headers": {"Authorization": f"Bearer {SECRETS[0]}"},
        }
        return make_sink("webhook", {**table, **changes})

    def visible(self) -> dict[str, bytes]:
        return self.receiver.files

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        return bundle.files
