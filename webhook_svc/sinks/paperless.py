"""A paperless-ngx archive: it is asked for the bytes first, and each file becomes a document of its own."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, ClassVar, Final, Literal

from ..core.errors import Conflict, NotReady, Unlikely
from ..core.outgoing import Upload
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import Delivery, Part, Receipt
from ..files import CHUNK
from .shared.once import unsure
from .shared.paperless_api import PaperlessApi
from .shared.pieces import Entry, form
from .shared.upload import held_back
from .shared.wording import FIELDS, filled, judge, one_line, values

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_FIELDS: Final = (*FIELDS, "filename", "part")
_LONGEST_TITLE: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperlessSettings:
    url: Url = setting("The address of paperless-ngx, without /api.")
    token: Secret = setting("An API token of a user that may add and view documents and view tasks.")
    title: str = setting("Template of a document's title; also {filename} and {part}.", "{title}")
    correspondent: str = setting("Name or number of a correspondent; nothing named here is made.", "")
    document_type: str = setting("Name or number of a document type.", "")
    storage_path: str = setting("Name or number of a storage path.", "")
    tags: tuple[str, ...] = setting("Names or numbers of tags.", ())
    custom_fields: Mapping[str, str] = setting(
        "Name or number of a custom field = template of its value.", factory=dict
    )
    api_version: Literal[9, 10] = setting("9: paperless-ngx from 2.16; 10: from 3.0, once it knows 9 no more.", 9)
    patience: float = setting("Seconds that an upload whose answer was lost is waited for before the next.", 300.0)

    def __post_init__(self) -> None:
        if any(one in self.url for one in "@?#"):
            raise ValueError("an address without user, query and fragment")
        for template in (self.title, *self.custom_fields.values()):
            judge(template, _FIELDS)

    def named(self) -> Iterator[tuple[str, str]]:
        """(setting, name or number) of all that paperless must know."""
        for one in ("correspondent", "document_type", "storage_path"):
            if name := getattr(self, one).strip():
                yield one, name
        yield from (("tags", name) for name in self.tags)
        yield from (("custom_fields", name) for name in self.custom_fields)


class _Memory:
    """What survives between tries: of each file its task, or when it was sent without an answer."""

    at_once: ClassVar[int] = 50
    """Files that paperless works on, and tasks that are remembered although they ended well."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        state = progress.load()
        self.tasks: dict[str, str] = dict(state.get("tasks", {}))
        self.unsure: dict[str, float] = dict(state.get("unsure", {}))
        self.repeats: int = state.get("repeats", 0)
        self.open = 0
        """Tasks that had not ended when they were asked for in this try."""

    def read_back(self, key: str) -> None:
        """Its document can be found by its checksum: of many files that is enough."""
        self.unsure.pop(key, None)
        if len(self.tasks) > self.at_once:
            self.tasks.pop(key, None)

    def keep(self) -> None:
        self._progress.save({"tasks": self.tasks, "unsure": self.unsure, "repeats": self.repeats})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A document in the archive."""

    id: int
    found: bool
    proof: str


class Paperless(Sink):
    """Looks for the checksum, posts what is not there, and waits for paperless to have taken it in."""

    Settings = PaperlessSettings
    settings: PaperlessSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = "checksum of the stored original"
    guide: ClassVar[str] = """\
Each file is a document: title, date (`created` is the day of completion), correspondent, document type, storage path,
tags and custom fields come with it. What these settings name must exist; their names are looked up, without regard to
upper and lower case. The manifest is not sent: paperless takes no JSON. Nor does it take every other type, so name the
parts that it is to have: `parts = ["document"]`.

**Permissions:** a user of its own, and its token (My Profile): Documents add and view, Tasks view, and view for
Correspondents, Document Types, Storage Paths, Tags and Custom Fields where they are given by name. Nothing is changed
or deleted. A refusal (401, 403) is tried again like an outage.

**Retry:** paperless 3 takes the same bytes twice. So their checksum is looked up first, and what is found counts as
done; the number of the task that takes a document in is remembered, and asked for on the next try instead of sending
it again. Where the answer to an upload was lost, the next one waits for `patience` seconds and looks again. The receipt
counts uploads that came after such a one (`repeats`). While paperless is at work (OCR), no try is used up; it is given
up to fifty files of a delivery at once.

A delivery is held for a person's decision where paperless keeps other bytes than were sent, because a script before
consumption changed them or a barcode split them, and where it refuses them as a duplicate (before version 3
always, now with `PAPERLESS_CONSUMER_DELETE_DUPLICATES`) of a document that our user cannot see: it is in the trash, or
somebody else's.

