"""A folder at Box: nothing is ever overwritten, and Box checks the hash of every upload.

https://github.com/box/box-openapi (2024.0, of 2026-06-29) and https://developer.box.com/guides: uploads/direct,
uploads/chunked, api-calls/permissions-and-errors/common-errors, authentication/client-credentials (read 2026-11-22).
The only hash that Box knows is SHA-1, also in the header that is called content-md5.
"""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..core.errors import Conflict, Permanent, Retryable, WebhookError
from ..core.flow import told, told_in
from ..core.outgoing import Answer, Request, Token, Upload
from ..core.ports import Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import Delivery, Receipt, at_path
from .shared.answers import failure
from .shared.bearer import Bearer, by_form
from .shared.pieces import Entry, form
from .shared.sessions import Piece, pieces
from .shared.things import Stored, Thing, receipt, things

_FORBIDDEN: Final = re.compile(r"[\\<>:|?*\x00-\x1f\x7f]")
_NUMBER: Final = re.compile("[0-9]+")
_LARGEST_PART: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSettings:
    client_id: str = setting("The client id of a platform app with server authentication (client credentials).")
    client_secret: Secret = setting("The client secret of that app; usually ${BOX_CLIENT_SECRET}.")
    enterprise: str = setting("The id of the enterprise: files are written as the app's service account.", "")
    user: str = setting("Instead of it: the id of the user as whom files are written.", "")
    folder_id: str = setting("The id of the folder that everything is kept in; 0 is the account's top.", "0")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)
    api: Url = setting("The address of the API.", Url("https://api.box.com"))
    upload: Url = setting("The address that files are sent to.", Url("https://upload.box.com"))

    def __post_init__(self) -> None:
        if bool(self.enterprise) == bool(self.user):
            raise ValueError("one of enterprise and user")
        if not _NUMBER.fullmatch(self.folder_id):
            raise ValueError("a number as folder_id")


