"""A folder of Google Drive, in a shared drive or a person's own: every file has an id before it is sent.

https://developers.google.com/workspace/drive/api/guides: create-file (with an id made before, a repeat is answered
409), manage-uploads, search-files, enable-shareddrives, handle-errors (read 2026-11-22). Names are not unique in a
folder of Drive: the oldest file of a name is the one that counts.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urlencode, urlsplit

from ..core.errors import Conflict, Permanent, Retryable, WebhookError
from ..core.flow import told, told_in
from ..core.outgoing import Answer, Request, Token
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, hosts_in, setting
from ..core.template import url_segment
from ..core.types import Delivery, Receipt, at_path
from .shared.answers import failure
from .shared.bearer import Bearer
from .shared.given_ids import GivenIds
from .shared.service_account import ServiceAccount
from .shared.sessions import Piece, pieces
from .shared.things import Stored, Thing, receipt, things

_FOLDER: Final = "application/vnd.google-apps.folder"
_FIELDS: Final = "id,name,size,createdTime,sha256Checksum,md5Checksum,trashed"
_MOST_PAGES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleDriveSettings:
    key: Secret = setting("The key of a service account: the text of its JSON file, usually by ${GDRIVE_KEY}.")
    folder_id: str = setting("The id of the folder that everything is kept in; of a shared drive itself, its id.")
    shared_drive: str = setting("The id of the shared drive that the folder is in, empty for none.", "")
    subject: str = setting("With delegation for a whole domain: the person on whose behalf files are written.", "")
    scope: str = setting("What tokens are asked for.", "https://www.googleapis.com/auth/drive")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)
    api: Url = setting("The address of the API.", Url("https://www.googleapis.com"))

    def __post_init__(self) -> None:
        ServiceAccount.read(self.key).check()


class GoogleDrive(Sink):
    """Looks, makes the folders, uploads under an id that the delivery remembers, and compares what then counts."""

    Settings = GoogleDriveSettings
    settings: GoogleDriveSettings
    proof: ClassVar[str] = "SHA-256 of the stored file"
    max_bytes: ClassVar[int | None] = 5 * 10**12
    piece: ClassVar[int] = 8 * 1024**2
    """Bytes of one request of an upload: a multiple of 256 KiB."""
    guide: ClassVar[str] = """\
Make a service account in a project that has the Drive API, and a JSON key of it. Service accounts have no space of
their own: let it write into a shared drive (`shared_drive`), or on behalf of a person (`subject`, with delegation for
the whole domain). Folders are found by their names below `folder_id` or made. Afterwards size and SHA-256 are compared.

**Permissions:** the service account (or the `subject`) as **Content manager** of the shared drive, or **Editor** of the
folder; with delegation the scope `https://www.googleapis.com/auth/drive`. A refusal (401, 403) is tried again.

**Retry:** harmless. Each file's id is made and remembered before the file is sent, so that a repeat finds it. A file of
the same name that stands there with the same bytes counts as done; with other bytes the delivery is held for a person's
decision. Drive allows a name twice: should two workers write at once, the younger copy goes to the bin. A large upload
that broke off begins anew.

