"""Files on a server that speaks SFTP: its host key pinned, each written beside its target and then renamed."""

import hashlib
import posixpath
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import paramiko

from ..core.errors import Conflict, Permanent, Retryable, WebhookError
from ..core.ports import Http, Progress, Sink
from ..core.settings import setting
from ..core.types import Delivery, Receipt
from ..files import CHUNK
from .shared.ssh import SshSettings, Way
from .shared.things import SIZE, Stored, Thing, receipt, things

_WINDOW: Final = 8 * 1024 * 1024
"""Bytes that are asked for ahead when a file is read back: so much of it is in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpSettings(SshSettings):
    path: str = setting("The root folder, from the login's own folder or from /; made if it is not there.")
    verify: Literal["read", "size"] = setting(
        "How arrival is proved: read has every byte read back and hashed, size asks for the size alone.", "read"
    )
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)

    def __post_init__(self) -> None:
        SshSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        if not self.path.strip():
            raise ValueError("a path that is not empty")


def _token() -> str:
    return secrets.token_hex(8)


class Sftp(Sink):
    """Looks first, writes to a temporary name, reads back, then renames, which fails where something stands."""

    Settings = SftpSettings
    settings: SftpSettings
    proof: ClassVar[str] = "read back and hashed"
    guide: ClassVar[str] = """\
Each file is written to a hidden name in its own folder (`.….part`), read back, compared with the SHA-256 of the
download and only then renamed. A reader never sees half a file.

The server is recognised by its host key alone: ask its operator for it, or run `ssh-keyscan HOST | ssh-keygen -lf -`
and compare with what the operator says. A server that shows another key is told nothing, not even the user's name.

**Permissions:** a login that may create folders and files, rename and read below `path`, and delete its own files
(the hidden ones, where a transfer broke off). With OpenSSH, no more than that:

```
Match User contracts
    ForceCommand internal-sftp
    ChrootDirectory /srv/sftp/%u
    AllowTcpForwarding no
    X11Forwarding no
```

**Retry:** harmless. A file that stands there with the same bytes counts as done; with other bytes the delivery is
held for a person's decision and the file stays as it is. What an earlier try left half written is removed by the next
one. Renaming never replaces a file where the server keeps to the protocol (version 3), as OpenSSH does; where it does
not, another program could slip in between look and rename.