class Box(Sink):
    """Makes the folders, uploads with the hash, and takes a name in use for a question of which bytes stand there."""

    Settings = BoxSettings
    settings: BoxSettings
    proof: ClassVar[str] = "SHA-1 of the stored file"
    max_bytes: ClassVar[int | None] = 500 * 10**9
    at_once: ClassVar[int] = 32 * 1024**2
    """Bytes up to which a file is sent in one request. Box takes 50 MB so, and sessions from 20 MB on."""
    guide: ClassVar[str] = """\
Make a platform app with server authentication (client credentials grant) in the developer console, let an administrator
authorize it, and invite its service account into the folder. Files up to 32 MiB are sent in one request, larger ones in
an upload session. Folders are made on the way. Every upload carries the SHA-1 of its bytes, which Box checks, and size
and SHA-1 of the stored file are compared.

**Permissions:** the scope "Write all files and folders stored in Box", the app access level "App access only", and the
role **Editor** in the folder. A refusal (401, 403) is tried again like an outage.

**Retry:** harmless. Box refuses a name that is in use. A file that stands there with the same bytes counts as done;
with other bytes the delivery is held for a person's decision. A large upload that broke off begins anew, its session
is aborted; one that Box is still putting together is asked for again.

**Limits:** as large as the account allows, 500 GB at most; 255 characters for each name. `\\ < > : | ? *`, spaces at
the ends and the names `.` and `..` become names that are allowed, always the same. Names that differ in case alone are
one.
"""

    def __init__(self, name: str, settings: Any, http: Http) -> None:
        super().__init__(name, settings, http)
        self._bearer = Bearer(http, self._log_in)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        sent = list(things(delivery, _place, manifest=self.settings.manifest))
        folders = {"": self.settings.folder_id}
        stored = [
            self._store(thing, self._folder(thing.folder, folders), delivery.still_ours, progress) for thing in sent
        ]
        return receipt(f"box:{sent[0].path}", sent, stored)

    def check(self) -> str:
        answer = self._ask("GET", f"folders/{self.settings.folder_id}?fields=id,permissions")
        if not answer.ok:
            raise _failure("looking at the folder", answer)
        if at_path(answer.json(), "permissions.can_upload") is False:
            raise Retryable("the folder is there, but we may not add files to it")
        return "the folder answers and takes our credentials"

    # --- one file ---

    def _store(self, thing: Thing, parent: str, still_ours: Callable[[], None], progress: Progress) -> Stored:
        whole = hashlib.sha1(usedforsecurity=False)
        thing.feed(whole.update)
        if thing.size <= self.at_once:
            answer = self._send(thing, parent, whole.hexdigest(), still_ours)
        else:
            answer = _Session(self._ask, thing, parent, progress).send(whole.digest(), still_ours)
        if found := _in_use(answer):
            answer = self._ask("GET", f"files/{_conflict(answer, 'file')}?fields=id,size,sha1")
        if not answer.ok:
            raise _failure("looking" if found else "writing", answer)
        there = answer.json() if found else at_path(answer.json(), "entries.0")
        if at_path(there, "size") != thing.size or str(at_path(there, "sha1")).lower() != whole.hexdigest():
            raise Conflict(f"{thing.path} holds other bytes")
        return Stored(id=told(at_path(there, "id")), proof=self.proof, found=found)

    def _send(self, thing: Thing, parent: str, sha1: str, still_ours: Callable[[], None]) -> Answer:
        attributes = json.dumps({"name": thing.name, "parent": {"id": parent}}).encode()
        boundary = f"webhook-svc-{thing.sha256}"
        file = Entry(name="file", content=thing.upload(still_ours), filename="file", content_type=thing.content_type)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-MD5": sha1}
        body = form(boundary, [Entry(name="attributes", content=attributes), file])
        return self._ask("POST", "files/content", headers=headers, body=body, uploads=True)

    def _folder(self, path: str, known: dict[str, str]) -> str:
        """The id of the folder, found or made, below those that are known."""
        if path not in known:
            above, _, name = path.rpartition("/")
            body = {"name": name, "parent": {"id": self._folder(above, known)}}
            answer = self._ask("POST", "folders", json=body)
            if not answer.ok and not _in_use(answer):
                raise _failure("making a folder", answer)
            known[path] = _id(at_path(answer.json(), "id")) if answer.ok else _conflict(answer, "folder")
        return known[path]

    # --- requests ---

    def _ask(
        self,
        method: str,
        route: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | Upload | None = None,
        uploads: bool = False,
    ) -> Answer:
        base = f"{self.settings.upload.rstrip('/')}/api/2.0" if uploads else f"{self.settings.api.rstrip('/')}/2.0"
        request = Request(method=method, url=f"{base}/{route}", headers=headers or {}, json=json, body=body)
        return self._bearer.call(request)

    def _log_in(self) -> Token:
        settings = self.settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret.reveal(),
            "box_subject_type": "enterprise" if settings.enterprise else "user",
            "box_subject_id": settings.enterprise or settings.user,
        }
        return by_form(self.http, f"{settings.api.rstrip('/')}/oauth2/token", form)


