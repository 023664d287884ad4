"""A folder, on a local disk or a mounted volume: each file whole or not there, and never over another."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from ..core.errors import ArtifactLost, ClaimLost, Conflict, Permanent, Retryable, WebhookError
from ..core.ports import Http, Progress, Sink
from ..core.settings import setting
from ..core.types import Delivery, Part, Receipt
from ..files import CHUNK, NewFile, Tree, new_file
from .shared.handover import Handover

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
    consume: bool = setting(
        "Another program watches the folder and takes each file away, such as paperless-ngx.", False
    )
    manifest: bool | None = setting(
        "Write the manifest of each bundle beside its files, last; unset: yes, but not with consume.", None
    )

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise ValueError("a path that is not empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file to be: `fill` writes its bytes."""

    path: str
    sha256: str
    size: int
    fill: Callable[[NewFile], None]

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path)


class Folder(Sink):
    """Writes all files beside their targets, syncs them, then links each to its name, which fails where something
    stands."""

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
held for a person's decision and the file stays as it is (an empty folder may have been made beside it).

With `consume = true` the folder is one that another program watches and empties (paperless-ngx, a scanner's inbox, a
folder that a Nextcloud flow works off): each file is written to a hidden name that ends in `.part`, which such programs
pass over, and gets its own by a rename, which they wait for. No manifest is written. The file may be gone a moment
later, so the delivery itself remembers what had its name: a retry never brings it again, and after a crash the hidden
name tells how far it came (leave hidden files alone while a delivery is open). Only `replay --again` brings a file
twice; paperless-ngx then knows the copy by its checksum.

**Limits:** the file system's own. It must know hard links (ext4, xfs, btrfs, apfs, NFS do; exFAT and most bucket
mounts do not: use the bucket's own sink), unless `consume` is set. Symbolic links that lead out of `path` are refused.
After a crash a hidden file `.*.part` may be left over; it can be deleted.
"""

    def __init__(self, name: str, settings: FolderSettings, http: Http) -> None:
        super().__init__(name, settings, http)
        self._tree: Tree | None = None

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        with _translated():
            tree = self._rooted()
            files = list(_below(tree.root, self._files(delivery)))
            handover = Handover(progress, tree.root) if self.settings.consume else None
            there = [handover is not None and handover.named(n, file.folder) for n, file in enumerate(files)]
            made = {folder: tree.make(folder) for folder in dict.fromkeys(file.folder for file in files)}
            there = [had or (not made[file.folder] and _stands(file)) for had, file in zip(there, files, strict=True)]
            with ExitStack() as stack:
                lacking = [(number, file) for number, file in enumerate(files) if not there[number]]
                temp = handover.temp if handover else lambda _: ""
                written = {
                    number: (file, stack.enter_context(_written(file, temp(number)))) for number, file in lacking
                }
                if handover and written:
                    _hand_over(handover, written, partial(_sync, tree, made), delivery.still_ours)
                elif written:
                    delivery.still_ours()
                    for file, new in written.values():
                        _name(file, new.link)
            _sync(tree, made)  # also for found files: an earlier try may have died between the link and this
        return _receipt(files, found=all(there))

    def check(self) -> str:
        with _translated():
            root = Path(_real(self.settings.path))
            nearest = next(folder for folder in (root, *root.parents) if folder.exists())
            with new_file(nearest) as probe:
                probe.write(b"check")
                final = Path(probe.temp).with_suffix(".check.part")
                try:
                    probe.sync()
                    (probe.move if self.settings.consume else probe.link)(str(final))
                finally:
                    final.unlink(missing_ok=True)
        return f"{root} can be written" + ("" if nearest == root else f" (it will be made below {nearest})")

    def _rooted(self) -> Tree:
        """The root where it really is; a link to it may lead elsewhere tomorrow."""
        root = _real(self.settings.path)
        if self._tree is None or self._tree.root != root:
            self._tree = Tree(Path(root))
        return self._tree

    def _files(self, delivery: Delivery) -> Iterator[_File]:
        for placed in delivery.files:
            part = placed.part
            yield _File(path=placed.path, sha256=part.sha256, size=part.size, fill=_filling(delivery, part))
        wanted = self.settings.manifest
        if wanted if wanted is not None else not self.settings.consume:
            manifest = delivery.manifest
            yield _File(
                path=delivery.manifest_path,
                sha256=hashlib.sha256(manifest).hexdigest(),
                size=len(manifest),
                fill=lambda new: new.write(manifest),
            )


def _receipt(files: list[_File], *, found: bool) -> Receipt:
    details = {
        "paths": [file.path for file in files],
        "sha256": [file.sha256 for file in files],
        "bytes": sum(file.size for file in files),
    }
    return Receipt(location=files[0].path, proof=Folder.proof, found=found, details=details)


def _real(path: str) -> str:
    """Without links. A circle of them stays as it is: the first act in it fails with the system's own word."""
    return os.path.realpath(path)


