"""The vault in a local folder: bytes named by their SHA-256, each written whole, each proved again while it is read."""

import errno
import hashlib
import io
import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..core.errors import ArtifactLost, Retryable
from ..core.types import Artifact
from ..files import CHUNK, NewFile, new_file, remove_stale, sync_folder

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SETTLED_LIMIT: Final = 20_000


class LocalVault:
    """core.ports.Vault below `root`. `shared` says whether that folder is a volume that every worker mounts."""

    def __init__(self, root: Path, *, shared: bool = False) -> None:
        self._root = root
        self._temp = root / "tmp"
        self._shared = shared
        self._settled: set[str] = set()

    @property
    def shared(self) -> bool:
        return self._shared

    @contextmanager
    def writer(self) -> Iterator["_Writer"]:
        with ExitStack() as stack:
            with _translated():
                file = stack.enter_context(new_file(self._temp))
            yield _Writer(self, file)

    def open(self, artifact: Artifact) -> BinaryIO:
        """Sequential reads. The last bytes are handed out only after all of them were proved."""
        path = self._path(artifact.sha256)
        with _translated():
            try:
                raw = io.FileIO(path)
            except FileNotFoundError:
                raise ArtifactLost(f"the vault no longer has {artifact.sha256}") from None
            return io.BufferedReader(_Proved(raw, path, artifact), CHUNK)

    def has(self, sha256: str) -> bool:
        with _translated():
            return self._path(sha256).exists()

    def discard(self, sha256: str) -> None:
        """Gone when this returns; it need not have been there."""
        with _translated():
            self._path(sha256).unlink(missing_ok=True)

    def older(self, before: float) -> Iterator[str]:
        """The hashes of all that was last stored before that Unix time."""
        with _translated():
            for folder, _, names in os.walk(self._root / "sha256", onerror=_unless_gone):
                yield from (name for name in names if _SHA256.fullmatch(name) and _age(folder, name) < before)

    def clean(self, before: float) -> int:
        """Deletes what killed writers left behind and last wrote before that Unix time. Returns how many."""
        with _translated():
            return remove_stale(self._temp, before)

    def keep(self, file: NewFile, artifact: Artifact) -> None:
        """The written file under its name. A copy that stands there is kept if its bytes are still right."""
        final = self._path(artifact.sha256)
        try:
            file.place(final, self._known_folders())
        except FileExistsError:
            if _stands(final, artifact):
                os.utime(final)
                sync_folder(final.parent)
            else:
                file.replace(final)

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256 in lower-case hex")
        return self._root / "sha256" / sha256[:2] / sha256[2:4] / sha256

    def _known_folders(self) -> set[str]:
        """The folders below the root whose names this process knows to be on disk."""
        if not self._settled or len(self._settled) > _SETTLED_LIMIT:
            self._settled = {str(self._root)}
        return self._settled


class _Writer:
    """core.ports.VaultWriter: hashes what it writes."""

    def __init__(self, vault: LocalVault, file: NewFile) -> None:
        self._vault = vault
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._size += len(chunk)
        with _translated():
            self._file.write(chunk)

    def commit(self) -> Artifact:
        artifact = Artifact(sha256=self._hash.hexdigest(), size=self._size)
        with _translated():
            self._vault.keep(self._file, artifact)
        return artifact


class _Proved(io.RawIOBase):
    """A stored object that is hashed as it is read: a reader that got the last byte got the right bytes.

    One with wrong bytes is deleted, so that `has` tells the truth and it is fetched again.
    """

    def __init__(self, raw: io.FileIO, path: Path, artifact: Artifact) -> None:
        self._raw = raw
        self._path = path
        self._artifact = artifact
        self._left = artifact.size
        self._hash = hashlib.sha256()
        if os.fstat(raw.fileno()).st_size != artifact.size:
            with raw:
                raise self._wrong()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: self._left]
        with _translated():
            try:
                size = self._raw.readinto(view)
            except OSError as error:
                raise self._lost() if error.errno == errno.EIO else error from None
        self._hash.update(view[:size])
        self._left -= size
        cut = size == 0 and self._left > 0
        if cut or (self._left == 0 and self._hash.hexdigest() != self._artifact.sha256):
            raise self._wrong()
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _wrong(self) -> ArtifactLost:
        """The right bytes may stand there by now: only what was read goes."""
        with _translated(), suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._raw.fileno()), self._path.stat()):
                self._path.unlink()
        return self._lost()

    def _lost(self) -> ArtifactLost:
        return ArtifactLost(f"the vault's copy of {self._artifact.sha256} is damaged")


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _age(folder: str, name: str) -> float:
    """When it was last stored; somebody who deletes it meanwhile makes it new."""
    try:
        return os.stat(os.path.join(folder, name)).st_mtime
    except FileNotFoundError:
        return math.inf


def _stands(path: Path, artifact: Artifact) -> bool:
    """Are the stored bytes still those of the name? Unreadable ones are not."""
    try:
        with path.open("rb") as stored:
            right_size = os.fstat(stored.fileno()).st_size == artifact.size
            return right_size and hashlib.file_digest(stored, "sha256").hexdigest() == artifact.sha256
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOENT):
            return False
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """A full or failing disk is Retryable: somebody will make room."""
    try:
        yield
    except OSError as error:
        raise Retryable(f"vault: {error.strerror or type(error).__name__}") from error
