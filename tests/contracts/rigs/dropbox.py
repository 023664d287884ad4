"""Dropbox's API, as its specification and documentation say it refuses.

github.com/dropbox/dropbox-api-spec (files.stone of 2026-08-05); www.dropbox.com/developers: documentation/http,
reference/json-encoding, reference/content-hash; help.dropbox.com: "Naming files and folders". All read on 2026-11-22.
"""

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from tests.guard import secret
from webhook_svc.core.ports import Sink

from .base import SECRETS, make_sink
from .front import before
from .servers import Servers, served
from .session import PIECE, SessionRig
from .standin import TALKATIVE, TOKEN, Refusal, StandIn, check_bearer, json_of, must, only, reply

BLOCK = 4 * 1024**2
MIB_150 = 150 * 1024**2
COMMIT = {"path", "mode", "autorename", "client_modified", "mute", "property_groups", "strict_conflict"}
REFRESH = secret("refresh-token")
_IGNORED = re.compile(r"desktop\.ini|thumbs\.db|\.ds_store|\.dropbox(\.attr)?|~\$.*", re.I)


def content_hash(content: bytes) -> str:
    blocks = (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


@dataclass
class Box:
    """What is in it. Names that differ in case alone are one."""

    files: dict[str, bytes] = field(default_factory=dict)
    space: int = 1 << 40
    lasts: int = 1000
    """Requests after which upload sessions are gone."""
    race: Callable[[], None] = lambda: None
    """What somebody else does just before a file is written."""
    damages: bool = False
    """Bytes change on their way in."""


class DropboxApi(StandIn):
    routes = (
        ("POST", r"/oauth2/token", "token"),
        ("POST", r"/2/files/list_folder", "list_folder"),
        ("POST", r"/2/files/get_metadata", "get_metadata"),
        ("POST", r"/2/files/upload", "upload"),
        ("POST", r"/2/files/upload_session/start", "start"),
        ("POST", r"/2/files/upload_session/append_v2", "append"),
        ("POST", r"/2/files/upload_session/finish", "finish"),
    )

    def __init__(self) -> None:
        self.box = Box()
        self.sessions: dict[str, bytes] = {}
        self.started = 0

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 400:
            return Response(f"Error in call: {TALKATIVE}", 400, content_type="text/plain")
        return reply({"error_summary": f"{refusal.code}/..", "error": {".tag": refusal.code}}, refusal.status)

    def token(self, request: Request) -> Response:
        expected = {"grant_type": "refresh_token", "refresh_token": REFRESH, "client_id": "key-1"}
        if request.form.to_dict() != {**expected, "client_secret": SECRETS[0]}:
            return reply({"error": "invalid_grant", "error_description": TALKATIVE}, 400)
        return reply({"access_token": TOKEN, "token_type": "bearer", "expires_in": 14400})

    def list_folder(self, request: Request) -> Response:
        body = self._asked(request, {"path", "limit"})
        must(body["path"] == "" or re.fullmatch("ns:[0-9]+", body["path"]), 409, "path/not_found")
        return reply({"entries": [], "cursor": "c", "has_more": False})

    def get_metadata(self, request: Request) -> Response:
        path = self._path(self._asked(request, {"path"})["path"])
        there = self._at(path)
        if there is None and any(one.lower().startswith(f"{path.lower()}/") for one in self.box.files):
            return reply({".tag": "folder", "id": "id:folder"})
        if there is None:
            raise Refusal(409, "path/not_found")
        return reply({".tag": "file", **self._metadata(there)})

    def upload(self, request: Request) -> Response:
        argument = self._sent(request, {*COMMIT, "content_hash"})
        return self._written(argument, request.get_data())

    def start(self, request: Request) -> Response:
        self._sent(request, {"close", "session_type", "content_hash"})
        self.started += 1
        name = f"pid_upload_session:{self.started}"
        self.sessions[name] = request.get_data()
        return reply({"session_id": name})

    def append(self, request: Request) -> Response:
        argument = self._sent(request, {"cursor", "close", "content_hash"})
        self.sessions[self._session(argument)] += request.get_data()
        return reply(None)

    def finish(self, request: Request) -> Response:
        argument = self._sent(request, {"cursor", "commit", "content_hash"})
        name = self._session(argument)
        only(argument["commit"], COMMIT)
        content = self.sessions[name] + request.get_data()
        answer = self._written(argument["commit"], content)
        del self.sessions[name]
        return answer

    def _session(self, argument: dict[str, Any]) -> str:
        cursor = argument["cursor"]
        only(cursor, {"session_id", "offset"})
        self.box.lasts -= 1
        must(cursor["session_id"] in self.sessions and self.box.lasts >= 0, 409, "lookup_failed/not_found")
        must(len(self.sessions[cursor["session_id"]]) == cursor["offset"], 409, "lookup_failed/incorrect_offset")
        return str(cursor["session_id"])

    def _written(self, commit: dict[str, Any], content: bytes) -> Response:
        path = self._path(commit["path"])
        for name in path.split("/"):
            must(name and not name.endswith(" ") and len(name) <= 255, 409, "path/malformed_path")
            must("\\" not in name and "\x7f" not in name, 409, "path/malformed_path")
            must(not _IGNORED.fullmatch(name), 409, "path/disallowed_name")
        self.box.race()
        there = self._at(path)
        same = there is not None and self.box.files[there] == content
        if same and not commit.get("strict_conflict"):
            return reply(self._metadata(there or ""))
        must(commit.get("mode") != "overwrite" and not commit.get("autorename"), 400, "this would write elsewhere")
        must(there is None, 409, "path/conflict/file")
        below = [one for one in self.box.files if one.lower().startswith(f"{path.lower()}/")]
        must(not below, 409, "path/conflict/folder")
        above = [one for one in self.box.files if path.lower().startswith(f"{one.lower()}/")]
        must(not above, 409, "path/conflict/file_ancestor")
        must(sum(map(len, self.box.files.values())) + len(content) <= self.box.space, 409, "path/insufficient_space")
        self.box.files[path] = content[::-1] if self.box.damages else content
        return reply(self._metadata(path))

    def _asked(self, request: Request, known: set[str]) -> dict[str, Any]:
        check_bearer(request, "invalid_access_token")
        must(not request.query_string, 400, "unexpected query")
        body = json_of(request)
        only(body, known)
        return body

    def _sent(self, request: Request, known: set[str]) -> dict[str, Any]:
        check_bearer(request, "invalid_access_token")
        must(request.content_type == "application/octet-stream" and not request.query_string, 400, "bad content type")
        header = request.headers.get("Dropbox-API-Arg", "")
        must(header.isascii() and header.isprintable(), 400, "could not decode input as JSON")
        argument: dict[str, Any] = json.loads(header)
        only(argument, known)
        body = request.get_data()
        must(len(body) <= MIB_150, 409, "payload_too_large")
        must(argument.get("content_hash") in (None, content_hash(body)), 409, "content_hash_mismatch")
        return argument

    def _path(self, path: str) -> str:
        must(re.fullmatch(r"(ns:[0-9]+)?/.+", path), 400, "did not match pattern")
        return path.partition("/")[2]

    def _at(self, path: str) -> str | None:
        return next((one for one in self.box.files if one.lower() == path.lower()), None)

    def _metadata(self, path: str) -> dict[str, Any]:
        content = self.box.files[path]
        name = hashlib.sha256(path.encode()).hexdigest()[:22]
        return {"id": f"id:{name}", "size": len(content), "content_hash": content_hash(content), "path_display": path}


class DropboxRig(SessionRig):
    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.api = DropboxApi()
        self.front = start.enter_context(before(start.enter_context(served(self.api))))
        self.front.aside = ("/oauth2/",)
        self.sink = self.make()
        self.broken = self.make(refresh_token=REFRESH + "-wrong")

    def make(self, **changes: Any) -> Sink:
        table = {
            "app_key": "key-1",
            "app_secret": SECRETS[0],
            "refresh_token": REFRESH,
            "api": self.front.address,
            "content": self.front.address,
        }
        return make_sink("dropbox", {**table, **changes})

    def visible(self) -> dict[str, bytes]:
        return dict(self.api.box.files)

    def plant(self, path: str, content: bytes) -> None:
        self.api.box.files[path] = content

    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self.sink), "at_once", 1000)
        monkeypatch.setattr(type(self.sink), "piece", PIECE)

    def sessions(self) -> int:
        return len(self.api.sessions)

    def end_sessions(self, after: int) -> None:
        self.api.box.lasts = after

    def slip_in(self, path: str, content: bytes) -> None:
        self.api.box.race = partial(self.plant, path, content)

    def fill(self) -> None:
        self.api.box.space = 5
