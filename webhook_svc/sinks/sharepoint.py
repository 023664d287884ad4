"""A document library at SharePoint or a person's OneDrive, through Microsoft Graph: nothing is ever overwritten.

https://learn.microsoft.com/graph/api/driveitem-put-content and driveitem-createuploadsession (read 2026-11-22). The
behaviour `fail` stands in the query of a plain upload, and inside `item` of an upload session: elsewhere it is ignored
and the file is replaced (https://github.com/microsoftgraph/microsoft-graph-docs/issues/19010, read 2026-11-22).
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

from ..core.errors import Conflict, Permanent, Retryable, WebhookError
from ..core.flow import told, told_in
from ..core.outgoing import Answer, Request, Token
from ..core.ports import Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import Delivery, Receipt, at_path
from .shared.answers import failure
from .shared.bearer import Bearer, by_form
from .shared.quickxor import QuickXor
from .shared.sessions import Piece, pieces
from .shared.things import EVERYTHING, Compared, Stored, Thing, joined, other_bytes, receipt, things

_FAIL: Final = {"@microsoft.graph.conflictBehavior": "fail"}
_FORBIDDEN: Final = re.compile(r'["*:<>?\\|\x00-\x1f]')
_RESERVED: Final = re.compile(r"(?:CON|PRN|AUX|NUL|(?:COM|LPT)[0-9])(?:\..*)?|\.lock|desktop\.ini|~.*", re.IGNORECASE)
_HIDDEN: Final = re.compile("_vti_", re.IGNORECASE)
_SITE: Final = re.compile(r"([A-Za-z0-9.-]+(?::[0-9]+)?)(/.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePointSettings:
    tenant: str = setting("The directory (tenant) id, or a domain of it.")
    client_id: str = setting("The application (client) id of an app registration.")
    client_secret: Secret = setting("A client secret of that app; usually ${SHAREPOINT_CLIENT_SECRET}.")
    site: str = setting("The SharePoint site, such as acme.sharepoint.com/sites/legal.", "")
    library: str = setting("The name of a document library of the site, empty for its first.", "")
    user: str = setting("Instead of a site: whose OneDrive it is, as a user principal name.", "")
    drive: str = setting("Instead of both: the id of the drive (b!…).", "")
    folder: str = setting("Put before every name.", "")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)
    graph: Url = setting(
        "The address of Microsoft Graph; national clouds have others.", Url("https://graph.microsoft.com/v1.0")
    )
    login: Url = setting("The address where tokens are given out.", Url("https://login.microsoftonline.com"))

    def __post_init__(self) -> None:
        if sum(map(bool, (self.site, self.user, self.drive))) != 1:
            raise ValueError("one of site, user and drive")
        if self.site and not _SITE.fullmatch(self.site):
            raise ValueError("a site such as acme.sharepoint.com/sites/legal, without https://")
        if self.library and not self.site:
            raise ValueError("a site with the library")


class SharePoint(Sink):
    """Looks, makes the folders, uploads with `fail` for a conflict, and compares what then stands there."""

    Settings = SharePointSettings
    settings: SharePointSettings
    proof: ClassVar[str] = "quickXorHash of the stored file"
    max_bytes: ClassVar[int | None] = 250 * 10**9
    max_path: ClassVar[int] = 350
    at_once: ClassVar[int] = 10 * 1024**2
    """Bytes up to which a file is sent in one request; Graph takes 250 MB so, and advises sessions from here on."""
    piece: ClassVar[int] = 16 * 320 * 1024
    """Bytes of a request of an upload session: a multiple of 320 KiB."""
    guide: ClassVar[str] = """\
Register an app at Microsoft Entra and give it a client secret. Files up to 10 MiB are sent in one request, larger ones
in an upload session. Folders are made on the way. Afterwards size and quickXorHash are compared; where the service has
no hash yet, the file is read back.

**Permissions:** the application permission `Sites.Selected`, with an administrator's consent, and `write` on the site:

```
POST https://graph.microsoft.com/v1.0/sites/{site-id}/permissions
{"roles": ["write"], "grantedTo": [{"application": {"id": "<client_id>"}}]}
```

A person's OneDrive needs `Files.ReadWrite.All`. A refusal (401, 403) is tried again like an outage.

**Retry:** harmless. Every upload says `@microsoft.graph.conflictBehavior: fail`. A file that stands there with the same
bytes counts as done; with other bytes the delivery is held for a person's decision. A large upload that broke off
begins anew, its session is cancelled.

