"""Box's API, as its specification and documentation say it refuses.

github.com/box/box-openapi (2024.0, of 2026-06-29); developer.box.com/guides: uploads/direct/file, uploads/chunked,
api-calls/permissions-and-errors/common-errors, authentication/client-credentials. All read on 2026-11-22.
"""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from webhook_svc.core.ports import Sink

from .base import SECRETS, make_sink
from .front import before
from .servers import Servers, served
from .session import PIECE, SessionRig
from .standin import TALKATIVE, TOKEN, Refusal, StandIn, check_bearer, json_of, must, only, reply

ROOT = "77"
MB_50 = 50 * 10**6
_BAD = re.compile(r".*[\\/<>:|?*\x00-\x1f\x7f].*| .*|.* |\.|\.\.|", re.DOTALL)


@dataclass
class Item:
    id: str
    name: str
    parent: str
    content: bytes | None = None
    """None: a folder."""

    def shown(self) -> dict[str, Any]:
        if self.content is None:
            return {"type": "folder", "id": self.id, "name": self.name, "permissions": {"can_upload": True}}
        return {
            "type": "file",
            "id": self.id,
            "name": self.name,
            "size": len(self.content),
            "sha1": _sha1(self.content),
        }


@dataclass
class Session:
    wanted: dict[str, Any]
    parts: dict[str, tuple[int, bytes]] = field(default_factory=dict)


@dataclass
class State:
    items: dict[str, Item] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    begun: int = 0
    aborted: int = 0
    part_size: int = 8 * 1024**2
    smallest: int = 20 * 10**6
    """Bytes of a file from which on there are sessions for it."""
    lasts: int = 1000
    """Parts after which sessions are gone."""
    unready: int = 0
    """So many of the next wishes to put parts together come too early."""
    space: int = 1 << 40
    race: Callable[[], None] = lambda: None
    """What somebody else does just before a file is there."""
    damages: bool = False
    """Bytes change on their way in."""
    writable: bool = True


