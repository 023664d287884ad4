"""A folder on this machine's disk."""

from contextlib import ExitStack
from pathlib import Path

from .base import Rig, make_sink
from .servers import Servers


class FolderRig(Rig):
    behind = "a disk"
    real = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.root = tmp_path / "archive"
        self.sink = make_sink("folder", {"path": str(self.root)})
        (tmp_path / "taken").write_bytes(b"a file")
        self.broken = make_sink("folder", {"path": str(tmp_path / "taken")})

    def visible(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def plant(self, path: str, content: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True)
        (self.root / path).write_bytes(content)
