"""What every rig is made of: a delivery to be, a progress in memory, and the place behind a sink."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from tests.guard import secret
from tests.kinds import sink_kind
from webhook_svc.core.errors import ArtifactLost
from webhook_svc.core.ports import Http, Sink
from webhook_svc.core.settings import build
from webhook_svc.core.types import Delivery, Part, Placed
from webhook_svc.http import HttpClient

from .front import Front
from .servers import Servers

NOW = 1_790_000_000.0
SECRETS = tuple(map(secret, ("password", "AKIDEXAMPLE0000", "wJalrXUtnFEMI", "session-token")))
MANIFEST = b'{"document":"doc-1"}'


class Kept:
    """A progress that lives in memory as JSON, as the store keeps it."""

    def __init__(self) -> None:
        self.text = "{}"

    def load(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], json.loads(self.text))

    def save(self, state: Mapping[str, Any]) -> None:
        self.text = json.dumps(state)
        assert len(self.text) <= 8192


class Breaking(RawIOBase):
    """Gives its bytes and then, where the end should be, finds that they were not the right ones."""

    def __init__(self, content: bytes) -> None:
        self._inner = BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = self._inner.readinto(buffer)
        if not size:
            raise ArtifactLost
        return size


class Zeros(RawIOBase):
    """A file that takes no memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), self._left)
        buffer[:size] = bytes(size)
        self._left -= size
        return size


@dataclass
class Bundle:
    """A delivery to be, with the ways in which it may go wrong."""

    files: dict[str, bytes] = field(default_factory=lambda: {"contracts/doc-1/deed.pdf": b"%PDF-1.7 deed %%EOF"})
    manifest_path: str = "contracts/doc-1/manifest.json"
    lost: Mapping[str, int] = field(default_factory=dict)
    """Name of a part → after how many of its bytes the vault finds it damaged."""
    still_ours: Callable[[], None] = lambda: None
    title: str = "Lease"
    id: str = "dlv_01"

    def delivery(self) -> Delivery:
        placed = tuple(
            Placed(part=_part(path.rpartition("/")[2], content), path=path) for path, content in self.files.items()
        )
        return Delivery(
            id=self.id, source="contracts", sink="archive", document="doc-1", title=self.title, completed=NOW,
            files=placed, manifest=MANIFEST, manifest_path=self.manifest_path,
            open=self._open, still_ours=self.still_ours,
        )  # fmt: skip

    def _open(self, part: Part) -> BinaryIO:
        content = next(content for path, content in self.files.items() if path.rpartition("/")[2] == part.name)
        if part.name in self.lost:
            return cast(BinaryIO, Breaking(content[: self.lost[part.name]]))
        return BytesIO(content)


def large_delivery(size: int) -> Delivery:
    """One file of that many zeros, none of which is held in memory."""
    delivery = Bundle().delivery()
    (placed,) = delivery.files
    part = replace(placed.part, size=size, sha256=hashlib.sha256(bytes(size)).hexdigest())
    return replace(delivery, files=(replace(placed, part=part),), open=lambda _: cast(BinaryIO, Zeros(size)))


def _part(name: str, content: bytes) -> Part:
    sha256 = hashlib.sha256(content).hexdigest()
    return Part(kind="document", name=name, sha256=sha256, size=len(content), content_type="application/pdf")


class Rig:
    """A sink and the place behind it. A rig closes with the `start` it was made with."""

    behind: ClassVar[str]
    """The server behind the sink, as the suite's last lines name it: "moto", "stand-in"."""
    real: ClassVar[bool]
    """False for a stand-in that was written here."""
    over_http: ClassVar[bool] = False
    """True where the requests of `sink` go through `front`."""
    takes_empty_files: ClassVar[bool] = True
    """False where the service refuses them."""
    sink: Sink
    broken: Sink
    """A sink of the same kind whose place cannot be used, or whose credentials are wrong."""
    front: Front
    """The door before the server, where the sink speaks HTTP: it loses answers and makes errors on demand."""

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:
        """Starts what it needs; what every test may share is started by `servers`, once a run."""
        raise NotImplementedError

    def visible(self) -> dict[str, bytes]:
        """Everything that stands at the target, temporary files included."""
        raise NotImplementedError

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        """What `visible` shows after the bundle arrived whole: files, or the words of a notice."""
        return {**bundle.files, bundle.manifest_path: MANIFEST}

    def plant(self, path: str, content: bytes) -> None:
        """Somebody else's bytes at the target."""
        raise NotImplementedError

    def again(self) -> Sink:
        """The same sink in a process that knows nothing of the first."""
        return type(self.sink)(self.sink.name, self.sink.settings, self.sink.http)


def make_sink(kind: str, table: Mapping[str, Any]) -> Sink:
    """The sink that this table configures, with the client that the service would give it."""
    loaded = sink_kind(kind)
    problems: list[Any] = []
    settings = build(loaded.Settings, table, f"sinks.{kind}", problems)
    assert not problems, [str(one) for one in problems]
    hosts = loaded("archive", settings, cast(Http, None)).hosts()
    return loaded("archive", settings, HttpClient(trusted=hosts))