class _Session:
    """A large file on its way, in parts of the size that Box names. It becomes visible when they are put together."""

    def __init__(self, ask: Callable[..., Answer], thing: Thing, parent: str, progress: Progress) -> None:
        self._ask = ask
        self._thing = thing
        self._parent = parent
        self._progress = progress

    def send(self, sha1: bytes, still_ours: Callable[[], None]) -> Answer:
        """What the last request was answered with. Retryable where Box is not ready to put the parts together: the
        next try asks for that again."""
        session = str(self._progress.load().get(self._thing.path, ""))
        parts = self._listed(session) if session else None
        if parts is None:
            session, parts, refusal = self._begun()
            if refusal is not None:
                return refusal
        done = False
        try:
            still_ours()
            headers = {"Digest": f"sha={b64encode(sha1).decode()}"}
            answer = self._route("POST", session, "/commit", headers=headers, json={"parts": parts})
            if done := answer.status == 202:
                self._progress.save({self._thing.path: session})
                raise Retryable("the parts are not put together yet", after=answer.retry_after())
            done = answer.ok
            return answer
        finally:
            if not done:
                self._abort(session)

    def _begun(self) -> tuple[str, list[Any], Answer | None]:
        """A new session with all parts sent; or the answer that refused it."""
        wanted = {"folder_id": self._parent, "file_size": self._thing.size, "file_name": self._thing.name}
        answer = self._ask("POST", "files/upload_sessions", json=wanted, uploads=True)
        if not answer.ok:
            return "", [], answer
        session, size = _id(at_path(answer.json(), "id")), at_path(answer.json(), "part_size")
        if not isinstance(size, int) or not 0 < size <= _LARGEST_PART:
            raise Retryable("beginning an upload session: the answer names no size of parts that we can send")
        try:
            return session, [self._part(session, one) for one in pieces(self._thing.open, size, _nothing)], None
        except BaseException:
            self._abort(session)
            raise

    def _part(self, session: str, piece: Piece) -> Any:
        sha1 = hashlib.sha1(piece.content, usedforsecurity=False).digest()
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {piece.start}-{piece.end - 1}/{self._thing.size}",
            "Digest": f"sha={b64encode(sha1).decode()}",
        }
        answer = self._route("PUT", session, headers=headers, body=piece.content)
        if not answer.ok:
            raise _failure("sending a part", answer)
        return at_path(answer.json(), "part")

    def _listed(self, session: str) -> list[Any] | None:
        """The parts that are there, None where the session is gone."""
        parts: list[Any] = []
        while True:
            answer = self._route("GET", session, f"/parts?offset={len(parts)}&limit=1000")
            if answer.status in (404, 410):
                return None
            if not answer.ok:
                raise _failure("looking at the parts", answer)
            page = at_path(answer.json(), "entries")
            if not page:
                return parts
            parts += page

    def _abort(self, session: str) -> None:
        with suppress(WebhookError):  # it ends by itself after some days
            self._route("DELETE", session)

    def _route(self, method: str, session: str, then: str = "", **more: Any) -> Answer:
        return self._ask(method, f"files/upload_sessions/{session}{then}", uploads=True, **more)


def _nothing() -> None:
    """The last part makes nothing visible."""


def _place(path: str) -> str:
    return "/".join(map(_segment, path.split("/")))


def _segment(name: str) -> str:
    allowed = _FORBIDDEN.sub("_", name).strip(" ")
    return f"_{allowed}" if allowed in ("", ".", "..") else allowed


def _in_use(answer: Answer) -> bool:
    return answer.status == 409 and told_in(answer, "code") == "item_name_in_use"


def _conflict(answer: Answer, kind: str) -> str:
    """The id of what bears the name. Of files Box describes one thing, of folders a list of one."""
    found = at_path(answer.json(), "context_info.conflicts")
    there = found[0] if isinstance(found, list) and found else found
    if at_path(there, "type") != kind:
        raise Conflict(f"something else stands where a {kind} is to be")
    return _id(at_path(there, "id"))


def _id(found: Any) -> str:
    if not isinstance(found, str) or not re.fullmatch(r"[\w-]+", found):
        raise Retryable("the answer holds no id")
    return found


def _failure(act: str, answer: Answer) -> WebhookError:
    code = told_in(answer, "code")
    if answer.status == 410 or code == "bad_digest":
        return Retryable(f"{act}: the answer was {answer.status} {told(code, 60)}", after=answer.retry_after())
    if code == "file_size_limit_exceeded":
        return Permanent(f"{act}: the answer was {answer.status} {code}")
    return failure(act, answer, code)
