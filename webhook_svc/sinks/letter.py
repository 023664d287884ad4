"""A mail with the documents of a delivery: its wording, its addresses and its bytes. Sends nothing."""

import hashlib
import re
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from io import BytesIO
from typing import BinaryIO, Final

from ..core.errors import ArtifactLost
from ..core.ids import digest
from ..core.settings import setting
from ..core.types import Delivery, Part
from ..files import CHUNK
from .wording import FIELDS, filled, judge, listed, one_line, values

_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_MEDIA_TYPE: Final = re.compile(r"(application|image|text)/([\w.+-]+)", re.ASCII)
_LINE: Final = 57
"""Bytes that Base64 turns into a line of 76 characters."""
_TEXT: Final = """\
{title} is signed and complete.

{files}

Source {source}, document {document}, delivery {delivery}.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSettings:
    from_: str = setting("The sender: an address, or Name <address>.")
    to: tuple[str, ...] = setting("The recipients; each is served, and remembered, on its own.")
    cc: tuple[str, ...] = setting("Further recipients.", ())
    subject: str = setting("Template of the subject.", "Signed: {title}")
    text: str = setting("Template of the text; {files} lists the attachments.", _TEXT)
    location: str = setting("Template: where people find what is too large to attach.", "")
    attach_limit: int = setting("Bytes of files up to which they are attached; above, a notice names them.", 10_000_000)

    def __post_init__(self) -> None:
        if not 0 < len(self.to) + len(self.cc) <= 100:
            raise ValueError("between 1 and 100 recipients")
        for text in (self.from_, *self.to, *self.cc):
            address(text)
        judge(self.location)
        judge(self.subject, (*FIELDS, "location"))
        judge(self.text, (*FIELDS, "location", "files"))

    def recipients(self) -> list[str]:
        """Each once, without its name."""
        return list(dict.fromkeys(address(one).addr_spec for one in (*self.to, *self.cc)))


def address(text: str) -> Address:
    """ValueError where it is no plain address, or a name and one."""
    (name, spec), *more = getaddresses([text]) or [("", "")]
    local, _, domain = spec.rpartition("@")
    if more or not _ADDRESS.fullmatch(spec) or not local.isascii() or any(one in text for one in "\r\n\x00"):
        raise ValueError(f"an e-mail address in ASCII, or Name <address>; found {text[:60]!r}")
    return Address(display_name=name, username=local, domain=domain.encode("idna").decode())


def message_id(settings: LetterSettings, delivery: Delivery) -> str:
    """Equal on every try, so that a mailbox can tell a repeat."""
    what = digest(delivery.source, delivery.document).hex()[:16]
    return f"<{delivery.id}.{what}@{address(settings.from_).domain}>"


def compose(settings: LetterSettings, delivery: Delivery, *, date: float, attached: bool) -> bytes:
    """The same bytes on every try."""
    message = EmailMessage(policy=SMTP)
    message["From"] = address(settings.from_)
    message["To"] = [address(one) for one in settings.to]
    if settings.cc:
        message["Cc"] = [address(one) for one in settings.cc]
    known = _values(settings, delivery, attached=attached)
    message["Subject"] = one_line(filled(settings.subject, delivery, known))
    message["Date"] = format_datetime(datetime.fromtimestamp(date, UTC))
    message["Message-ID"] = message_id(settings, delivery)
    message["Auto-Submitted"] = "auto-generated"
    silent = not attached and "{files}" not in settings.text
    message.set_content(filled(settings.text, delivery, known) + (f"\n\n{known['files']}" if silent else ""))
    return _with_files(message, delivery) if attached else message.as_bytes()


def _values(settings: LetterSettings, delivery: Delivery, *, attached: bool) -> dict[str, str]:
    known = values(delivery)
    known["location"] = filled(settings.location, delivery, known)
    known["files"] = _listed(delivery, known["location"], attached=attached)
    return known


def _listed(delivery: Delivery, location: str, *, attached: bool) -> str:
    where = f" They are at {location}" if location else ""
    head = "Attached:" if attached else f"Too large to attach.{where}"
    return f"{head}\n{listed(delivery)}"


def _with_files(message: EmailMessage, delivery: Delivery) -> bytes:
    """Put together here, because the standard library holds an attachment four times over."""
    boundary = f"=_{delivery.id}"
    message.make_mixed(boundary=boundary)
    whole = BytesIO()
    whole.write(message.as_bytes().removesuffix(b"--\r\n"))
    for placed in delivery.files:
        whole.write(b"\r\n" + _head(placed.part))
        with delivery.open(placed.part) as stream:
            whole.writelines(_encoded(stream, placed.part))
        whole.write(f"\r\n--{boundary}".encode())
    whole.write(b"--\r\n")
    return whole.getvalue()


def _head(part: Part) -> bytes:
    known = _MEDIA_TYPE.fullmatch(part.content_type)
    main, sub = known.groups() if known else ("application", "octet-stream")
    head = EmailMessage(policy=SMTP)
    head.set_content(b"", maintype=main, subtype=sub, filename=part.name)
    return head.as_bytes()


def _encoded(stream: BinaryIO, part: Part) -> Iterator[bytes]:
    """Base64 in lines, whatever lengths the stream is read in. ArtifactLost at its end if it was another file."""
    found, rest = hashlib.sha256(), b""
    while chunk := stream.read(CHUNK):
        found.update(chunk)
        rest += chunk
        full = len(rest) // _LINE * _LINE
        yield encodebytes(rest[:full]).replace(b"\n", b"\r\n")
        rest = rest[full:]
    yield encodebytes(rest).replace(b"\n", b"\r\n")
    if found.hexdigest() != part.sha256:
        raise ArtifactLost(f"the copy we hold of {part.name} is not what was downloaded")
