"""A folder over WebDAV, at Nextcloud and elsewhere: each file sent under another name, read back, and then moved.

The methods and what their answers mean: RFC 4918, https://www.rfc-editor.org/rfc/rfc4918 (read 2026-11-22).
"""

import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote, urlsplit

from ..core.errors import Conflict, Permanent, Retryable, WebhookError
from ..core.outgoing import Answer, Request, Upload
from ..core.ports import Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import EMPTY, Delivery, Receipt
from .shared.answers import failure
from .shared.things import EVERYTHING, SIZE, Compared, Stored, Thing, joined, other_bytes, receipt, things

_PARTLY: Final = 207
"""Among the successes, and none: something was refused, and the body says what (RFC 4918, 11.1)."""
_UNKNOWN: Final = -1
"""A size that the server does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebdavSettings:
    url: Url = setting("The address of a folder that is there; at Nextcloud https://HOST/remote.php/dav/files/USER.")
    user: str = setting("The login's name; empty where none is asked for.", "")
    password: Secret | None = setting("Its password; at Nextcloud an app password.", None)
    folder: str = setting("Put before every name; made if it is not there.", "")
    verify: Literal["read", "size"] = setting(
        "How arrival is proved: read has every byte read back and hashed, size asks for the size alone.", "read"
    )
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)

    def __post_init__(self) -> None:
        if any(one in self.url for one in "@?#"):
            raise ValueError("a url without user, query and fragment")
        if any(segment in (".", "..") for segment in self.folder.split("/")):
            raise ValueError("a folder without segments of dots")
        if bool(self.user) != bool(self.password) or ":" in self.user:
            raise ValueError("a user without a colon and a password, or neither of them")


def _token() -> str:
    return secrets.token_hex(8)


class Webdav(Sink):
    """Looks first; what a MOVE with `Overwrite: F` is refused for is compared like anything else that stands there."""

    Settings = WebdavSettings
    settings: WebdavSettings
    proof: ClassVar[str] = "read back and hashed"
    guide: ClassVar[str] = """\
Each file is sent to a hidden name in its own folder (`.….tmp`), read back, compared with the SHA-256 of the download
and only then moved to its name, with `Overwrite: F`. A reader never sees half a file.

**Permissions:** a user who may create, read and move files and folders below `url`, and delete its own files (the
hidden ones, where a transfer broke off). At Nextcloud make a user for the service alone, share one folder with it
(create, read, edit, delete), and give it an app password: Settings → Security → Devices & sessions.

**Retry:** harmless. A file that stands there with the same bytes counts as done; with other bytes the delivery is
held for a person's decision and the file stays as it is. What an earlier try left half written is removed by the next
one. A server that does not heed `Overwrite: F` is looked at first all the same.