**Limits:** those of paperless and of the proxy before it (`client_max_body_size`); paperless holds an upload in memory.
Empty files and unknown types are refused. Titles end after 127 characters. Before version 3 its checksum is MD5. Where
a workflow takes our user's right to see a new document away, the word of its task is the proof; a delivery may have
about 130 files then.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._root = self.settings.url.rstrip("/")
        self._api = PaperlessApi(http, self._root, self.settings.token, self.settings.api_version)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        memory = _Memory(progress)
        stored = [self._store(delivery, placed.part, memory) for placed in delivery.files]
        kept = [one for one in stored if one is not None]
        if len(kept) < len(stored):
            raise NotReady("paperless is still taking it in")
        details = {
            "documents": [one.id for one in kept],
            "sha256": [placed.part.sha256 for placed in delivery.files],
            "bytes": sum(placed.part.size for placed in delivery.files),
            "repeats": memory.repeats,
        }
        return Receipt(
            location=f"{self._root}/documents/{kept[0].id}",
            proof=", ".join(sorted({one.proof for one in kept})),
            found=all(one.found for one in kept),
            details=details,
        )

    def check(self) -> str:
        _, version = self._api.documents("0" * 64)
        named = [self._api.number(kind, name) for kind, name in self.settings.named()]
        known = version if re.fullmatch(r"[\w.]{1,20}", version) else "of an unknown version"
        return f"paperless-ngx {known} takes our token and knows the {len(named)} names in the settings"

    # --- one file ---

    def _store(self, delivery: Delivery, part: Part, memory: _Memory) -> _Kept | None:
        """None while paperless is at work on it, or on enough others."""
        key = part.sha256[:16]
        if memory.open >= memory.at_once:
            return None
        checksum, there = self._look(delivery, part)
        if there is not None:
            memory.read_back(key)
            return _Kept(id=there, found=True, proof=self.proof)
        if key not in memory.tasks:
            self._wait_for_lost(key, memory)
            memory.tasks[key] = self._post(delivery, part, key, memory)
            memory.unsure.pop(key, None)
            memory.keep()
        return self._taken_in(part, checksum, key, memory)

    def _look(self, delivery: Delivery, part: Part) -> tuple[str, int | None]:
        """(its checksum as this server counts it, the document that has it among those our user can see)"""
        checksum = part.sha256
        ids, version = self._api.documents(checksum)
        if version.startswith("2."):
            checksum = _md5(partial(delivery.open, part))
            ids, _ = self._api.documents(checksum)
        # A server that does not know the filter lists everything.
        return checksum, next((one for one in ids if self._api.checksum(one) == checksum), None)

    def _wait_for_lost(self, key: str, memory: _Memory) -> None:
        sent = memory.unsure.get(key)
        if sent is None:
            return
        left = sent + self.settings.patience - self._clock()
        if left > 0:
            raise NotReady("whether paperless took the last upload is not known yet", after=min(left, 60.0))
        memory.repeats += 1

    def _post(self, delivery: Delivery, part: Part, key: str, memory: _Memory) -> str:
        """The task that takes it in."""

        def begin() -> None:
            memory.unsure[key] = self._clock()
            memory.keep()
            delivery.still_ours()

        boundary = f"webhook-svc-{delivery.id}"
        body = form(boundary, self._entries(delivery, part))
        upload = Upload(open=partial(held_back, body.open, begin), size=body.size)
        answer = self._api.post(upload, boundary)
        if not answer.ok and not unsure(answer):
            memory.unsure.pop(key, None)
            memory.keep()
        return self._api.posted(answer)

    def _entries(self, delivery: Delivery, part: Part) -> Iterator[Entry]:
        known = {**values(delivery), "filename": part.name, "part": part.kind}
        if title := one_line(filled(self.settings.title, delivery, known), _LONGEST_TITLE):
            yield Entry(name="title", content=title.encode())
        if delivery.completed is not None:
            yield Entry(name="created", content=datetime.fromtimestamp(delivery.completed, UTC).isoformat().encode())
        fields: dict[str, str] = {}
        for kind, name in self.settings.named():
            number = str(self._api.number(kind, name))
            if kind == "custom_fields":
                fields[number] = filled(self.settings.custom_fields[name], delivery, known)
            else:
                yield Entry(name=kind, content=number.encode())
        if fields:
            yield Entry(name="custom_fields", content=json.dumps(fields).encode())
        media_type = part.content_type if _MEDIA_TYPE.fullmatch(part.content_type) else "application/octet-stream"
        content = Upload(open=partial(delivery.open, part), size=part.size)
        yield Entry(name="document", content=content, filename=part.name, content_type=media_type)

    def _taken_in(self, part: Part, checksum: str, key: str, memory: _Memory) -> _Kept | None:
        task = self._api.task(memory.tasks[key])
        if task.known and not task.ended:
            memory.open += 1
            return None
        if task.succeeded:
            kept = self._kept(part, checksum, task.document)
            if kept.proof == self.proof:
                memory.read_back(key)
            return kept
        if task.duplicate:
            return self._duplicate(part, checksum, task.document)
        del memory.tasks[key]
        memory.keep()
        raise Unlikely("paperless could not take it in; its log says why" if task.known else "paperless lost the task")

    def _kept(self, part: Part, checksum: str, document: int | None) -> _Kept:
        stored = self._api.checksum(document) if document is not None else ""
        if document is None or stored not in (None, checksum):
            raise Conflict(f"paperless took {part.name} in and keeps other bytes: a script or a barcode changed it")
        proof = self.proof if stored else "paperless says so, and does not let us look"
        return _Kept(id=document, found=False, proof=proof)

    def _duplicate(self, part: Part, checksum: str, document: int | None) -> _Kept:
        """Refused, since it is there: somebody was faster, or it is where our user cannot see it."""
        if document is not None and self._api.checksum(document) == checksum:
            return _Kept(id=document, found=True, proof=self.proof)
        raise Conflict(
            f"paperless calls {part.name} a duplicate of a document that our user cannot see, or in the trash"
        )


def _md5(open_: Callable[[], BinaryIO]) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with open_() as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
