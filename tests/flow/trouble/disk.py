"""A small disk of its own, that can be filled to the last byte and emptied again."""

import errno
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# The guard outlives us by a moment, however we end: its input closes then, and it clears away.
_GUARD = """
mount -t tmpfs -o "size=$2,mode=0777" small-disk "$1" && echo there || exit 1
read -r _
umount "$1" 2>&1 || umount -l "$1"
rmdir "$1"
"""


def unavailable() -> str:
    """Why no disk can be had here; empty where one can."""
    if shutil.which("mount") is None:
        return "there is no `mount` here"
    if os.geteuid() != 0:
        return "to mount needs root: run it as root, or (without Postgres) inside `unshare -rm`"
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True)
    return "" if done.returncode == 0 else "root may not mount here: " + done.stderr.decode(errors="replace").strip()


class SmallDisk:
    """A tmpfs of so many bytes. Everybody may write to it."""

    def __init__(self, size: int) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="disk-"))
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self.path), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        if self._guard.stdout.readline() != b"there\n":
            self.close()
            raise OSError(f"no disk could be mounted at {self.path}")

    def full(self) -> "DiskFull":
        return DiskFull(self)

    @property
    def free(self) -> int:
        """Bytes."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        """Unmounted when this returns. Who still has files open keeps them until then, and nobody finds new ones."""
        self._guard.communicate()
        if self.path.exists():
            self.path.rmdir()

    def __enter__(self) -> "SmallDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class DiskFull:
    """See `Trouble`. What somebody frees meanwhile is free: a file that is cut short, a log that is begun again."""

    disk: SmallDisk
    name: str = "disk full"
    happened: int = 0

    def start(self) -> None:
        if self._filler.exists():
            return
        with self._filler.open("wb", buffering=0) as filler:
            size = 1 << 20
            while size:
                size = size if _fits(filler.fileno(), size) else size // 2
        self.happened += 1

    def stop(self) -> None:
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.disk.path / "filler"


def _fits(file: int, size: int) -> bool:
    """Was there any room for so much? A part of it may have been taken."""
    try:
        return os.write(file, bytes(size)) > 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
