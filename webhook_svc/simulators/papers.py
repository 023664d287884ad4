"""Small valid files of the types that document libraries keep, the same bytes for the same title and size. They say
their title and the mark."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from .mark import MARK
from .pdf import pdf

_DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_XMLNS: Final = "http://schemas.openxmlformats.org"
_CONTENT_TYPES: Final = (
    f'<Types xmlns="{_XMLNS}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_DOCX}.main+xml"/></Types>'
)
_RELATIONS: Final = (
    f'<Relationships xmlns="{_XMLNS}/package/2006/relationships"><Relationship Id="r1" Target="word/document.xml"'
    f' Type="{_XMLNS}/officeDocument/2006/relationships/officeDocument"/></Relationships>'
)
_JPEG_TABLES: Final = (
    (0xDB, b"\x00" + b"\x01" * 64),
    (0xC0, b"\x08\x00\x01\x00\x01\x01\x01\x11\x00"),
    (0xC4, b"\x00\x01" + b"\x00" * 16),
    (0xC4, b"\x10\x01" + b"\x00" * 16),
    (0xDA, b"\x01\x01\x00\x00\x3f\x00"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A type of file. `content` makes one of a title, with at least so many bytes."""

    extension: str
    mime: str
    content: Callable[[str, int], bytes]


def paper(name: str) -> Paper:
    """The type that the extension of the name tells; PDF where it tells none."""
    return next((one for one in PAPERS if name.lower().endswith(one.extension)), PAPERS[0])


def _words(title: str) -> bytes:
    return f"{title} {MARK}\n".encode(errors="replace")


def _text(title: str, size: int) -> bytes:
    return _words(title).ljust(size, b"\n")


def _docx(title: str, size: int) -> bytes:
    body = f"<w:p><w:r><w:t>{escape(title)} {MARK}</w:t></w:r></w:p>"
    document = f'<w:document xmlns:w="{_XMLNS}/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>'
    files = {"[Content_Types].xml": _CONTENT_TYPES, "_rels/.rels": _RELATIONS, "word/document.xml": document}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode(errors="replace"))
        archive.writestr(zipfile.ZipInfo("docProps/padding.bin"), b"\x00" * size)
    return packed.getvalue()


def _png(title: str, size: int) -> bytes:
    """One grey pixel. The title is a comment, the rest of the size another."""
    said = f"{title} {MARK}".encode("latin-1", "replace")
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"tEXt", b"Title\x00" + said)]
    chunks += [(b"tEXt", b"Comment\x00" + b" " * size), (b"IDAT", zlib.compress(b"\x00\x80")), (b"IEND", b"")]
    framed = (struct.pack(">I", len(data)) + kind + data + _crc(kind + data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _jpeg(title: str, size: int) -> bytes:
    comments = [(0xFE, piece) for piece in _pieces(_words(title) + b" " * size, 65_000)]
    segments = b"".join(
        b"\xff%c%b%b" % (kind, struct.pack(">H", len(data) + 2), data) for kind, data in (*comments, *_JPEG_TABLES)
    )
    return b"\xff\xd8" + segments + b"\x3f\xff\xd9"


def _gif(title: str, size: int) -> bytes:
    pieces = _pieces(_words(title) + b" " * size, 255)
    comment = b"\x21\xfe" + b"".join(b"%c%b" % (len(piece), piece) for piece in pieces) + b"\x00"
    screen = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    return screen + comment + b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b"


def _pieces(data: bytes, length: int) -> list[bytes]:
    return [data[start : start + length] for start in range(0, len(data), length)]


PAPERS: Final = (
    Paper(extension=".pdf", mime="application/pdf", content=lambda title, size: pdf(title, size=size)),
    Paper(extension=".docx", mime=_DOCX, content=_docx),
    Paper(extension=".txt", mime="text/plain", content=_text),
    Paper(extension=".png", mime="image/png", content=_png),
    Paper(extension=".jpg", mime="image/jpeg", content=_jpeg),
    Paper(extension=".jpeg", mime="image/jpeg", content=_jpeg),
    Paper(extension=".gif", mime="image/gif", content=_gif),
)