class BoxApi(StandIn):
    routes = (
        ("POST", r"/oauth2/token", "token"),
        ("GET", r"/2\.0/folders/(\d+)", "folder"),
        ("POST", r"/2\.0/folders", "make"),
        ("GET", r"/2\.0/files/(\d+)", "file"),
        ("POST", r"/api/2\.0/files/content", "upload"),
        ("POST", r"/api/2\.0/files/upload_sessions", "begin"),
        ("PUT", r"/api/2\.0/files/upload_sessions/(\w+)", "part"),
        ("GET", r"/api/2\.0/files/upload_sessions/(\w+)/parts", "parts"),
        ("POST", r"/api/2\.0/files/upload_sessions/(\w+)/commit", "commit"),
        ("DELETE", r"/api/2\.0/files/upload_sessions/(\w+)", "abort"),
    )

    def __init__(self) -> None:
        self.state = State()
        self.state.items[ROOT] = Item(ROOT, "Signed", "0")

    def refused(self, refusal: Refusal) -> Response:
        if refusal.code == "invalid_client":
            return reply({"error": refusal.code, "error_description": TALKATIVE}, refusal.status)
        body = {"type": "error", "status": refusal.status, "code": refusal.code, "message": TALKATIVE}
        return reply({**body, **refusal.more}, refusal.status)

    def token(self, request: Request) -> Response:
        given = request.form.to_dict()
        subject = (given.pop("box_subject_type", ""), given.pop("box_subject_id", ""))
        right = {"grant_type": "client_credentials", "client_id": "app-1", "client_secret": SECRETS[0]}
        must(given == right and subject in (("enterprise", "12345"), ("user", "678")), 400, "invalid_client")
        return reply({"access_token": TOKEN, "expires_in": 4169, "token_type": "bearer", "restricted_to": []})

    def folder(self, request: Request, name: str) -> Response:
        self._check(request, {"fields"})
        shown = self._item(name).shown()
        return reply({**shown, "permissions": {"can_upload": self.state.writable}})

    def file(self, request: Request, name: str) -> Response:
        self._check(request, {"fields"})
        fields = request.args["fields"].split(",")
        return reply({name: value for name, value in self._item(name).shown().items() if name in (*fields, "type")})

    def make(self, request: Request) -> Response:
        self._check(request, ())
        body = json_of(request)
        only(body, {"name", "parent"}, 400, "bad_request")
        return reply(self.add(body["name"], body["parent"]["id"]).shown(), 201)

    def upload(self, request: Request) -> Response:
        self._check(request, ())
        raw = request.get_data()
        must(request.mimetype == "multipart/form-data" and request.content_length == len(raw), 400, "bad_request")
        must(raw.find(b'name="attributes"') < raw.find(b'name="file"'), 400, "metadata_after_file_contents")
        must("attributes" in request.form and list(request.files) == ["file"], 400, "bad_request")
        attributes = json.loads(request.form["attributes"])
        only(attributes, {"name", "parent", "content_created_at", "content_modified_at"}, 400, "bad_request")
        content = request.files["file"].read()
        must(len(content) <= MB_50, 413, "request_entity_too_large")
        must(request.headers.get("Content-MD5", _sha1(content)) == _sha1(content), 400, "bad_digest")
        must(self._used() + len(content) <= self.state.space, 409, "storage_limit_exceeded")
        self.state.race()
        item = self.add(attributes["name"], attributes["parent"]["id"], content)
        return reply({"total_count": 1, "entries": [item.shown()]}, 201)

    def begin(self, request: Request) -> Response:
        self._check(request, ())
        body = json_of(request)
        only(body, {"folder_id", "file_size", "file_name"}, 400, "bad_request")
        must(body["file_size"] >= self.state.smallest, 400, "file_size_too_small")
        must(self._used() + body["file_size"] <= self.state.space, 403, "storage_limit_exceeded")
        self._check_free(body["file_name"], body["folder_id"])
        self.state.begun += 1
        name = f"S{self.state.begun}"
        self.state.sessions[name] = Session(body)
        return reply({"id": name, "type": "upload_session", "part_size": self.state.part_size}, 201)

    def part(self, request: Request, name: str) -> Response:
        self._check(request, ())
        session, body = self._session(name), request.get_data()
        self.state.lasts -= 1
        must(self.state.lasts >= 0, 410, "session_expired")
        must(request.content_type == "application/octet-stream", 415, "unsupported_media_type")
        must(request.headers.get("Digest") == f"sha={_digest(body)}", 412, "precondition_failed")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", request.headers.get("Content-Range", ""))
        start, end, size = map(int, match.groups()) if match else (-1, 0, 0)
        must(match and end - start + 1 == len(body) and size == session.wanted["file_size"], 416, "invalid_range")
        whole = len(body) == self.state.part_size or end + 1 == size
        must(start % self.state.part_size == 0 and whole and len(body) <= self.state.part_size, 416, "invalid_range")
        must(start not in [offset for offset, _ in session.parts.values()], 409, "range_overlaps_existing_part")
        session.parts[f"P{start}"] = (start, body)
        return reply({"part": self._part(session, f"P{start}")})

    def parts(self, request: Request, name: str) -> Response:
        self._check(request, {"offset", "limit"})
        session = self._session(name)
        ids = list(session.parts)[int(request.args["offset"]) :][:2]
        return reply({"entries": [self._part(session, one) for one in ids], "total_count": len(session.parts)})

    def commit(self, request: Request, name: str) -> Response:
        self._check(request, ())
        session, body = self._session(name), json_of(request)
        only(body, {"parts", "attributes"}, 400, "bad_request")
        must(body["parts"] == [self._part(session, one) for one in session.parts], 400, "bad_request")
        content = b"".join(part for _, part in sorted(session.parts.values()))
        must(len(content) == session.wanted["file_size"], 400, "bad_request")
        must(request.headers.get("Digest") == f"sha={_digest(content)}", 412, "precondition_failed")
        if self.state.unready:
            self.state.unready -= 1
            return Response(status=202, headers={"Retry-After": "17"})
        self.state.race()
        item = self.add(session.wanted["file_name"], session.wanted["folder_id"], content)
        del self.state.sessions[name]
        return reply({"total_count": 1, "entries": [item.shown()]}, 201)

    def abort(self, request: Request, name: str) -> Response:
        self._check(request, ())
        self._session(name)
        del self.state.sessions[name]
        self.state.aborted += 1
        return Response(status=204)

    def add(self, name: str, parent: str, content: bytes | None = None) -> Item:
        must(len(name) <= 255, 400, "item_name_too_long")
        must(not _BAD.fullmatch(name), 400, "item_name_invalid")
        self._check_free(name, parent)
        damaged = content[::-1] if content and self.state.damages else content
        item = Item(str(1000 + len(self.state.items)), name, parent, damaged)
        self.state.items[item.id] = item
        return item

    def _check_free(self, name: str, parent: str) -> None:
        must(self._item(parent).content is None, 404, "not_found")
        for item in self.state.items.values():
            if (item.name.lower(), item.parent) == (name.lower(), parent):
                conflicts: Any = [item.shown()] if item.content is None else item.shown()
                raise Refusal(409, "item_name_in_use", context_info={"conflicts": conflicts})

    def _part(self, session: Session, name: str) -> dict[str, Any]:
        offset, body = session.parts[name]
        return {"part_id": name, "offset": offset, "size": len(body), "sha1": _sha1(body)}

    def _session(self, name: str) -> Session:
        must(name in self.state.sessions, 404, "not_found")
        return self.state.sessions[name]

    def _item(self, name: str) -> Item:
        must(name in self.state.items, 404, "not_found")
        return self.state.items[name]

    def _used(self) -> int:
        return sum(len(item.content or b"") for item in self.state.items.values())

    def _check(self, request: Request, parameters: Any) -> None:
        check_bearer(request, "unauthorized")
        only(request.args, parameters, 400, "bad_request")


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _digest(content: bytes) -> str:
    return b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()


