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
        self._objects = os.path.join(self._tree.root, "sha256")
        self._temp = os.path.join(self._tree.root, "tmp")
        self._shared = shared

    @property
    def shared(self) -> bool:
        return self._shared

    @contextmanager
    def writer(self) -> Iterator["_Writer"]:
        with ExitStack() as stack:
            with _translated():
                file = self._tree.within(self._temp, lambda: stack.enter_context(new_file(self._temp)))
            yield _Writer(self, file)

    def open(self, artifact: Artifact) -> BinaryIO:
        """Sequential reads. The last bytes are handed out only after all of them were proved."""
        for path in self._places(artifact.sha256):
            with _translated(), suppress(FileNotFoundError):
                return io.BufferedReader(_Proved(io.FileIO(path), path, artifact), CHUNK)
        raise ArtifactLost(f"the vault no longer has {artifact.sha256}")

    def path(self, artifact: Artifact) -> Path:
        """Where it is stored nowadays. What does not stand there may still be had by `open`."""
        return Path(self._places(artifact.sha256)[0])

    def has(self, sha256: str) -> bool:
        with _translated():
            return any(Path(place).exists() for place in self._places(sha256))

    def discard(self, sha256: str) -> None:
        """Gone when this returns; it need not have been there."""
        with _translated():
            for place in self._places(sha256):
                _unlink(place)

    def older(self, before: float) -> Iterator[str]:
        """The hashes of all that was last stored before that Unix time."""
        with _translated():
            for folder, _, names in os.walk(self._objects, onerror=_unless_gone):
                yield from (name for name in names if _SHA256.fullmatch(name) and _age(folder, name) < before)

    def clean(self, before: float) -> int:
        """Deletes what killed writers left behind and last wrote before that Unix time. Returns how many."""
        with _translated():
            return remove_stale(Path(self._temp), before)

    def keep(self, file: NewFile) -> Artifact:
        """The written file under its name, over a copy that stands there: that one may be damaged."""
        artifact = Artifact(sha256=file.hash.hexdigest(), size=file.size)
        final, former = self._places(artifact.sha256)
        folder = os.path.dirname(final)
        with _translated():
            file.sync()
            self._tree.within(folder, lambda: file.replace(final))
            self._tree.sync(folder)
            _unlink(former)
        return artifact

    def _places(self, sha256: str) -> tuple[str, str]:
        """Its path, and that of the first version: in a folder of its own, nearly always, to be made and synced."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256 in lower-case hex")
        folder = f"{self._objects}/{sha256[:2]}"
        return f"{folder}/{sha256}", f"{folder}/{sha256[2:4]}/{sha256}"


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

    def __init__(self, raw: io.FileIO, path: str, artifact: Artifact) -> None:
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
            if os.path.samestat(os.fstat(self._raw.fileno()), os.stat(self._path)):
                os.unlink(self._path)
        return self._lost()

    def _lost(self) -> ArtifactLost:
        return ArtifactLost(f"the vault's copy of {self._artifact.sha256} is damaged")


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


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
