"""Request bodies put together from bytes and streams, none of which is ever held whole."""

import io
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from ...core.outgoing import Upload
from ...core.streams import stream_of
from ...files import CHUNK

_ESCAPED: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a form; with a `filename` it is a file."""

    name: str
    content: bytes | Upload
    filename: str = ""
    content_type: str = ""


def joined(*pieces: bytes | Upload) -> Upload:
    """One body after the other."""
    uploads = [_upload(piece) for piece in pieces]
    return Upload(open=lambda: stream_of(_chunks(uploads)), size=sum(one.size for one in uploads))


def in_base64(upload: Upload) -> Upload:
    """Its bytes in Base64, in one line."""
    return Upload(open=lambda: stream_of(_encoded(upload)), size=(upload.size + 2) // 3 * 4)


def form(boundary: str, entries: Iterable[Entry]) -> Upload:
    """multipart/form-data (RFC 7578); names in UTF-8 as browsers write them. The boundary must stand in no content."""
    pieces: list[bytes | Upload] = []
    for entry in entries:
        pieces += [f"--{boundary}\r\n{_head(entry)}\r\n".encode(), entry.content, b"\r\n"]
    return joined(*pieces, f"--{boundary}--\r\n".encode())


def _upload(piece: bytes | Upload) -> Upload:
    return piece if isinstance(piece, Upload) else Upload(open=partial(io.BytesIO, piece), size=len(piece))


def _head(entry: Entry) -> str:
    filename = f'; filename="{entry.filename.translate(_ESCAPED)}"' if entry.filename else ""
    kind = f"Content-Type: {entry.content_type}\r\n" if entry.content_type else ""
    return f'Content-Disposition: form-data; name="{entry.name}"{filename}\r\n{kind}'


def _chunks(uploads: Iterable[Upload]) -> Iterator[bytes]:
    for upload in uploads:
        with upload.open() as stream:
            while chunk := stream.read(CHUNK):
                yield chunk


def _encoded(upload: Upload) -> Iterator[bytes]:
    rest = b""
    for chunk in _chunks([upload]):
        rest += chunk
        full = len(rest) // 3 * 3
        yield b64encode(rest[:full])
        rest = rest[full:]
    yield b64encode(rest)
