"""A Dropbox, or the folder of an app in it: nothing is ever overwritten, and Dropbox checks every hash.

https://github.com/dropbox/dropbox-api-spec (files.stone of 2026-08-05) and
https://www.dropbox.com/developers/documentation/http/documentation (read 2026-11-22): errors of an endpoint are a 409
whose `error_summary` begins with their tags.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..core.errors import Conflict, Permanent, Retryable, WebhookError
from ..core.flow import told
from ..core.outgoing import Answer, Request, Token, Upload
from ..core.ports import Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import Delivery, Receipt, at_path
from .shared.answers import failure
from .shared.bearer import Bearer, by_form
from .shared.sessions import pieces
from .shared.things import Stored, Thing, joined, receipt, things

_FORBIDDEN: Final = re.compile(r"[\\\x00-\x1f\x7f]")
_RESERVED: Final = re.compile(
    r"desktop\.ini|thumbs\.db|\.ds_store|icon|\.dropbox(?:\.attr|\.cache)?|~\$.*|\.~.*|~.*\.tmp|\.\.?", re.IGNORECASE
)
_TAGS: Final = re.compile(r"[a-z_]+(?:/[a-z_]+)*")
_NEVER: Final = re.compile(
    r".*(?:malformed_path|disallowed_name|operation_suppressed|team_folder|payload_too_large|encryption_not_supported)"
)
_BLOCK: Final = 4 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class DropboxSettings:
    app_key: str = setting("The key of an app of yours at Dropbox.")
    app_secret: Secret = setting("The secret of that app; usually ${DROPBOX_APP_SECRET}.")
    refresh_token: Secret = setting("What the app was given for the account; usually ${DROPBOX_REFRESH_TOKEN}.")
    namespace: str = setting("Of a team: the number of a team space or folder, empty for the account's own.", "")
    folder: str = setting("Put before every name.", "")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)
    api: Url = setting("The address of the API.", Url("https://api.dropboxapi.com"))
    content: Url = setting("The address that files are sent to.", Url("https://content.dropboxapi.com"))

    def __post_init__(self) -> None:
        if self.namespace and not re.fullmatch("[0-9]+", self.namespace):
            raise ValueError("a number as namespace")


class Dropbox(Sink):
    """Every upload carries its hash and makes of any file that stands there a conflict."""

    Settings = DropboxSettings
    settings: DropboxSettings
    proof: ClassVar[str] = "content_hash of the stored file"
    max_bytes: ClassVar[int | None] = 2**41 - 2**22
    at_once: ClassVar[int] = 16 * 1024**2
    """Bytes up to which a file is sent in one request. Dropbox takes 150 MiB so, but a slow line takes too long."""
    piece: ClassVar[int] = 2 * _BLOCK
    guide: ClassVar[str] = """\
Make an app at https://www.dropbox.com/developers/apps ("App folder" is enough) and let the account that owns the folder
grant it access with `token_access_type=offline`: the answer holds the refresh token. Files up to 16 MiB are sent in one
request, larger ones in an upload session. Folders appear by themselves. Every request carries the content hash of its
bytes, which Dropbox checks, and the hash of the stored file is compared.

**Permissions:** the scopes `files.content.write` and `files.metadata.read`. A refusal (401, 403) is tried again.

**Retry:** harmless. Every upload says `mode: add`, no `autorename`, and `strict_conflict`. A file that stands there
with the same bytes counts as done; with other bytes the delivery is held for a person's decision. A large upload that
broke off begins anew.

