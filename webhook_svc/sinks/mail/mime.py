"""A letter as bytes of RFC 5322: in 7 bits, lines of at most 998 characters that end in CRLF, streamed."""

import hashlib
import re
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import BinaryIO, Final

from ...core.errors import ArtifactLost
from ...core.ids import digest
from ...core.streams import stream_of
from ...files import CHUNK
from .letter import Attachment, Letter

GROWS: Final = 1.37
"""What Base64 and its line ends make of a file's length."""
_LINE: Final = 57
"""Bytes that Base64 turns into a line of 76 characters."""
_PART: Final = SMTP.clone(cte_type="7bit")
"""Not every server takes 8 bits."""


Piece = bytes | Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What travels: literal bytes, and files whose Base64 stands between them. Holds no file in memory.

    Where a file turns out to be another one `chunks` and the stream raise ArtifactLost, before the message is whole.
    """

    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Exactly the bytes that `chunks` yields."""
        return sum(len(one) if isinstance(one, bytes) else _encoded_size(one.size) for one in self.pieces)

    def chunks(self) -> Iterator[bytes]:
        """None longer than about 360 KB."""
        for one in self.pieces:
            yield from _encoded(one) if isinstance(one, Attachment) else _cut(one)

    def open(self) -> BinaryIO:
        """The same as a stream, for an Upload."""
        return stream_of(self.chunks())


def compose(letter: Letter) -> Message:
    """The same bytes for the same letter."""
    return Message(pieces=(envelope(letter), *entity(letter)))


def envelope(letter: Letter) -> bytes:
    """The headers that say from whom, to whom and about what. Recipients in Bcc are not named."""
    addresses = {"From": (letter.sender,), "To": letter.to, "Cc": letter.cc, "Reply-To": letter.reply_to}
    lines = [f"{name}: " + ",\r\n ".join(map(_mailbox, some)) for name, some in addresses.items() if some]
    lines += [
        f"Subject: {_text('Subject', letter.subject)}",
        f"Date: {format_datetime(datetime.fromtimestamp(letter.date, UTC))}",
        f"Message-ID: {letter.message_id}",
        *(f"{name}: {_text(name, value)}" for name, value in letter.headers.items()),
        "MIME-Version: 1.0",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def entity(letter: Letter) -> Iterator[Piece]:
    """What follows: the headers of the content, and the content."""
    body = EmailMessage(policy=_PART)
    body.set_content(letter.text)
    if letter.html:
        body.add_alternative(letter.html, subtype="html")
        body.set_boundary(_boundary("alternative", letter))
    if not letter.attachments:
        yield _bytes_of(body)
        return
    boundary = _boundary("mixed", letter)
    body.make_mixed(boundary=boundary)
    # Put together here, because the standard library holds an attachment four times over.
    before = _bytes_of(body).removesuffix(b"--\r\n") + b"\r\n"
    for one in letter.attachments:
        yield before + _head_of(one)
        yield one
        before = f"\r\n--{boundary}\r\n".encode()
    yield f"\r\n--{boundary}--\r\n".encode()


def _mailbox(one: Address) -> str:
    name = one.display_name
    if not name:
        return one.addr_spec
    quoted = re.sub(r'([\\"])', r"\\\1", name)
    shown = _text("", name) if _is_beyond(name) else f'"{quoted}"'
    return f"{shown} <{one.addr_spec}>"


def _text(name: str, value: str) -> str:
    """One line of text, folded at its spaces and nowhere else: `EmailMessage` encodes a long word though it be ASCII,
    an address of the web that then is none."""
    if not _is_beyond(value) and (" " not in value or len(value) < 60):
        return value
    charset = "utf-8" if _is_beyond(value) else "us-ascii"
    return Header(value, charset, maxlinelen=76, header_name=name).encode(splitchars=" ", linesep="\r\n")


def _is_beyond(text: str) -> bool:
    """Whether it must be encoded: it is not ASCII, or it looks as if it were encoded already."""
    return not text.isascii() or "=?" in text


def _boundary(what: str, letter: Letter) -> str:
    return f"=_{digest(what, letter.message_id).hex()[:32]}"


def _bytes_of(part: EmailMessage) -> bytes:
    del part["MIME-Version"]
    return part.as_bytes()


def _head_of(attachment: Attachment) -> bytes:
    main, _, sub = attachment.content_type.partition("/")
    head = EmailMessage(policy=_PART)
    head.set_content(b"", maintype=main, subtype=sub, filename=attachment.name)
    return _bytes_of(head)


def _encoded_size(size: int) -> int:
    lines, rest = divmod(size, _LINE)
    return lines * 78 + (-(-rest // 3) * 4 + 2 if rest else 0)


def _cut(literal: bytes) -> Iterator[bytes]:
    for start in range(0, len(literal), CHUNK):
        yield literal[start : start + CHUNK]


def _encoded(attachment: Attachment) -> Iterator[bytes]:
    """Base64 in lines, whatever lengths the stream is read in."""
    found, rest = hashlib.sha256(), b""
    with attachment.open() as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
            rest += chunk
            full = len(rest) // _LINE * _LINE
            yield encodebytes(rest[:full]).replace(b"\n", b"\r\n")
            rest = rest[full:]
    yield encodebytes(rest).replace(b"\n", b"\r\n")
    if found.hexdigest() != attachment.sha256:
        raise ArtifactLost(f"the copy we hold of {attachment.name} is not what was downloaded")
