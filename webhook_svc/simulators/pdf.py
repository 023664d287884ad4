"""A small valid PDF of one page, the same bytes for the same title and size."""

from itertools import accumulate

from .mark import MARK


def pdf(title: str, *, size: int = 0) -> bytes:
    """The title and the mark on a page, in Helvetica. At least `size` bytes, if need be through an object nobody looks
    at."""
    bare = _written(_objects(title))
    if len(bare) >= size:
        return bare
    return _written([*_objects(title), _stream(b"\x00" * (size - len(bare)))])


def _objects(title: str) -> list[bytes]:
    return [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        _stream(b"BT /F1 18 Tf 72 760 Td (" + _escaped(title) + b") Tj 0 -24 Td (" + _escaped(MARK) + b") Tj ET"),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title <FEFF" + title.encode("utf-16-be", "replace").hex().upper().encode() + b"> >>",
    ]


def _escaped(text: str) -> bytes:
    raw = text.encode("cp1252", "replace")
    return b"".join(b"\\%03o" % byte if byte < 32 or byte in b"()\\" else bytes([byte]) for byte in raw)


def _stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content)


def _written(objects: list[bytes]) -> bytes:
    header = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    bodies = [b"%d 0 obj\n%b\nendobj\n" % (number, content) for number, content in enumerate(objects, 1)]
    offsets = list(accumulate(map(len, bodies), initial=len(header)))
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets[:-1])
    count = len(objects) + 1
    return b"".join(
        (
            header,
            *bodies,
            b"xref\n0 %d\n0000000000 65535 f \n" % count,
            table,
            b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\n" % count,
            b"startxref\n%d\n%%%%EOF\n" % offsets[-1],
        )
    )
