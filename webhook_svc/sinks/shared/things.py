"""What a delivery leaves at a store: its files and, last, the manifest that describes them."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Final

from ...core.errors import Conflict
from ...core.outgoing import Upload
from ...core.types import Delivery, Receipt
from ...files import CHUNK
from .upload import held_back

SIZE: Final = "size of the stored file"
"""How a file is proved that somebody chose not to have read back."""

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One file to be. `path` has segments that the store takes, `sha256` is hex."""

    path: str
    sha256: str
    size: int
    content_type: str
    open: Callable[[], BinaryIO]

    @property
    def folder(self) -> str:
        """ "" where it lies at the top."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def feed(self, into: Callable[[bytes], object]) -> None:
        """Its bytes, to the end: ArtifactLost where they are not those of `sha256`."""
        with self.open() as stream:
            while chunk := stream.read(CHUNK):
                into(chunk)

    def upload(self, still_ours: Callable[[], None]) -> Upload:
        """The body of one request, whose end leaves only once its bytes are proved, and after `still_ours`."""
        return Upload(open=partial(held_back, self.open, still_ours), size=self.size)


EVERYTHING: Final = 1 << 62
"""Bytes of what is read back: `Compared` ends it where it is too long."""


class Compared:
    """Takes what stands where a thing should, piece by piece. Conflict where it holds others, and once it is longer."""

    def __init__(self, thing: Thing) -> None:
        self._thing = thing
        self._hash = hashlib.sha256()
        self._size = 0

    def __call__(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._thing.size:
            raise other_bytes(self._thing)
        self._hash.update(chunk)

    def end(self) -> None:
        if self._hash.hexdigest() != self._thing.sha256:
            raise other_bytes(self._thing)


def other_bytes(thing: Thing) -> Conflict:
    return Conflict(f"{thing.path} holds other bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A thing as it stands at the store. `id` is the store's own; "" where the path is all that there is."""

    proof: str
    found: bool
    id: str = ""
    note: str = ""


def things(delivery: Delivery, place: Callable[[str], str], *, manifest: bool) -> Iterator[Thing]:
    """In the order in which they are stored. `place` makes a rendered path one that the store takes."""
    for placed in delivery.files:
        part = placed.part
        yield Thing(
            path=place(placed.path),
            sha256=part.sha256,
            size=part.size,
            content_type=part.content_type if _MEDIA_TYPE.fullmatch(part.content_type) else "application/octet-stream",
            open=partial(delivery.open, part),
        )
    if manifest:
        yield Thing(
            path=place(delivery.manifest_path),
            sha256=hashlib.sha256(delivery.manifest).hexdigest(),
            size=len(delivery.manifest),
            content_type="application/json",
            open=partial(io.BytesIO, delivery.manifest),
        )


def receipt(location: str, sent: Sequence[Thing], stored: Sequence[Stored]) -> Receipt:
    details: dict[str, Any] = {
        "paths": [thing.path for thing in sent],
        "sha256": [thing.sha256 for thing in sent],
        "bytes": sum(thing.size for thing in sent),
    }
    if any(one.id for one in stored):
        details["ids"] = [one.id for one in stored]
    if notes := sorted({one.note for one in stored if one.note}):
        details["notes"] = notes
    return Receipt(
        location=location,
        proof=", ".join(sorted({one.proof for one in stored})),
        found=all(one.found for one in stored),
        details=details,
    )


def joined(*parts: str) -> str:
    """A path without slashes at its ends and without empty parts."""
    return "/".join(filter(None, (part.strip("/") for part in parts)))
