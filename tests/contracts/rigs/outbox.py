"""What the stand-ins for services that send mail have in common: a sender they know, and what they sent."""

import re
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any, ClassVar

from .base import Bundle, Rig, make_sink
from .front import before
from .servers import served
from .standin import StandIn, must

SENDER = "bot@acme.example"
PEOPLE = ("ann@acme.example", "bob@acme.example")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass
class Mail:
    """One that was accepted."""

    recipients: list[str]
    subject: str
    text: str
    html: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""


class Outbox(StandIn):
    """Only mails of SENDER's domain are sent."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.suppressed: set[str] = set()
        """Addresses to which nothing is sent any more."""

    def mail(self) -> Mail:
        (found,) = self.mails
        return found


class MailRig(Rig):
    """Two recipients, both of whom see every attachment of every mail."""

    real = False
    behind = "stand-in"
    over_http = True
    kind: ClassVar[str]
    outbox: Any
    limit: ClassVar[int]
    """Bytes of files that the service takes for certain."""

    def begin(self, start: ExitStack, outbox: Outbox, table: Mapping[str, Any], wrong: Mapping[str, Any]) -> None:
        """`wrong` are the credentials that it refuses."""
        self.outbox = outbox
        self.front = start.enter_context(before(start.enter_context(served(outbox))))
        people = {"from": f"Bot <{SENDER}>", "to": list(PEOPLE), "endpoint": self.front.address}
        self.table = {**people, **table}
        self.sink = self.make()
        self.broken = self.make(**wrong)

    def make(self, **changes: Any) -> Any:
        return make_sink(self.kind, {**self.table, **changes})

    def visible(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for mail in self.outbox.mails:
            for recipient in mail.recipients:
                for name, content in mail.files.items():
                    assert f"{recipient}/{name}" not in found, "a second copy"
                    found[f"{recipient}/{name}"] = content
        return found

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        named = {path.rpartition("/")[2]: content for path, content in bundle.files.items()}
        return {f"{one}/{name}": content for one in PEOPLE for name, content in named.items()}


def decoded(text: object, status: int, code: str) -> bytes:
    """Base64 as these services take it: one line, nothing else in it."""
    must(isinstance(text, str), status, code)
    try:
        return b64decode(str(text), validate=True)
    except (NoBase64, ValueError):
        must(False, status, code)
        raise


def addresses(some: object, status: int, code: str) -> list[str]:
    """Those in a list of texts, each plain or with a name, in ASCII but for the name, and each once."""
    must(isinstance(some, list) and all(isinstance(one, str) for one in some), status, code)
    found = [address for _, address in getaddresses([str(one) for one in some])] if isinstance(some, list) else []
    must(all(_ADDRESS.fullmatch(one) for one in found), status, code)
    return found


def verified(sender: str, status: int, code: str) -> None:
    must(sender.rpartition("@")[2] == SENDER.rpartition("@")[2], status, code)


def distinct(recipients: Collection[str], most: int, status: int, code: str) -> None:
    must(0 < len(recipients) <= most, status, code)
    must(len(set(recipients)) == len(recipients), status, code)


def opened(raw: bytes, recipients: Iterable[str]) -> Mail:
    """A message of RFC 5322."""
    message: EmailMessage = message_from_bytes(raw, policy=policy.default)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return Mail(
        recipients=list(recipients),
        subject=str(message["Subject"]),
        text=text.get_content() if text else "",
        html=html.get_content() if html else "",
        files={str(one.get_filename()): one.get_content() for one in message.iter_attachments()},
        headers={name.lower(): str(value) for name, value in message.items()},
        raw=raw,
    )


def well_formed(raw: bytes, status: int, code: str) -> None:
    """7 bits, CRLF, lines of at most 998 characters, From and Date, and a blank line before the body."""
    must(raw.isascii() and b"\r\n\r\n" in raw and not re.search(rb"(?<!\r)\n|\r(?!\n)", raw), status, code)
    must(max(map(len, raw.split(b"\r\n"))) <= 998, status, code)
    message: EmailMessage = message_from_bytes(raw, policy=policy.default)
    must(message["From"] and message["Date"] and not message.defects and not message["Bcc"], status, code)