def _below(root: str, files: Iterable[_File]) -> Iterator[_File]:
    """Each at its real place. Its name stays unresolved: what stands there is looked at, not followed."""
    real: dict[str, str] = {}
    for file in files:
        named, name = os.path.split(os.path.join(root, file.path))
        folder = real[named] = real.get(named) or _real(named)
        if os.path.commonpath((root, folder)) != root:
            raise Permanent(f"{file.path} leads out of the folder {root}")
        yield replace(file, path=os.path.join(folder, name))


def _stands(file: _File) -> bool:
    """Is it there already? Conflict where something else is."""
    try:
        found = os.lstat(file.path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise Conflict(f"{file.path} is not a file")
    if found.st_size != file.size or _sha256(file.path) != file.sha256:
        raise Conflict(f"{file.path} holds other bytes")
    return True


def _sha256(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _written(file: _File, temp: str) -> Iterator[NewFile]:
    """Whole and on disk, under a temporary name."""
    folder, name = os.path.split(file.path)
    with new_file(folder, mode=0o666, temp=temp) as new:
        file.fill(new)
        if not new.holds(file.size, file.sha256):
            raise ArtifactLost(f"the copy we hold of {name} is not what was downloaded")
        new.sync()
        new.close()
        yield new


def _filling(delivery: Delivery, part: Part) -> Callable[[NewFile], None]:
    """Copied as a file where the vault has one. If that fails or brings other bytes, the vault proves what it holds."""

    def fill(new: NewFile) -> None:
        path = delivery.path(part)
        if path is not None:
            if _copied(path, new) and new.holds(part.size, part.sha256):
                return
            new.clear()
        with delivery.open(part) as stream:
            while chunk := stream.read(CHUNK):
                new.write(chunk)

    return fill


def _copied(path: Path, new: NewFile) -> bool:
    """False where it cannot be read: it is gone, or the disk has lost it."""
    try:
        new.copy(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EIO):
            return False
        raise
    return True


def _name(file: _File, give: Callable[[str], None]) -> bool:
    """False where the one who came first wrote the same."""
    try:
        give(file.path)
    except FileExistsError:
        if not _stands(file):
            raise Retryable(f"what stood at {file.path} was taken away just now") from None
        return False
    return True


def _hand_over(
    handover: Handover,
    written: dict[int, tuple[_File, NewFile]],
    sync: Callable[[], None],
    still_ours: Callable[[], None],
) -> None:
    """From the note on the temporary files stay whatever happens, until the note is taken back."""
    sync()
    still_ours()
    waiting = {number: new for number, (_, new) in written.items()}
    for new in waiting.values():
        new.named = True
    try:
        handover.note(waiting)
    except (ClaimLost, Permanent):  # surely not noted; of everything else nobody knows
        for new in waiting.values():
            new.named = False
        raise
    try:
        for number, (file, new) in written.items():
            if not _name(file, new.move):
                os.unlink(new.temp)
            del waiting[number]
    except (OSError, WebhookError):
        handover.take_back(waiting)
        for new in waiting.values():
            os.unlink(new.temp)
        raise


def _sync(tree: Tree, folders: Iterable[str]) -> None:
    for folder in folders:
        tree.sync(folder)


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
