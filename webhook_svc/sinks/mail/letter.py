"""A mail that tells of a delivery, whatever carries it: its settings, addresses, headers, words and files.

A transport's settings are a `LetterSettings`; its sink makes one `Writer` and has it write a `Letter` for each
delivery. What becomes bytes of RFC 5322 is composed by `mime`. Nothing here sends.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.utils import getaddresses
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from ...core.ids import digest
from ...core.settings import setting
from ...core.types import Delivery, Part
from ..shared.wording import FIELDS, filled, judge, one_line, values
from .body import TEXT, Wording

_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_MEDIA_TYPE: Final = re.compile(r"(?:application|image|text)/[\w.+-]+", re.ASCII)
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
_OURS: Final = frozenset(
    {
        *("from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "auto-submitted"),
        *("list-id", "mime-version", "return-path", "received", "dkim-signature"),
    }
)
"""Headers that are set by other settings, or by those who carry the mail; `content-…` and `resent-…` are too."""
_LABEL: Final = re.compile(r"[^A-Za-z0-9.-]+")
_LONGEST_ID: Final = 255
"""Of a List-Id (RFC 2919, 4)."""
_LONGEST_ADDRESS: Final = 500
"""With its name, which is never folded: a line of a mail has 998 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSettings:
    """The settings that all kinds of mail have in common; a subclass calls this `__post_init__` in its own."""

    from_: str = setting("The sender: an address, or Name <address>.")
    to: tuple[str, ...] = setting("The recipients.")
    cc: tuple[str, ...] = setting("Further recipients.", ())
    bcc: tuple[str, ...] = setting("Recipients whom the mail does not name.", ())
    reply_to: tuple[str, ...] = setting("Where answers go, if not to the sender.", ())
    subject: str = setting("Template of the subject.", "Signed: {title}")
    text: str = setting("Template of the text; {files} lists the attachments.", TEXT)
    text_file: str = setting("A file that holds the template of the text; it is read at the start.", "")
    html: str = setting("Template of an HTML version beside the text; what it is given is escaped.", "")
    html_file: str = setting("A file that holds the template of the HTML version; it is read at the start.", "")
    location: str = setting(
        "Template: where people find what is too large to attach; with {filename}, {path} or {sha256} for each file.",
        "",
    )
    attach_limit: int = setting("Bytes of files up to which they are attached; above, a notice names them.", 10_000_000)
    manifest: bool = setting("Attach the manifest of each bundle too, last.", False)
    list_id: str = setting("Template of List-Id, which filters go by; empty: none.", "{source}.{sink}.{domain}")
    headers: Mapping[str, str] = setting("Further headers, templates too: { X-Department = 'Legal' }.", factory=dict)

    def __post_init__(self) -> None:
        if not 0 < len(self.recipients()) <= 100:
            raise ValueError("between 1 and 100 recipients")
        if self.attach_limit < 0:
            raise ValueError("attach_limit from 0")
        if (self.text_file and self.text != TEXT) or (self.html_file and self.html):
            raise ValueError("a template in the settings or in a file, not both")
        Writer(self)

    def recipients(self) -> list[str]:
        """Each once, without its name."""
        return list(dict.fromkeys(address(one).addr_spec for one in (*self.to, *self.cc, *self.bcc)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes along. `open` streams it and raises ArtifactLost at the end if it is not those bytes."""

    name: str
    content_type: str
    size: int
    sha256: str
    open: Callable[[], BinaryIO] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail, ready to be sent by anything. Equal on every try that is given the same `date` and `attached`.

    `message_id` comes in its angle brackets; `headers` are those beyond From, To, Cc, Reply-To, Subject, Date and
    Message-ID, each one line of text that may be beyond ASCII. `html` is "" where there is none.
    """

    message_id: str
    date: float
    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]
    attachments: tuple[Attachment, ...]


class Writer:
    """Writes what the settings say. ValueError where an address, a header or a template cannot be used."""

    def __init__(self, settings: LetterSettings) -> None:
        self.settings = settings
        self.sender = address(settings.from_)
        self._to, self._cc, self._bcc, self._reply_to = (
            tuple(map(address, some)) for some in (settings.to, settings.cc, settings.bcc, settings.reply_to)
        )
        self._wording = Wording.parse(
            subject=settings.subject,
            text=_read(settings.text_file) if settings.text_file else settings.text,
            html=_read(settings.html_file) if settings.html_file else settings.html,
            location=settings.location,
        )
        self._list_id = judge(settings.list_id, (*FIELDS, "domain"))
        self._headers = {name: judge(text, FIELDS) for name, text in settings.headers.items()}
        if wrong := [one for one in self._headers if not _may_be_added(one)]:
            raise ValueError(f"`headers` that are words with hyphens and not set elsewhere; found {wrong[0][:60]!r}")

    def fits(self, delivery: Delivery, most: int | None = None) -> bool:
        """Whether its files may be attached: to `attach_limit`, and to the `most` bytes that the transport takes."""
        size = sum(placed.part.size for placed in delivery.files)
        return size <= self.settings.attach_limit and (most is None or size <= most)

    def message_id(self, delivery: Delivery) -> str:
        """Equal on every try, so that a mailbox can tell a repeat."""
        what = digest(delivery.source, delivery.document).hex()[:16]
        return f"<{delivery.id}.{what}@{self.sender.domain}>"

    def write(self, delivery: Delivery, *, date: float, attached: bool) -> Letter:
        """`date` is that of the first try (Unix); without `attached` it is a notice that names the files."""
        worded = self._wording.fill(delivery, attached=attached)
        return Letter(
            message_id=self.message_id(delivery),
            date=date,
            sender=self.sender,
            to=self._to,
            cc=self._cc,
            bcc=self._bcc,
            reply_to=self._reply_to,
            subject=worded.subject,
            text=worded.text,
            html=worded.html,
            headers=dict(self._further(delivery)),
            attachments=tuple(self._attachments(delivery, attached=attached)),
        )

    def _further(self, delivery: Delivery) -> Iterator[tuple[str, str]]:
        yield "Auto-Submitted", "auto-generated"  # RFC 3834: no out-of-office note answers it
        known = {**values(delivery), "domain": self.sender.domain}
        if self.settings.list_id:
            yield "List-Id", f"<{_LABEL.sub('-', filled(self._list_id, delivery, known))[:_LONGEST_ID]}>"
        for name, template in self._headers.items():
            yield name, one_line(filled(template, delivery, known))

    def _attachments(self, delivery: Delivery, *, attached: bool) -> Iterator[Attachment]:
        for placed in delivery.files if attached else ():
            yield _attachment(placed.part, partial(delivery.open, placed.part))
        if self.settings.manifest:
            yield held(delivery.manifest_path.rpartition("/")[2], "application/json", delivery.manifest)


def address(text: str) -> Address:
    """ValueError where it is no plain address, or a name and one."""
    (name, spec), *more = getaddresses([text]) or [("", "")]
    local, _, domain = spec.rpartition("@")
    unfit = len(text) > _LONGEST_ADDRESS or any(one in text for one in "\r\n\x00")
    if more or unfit or not _ADDRESS.fullmatch(spec) or not local.isascii():
        raise ValueError(f"an e-mail address in ASCII, or Name <address>; found {text[:60]!r}")
    return Address(display_name=name, username=local, domain=domain.encode("idna").decode())


def _may_be_added(header: str) -> bool:
    known = header.lower()
    return bool(_HEADER.fullmatch(header)) and known not in _OURS and not known.startswith(("content-", "resent-"))


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"a template in UTF-8 in {file}") from None
    except OSError as error:
        raise ValueError(f"a template that can be read in {file}: {error.strerror}") from None


def _attachment(part: Part, open_: Callable[[], BinaryIO]) -> Attachment:
    """A media type that would bend a mail is left out."""
    fits = bool(_MEDIA_TYPE.fullmatch(part.content_type))
    return Attachment(
        name=part.name,
        content_type=part.content_type if fits else "application/octet-stream",
        size=part.size,
        sha256=part.sha256,
        open=open_,
    )


def held(name: str, content_type: str, content: bytes) -> Attachment:
    """A file whose bytes are in memory."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Attachment(
        name=name, content_type=content_type, size=len(content), sha256=sha256, open=partial(BytesIO, content)
    )