**Limits:** 250 GB a file, 400 characters for the whole path with site and library. `" * : < > ? \\ |`, a `~` at the
beginning, dots and spaces at the ends, `_vti_` and the reserved names become names that are allowed, always the same.
SharePoint writes properties into Office and HTML files when it takes them, which then are found to be other bytes and
held; PDFs stay as they are.
"""

    def __init__(self, name: str, settings: Any, http: Http) -> None:
        super().__init__(name, settings, http)
        self._bearer = Bearer(http, self._log_in)
        self._drive = self.settings.drive

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the drive is its memory
        sent = list(things(delivery, self._place, manifest=self.settings.manifest))
        made: set[str] = {""}
        stored = [self._store(thing, delivery.still_ours, made) for thing in sent]
        where = self.settings.site or self.settings.user or self.settings.drive
        return receipt(f"{where}: {sent[0].path}", sent, stored)

    def check(self) -> str:
        answer = self._ask(f"{self._root()}?$select=id")
        if not answer.ok:
            raise _failure("looking at the drive", answer)
        return "the drive answers and takes our credentials"

    def _place(self, path: str) -> str:
        first, *rest = joined(self.settings.folder, path).split("/")
        # At the top of a library there is a folder of its own by this name.
        first = f"_{first}" if rest and first.lower() == "forms" else first
        return "/".join(map(_segment, (first, *rest)))

    # --- one file ---

    def _store(self, thing: Thing, still_ours: Callable[[], None], made: set[str]) -> Stored:
        item = self._look(thing)
        found = item is not None
        if item is None:
            self._make(thing.folder, made)
            found = not (self._send if thing.size <= self.at_once else self._send_pieces)(thing, still_ours)
            item = self._look(thing)
        if item is None:
            raise Retryable("the file was written and cannot be seen yet")
        return Stored(id=told(at_path(item, "id")), proof=self._compare(thing, item), found=found)

    def _look(self, thing: Thing) -> Any:
        """None where there is no such file."""
        answer = self._ask(f"{self._item(thing.path)}?$select=id,size,file")
        if answer.status == 404:
            return None
        if not answer.ok:
            raise _failure("looking", answer)
        return answer.json()

    def _make(self, folder: str, made: set[str]) -> None:
        """The folder is there when this returns; so are those above it."""
        if folder in made:
            return
        parent, _, name = folder.rpartition("/")
        answer = self._made(parent, name)
        if answer.status == 404 and parent:
            self._make(parent, made)
            answer = self._made(parent, name)
        if answer.status == 409:
            self._check_folder(folder)
        elif not answer.ok:
            raise _failure("making a folder", answer)
        made.add(folder)

    def _check_folder(self, folder: str) -> None:
        """409 is said of a file that stands there, too."""
        answer = self._ask(f"{self._item(folder)}?$select=id,folder")
        if not answer.ok:
            raise Retryable(f"making a folder: the answer was 409, and {answer.status} when we looked")
        if at_path(answer.json(), "folder") is None:
            raise Conflict(f"a file stands at {folder}, where a folder is needed")

    def _made(self, parent: str, name: str) -> Answer:
        place = self._item(parent, "/children") if parent else f"{self._root()}/children"
        return self._bearer.call(Request(method="POST", url=place, json={"name": name, "folder": {}, **_FAIL}))

    def _send(self, thing: Thing, still_ours: Callable[[], None]) -> bool:
        """False where another was faster."""
        url = f"{self._item(thing.path, '/content')}?{'&'.join(map('='.join, _FAIL.items()))}"
        headers = {"Content-Type": thing.content_type}
        request = Request(method="PUT", url=url, headers=headers, body=thing.upload(still_ours))
        return _written(self._bearer.call(request))

    def _send_pieces(self, thing: Thing, still_ours: Callable[[], None]) -> bool:
        url = self._item(thing.path, "/createUploadSession")
        answer = self._bearer.call(Request(method="POST", url=url, json={"item": _FAIL}))
        if not answer.ok:
            return _written(answer)
        # It is a credential: it is told to nobody, and kept nowhere.
        session = at_path(answer.json(), "uploadUrl")
        if not isinstance(session, str) or urlsplit(session).scheme != urlsplit(self.settings.graph).scheme:
            raise Retryable("opening an upload session: the answer holds no address for it")
        done = False
        try:
            for piece in pieces(thing.open, self.piece, still_ours):
                done = self._send_piece(session, piece, thing.size)
        finally:
            if not done:
                with suppress(WebhookError):  # it ends by itself after some days
                    self.http.call(Request(method="DELETE", url=session))
        return done

    def _send_piece(self, session: str, piece: Piece, size: int) -> bool:
        """True after the last. The session's address is the credential: a token beside it is refused."""
        headers = {"Content-Range": f"bytes {piece.start}-{piece.end - 1}/{size}"}
        answer = self.http.call(Request(method="PUT", url=session, headers=headers, body=piece.content))
        if answer.status in (404, 410, 416):
            raise Retryable(f"sending a piece: the answer was {answer.status}, the upload session is gone")
        if answer.ok and piece.last == (answer.status == 202):
            raise Retryable(f"sending a piece: the answer was {answer.status}, too early or too late")
        return _written(answer) and piece.last

    def _compare(self, thing: Thing, item: Any) -> str:
        """How it was proved that the file holds these bytes. Conflict where it holds others."""
        stored = at_path(item, "file.hashes.quickXorHash")
        if at_path(item, "size") != thing.size or at_path(item, "file") is None:
            raise other_bytes(thing)
        if not isinstance(stored, str) or not stored:
            self._read_back(thing)
            return "read back and hashed"
        ours = QuickXor()
        thing.feed(ours.update)
        if ours.base64() != stored:
            raise other_bytes(thing)
        return self.proof

    def _read_back(self, thing: Thing) -> None:
        stands = Compared(thing)
        answer = self._bearer.save(Request(url=self._item(thing.path, "/content")), stands, limit=EVERYTHING)
        if not answer.ok:
            raise _failure("reading back", answer)
        stands.end()

    # --- addresses and tokens ---

    def _item(self, path: str, then: str = "") -> str:
        return f"{self._root()}:/{quote(path, safe='/~')}{':' if then else ''}{then}"

    def _root(self) -> str:
        self._drive = self._drive or self._found_drive()
        return f"{self.settings.graph.rstrip('/')}/drives/{quote(self._drive, safe='!')}/root"

    def _found_drive(self) -> str:
        graph = self.settings.graph.rstrip("/")
        if self.settings.user:
            return self._id(f"{graph}/users/{quote(self.settings.user, safe='@')}/drive")
        match = _SITE.fullmatch(self.settings.site)
        host, path = match.groups() if match else ("", "")
        site = self._id(f"{graph}/sites/{host}" + (f":{quote(path.rstrip('/'))}" if path else ""))
        if not self.settings.library:
            return self._id(f"{graph}/sites/{quote(site, safe=',')}/drive")
        return self._id(f"{graph}/sites/{quote(site, safe=',')}/drives", self.settings.library)

    def _id(self, url: str, name: str = "") -> str:
        """The id of what stands there, or of the one of that name in the list that stands there."""
        answer = self._ask(f"{url}?$select=id,name")
        if not answer.ok:
            raise _failure("looking for the drive", answer)
        said = answer.json()
        listed = at_path(said, "value") if name else [said]
        for one in listed if isinstance(listed, list) else ():
            if isinstance(found := at_path(one, "id"), str) and name in ("", at_path(one, "name")):
                return found
        raise Permanent("looking for the drive: the site has no document library of that name")

    def _ask(self, url: str) -> Answer:
        return self._bearer.call(Request(url=url))

    def _log_in(self) -> Token:
        """https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (read 2026-11-22)."""
        place = urlsplit(self.settings.graph)
        form = {
            "grant_type": "client_credentials",
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret.reveal(),
            "scope": f"{place.scheme}://{place.netloc}/.default",
        }
        url = f"{self.settings.login.rstrip('/')}/{quote(self.settings.tenant, safe='')}/oauth2/v2.0/token"
        return by_form(self.http, url, form)


def _segment(name: str) -> str:
    """https://support.microsoft.com/office/64883a5d-228e-48f5-b3d2-eb39e07630fa (read 2026-11-22)."""
    allowed = _FORBIDDEN.sub("_", name).lstrip(" ").rstrip(" .")
    allowed = _HIDDEN.sub("_vti-", allowed)
    return f"_{allowed}" if not allowed or _RESERVED.fullmatch(allowed) else allowed


def _written(answer: Answer) -> bool:
    """False where a file stands there already. 409 is said of other things too: who looks finds no file then."""
    if answer.ok or answer.status == 409:
        return answer.ok
    if answer.status == 404:
        raise Retryable("writing: the folder that was made or found is gone")
    raise _failure("writing", answer)


def _failure(act: str, answer: Answer) -> WebhookError:
    return failure(act, answer, told_in(answer, "error.code"))
