"""Slack as its documentation says it refuses: 200 with ok = false from the API, statuses and a word from a hook.

docs.slack.dev/reference/methods: files.getUploadURLExternal, files.completeUploadExternal ("can only be called once",
"if this method is not called, the uploaded file will be discarded"), files.info, auth.test; docs.slack.dev/messaging:
sending-messages-using-incoming-webhooks; api.slack.com/changelog/2016-05-17. Read on 2026-11-22.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from webhook_svc.core.ports import Sink

from .base import SECRETS, Bundle, Rig, make_sink
from .front import before
from .servers import Servers, served
from .standin import Refusal, StandIn, must, reply

CHANNEL = "C0NF841BK"
FORM = "application/x-www-form-urlencoded"


@dataclass
class File:
    name: str
    length: int
    content: bytes | None = None
    title: str = ""
    """What it is shared as."""


class Workspace(StandIn):
    routes = (
        ("POST", r"/api/auth\.test", "tested"),
        ("POST", r"/api/files\.getUploadURLExternal", "begun"),
        ("POST", r"/upload/v1/(\w+)", "uploaded"),
        ("POST", r"/api/files\.completeUploadExternal", "shared"),
        ("POST", r"/api/files\.info", "looked"),
        ("POST", r"/services/T0/B0/(.+)", "noticed"),
    )

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.comments: list[str] = []
        self.notices: list[str] = []
        self.errors: list[str] = []
        """What the next methods of the API refuse with."""
        self.may_look = True
        self.archived = False

    def refused(self, refusal: Refusal) -> Response:
        if refusal.more.get("hook"):
            return Response(refusal.code, refusal.status, content_type="text/html")
        return reply({"ok": False, "error": refusal.code}, refusal.status)

    def tested(self, request: Request) -> Response:
        self._authenticated(request)
        return reply({"ok": True, "team": "Acme"})

    def begun(self, request: Request) -> Response:
        self._authenticated(request)
        must(request.mimetype == FORM, 200, "invalid_post_type")
        length = int(request.form["length"])
        must(request.form["filename"] and length > 0, 200, "invalid_arguments")
        file_id = f"F{len(self.files):08}"
        self.files[file_id] = File(request.form["filename"], length)
        url = f"{request.host_url}upload/v1/{file_id}"
        return reply({"ok": True, "upload_url": url, "file_id": file_id})

    def uploaded(self, request: Request, file_id: str) -> Response:
        must("Authorization" not in request.headers, 400, "the address is its own credential")
        must(file_id in self.files, 404, "no such upload")
        must(self.files[file_id].length == len(request.get_data()), 400, "another length than was announced")
        self.files[file_id].content = request.get_data()
        return Response(f"OK - {len(request.get_data())}")

    def shared(self, request: Request) -> Response:
        self._authenticated(request)
        must(request.mimetype == "application/json", 200, "invalid_post_type")
        body = json.loads(request.get_data())
        must(body["channel_id"] == CHANNEL, 200, "channel_not_found")
        must(not self.archived, 200, "is_archived")
        must(len(body["initial_comment"]) <= 4000, 200, "msg_too_long")
        for one in body["files"]:
            file = self.files.get(one["id"])
            must(file and file.content is not None and not file.title, 200, "file_not_found")
        for one in body["files"]:
            self.files[one["id"]].title = one["title"]
        self.comments.append(body["initial_comment"])
        return reply({"ok": True, "files": body["files"]})

    def looked(self, request: Request) -> Response:
        self._authenticated(request)
        must(request.mimetype == FORM, 200, "invalid_post_type")
        must(self.may_look, 200, "missing_scope")
        file = self.files.get(request.form["file"])
        if file is None or file.content is None:
            raise Refusal(200, "file_not_found")
        return reply({"ok": True, "file": {"channels": [CHANNEL] if file.title else [], "groups": []}})

    def noticed(self, request: Request, key: str) -> Response:
        if key != SECRETS[1]:
            raise Refusal(404, "no_service", hook=True)
        if self.archived:
            raise Refusal(410, "channel_is_archived", hook=True)
        text = (request.get_json(silent=True) or {}).get("text")
        if not isinstance(text, str) or request.mimetype != "application/json":
            raise Refusal(400, "invalid_payload", hook=True)
        if not text:
            raise Refusal(400, "no_text", hook=True)
        self.notices.append(text)
        return Response("ok", content_type="text/html")

    def _authenticated(self, request: Request) -> None:
        must(request.headers.get("Authorization") == f"Bearer {SECRETS[0]}", 200, "invalid_auth")
        if self.errors:
            raise Refusal(200, self.errors.pop(0))


class SlackRig(Rig):
    behind = "stand-in"
    real = False
    over_http = True
    takes_empty_files = False

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.workspace = Workspace()
        self.front = start.enter_context(before(start.enter_context(served(self.workspace))))
        self.sink = self.make()
        self.broken = self.make(token=f"{SECRETS[0]}-wrong")

    def make(self, **changes: Any) -> Sink:
        """With a token, for files."""
        table = {"token": SECRETS[0], "channel": CHANNEL, "api": f"{self.front.address}/api"}
        return make_sink("slack", {**table, **changes})

    def hook(self, key: str = SECRETS[1], **changes: Any) -> Sink:
        """Of the same kind, for a notice."""
        return make_sink("slack", {"url": f"{self.front.address}/services/T0/B0/{key}", **changes})

    def visible(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for file in self.workspace.files.values():
            if file.title:
                assert file.title not in found, "a second copy"
                found[file.title] = file.content or b""
        return found

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        return {path.rpartition("/")[2]: content for path, content in bundle.files.items()}