**Limits:** the server's own, and those of the proxy before it (413: at Nextcloud `client_max_body_size`,
`upload_max_filesize`; services such as Cloudflare's free plan end at 100 MB). Basic credentials only, no Digest.
`verify = "size"` saves the way back of each new file, and trusts the server with its bytes; what stands there before
is read all the same.
"""

    def __init__(self, name: str, settings: Any, http: Http, token: Callable[[], str] = _token) -> None:
        super().__init__(name, settings, http)
        self._token = token
        self._auth = EMPTY
        if self.settings.password is not None:
            login = f"{self.settings.user}:{self.settings.password.reveal()}"
            self._auth = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        files = list(things(delivery, partial(joined, self.settings.folder), manifest=self.settings.manifest))
        for temp in _temps(files, progress.load().get("begun", "")):
            self._drop(temp)
        found = [self._stands(file) for file in files]
        if not all(found):
            token = self._token()
            progress.save({"begun": token})
            for folder in dict.fromkeys(file.folder for file in files):
                self._make(folder)
            for file, temp, there in zip(files, _temps(files, token), found, strict=True):
                if not there:
                    self._store(file, temp, delivery.still_ours)
        read = self.settings.verify == "read"
        stored = [Stored(proof=self.proof if there or read else SIZE, found=there) for there in found]
        return receipt(self._url(files[0].path), files, stored)

    def check(self) -> str:
        folder, probe = self._probed(joined(self.settings.folder))
        self._drop(probe)
        lacking = "" if folder == joined(self.settings.folder) else " (the folder will be made)"
        return f"{urlsplit(self.settings.url).hostname} takes files from {self.settings.user or 'everybody'}{lacking}"

    def _probed(self, folder: str) -> tuple[str, str]:
        """(the folder, or the nearest above it that is there; the empty file that was written into it)"""
        probe = joined(folder, f".{self._token()}.tmp")
        answer = self._call("PUT", probe, body=b"")
        if folder and answer.status in (404, 409):
            return self._probed(folder.rpartition("/")[0])
        if not answer.ok:
            raise failure("writing", answer)
        return folder, probe

    # --- one file ---

    def _store(self, file: Thing, temp: str, still_ours: Callable[[], None]) -> None:
        try:
            # Another worker may take what is written for what a broken try had left. If it was right, we learn it here.
            if not self._placed(file, temp, still_ours):
                still_ours()
                if not self._placed(file, temp, still_ours):
                    raise Retryable("what was written was taken away before it had its name")
        except WebhookError:
            with suppress(WebhookError):  # else the next try does it
                self._drop(temp)
            raise

    def _placed(self, file: Thing, temp: str, still_ours: Callable[[], None]) -> bool:
        """False where what was written is gone."""
        answer = self._call("PUT", temp, {"Content-Type": file.content_type}, file.upload(still_ours))
        if not answer.ok:
            raise failure("writing", answer)
        if not self._arrived(temp, file):
            return False
        still_ours()
        return self._named(file, temp, self._move(temp, file.path))

    def _named(self, file: Thing, temp: str, answer: Answer) -> bool:
        """What came of the move. False where what was to be moved is gone."""
        if answer.ok and answer.status != _PARTLY:
            if self._size(file.path) in (file.size, _UNKNOWN):
                return True
            raise Retryable("the file was moved to its name and cannot be seen there")
        if self._stands(file):  # somebody was quicker, whatever the refusal says
            self._drop(temp)
            return True
        if answer.status == 404:
            return False
        if answer.status in (_PARTLY, 412):
            raise Retryable(f"moving: the answer was {answer.status}, and nothing stands at the target")
        raise failure("moving", answer)

    def _arrived(self, temp: str, file: Thing) -> bool:
        """False where nothing stands there."""
        kept = self._size(temp) if self.settings.verify == "size" else _UNKNOWN
        other = Retryable("the server kept other bytes than it was sent")
        if kept not in (file.size, _UNKNOWN, None):
            raise other
        try:
            return self._compared(temp, file) if kept == _UNKNOWN else kept is not None
        except Conflict:
            raise other from None

    def _move(self, temp: str, path: str) -> Answer:
        """Proxies that end TLS leave an address that the server behind them does not know as its own (502, 400); its
        path alone is right as well (RFC 4918, 10.3), but not every server knows that."""
        target = self._url(path)
        answer = self._call("MOVE", temp, {"Destination": target, "Overwrite": "F"})
        if answer.status in (400, 502):
            target = urlsplit(target).path
            answer = self._call("MOVE", temp, {"Destination": target, "Overwrite": "F"})
        return answer

    # --- what stands there ---

    def _stands(self, file: Thing) -> bool:
        """Is it there already? Conflict where something else is."""
        size = self._size(file.path)
        if size is None:
            return False
        if size not in (file.size, _UNKNOWN):
            raise other_bytes(file)
        return self._compared(file.path, file)

    def _size(self, path: str) -> int | None:
        """None where nothing stands."""
        answer = self._call("HEAD", path)
        if answer.status == 404:
            return None
        if not answer.ok:
            raise failure("looking", answer)
        length = answer.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else _UNKNOWN

    def _compared(self, path: str, file: Thing) -> bool:
        """False where nothing stands there, Conflict where other bytes do."""
        stands = Compared(file)
        answer = self.http.save(Request(url=self._url(path), auth=self._auth), stands, limit=EVERYTHING)
        if answer.status == 404:
            return False
        if not answer.ok:
            raise failure("reading back", answer)
        stands.end()
        return True

    def _make(self, folder: str) -> None:
        """The folder and those above it; 405 says that it stands there, 409 that the one above it does not."""
        if not folder:
            return
        answer = self._call("MKCOL", f"{folder}/")
        if answer.status == 409:
            self._make(folder.rpartition("/")[0])
            answer = self._call("MKCOL", f"{folder}/")
        if not answer.ok and answer.status != 405:
            raise failure("making a folder", answer)

    def _drop(self, temp: str) -> None:
        answer = self._call("DELETE", temp)
        if not answer.ok and answer.status != 404:
            raise failure("clearing up", answer)

    # --- requests ---

    def _call(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | Upload | None = None
    ) -> Answer:
        request = Request(method=method, url=self._url(path), headers=headers or {}, auth=self._auth, body=body)
        return self.http.call(request)

    def _url(self, path: str) -> str:
        if ".." in path.split("/"):
            raise Permanent(f"{path} leads out of the folder")
        return f"{self.settings.url.rstrip('/')}/{quote(path, safe='/~')}"


def _temps(files: list[Thing], token: str) -> Iterator[str]:
    """Where each is written before it has its name, if a try has begun. Nextcloud forbids names that end in .part."""
    for number, file in enumerate(files if token else ()):
        yield joined(file.folder, f".{token}-{number}.tmp")