class BoxRig(SessionRig):
    cancels = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.api = BoxApi()
        self.front = start.enter_context(before(start.enter_context(served(self.api))))
        self.front.aside = ("/oauth2/",)
        self.sink = self.make()
        self.broken = self.make(client_secret=SECRETS[0] + "-wrong")

    def make(self, **changes: Any) -> Sink:
        table = {
            "client_id": "app-1",
            "client_secret": SECRETS[0],
            "folder_id": ROOT,
            "api": self.front.address,
            "upload": self.front.address,
            **({} if "user" in changes else {"enterprise": "12345"}),
        }
        return make_sink("box", {**table, **changes})

    def visible(self) -> dict[str, bytes]:
        items = self.api.state.items.values()
        return {self._path(item): item.content for item in items if item.content is not None}

    def plant(self, path: str, content: bytes) -> None:
        parent = ROOT
        *folders, name = path.split("/")
        for folder in folders:
            there = (one for one in self.api.state.items.values() if (one.name, one.parent) == (folder, parent))
            parent = (next(there, None) or self.api.add(folder, parent)).id
        self.api.add(name, parent, content)

    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self.sink), "at_once", 1000)
        self.api.state.smallest = 1001
        self.api.state.part_size = PIECE

    def sessions(self) -> int:
        return len(self.api.state.sessions)

    def end_sessions(self, after: int) -> None:
        self.api.state.lasts = after

    def slip_in(self, path: str, content: bytes) -> None:
        def now() -> None:
            self.api.state.race = lambda: None
            self.plant(path, content)

        self.api.state.race = now

    def fill(self) -> None:
        self.api.state.space = 5

    def _path(self, item: Item) -> str:
        return item.name if item.parent == ROOT else f"{self._path(self.api.state.items[item.parent])}/{item.name}"
