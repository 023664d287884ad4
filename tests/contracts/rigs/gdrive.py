"""Google Drive's API (v3), as its documentation says it refuses.

developers.google.com/workspace/drive/api: guides/create-file, manage-uploads, search-files, enable-shareddrives,
handle-errors; reference/rest/v3/files; developers.google.com/identity/protocols/oauth2/service-account. All read on
2026-11-22. Everything is in a shared drive: who does not say that it knows of those, sees nothing.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import md5, sha256
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from werkzeug.wrappers import Request, Response

from webhook_svc.core.ports import Sink

from .base import make_sink
from .front import before
from .google import Login, service_account_key
from .servers import Servers, served
from .session import PIECE, SessionRig
from .standin import TALKATIVE, Refusal, StandIn, json_of, must, only, reply

FOLDER = "application/vnd.google-apps.folder"
SHARED = "0ASharedDrive"
STEP = 256 * 1024
ALL_DRIVES = {"supportsAllDrives", "includeItemsFromAllDrives", "corpora", "driveId"}
_SEARCH = re.compile(
    r"name = '((?:[^'\\]|\\.)*)' and '([^'\\]+)' in parents and mimeType (!?=) '([^']*)' and trashed = false", re.DOTALL
)


@dataclass
class Item:
    id: str
    name: str
    parent: str
    mime: str
    created: int
    content: bytes = b""
    trashed: bool = False


@dataclass
class Session:
    metadata: dict[str, Any]
    size: int
    received: bytes = b""


@dataclass
class State:
    items: dict[str, Item] = field(default_factory=dict)
    reserved: set[str] = field(default_factory=set)
    sessions: dict[str, Session] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)
    """Of uploads: none is given twice."""
    space: int = 1 << 40
    lasts: int = 1000
    """Pieces after which uploads are gone."""
    unlisted: int = 0
    """So many of the next lists of files show nothing."""
    checksums: tuple[str, ...] = ("sha256Checksum", "md5Checksum")
    empty_pages: int = 0
    writable: bool = True
    binning: bool = True
    """False: we may add files and throw none away."""
    keeps: int = 1 << 40
    """Bytes of a piece that arrive; the rest is lost on the way."""
    race: Callable[[], None] = lambda: None
    """What somebody else does just before a file is there."""


class DriveApi(StandIn):
    routes = (
        ("POST", r"/token", "token"),
        ("GET", r"/drive/v3/files/generateIds", "generate"),
        ("GET", r"/drive/v3/files", "list_files"),
        ("POST", r"/drive/v3/files", "create"),
        ("GET", r"/drive/v3/files/([\w-]+)", "get"),
        ("PATCH", r"/drive/v3/files/([\w-]+)", "update"),
        ("POST", r"/upload/drive/v3/files", "begin"),
        ("PUT", r"/upload/drive/v3/files", "piece"),
    )

    def __init__(self) -> None:
        self.login = Login("https://www.googleapis.com/auth/drive", {"legal@acme.example"})
        self.state = State()
        self.count = 0
        self.add(SHARED, "Signed", "", FOLDER)

    def add(self, name_or_id: str, name: str, parent: str, mime: str, content: bytes = b"") -> Item:
        self.count += 1
        item = Item(name_or_id, name, parent, mime, self.count, content)
        self.state.items[item.id] = item
        return item

    def new_id(self) -> str:
        self.count += 1
        return f"1{sha256(str(self.count).encode()).hexdigest()[:32]}"

    def refused(self, refusal: Refusal) -> Response:
        errors = [{"domain": "global", "reason": refusal.code, "message": TALKATIVE}]
        return reply({"error": {"code": refusal.status, "message": TALKATIVE, "errors": errors}}, refusal.status)

    def token(self, request: Request) -> Response:
        return self.login.answer(request)

    def generate(self, request: Request) -> Response:
        self._check(request, {"count", "space", "type"})
        ids = [self.new_id() for _ in range(int(request.args["count"]))]
        self.state.reserved |= set(ids)
        return reply({"ids": ids, "space": "drive"})

    def list_files(self, request: Request) -> Response:
        self._check(request, {"q", "fields", "pageToken", *ALL_DRIVES})
        match = _SEARCH.fullmatch(request.args.get("q", ""))
        if not match:
            raise Refusal(400, "invalid")
        must(request.args.get("includeItemsFromAllDrives") == "true", 403, "teamDrivesNotSupported")
        must(request.args.get("corpora", "user") == "user" or request.args.get("driveId") == SHARED, 404, "notFound")
        name, parent = re.sub(r"\\(.)", r"\1", match.group(1), flags=re.DOTALL), match.group(2)
        self._item(parent)
        if self.state.empty_pages:
            self.state.empty_pages -= 1
            return reply({"files": [], "nextPageToken": "more"})
        same = match.group(3) == "="
        if self.state.unlisted and not same:
            self.state.unlisted -= 1
            return reply({"files": []})
        found = [
            item
            for item in list(self.state.items.values())
            # Upper and lower case are one to a search, and the order is nobody's promise.
            if item.name.lower() == name.lower() and item.parent == parent and not item.trashed
            and (item.mime == match.group(4)) == same
        ]  # fmt: skip
        inner = re.search(r"files\((.*)\)", request.args.get("fields", "files(id,name)"))
        wanted = inner.group(1) if inner else ""
        return reply({"files": [self._shown(item, wanted) for item in reversed(found)]})

    def create(self, request: Request) -> Response:
        self._check(request, {"fields", *ALL_DRIVES})
        body = json_of(request)
        only(body, {"name", "mimeType", "parents"})
        must(body["mimeType"] == FOLDER and len(body["parents"]) == 1, 400, "invalid")
        self._item(body["parents"][0])
        return reply(self._shown(self.add(self.new_id(), body["name"], body["parents"][0], FOLDER), "id"))

    def get(self, request: Request, name: str) -> Response:
        self._check(request, {"fields", *ALL_DRIVES})
        return reply(self._shown(self._item(name), request.args.get("fields", "id,name")))

    def update(self, request: Request, name: str) -> Response:
        self._check(request, {"fields", *ALL_DRIVES})
        body = json_of(request)
        only(body, {"trashed"})
        must(self.state.binning, 403, "insufficientFilePermissions")
        self._item(name).trashed = body["trashed"]
        return reply({"id": name})

    def begin(self, request: Request) -> Response:
        self._check(request, {"uploadType", "fields", *ALL_DRIVES})
        must(request.args.get("uploadType") == "resumable", 400, "badRequest")
        body = json_of(request)
        only(body, {"id", "name", "parents", "mimeType"})
        must(
            len(body["parents"]) == 1 and not body["mimeType"].startswith("application/vnd.google-apps"), 400, "invalid"
        )
        must(request.headers.get("X-Upload-Content-Type") == body["mimeType"], 400, "badContent")
        self._item(body["parents"][0])
        must(body["id"] in self.state.reserved, 400, "invalid")
        must(body["id"] not in self.state.items, 409, "fileIdInUse")
        name = f"u{next(self.state.numbers)}"
        self.state.sessions[name] = Session(body, int(request.headers["X-Upload-Content-Length"]))
        return Response(status=200, headers={"Location": f"{request.base_url}?uploadType=resumable&upload_id={name}"})

    def piece(self, request: Request) -> Response:
        query = dict(parse_qsl(request.query_string.decode()))
        state, body = self.state, request.get_data()
        must(query.get("upload_id") in state.sessions and state.lasts > 0, 404, "notFound")
        state.lasts -= 1
        session = state.sessions[query["upload_id"]]
        given = request.headers.get("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
        match = re.fullmatch(r"bytes (\d+)-(-?\d+)/(\d+)", given)
        start, end, size = map(int, match.groups()) if match else (-1, 0, 0)
        must(match and end - start + 1 == len(body) and size == session.size, 400, "badRequest")
        must(start == len(session.received) and (end + 1 == size or len(body) % STEP == 0), 400, "badRequest")
        session.received += body[: state.keeps]
        if len(session.received) < size:
            return Response(status=308, headers={"Range": f"bytes=0-{len(session.received) - 1}"})
        metadata = session.metadata
        state.race()
        must(metadata["id"] not in state.items, 409, "fileIdInUse")
        must(sum(len(item.content) for item in state.items.values()) + size <= state.space, 403, "storageQuotaExceeded")
        item = self.add(
            metadata["id"], metadata["name"], metadata["parents"][0], metadata["mimeType"], session.received
        )
        del state.sessions[query["upload_id"]]
        return reply(self._shown(item, "id"))

    def _check(self, request: Request, parameters: set[str]) -> None:
        must(self.login.knows(request), 401, "authError")
        only(request.args, parameters, 400, "invalidParameter")
        must("supportsAllDrives" in request.args or not ALL_DRIVES & parameters, 404, "notFound")

    def _item(self, name: str) -> Item:
        must(name in self.state.items, 404, "notFound")
        return self.state.items[name]

    def _shown(self, item: Item, fields: str) -> dict[str, Any]:
        whole = {
            "id": item.id,
            "name": item.name,
            "mimeType": item.mime,
            "trashed": item.trashed,
            "createdTime": f"2026-11-22T10:{item.created // 60:02}:{item.created % 60:02}.000Z",
            "capabilities/canAddChildren": self.state.writable,
        }
        if item.mime != FOLDER:
            sums = {"sha256Checksum": sha256(item.content).hexdigest(), "md5Checksum": md5(item.content).hexdigest()}  # noqa: S324 - Drive's own
            whole |= {"size": str(len(item.content)), **{name: sums[name] for name in self.state.checksums}}
        only(fields.split(","), {*whole, "size", "sha256Checksum", "md5Checksum"}, 400, "invalidParameter")
        shown = {name: whole[name] for name in fields.split(",") if whole.get(name) is not None}
        if (may := shown.pop("capabilities/canAddChildren", None)) is not None:
            shown["capabilities"] = {"canAddChildren": may}
        return shown


class GoogleDriveRig(SessionRig):
    one_case = False

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.api = DriveApi()
        self.front = start.enter_context(before(start.enter_context(served(self.api))))
        self.front.aside = ("/token",)
        self.sink = self.make()
        self.broken = self.make(key=self.key(client_email="somebody@else.example"))

    def key(self, **changes: str) -> str:
        return service_account_key(f"{self.front.address}/token", **changes)

    def make(self, **changes: Any) -> Sink:
        table = {"key": self.key(), "folder_id": SHARED, "shared_drive": SHARED, "api": self.front.address}
        return make_sink("gdrive", {**table, **changes})

    def visible(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for item in self.api.state.items.values():
            if item.mime != FOLDER and not item.trashed:
                path = self._path(item)
                assert path not in found, "a second copy"
                found[path] = item.content
        return found

    def plant(self, path: str, content: bytes) -> None:
        parent = SHARED
        *folders, name = path.split("/")
        items = self.api.state.items
        for folder in folders:
            there = (item for item in items.values() if (item.name, item.parent) == (folder, parent))
            parent = (next(there, None) or self.api.add(self.api.new_id(), folder, parent, FOLDER)).id
        self.api.add(self.api.new_id(), name, parent, "application/pdf", content)

    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self.sink), "piece", PIECE)
        monkeypatch.setattr(f"{__name__}.STEP", PIECE)

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
        above = self.api.state.items[item.parent]
        return item.name if above.id == SHARED else f"{self._path(above)}/{item.name}"
