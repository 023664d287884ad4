"""paperless-ngx as its documentation and source say it takes documents in: version 3, and 2 where a test asks for it.

https://github.com/paperless-ngx/paperless-ngx/tree/v3.0.5: docs/api.md, src/documents/views.py (PostDocumentView,
TasksViewSet), serialisers.py (PostDocumentSerializer, TaskSerializerV9 and V10), consumer.py (pre_check_duplicate),
filters.py. Read on 2026-11-22.
"""

import hashlib
import json
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from werkzeug.wrappers import Request, Response

from webhook_svc.core.ports import Sink

from .base import SECRETS, Bundle, Rig, make_sink
from .front import before
from .servers import Servers, served
from .standin import TALKATIVE, Refusal, StandIn, must, reply

NAMED = {
    "correspondents": {3: "ACME Ltd", 4: "Beta"},
    "document_types": {5: "Contract"},
    "storage_paths": {6: "Signed"},
    "tags": {7: "signed", 8: "Twice", 9: "twice"},
    "custom_fields": {10: "Delivery"},
}


@dataclass
class Document:
    id: int
    name: str
    content: bytes
    fields: dict[str, Any]
    in_trash: bool = False
    hidden: bool = False
    """Our user may not see it."""


@dataclass
class Task:
    upload: Document
    looks: int
    """How often it is asked for before it ends."""
    status: str = "PENDING"
    result: dict[str, Any] = field(default_factory=dict)


class Archive(StandIn):
    routes = (
        ("GET", "/api/documents/", "listed"),
        ("GET", r"/api/documents/(\d+)/metadata/", "metadata"),
        ("POST", "/api/documents/post_document/", "posted"),
        ("GET", "/api/tasks/", "asked"),
        ("GET", "/api/(correspondents|document_types|storage_paths|tags|custom_fields)/", "named"),
    )

    def __init__(self) -> None:
        self.version = "3.0.5"
        self.documents: list[Document] = []
        self.tasks: dict[str, Task] = {}
        self.looks = 0
        self.fails = 0
        """So many of the next documents cannot be taken in."""
        self.refuses_duplicates = False
        self.script = False
        """A script changes each document before it is taken in."""
        self.splits = False
        """A barcode in each document makes several of it."""
        self.hides = False
        """A workflow takes our user's right to see what was taken in."""
        self.knows_checksums = True

    def add(self, name: str, content: bytes, **more: Any) -> Document:
        self.documents.append(Document(len(self.documents) + 11, name, content, {}, **more))
        return self.documents[-1]

    def refused(self, refusal: Refusal) -> Response:
        said = {refusal.code: [TALKATIVE]} if refusal.status == 400 else {"detail": TALKATIVE}
        return reply(said, refusal.status)

    def listed(self, request: Request) -> Response:
        """A filter that is not known is passed over, and everything is listed."""
        wanted = request.args.get("checksum__iexact", "").lower() if self.knows_checksums else ""
        found = [one for one in self._seen() if wanted in ("", self.checksum(one.content))]
        return self._page(request, [{"id": one.id} for one in found])

    def metadata(self, request: Request, number: str) -> Response:
        self._authenticated(request)
        document = next((one for one in self.documents if one.id == int(number) and not one.in_trash), None)
        if document is None:
            raise Refusal(404, "no such document")
        must(not document.hidden, 403, "Insufficient permissions")
        must(request.args.get("version") in (None, number), 404, "no such version")
        return self._reply({"original_checksum": self.checksum(document.content)})

    def posted(self, request: Request) -> Response:
        self._authenticated(request)
        must(request.mimetype == "multipart/form-data", 415, "Unsupported media type")
        must(request.files.keys() == {"document"}, 400, "document")
        file = request.files["document"]
        with file.stream:
            content = file.stream.read()
        must(content, 400, "document")
        must(content.startswith(b"%PDF-") or str(file.filename).endswith(".pdf"), 400, "document")
        upload = Document(0, str(file.filename), content, _checked(request))
        task_id = str(uuid4())
        self.tasks[task_id] = Task(upload, self.looks)
        if not self.looks:
            self._take_in(self.tasks[task_id])
        return self._reply(task_id)

    def asked(self, request: Request) -> Response:
        self._authenticated(request)
        task_id = request.args["task_id"]
        task = self.tasks.get(task_id)
        if task and task.status == "PENDING":
            task.looks -= 1
            if task.looks < 0:
                self._take_in(task)
        rows = [self._shown(task_id, task, self._api(request))] if task else []
        return self._reply(rows) if self._api(request) == 9 else self._page(request, rows)

    def named(self, request: Request, place: str) -> Response:
        wanted = request.args["name__iexact"].casefold()
        rows = [{"id": one, "name": name} for one, name in NAMED[place].items() if name.casefold() == wanted]
        return self._page(request, rows)

    def finish(self) -> None:
        """All that was uploaded is taken in."""
        for task in self.tasks.values():
            if task.status == "PENDING":
                self._take_in(task)

    def checksum(self, content: bytes) -> str:
        return hashlib.new("md5" if self.version.startswith("2.") else "sha256", content).hexdigest()

    def _take_in(self, task: Task) -> None:
        content = task.upload.content + b" changed" * self.script
        twin = next((one for one in self.documents if one.content == content), None)
        if self.fails:
            self.fails -= 1
            task.status, task.result = "FAILURE", {"error_message": f"{TALKATIVE}: {task.upload.name}"}
        elif twin and (self.refuses_duplicates or self.version.startswith("2.")):
            task.status, task.result = "FAILURE", {"duplicate_of": twin.id, "duplicate_in_trash": twin.in_trash}
        elif self.splits:
            task.status, task.result = "SUCCESS", {"reason": "Barcode splitting complete!"}
        else:
            made = self.add(task.upload.name, content, hidden=self.hides)
            made.fields = task.upload.fields
            task.status, task.result = "SUCCESS", {"document_id": made.id}

    def _shown(self, task_id: str, task: Task, api: int) -> dict[str, Any]:
        made, twin = task.result.get("document_id"), task.result.get("duplicate_of")
        if api == 10:
            found = [one for one in (made, twin) if one]
            status = task.status.lower()
            return {"task_id": task_id, "status": status, "result_data": task.result, "related_document_ids": found}
        said = f"Success. New document id {made} created" if made else task.result.get("error_message")
        if twin:
            said = f"Not consuming: It is a duplicate of document #{twin}"
        related = made or (None if self.version.startswith("2.") else twin)
        shown = str(related) if related and self.version.startswith("2.") else related
        return {"task_id": task_id, "status": task.status, "result": said, "related_document": shown}

    def _seen(self) -> list[Document]:
        return [one for one in self.documents if not one.in_trash and not one.hidden]

    def _authenticated(self, request: Request) -> None:
        must(request.headers.get("Authorization") == f"Token {SECRETS[0]}", 401, "Invalid token")
        must(self._api(request) in ((9,) if self.version.startswith("2.") else (9, 10)), 406, "Not Acceptable")

    def _api(self, request: Request) -> int:
        asked = re.fullmatch(r"application/json; version=(\d+)", request.headers.get("Accept", ""))
        return int(asked[1]) if asked else 0

    def _page(self, request: Request, rows: list[Any]) -> Response:
        self._authenticated(request)
        shown = rows[: int(request.args.get("page_size", "25"))]
        return self._reply({"count": len(rows), "next": None, "previous": None, "results": shown})

    def _reply(self, body: Any) -> Response:
        return reply(body, headers={"X-Version": self.version, "X-Api-Version": "10"})