**Limits:** 5 TB a file, 750 GB a day and account. Names may be anything. If two workers make the same folder at once,
the older one is used and the other stays empty.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._account = ServiceAccount.read(self.settings.key)
        self._bearer = Bearer(http, self._log_in)

    def hosts(self) -> frozenset[str]:
        return hosts_in(self.settings) | {self._account.host}

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        sent = list(things(delivery, str, manifest=self.settings.manifest))
        folders = {"": self.settings.folder_id}
        stored = []
        ids = GivenIds(progress, len(sent), self._generate)
        for number, thing in enumerate(sent):
            parent = self._folder(thing.folder, folders)
            stored.append(self._store(thing, parent, ids, number, delivery.still_ours))
        return receipt(f"gdrive:{sent[0].path}", sent, stored)

    def check(self) -> str:
        query = {"fields": "id,mimeType,capabilities/canAddChildren", "supportsAllDrives": "true"}
        answer = self._ask("GET", f"files/{url_segment(self.settings.folder_id)}", query)
        if not answer.ok:
            raise _failure("looking at the folder", answer)
        if at_path(answer.json(), "mimeType") != _FOLDER:
            raise Permanent("the folder_id is not that of a folder")
        if at_path(answer.json(), "capabilities.canAddChildren") is False:
            raise Retryable("the folder is there, but we may not add files to it")
        return "the folder answers and takes our credentials"

    # --- one file ---

    def _store(self, thing: Thing, parent: str, ids: GivenIds, number: int, still_ours: Callable[[], None]) -> Stored:
        there, found, note = self._oldest(parent, thing.name), True, ""
        if there is None:
            own = ids.own(number)
            created = self._send(thing, parent, own, still_ours)
            there = self._oldest(parent, thing.name) or self._own(own, ids, created)
            found = not created or there["id"] != own
            if created and found:
                note = self._throw_away(own)
        return Stored(id=told(there["id"]), proof=self._compare(thing, there), found=found, note=note)

    def _throw_away(self, own: str) -> str:
        """What is to be said of it: nothing where our younger copy is in the bin."""
        query = {"supportsAllDrives": "true", "fields": "id"}
        answer = self._ask("PATCH", f"files/{url_segment(own)}", query, {"trashed": True})
        return "" if answer.ok else "a second copy of ours stands beside it"

    def _own(self, own: str, ids: GivenIds, created: bool) -> Mapping[str, Any]:
        """The file of that id, where lists do not show it yet. Where it was thrown away another id is taken later."""
        query = {"fields": _FIELDS, "supportsAllDrives": "true"}
        answer = self._ask("GET", f"files/{url_segment(own)}", query)
        if answer.ok and not at_path(answer.json(), "trashed"):
            return _file(answer.json())
        if not answer.ok and answer.status != 404:
            raise _failure("looking", answer)
        if not created:
            ids.forget()
        raise Retryable("the file was written and cannot be seen")

    def _send(self, thing: Thing, parent: str, own: str, still_ours: Callable[[], None]) -> bool:
        """False where that id is taken: an earlier try got through."""
        query = {"uploadType": "resumable", "supportsAllDrives": "true", "fields": "id"}
        url = f"{self.settings.api.rstrip('/')}/upload/drive/v3/files?{urlencode(query)}"
        headers = {"X-Upload-Content-Type": thing.content_type, "X-Upload-Content-Length": str(thing.size)}
        metadata = {"id": own, "name": thing.name, "parents": [parent], "mimeType": thing.content_type}
        answer = self._bearer.call(Request(method="POST", url=url, headers=headers, json=metadata))
        if not answer.ok:
            return _written(answer)
        # It is a credential: it is told to nobody, and kept nowhere.
        session = answer.headers.get("location", "")
        if urlsplit(session).scheme != urlsplit(self.settings.api).scheme:
            raise Retryable("beginning an upload: the answer holds no address for it")
        return [self._send_piece(session, piece, thing.size) for piece in pieces(thing.open, self.piece, still_ours)][
            -1
        ]

    def _send_piece(self, session: str, piece: Piece, size: int) -> bool:
        """True after the last, False after another, and where the id is taken."""
        whole = piece.last and not piece.start
        headers = {} if whole else {"Content-Range": f"bytes {piece.start}-{piece.end - 1}/{size}"}
        answer = self._bearer.call(Request(method="PUT", url=session, headers=headers, body=piece.content))
        if answer.status in (404, 410):
            raise Retryable(f"sending a piece: the answer was {answer.status}, the upload is gone")
        if answer.status != 308:
            return _written(answer)
        if piece.last or answer.headers.get("range") != f"bytes=0-{piece.end - 1}":
            raise Retryable("sending a piece: it did not arrive whole")
        return False

    def _compare(self, thing: Thing, there: Mapping[str, Any]) -> str:
        """How it was proved that the file holds these bytes. Conflict where it holds others."""
        sha256, md5 = there.get("sha256Checksum"), there.get("md5Checksum")
        equal, proof = sha256 == thing.sha256, self.proof
        if not sha256 and md5:
            ours = hashlib.md5(usedforsecurity=False)
            thing.feed(ours.update)
            equal, proof = ours.hexdigest() == md5, "MD5 of the stored file"
        if there.get("size") != str(thing.size) or not equal:
            raise Conflict(f"{thing.path} holds other bytes")
        return proof

    # --- folders and lists ---

    def _folder(self, path: str, known: dict[str, str]) -> str:
        """The id of the folder, found or made, below those that are known."""
        if path not in known:
            above, _, name = path.rpartition("/")
            known[path] = self._child(self._folder(above, known), name)
        return known[path]

    def _child(self, parent: str, name: str) -> str:
        if there := self._oldest(parent, name, "="):
            return str(there["id"])
        query = {"supportsAllDrives": "true", "fields": "id"}
        answer = self._ask("POST", "files", query, {"name": name, "mimeType": _FOLDER, "parents": [parent]})
        if not answer.ok:
            raise _failure("making a folder", answer)
        # Another may have made it at the same time: all take the older one.
        return str((self._oldest(parent, name, "=") or _file(answer.json()))["id"])

    def _oldest(self, parent: str, name: str, folder: str = "!=") -> Mapping[str, Any] | None:
        """The file (or, with "=", the folder) of that name that has been there longest."""
        query = {
            "q": f"name = {_quoted(name)} and {_quoted(parent)} in parents and mimeType {folder} {_quoted(_FOLDER)}"
            " and trashed = false",
            "fields": f"nextPageToken,files({_FIELDS})",
            "supportsAllDrives": "true",
            "includeItemsFromAllDrives": "true",
        }
        if self.settings.shared_drive:
            query |= {"corpora": "drive", "driveId": self.settings.shared_drive}
        found: list[Mapping[str, Any]] = []
        for _ in range(_MOST_PAGES):
            answer = self._ask("GET", "files", query)
            if not answer.ok:
                raise _failure("looking", answer)
            listed = at_path(answer.json(), "files")
            # A search may be more generous than we are about what it takes for the same name.
            found += [_file(one) for one in listed or () if at_path(one, "name") == name]
            token = at_path(answer.json(), "nextPageToken")
            if not isinstance(token, str):
                return min(found, key=lambda one: (str(one.get("createdTime")), one["id"]), default=None)
            query["pageToken"] = token
        raise Retryable("looking: the list does not end")

    def _generate(self, count: int) -> list[str]:
        answer = self._ask("GET", "files/generateIds", {"count": str(count), "space": "drive", "type": "files"})
        if not answer.ok:
            raise _failure("asking for ids", answer)
        ids = at_path(answer.json(), "ids")
        if not isinstance(ids, list) or len(ids) != count or not all(isinstance(one, str) for one in ids):
            raise Retryable("asking for ids: the answer holds others than were asked for")
        return ids

    # --- requests ---

    def _ask(self, method: str, route: str, query: Mapping[str, str], body: Any = None) -> Answer:
        url = f"{self.settings.api.rstrip('/')}/drive/v3/{route}?{urlencode(query)}"
        return self._bearer.call(Request(method=method, url=url, json=body))

    def _log_in(self) -> Token:
        acting_for = {"sub": self.settings.subject} if self.settings.subject else {}
        return self._account.log_in(self.http, self.settings.scope, self._clock(), **acting_for)


def _file(found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping) or not isinstance(found.get("id"), str):
        raise Retryable("the answer describes a file without an id")
    return found


def _quoted(text: str) -> str:
    """As a search wants it: https://developers.google.com/workspace/drive/api/guides/search-files (read 2026-11-22)."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _written(answer: Answer) -> bool:
    if answer.ok or answer.status == 409:
        return answer.ok
    raise _failure("writing", answer)


def _failure(act: str, answer: Answer) -> WebhookError:
    return failure(act, answer, told_in(answer, "error.errors.0.reason"))