**Limits:** the server's own. Where somebody takes files away as soon as they arrive, a delivery that broke off after
a file had its name brings that file again. `verify = "size"` saves the way back of each new file, and trusts the
server with its bytes; what stands there before is read all the same.
"""

    def __init__(self, name: str, settings: Any, http: Http, token: Callable[[], str] = _token) -> None:
        super().__init__(name, settings, http)
        self._token = token
        self._way = Way.to(self.settings)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        files = list(things(delivery, self._path, manifest=self.settings.manifest))
        with self._way.sftp() as sftp:
            for folder in dict.fromkeys(posixpath.dirname(file.path) for file in files):
                _make(sftp, folder)
            _clear(sftp, files, progress.load().get("begun", ""))
            found = [_stands(sftp, file) for file in files]
            token = self._token()
            if not all(found):
                progress.save({"begun": token})
            for number, file in enumerate(files):
                if not found[number]:
                    self._store(sftp, file, _beside(file, token, number), delivery.still_ours)
        stored = [
            Stored(proof=self.proof if there or self.settings.verify == "read" else SIZE, found=there)
            for there in found
        ]
        return receipt(f"{self.settings.host}:{files[0].path}", files, stored)

    def check(self) -> str:
        root = posixpath.normpath(self.settings.path)
        with self._way.sftp() as sftp:
            nearest = root
            while not _is_folder(sftp, nearest):
                nearest = posixpath.dirname(nearest)
            probe = posixpath.join(nearest, f".{self._token()}.part")
            sftp.open(probe, "wx").close()
            sftp.remove(probe)
        below = "" if nearest == root else f" (it will be made below {nearest or 'the login folder'})"
        return f"{self.settings.host}: {root} can be written by {self.settings.user}{below}"

    def _path(self, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise Permanent(f"{path} leads out of the folder {self.settings.path}")
        return posixpath.normpath(posixpath.join(self.settings.path, path))

    # --- one file ---

    def _store(self, sftp: paramiko.SFTPClient, file: Thing, temp: str, still_ours: Callable[[], None]) -> None:
        try:
            self._place(sftp, file, temp, still_ours)
        except FileNotFoundError:
            # Another worker took it for what a broken try had left. If that one was right, we learn it here.
            still_ours()
            self._place(sftp, file, temp, still_ours)

    def _place(self, sftp: paramiko.SFTPClient, file: Thing, temp: str, still_ours: Callable[[], None]) -> None:
        try:
            self._write(sftp, file, temp)
            still_ours()
            _rename(sftp, file, temp)
        except TimeoutError:
            raise  # who does not answer need not be asked to clear up: the next try does it
        except (WebhookError, OSError):
            with suppress(OSError, EOFError, paramiko.SSHException):
                sftp.remove(temp)
            raise

    def _write(self, sftp: paramiko.SFTPClient, file: Thing, temp: str) -> None:
        with file.open() as source, sftp.open(temp, "wx") as target:
            target.set_pipelined(True)
            while chunk := source.read(CHUNK):
                target.write(chunk)
        # The answers to the last writes are read by nobody: only now is it seen whether there was room for them.
        if sftp.stat(temp).st_size != file.size:
            raise Retryable("the server did not keep all bytes: its disk or the quota may be full")
        if self.settings.verify == "read" and _sha256(sftp, temp, file.size) != file.sha256:
            raise Retryable("the server kept other bytes than it was sent")


def _beside(file: Thing, token: str, number: int) -> str:
    """Where it is written before it has its name."""
    return posixpath.join(posixpath.dirname(file.path), f".{token}-{number}.part")


# --- what stands there --------------------------------------------------------------------------------------------


def _stands(sftp: paramiko.SFTPClient, file: Thing) -> bool:
    """Is it there already? Conflict where something else is."""
    try:
        found = sftp.lstat(file.path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode or stat.S_IFREG):
        raise Conflict(f"{file.path} is not a file")
    if found.st_size != file.size or _sha256(sftp, file.path, file.size) != file.sha256:
        raise Conflict(f"{file.path} holds other bytes")
    return True


def _rename(sftp: paramiko.SFTPClient, file: Thing, temp: str) -> None:
    """A refusal is a bare "Failure", whatever the reason: what stands there tells it."""
    try:
        sftp.rename(temp, file.path)
    except OSError as error:
        if isinstance(error, TimeoutError) or not _stands(sftp, file):
            raise
        with suppress(FileNotFoundError):
            sftp.remove(temp)


def _sha256(sftp: paramiko.SFTPClient, path: str, size: int) -> str:
    """Of so many bytes from the start. Window by window, each through a handle of its own: what a handle has asked for
    ahead and not been asked for, it keeps."""
    whole = hashlib.sha256()
    for start in range(0, size, _WINDOW):
        end = min(start + _WINDOW, size)
        with sftp.open(path, "rb") as stream:
            stream.seek(start)
            stream.prefetch(end)
            _wait_until_asked(stream, -(-(end - start) // stream.MAX_REQUEST_SIZE))
            while start < end and (chunk := stream.read(min(CHUNK, end - start))):
                whole.update(chunk)
                start += len(chunk)
    return whole.hexdigest()


def _wait_until_asked(stream: paramiko.SFTPFile, requests: int) -> None:
    """The library asks on a thread of its own. An answer that overtakes it is taken for the last one, and all the rest
    is asked for again, one by one. Whoever waits here for a second has lost no more than that."""
    until = time.monotonic() + 1
    # Its own count is all that tells; there is no public word for it.
    while len(stream._prefetch_extents) < requests and time.monotonic() < until:  # type: ignore[attr-defined]
        time.sleep(0.001)


def _clear(sftp: paramiko.SFTPClient, files: list[Thing], token: str) -> None:
    """Takes away what the try with that token left half written."""
    for number, file in enumerate(files if token else ()):
        with suppress(FileNotFoundError):
            sftp.remove(_beside(file, token, number))


def _make(sftp: paramiko.SFTPClient, folder: str) -> None:
    """The folder and those above it. Refusals do not say why: what stands there does."""
    if _is_folder(sftp, folder):
        return
    _make(sftp, posixpath.dirname(folder))
    try:
        sftp.mkdir(folder)
    except OSError as error:
        if isinstance(error, TimeoutError) or not _is_folder(sftp, folder):  # another worker may have been quicker
            raise


def _is_folder(sftp: paramiko.SFTPClient, path: str) -> bool:
    """False where nothing stands. Permanent where it is something else."""
    if path in ("", "/"):
        return True
    try:
        mode = sftp.stat(path).st_mode
    except TimeoutError:
        raise
    except OSError:  # below a file, that is no more than "Failure"
        return False
    if not stat.S_ISDIR(mode or stat.S_IFDIR):
        raise Permanent(f"a file stands where a folder is needed ({path})")
    return True
