"""Microsoft Graph's drives, as their documentation says they refuse.

learn.microsoft.com/graph/api: driveitem-put-content, driveitem-createuploadsession, driveitem-post-children,
driveitem-get-content, site-getbypath, resources/hashes; support.microsoft.com: "Restrictions and limitations in
OneDrive and SharePoint"; and two facts of the issues of microsoftgraph/microsoft-graph-docs (5140, 19010): without
`fail` where it belongs, a file is replaced. All read on 2026-11-22.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from webhook_svc.core.ports import Sink
from webhook_svc.sinks.shared.quickxor import QuickXor

from .base import SECRETS, make_sink
from .front import before
from .servers import Servers, served
from .session import PIECE, SessionRig
from .standin import TALKATIVE, TOKEN, Refusal, StandIn, check_bearer, json_of, must, only, reply

BEHAVIOUR = "@microsoft.graph.conflictBehavior"
STEP = 320 * 1024
_BAD = re.compile(
    r'.*["*:<>?\\|].*|.*_vti_.*|~.*|\.lock|desktop\.ini|(CON|PRN|AUX|NUL|(COM|LPT)[0-9])(\..*)?|.*[ .]| .*|', re.I
)


@dataclass
class Session:
    path: str
    behaviour: str
    received: bytearray = field(default_factory=bytearray)


@dataclass
class Drive:
    """A library. Names that differ in case alone are one."""

    id: str
    files: dict[str, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    sessions: dict[str, Session] = field(default_factory=dict)
    opened: int = 0
    cancelled: int = 0
    hashes: bool = True
    """False: the service has not reckoned them yet."""
    lasts: int = 1000
    """Pieces after which an upload session is gone."""
    space: int = 1 << 40
    unseen: int = 0
    """So many of the next looks at a file that stands there find nothing."""
    races: dict[str, bytes] = field(default_factory=dict)
    """What somebody else writes just before an upload is complete."""
    said: list[tuple[str, str]] = field(default_factory=list)

    def at(self, path: str) -> str | None:
        """The path under which that file stands there."""
        return next((one for one in self.files if one.lower() == path.lower()), None)

    def has_folder(self, path: str) -> bool:
        return not path or path.lower() in self.folders

    def write(self, path: str, content: bytes, behaviour: str) -> None:
        must(self.has_folder(path.rpartition("/")[0]), 404, "itemNotFound")
        for other, theirs in list(self.races.items()):
            self.files[other] = self.races.pop(other) or theirs
        there = self.at(path)
        must(there is None or behaviour != "fail", 409, "nameAlreadyExists")
        must(path.lower() not in self.folders, 409, "nameAlreadyExists")
        must(sum(map(len, self.files.values())) + len(content) <= self.space, 507, "insufficientStorage")
        self.files[there or path] = content

    def item(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        hashed = QuickXor()
        hashed.update(content)
        facet: dict[str, Any] = {"mimeType": "application/octet-stream"}
        if self.hashes:
            facet["hashes"] = {"quickXorHash": hashed.base64()}
        return {
            "id": "01" + hashlib.sha256(path.encode()).hexdigest()[:32].upper(),
            "size": len(content),
            "file": facet,
        }


class Graph(StandIn):
    routes = (
        ("POST", r"/acme\.example/oauth2/v2\.0/token", "token"),
        ("GET", r"/v1\.0/sites/acme\.sharepoint\.com:/sites/(\w+)", "site"),
        ("GET", r"/v1\.0/sites/([\w,]+)/drive", "first"),
        ("GET", r"/v1\.0/sites/([\w,]+)/drives", "libraries"),
        ("GET", r"/v1\.0/users/(\w+)@acme\.example/drive", "first"),
        ("GET", r"/v1\.0/drives/(\w+)/root", "root"),
        ("POST", r"/v1\.0/drives/(\w+)/root/children", "make"),
        ("POST", r"/v1\.0/drives/(\w+)/root:/([^:]+):/children", "make"),
        ("POST", r"/v1\.0/drives/(\w+)/root:/([^:]+):/createUploadSession", "open_session"),
        ("PUT", r"/v1\.0/drives/(\w+)/root:/([^:]+):/content", "put"),
        ("GET", r"/v1\.0/drives/(\w+)/root:/([^:]+):/content", "content"),
        ("GET", r"/v1\.0/drives/(\w+)/root:/([^:]+)", "look"),
        ("GET", r"/download/(\w+)/(.+)", "download"),
        ("PUT", r"/up/(\w+)/(\w+)", "piece"),
        ("DELETE", r"/up/(\w+)/(\w+)", "cancel"),
    )

    def __init__(self) -> None:
        self.drives: dict[str, Drive] = {}

    def refused(self, refusal: Refusal) -> Response:
        if "error" in refusal.more:
            return reply({"error": refusal.code, "error_description": TALKATIVE}, refusal.status)
        return reply({"error": {"code": refusal.code, "message": TALKATIVE}}, refusal.status)

    def token(self, request: Request) -> Response:
        form = request.form
        only(form, {"grant_type", "client_id", "client_secret", "scope"})
        if (form.get("client_id"), form.get("client_secret")) != ("app-1", SECRETS[0]):
            raise Refusal(401, "invalid_client", error=True)
        if form.get("grant_type") != "client_credentials" or form.get("scope") != f"{request.host_url}.default":
            raise Refusal(400, "invalid_scope", error=True)
        return reply({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN})

    def site(self, request: Request, name: str) -> Response:
        self._check(request, {"$select"})
        must(name in self.drives, 404, "itemNotFound")
        return reply({"id": f"acme,{name},1"})

    def first(self, request: Request, owner: str) -> Response:
        self._check(request, {"$select"})
        return reply({"id": self._drive(owner.removeprefix("acme,").removesuffix(",1")).id, "name": "Documents"})

    def libraries(self, request: Request, site: str) -> Response:
        self._check(request, {"$select"})
        drive = self._drive(site.removeprefix("acme,").removesuffix(",1"))
        return reply({"value": [{"id": "other", "name": "Documents"}, {"id": drive.id, "name": "Contracts"}]})

    def root(self, request: Request, drive: str) -> Response:
        self._check(request, {"$select"})
        return reply({"id": self._drive(drive).id})

    def make(self, request: Request, drive: str, parent: str = "") -> Response:
        self._check(request, ())
        body, place = json_of(request), self._drive(drive)
        only(body, {"name", "folder", BEHAVIOUR})
        must(body.get("folder") == {}, 400, "invalidRequest")
        path = f"{parent}/{body['name']}".strip("/")
        self._check_name(path)
        must(place.has_folder(parent), 404, "itemNotFound")
        taken = place.has_folder(path) or place.at(path)
        must(not taken or body.get(BEHAVIOUR) == "rename", 409, "nameAlreadyExists")
        place.folders.add(f"{path.lower()} 1" if taken else path.lower())
        return reply({"id": "02", "name": body["name"], "folder": {"childCount": 0}}, 201)

    def look(self, request: Request, drive: str, path: str) -> Response:
        self._check(request, {"$select"})
        place = self._drive(drive)
        there = place.at(path)
        if there and place.unseen:
            place.unseen, there = place.unseen - 1, None
        if not there and place.has_folder(path):
            return reply({"id": "02", "size": 0, "folder": {}})
        if not there:
            raise Refusal(404, "itemNotFound")
        return reply(place.item(there))

    def put(self, request: Request, drive: str, path: str) -> Response:
        self._check(request, {BEHAVIOUR})
        self._check_name(path)
        must(request.content_length is not None and request.mimetype, 400, "invalidRequest")
        must(len(request.get_data()) <= 250 * 10**6, 413, "requestTooLarge")
        place = self._drive(drive)
        place.write(path, request.get_data(), request.args.get(BEHAVIOUR, "replace"))
        return reply(place.item(path), 201)

    def content(self, request: Request, drive: str, path: str) -> Response:
        self._check(request, ())
        return Response(status=302, headers={"Location": f"{request.host_url}download/{drive}/{path}"})

    def download(self, request: Request, drive: str, path: str) -> Response:  # noqa: ARG002 - one signature
        return Response(self._drive(drive).files[path])

    def open_session(self, request: Request, drive: str, path: str) -> Response:
        self._check(request, ())
        self._check_name(path)
        place = self._drive(drive)
        must(place.has_folder(path.rpartition("/")[0]), 404, "itemNotFound")
        # What stands elsewhere than in `item` is ignored.
        behaviour = json_of(request).get("item", {}).get(BEHAVIOUR, "replace")
        must(behaviour != "fail" or not place.at(path), 409, "nameAlreadyExists")
        place.opened += 1
        name = f"s{place.opened}"
        place.sessions[name] = Session(path=path, behaviour=behaviour)
        return reply(
            {"uploadUrl": f"{request.host_url}up/{drive}/{name}", "expirationDateTime": "2030-01-01T00:00:00Z"}
        )

    def piece(self, request: Request, drive: str, name: str) -> Response:
        must("Authorization" not in request.headers, 401, "unauthenticated")
        place = self._drive(drive)
        must(name in place.sessions and place.lasts > 0, 404, "itemNotFound")
        place.lasts -= 1
        session, body = place.sessions[name], request.get_data()
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", request.headers.get("Content-Range", ""))
        start, end, size = map(int, match.groups()) if match else (0, 0, 0)
        must(match and end - start + 1 == len(body) and len(body) < 60 * 1024**2, 400, "invalidRequest")
        must(start == len(session.received), 416, "invalidRange")
        must(end + 1 == size or len(body) % STEP == 0, 400, "invalidRequest")
        if end + 1 < size:
            session.received += body
            return reply({"nextExpectedRanges": [f"{end + 1}-"]}, 202)
        place.write(session.path, bytes(session.received) + body, session.behaviour)
        del place.sessions[name]
        return reply(place.item(session.path), 201)

    def cancel(self, request: Request, drive: str, name: str) -> Response:
        must("Authorization" not in request.headers, 401, "unauthenticated")
        must(self._drive(drive).sessions.pop(name, None), 404, "itemNotFound")
        self._drive(drive).cancelled += 1
        return Response(status=204)

    def _check(self, request: Request, parameters: Any) -> None:
        check_bearer(request)
        only(request.args, parameters)

    def _check_name(self, path: str) -> None:
        segments = path.split("/")
        must(not any(map(_BAD.fullmatch, segments)) and len(path) <= 400, 400, "invalidRequest")
        must(len(segments) < 2 or segments[0].lower() != "forms", 400, "invalidRequest")

    def _drive(self, name: str) -> Drive:
        must(name in self.drives, 404, "itemNotFound")
        return self.drives[name]


@contextmanager
def graph() -> Iterator[tuple[str, Graph]]:
    app = Graph()
    with served(app) as address:
        yield address, app


class SharePointRig(SessionRig):
    cancels = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:
        address, app = servers.get("graph", graph)
        self.front = start.enter_context(before(address))
        self.front.aside = ("/acme.example/oauth2/",)
        self.drive = app.drives.setdefault(name := hashlib.sha256(str(tmp_path).encode()).hexdigest(), Drive(id=name))
        self.sink = self.make()
        self.broken = self.make(client_secret=SECRETS[0] + "-wrong")

    def make(self, **changes: Any) -> Sink:
        table = {
            "tenant": "acme.example",
            "client_id": "app-1",
            "client_secret": SECRETS[0],
            "graph": f"{self.front.address}/v1.0",
            "login": self.front.address,
            **({} if {"site", "user"} & set(changes) else {"drive": self.drive.id}),
        }
        return make_sink("sharepoint", {**table, **changes})

    def visible(self) -> dict[str, bytes]:
        return dict(self.drive.files)

    def plant(self, path: str, content: bytes) -> None:
        folders = path.split("/")[:-1]
        self.drive.folders.update("/".join(folders[: depth + 1]).lower() for depth in range(len(folders)))
        self.drive.files[path] = content

    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self.sink), "at_once", 1000)
        monkeypatch.setattr(type(self.sink), "piece", PIECE)
        monkeypatch.setattr(f"{__name__}.STEP", PIECE)

    def sessions(self) -> int:
        return len(self.drive.sessions)

    def end_sessions(self, after: int) -> None:
        self.drive.lasts = after

    def slip_in(self, path: str, content: bytes) -> None:
        self.drive.races = {path: content}

    def fill(self) -> None:
        self.drive.space = 5
