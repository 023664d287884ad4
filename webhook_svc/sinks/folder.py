"""A folder, on a local disk or a mounted volume: each file whole or not there, and never over another."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from ..core.errors import ArtifactLost, Conflict, Permanent, Retryable
from ..core.ports import Progress, Sink
from ..core.settings import setting
from ..core.types import Delivery, Receipt
from ..files import CHUNK, NewFile, make_folder, new_file, sync_folder

_FOR_A_PERSON: Final = {
    errno.ENAMETOOLONG: "the path is too long for this file system",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.ENOTSUP: "the file system knows no hard links",
    errno.ELOOP: "the path leads round in circles",
}
_MAY_PASS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    path: str = setting("The root folder; made if it is not there. Everything is written below it.")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise ValueError("a path that is not empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file to be: `open` may be called for each try."""

    path: Path
    sha256: str
    size: int
    open: Callable[[], BinaryIO]


class Folder(Sink):
    """Writes beside the target, syncs, then links the file to its name, which fails where something stands."""

    Settings = FolderSettings
    settings: FolderSettings
    proof: ClassVar[str] = "written, synced and hashed"
    guide: ClassVar[str] = """\
Files are written to a temporary name in their own folder, synced to disk, compared with the SHA-256 of the download
and only then linked to their name. A reader never sees half a file.

**Permissions:** the service's user must be able to create folders and files below `path`. Nothing is ever changed or
deleted there, so a second user that may only read can be given the folder. Files get the rights 0666 and folders 0777
less the service's umask: with the usual 022 every user of the machine may read them. To keep others out, start the
service with `umask 027` (systemd: `UMask=0027`), or make `path` beforehand with `chmod 750` and a group of its own.

**Retry:** harmless. A file that stands there with the same bytes counts as done; with other bytes the delivery is
held for a person's decision and the file stays as it is.

**Limits:** the file system's own. It must know hard links (ext4, xfs, btrfs, apfs, NFS do; exFAT and most bucket
mounts do not: use the bucket's own sink). Symbolic links that lead out of `path` are refused. After a crash a hidden
file `.*.part` may be left over; it can be deleted.
"""

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the disk is its memory
        with _translated():
            root = _real(Path(self.settings.path))
            files = [_below(root, file) for file in self._files(delivery)]
            there = [_stands(file) for file in files]
            settled = {str(root)}
            for file, found in zip(files, there, strict=True):
                if found:
                    _settle(file, settled)
                else:
                    _write(file, settled, delivery.still_ours)
        return _receipt(files, found=all(there))

    def check(self) -> str:
        with _translated():
            root = _real(Path(self.settings.path))
            nearest = next(folder for folder in (root, *root.parents) if folder.exists())
            with new_file(nearest) as probe:
                probe.write(b"check")
                final = probe.temp.with_suffix(".check.part")
                try:
                    probe.place(final)
                finally:
                    final.unlink(missing_ok=True)
        return f"{root} can be written" + ("" if nearest == root else f" (it will be made below {nearest})")

    def _files(self, delivery: Delivery) -> Iterator[_File]:
        for placed in delivery.files:
            part = placed.part
            opened = partial(delivery.open, part)
            yield _File(path=Path(placed.path), sha256=part.sha256, size=part.size, open=opened)
        if self.settings.manifest:
            manifest = delivery.manifest
            yield _File(
                path=Path(delivery.manifest_path),
                sha256=hashlib.sha256(manifest).hexdigest(),
                size=len(manifest),
                open=partial(BytesIO, manifest),
            )


def _receipt(files: list[_File], *, found: bool) -> Receipt:
    details = {
        "paths": [str(file.path) for file in files],
        "sha256": [file.sha256 for file in files],
        "bytes": sum(file.size for file in files),
    }
    return Receipt(location=str(files[0].path), proof=Folder.proof, found=found, details=details)


def _real(path: Path) -> Path:
    """Without links. A circle of them stays as it is: the first act in it fails with the system's own word."""
    return Path(os.path.realpath(path))


def _below(root: Path, file: _File) -> _File:
    """The file at its real place. Its name stays unresolved: what stands there is looked at, not followed."""
    folder = _real((root / file.path).parent)
    if not folder.is_relative_to(root):
        raise Permanent(f"{file.path} leads out of the folder {root}")
    return replace(file, path=folder / file.path.name)


def _stands(file: _File) -> bool:
    """Is it there already? Conflict where something else is."""
    try:
        found = file.path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise Conflict(f"{file.path} is not a file")
    if found.st_size != file.size or _sha256(file.path) != file.sha256:
        raise Conflict(f"{file.path} holds other bytes")
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _settle(file: _File, settled: set[str]) -> None:
    """The name is on disk: an earlier try may have died between the link and the sync of its folder."""
    make_folder(file.path.parent, settled)
    sync_folder(file.path.parent)


def _write(file: _File, settled: set[str], still_ours: Callable[[], None]) -> None:
    with new_file(file.path.parent, mode=0o666) as new:
        with file.open() as stream:
            _copy(stream, new, file)
        new.sync()
        still_ours()
        try:
            new.place(file.path, settled)
        except FileExistsError:
            _stands(file)  # a Conflict, unless the one who came first wrote the same
            _settle(file, settled)


def _copy(stream: BinaryIO, into: NewFile, file: _File) -> None:
    whole = hashlib.sha256()
    size = 0
    while chunk := stream.read(CHUNK):
        whole.update(chunk)
        size += len(chunk)
        into.write(chunk)
    if (size, whole.hexdigest()) != (file.size, file.sha256):
        raise ArtifactLost(f"the copy we hold of {file.path.name} is not what was downloaded")


@contextmanager
def _translated() -> Iterator[None]:
    """The one table from what the system says to what it means for the delivery."""
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        if error.errno in _FOR_A_PERSON:
            raise Permanent(_FOR_A_PERSON[error.errno] + place) from error
        raise Retryable(_MAY_PASS.get(error.errno or 0, error.strerror or type(error).__name__) + place) from error