def _checked(request: Request) -> dict[str, Any]:
    """The fields beside the document, as PostDocumentSerializer takes them."""
    form = request.form
    found: dict[str, Any] = {}
    if "title" in form:
        must(form["title"].strip(), 400, "title")
        found["title"] = form["title"]
    if "created" in form:
        found["created"] = datetime.fromisoformat(form["created"]).date().isoformat()
    for name in ("correspondent", "document_type", "storage_path"):
        if name in form:
            must(int(form[name]) in NAMED[f"{name}s"], 400, name)
            found[name] = int(form[name])
    found["tags"] = [int(one) for one in form.getlist("tags")]
    must(set(found["tags"]) <= NAMED["tags"].keys(), 400, "tags")
    found["custom_fields"] = {int(one): value for one, value in json.loads(form.get("custom_fields", "{}")).items()}
    must(found["custom_fields"].keys() <= NAMED["custom_fields"].keys(), 400, "custom_fields")
    return found


class PaperlessRig(Rig):
    behind = "stand-in"
    real = False
    over_http = True
    takes_empty_files = False

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.archive = Archive()
        self.front = start.enter_context(before(start.enter_context(served(self.archive))))
        self.sink = self.make()
        self.broken = self.make(token=f"{SECRETS[0]}-wrong")

    def make(self, **changes: Any) -> Sink:
        return make_sink("paperless", {"url": f"{self.front.address}/", "token": SECRETS[0], **changes})

    def visible(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for document in self.archive.documents:
            assert document.name not in found, "a second copy"
            found[document.name] = document.content
        return found

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        return {path.rpartition("/")[2]: content for path, content in bundle.files.items()}
