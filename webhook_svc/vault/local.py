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
from ..files import CHUNK, NewFile, Tree, Window, new_file, remove_stale

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class LocalVault:
    """core.ports.Vault below `root`. `shared` says whether that folder is a volume that every worker mounts."""

    def __init__(self, root: Path, *, shared: bool = False) -> None:
        self._tree = Tree(root)
        self._temp = root / "tmp"
        self._shared = shared

    @property
    def shared(self) -> bool:
        return self._shared

    @contextmanager
    def writer(self) -> Iterator["_Writer"]:
        with ExitStack() as stack:
            with _translated():
                self._tree.make(self._temp)
                file = stack.enter_context(new_file(self._temp))
            yield _Writer(self, file)

    def open(self, artifact: Artifact) -> BinaryIO:
        """Sequential reads. The last bytes are handed out only after all of them were proved."""
        path = self._standing(artifact.sha256)
        with _translated():
            try:
                raw = io.FileIO(path)
            except FileNotFoundError:
                raise ArtifactLost(f"the vault no longer has {artifact.sha256}") from None
            return io.BufferedReader(_Proved(raw, path, artifact), CHUNK)

    def path(self, artifact: Artifact) -> Path:
        return self._standing(artifact.sha256)

    def has(self, sha256: str) -> bool:
        with _translated():
            return self._standing(sha256).exists()

    def discard(self, sha256: str) -> None:
        """Gone when this returns; it need not have been there."""
        with _translated():
            self._path(sha256).unlink(missing_ok=True)
            self._former_path(sha256).unlink(missing_ok=True)

    def older(self, before: float) -> Iterator[str]:
        """The hashes of all that was last stored before that Unix time."""
        with _translated():
            for folder, _, names in os.walk(self._tree.root / "sha256", onerror=_unless_gone):
                yield from (name for name in names if _SHA256.fullmatch(name) and _age(folder, name) < before)

    def clean(self, before: float) -> int:
        """Deletes what killed writers left behind and last wrote before that Unix time. Returns how many."""
        with _translated():
            return remove_stale(self._temp, before)

    def keep(self, file: NewFile) -> Artifact:
        """The written file under its name, over a copy that stands there: that one may be damaged."""
        artifact = Artifact(sha256=file.hash.hexdigest(), size=file.size)
        final = self._path(artifact.sha256)
        with _translated():
            self._tree.make(final.parent)
            file.sync()
            file.replace(final)
            self._tree.sync(final.parent)
            self._former_path(artifact.sha256).unlink(missing_ok=True)
        return artifact

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256 in lower-case hex")
        return self._tree.root / "sha256" / sha256[:2] / sha256

    def _former_path(self, sha256: str) -> Path:
        """As it was named at first: in a folder of its own, nearly always, that had to be made and synced."""
        return self._tree.root / "sha256" / sha256[:2] / sha256[2:4] / sha256

    def _standing(self, sha256: str) -> Path:
        path, former = self._path(sha256), self._former_path(sha256)
        with _translated():
            return former if not path.exists() and former.exists() else path


class _Writer:
    """core.ports.VaultWriter."""

    def __init__(self, vault: LocalVault, file: NewFile) -> None:
        self._vault = vault
        self._file = file

    def write(self, chunk: bytes) -> None:
        with _translated():
            self._file.write(chunk)

    def commit(self) -> Artifact:
        return self._vault.keep(self._file)


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
        self._window = Window(raw.fileno())
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
        self._window.move(size)
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


@contextmanager
def _translated() -> Iterator[None]:
    """A full or failing disk is Retryable: somebody will make room."""
    try:
        yield
    except OSError as error:
        raise Retryable(f"vault: {error.strerror or type(error).__name__}") from error