**Limits:** 2 TB a file and what the account has left, 255 characters for each name. Backslashes, spaces at the end and
names that Dropbox does not keep (`desktop.ini`, `thumbs.db`, `~$…`) become names that it keeps, always the same. Names
that differ in case alone are one. Dropbox advises against emoji in names: some computers cannot show them.
"""

    def __init__(self, name: str, settings: Any, http: Http) -> None:
        super().__init__(name, settings, http)
        self._bearer = Bearer(http, self._log_in)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the Dropbox is its memory
        sent = list(things(delivery, self._place, manifest=self.settings.manifest))
        stored = [self._store(thing, delivery.still_ours) for thing in sent]
        return receipt(f"dropbox:{self._path(sent[0].path)}", sent, stored)

    def check(self) -> str:
        # The top is named by the empty text; the folder below it may not be there yet.
        answer = self._ask("files/list_folder", {"path": self._path("").rstrip("/"), "limit": 1})
        if not answer.ok:
            raise _failure("looking", answer)
        return "the Dropbox answers and takes our credentials"

    def _place(self, path: str) -> str:
        return "/".join(map(_segment, joined(self.settings.folder, path).split("/")))

    def _path(self, path: str) -> str:
        return (f"ns:{self.settings.namespace}/" if self.settings.namespace else "/") + path

    # --- one file ---

    def _store(self, thing: Thing, still_ours: Callable[[], None]) -> Stored:
        ours = ContentHash()
        thing.feed(ours.update)
        answer = (self._send if thing.size <= self.at_once else self._send_pieces)(thing, ours, still_ours)
        if "conflict/file_ancestor" in _tags(answer):
            raise Conflict(f"a file stands where {thing.path} needs a folder")
        found = "conflict" in _tags(answer)
        if found:
            answer = self._ask("files/get_metadata", {"path": self._path(thing.path)})
        if not answer.ok:
            raise _failure("looking" if found else "writing", answer)
        stored = answer.json()
        if (at_path(stored, "size"), at_path(stored, "content_hash")) != (thing.size, ours.hexdigest()):
            raise Conflict(f"{thing.path} holds other bytes")
        return Stored(id=told(at_path(stored, "id")), proof=self.proof, found=found)

    def _send(self, thing: Thing, ours: "ContentHash", still_ours: Callable[[], None]) -> Answer:
        argument = {**self._commit(thing), "content_hash": ours.hexdigest()}
        return self._upload("files/upload", argument, thing.upload(still_ours))

    def _send_pieces(self, thing: Thing, ours: "ContentHash", still_ours: Callable[[], None]) -> Answer:  # noqa: ARG002 - one signature
        answer = self._upload("files/upload_session/start", {}, b"")
        if not answer.ok:
            return answer
        session = at_path(answer.json(), "session_id")
        for piece in pieces(thing.open, self.piece, still_ours):
            cursor = {"session_id": session, "offset": piece.start}
            argument = {"cursor": cursor, "content_hash": _content_hash(piece.content)}
            if piece.last:
                argument["commit"] = self._commit(thing)
            answer = self._upload(
                f"files/upload_session/{'finish' if piece.last else 'append_v2'}", argument, piece.content
            )
            if not answer.ok:
                break
        return answer

    def _commit(self, thing: Thing) -> dict[str, Any]:
        path = self._path(thing.path)
        return {"path": path, "mode": "add", "autorename": False, "strict_conflict": True, "mute": True}

    # --- requests ---

    def _upload(self, route: str, argument: Mapping[str, Any], body: bytes | Upload) -> Answer:
        """https://www.dropbox.com/developers/reference/json-encoding (read 2026-11-22): ASCII alone, and no DEL, which
        stands in no name that we take."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Arg": json.dumps(argument, ensure_ascii=True),
        }
        url = f"{self.settings.content.rstrip('/')}/2/{route}"
        return self._bearer.call(Request(method="POST", url=url, headers=headers, body=body))

    def _ask(self, route: str, argument: Mapping[str, Any]) -> Answer:
        url = f"{self.settings.api.rstrip('/')}/2/{route}"
        return self._bearer.call(Request(method="POST", url=url, json=argument))

    def _log_in(self) -> Token:
        """https://developers.dropbox.com/oauth-guide (read 2026-11-22)."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.settings.refresh_token.reveal(),
            "client_id": self.settings.app_key,
            "client_secret": self.settings.app_secret.reveal(),
        }
        return by_form(self.http, f"{self.settings.api.rstrip('/')}/oauth2/token", form)


class ContentHash:
    """SHA-256 over the SHA-256 of every 4 MiB: https://www.dropbox.com/developers/reference/content-hash
    (read 2026-11-22)."""

    def __init__(self) -> None:
        self._blocks = hashlib.sha256()
        self._block = hashlib.sha256()
        self._left = _BLOCK

    def update(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            now, rest = rest[: self._left], rest[self._left :]
            self._block.update(now)
            self._left -= len(now)
            if not self._left:
                self._blocks.update(self._block.digest())
                self._block, self._left = hashlib.sha256(), _BLOCK

    def hexdigest(self) -> str:
        whole = self._blocks.copy()
        if self._left < _BLOCK:
            whole.update(self._block.digest())
        return whole.hexdigest()


def _content_hash(content: bytes) -> str:
    found = ContentHash()
    found.update(content)
    return found.hexdigest()


def _segment(name: str) -> str:
    """https://help.dropbox.com/organize/file-names (read 2026-11-22)."""
    allowed = _FORBIDDEN.sub("_", name).rstrip(" ")
    return f"_{allowed}" if not allowed or _RESERVED.fullmatch(allowed) else allowed


def _tags(answer: Answer) -> str:
    """What a 409 says: the tags of its error, such as path/conflict/file; else ""."""
    if answer.status != 409:
        return ""
    summary = at_path(answer.json(), "error_summary")
    match = _TAGS.match(summary) if isinstance(summary, str) else None
    return match.group() if match else ""


def _failure(act: str, answer: Answer) -> WebhookError:
    tags = _tags(answer)
    if tags:
        said = f"{act}: the answer was 409 {tags}"
        return Permanent(said) if _NEVER.match(tags) else Retryable(said, after=answer.retry_after())
    return failure(act, answer)
