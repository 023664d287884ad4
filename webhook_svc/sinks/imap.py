"""A mailbox over IMAP: the mail with the documents is put into it, once; nothing is sent."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote

from ..core.errors import Conflict, Retryable, Unlikely
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, setting
from ..core.types import Delivery, Receipt
from .mail.letter import Letter, LetterSettings, Writer
from .mail.mailbox import Mailbox, connected, trusting
from .mail.mailserver import MailServer, Tls, mail_server
from .mail.mime import GROWS, compose

_PORTS: Final = {"tls": 993, "starttls": 143, "none": 143}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapSettings(LetterSettings):
    server: Secret = setting("imaps://user:password@host or imap://…:143, usually ${IMAP_URL}; %-encoded.")
    to: tuple[str, ...] = setting("The recipients that the mail names; nothing is sent to them.")
    mailbox: str = setting("The mailbox, in any script; a / stands for the server's own separator.", "INBOX")
    create: bool = setting("Make the mailbox where it is not there.", True)
    tls: Tls = setting(
        "auto: tls for imaps, else starttls, never without. none is for a server on this machine or network.", "auto"
    )
    ca_file: str = setting("A PEM file of the authorities that may vouch for the server; empty: the system's.", "")
    timeout: float = setting("Seconds for each step of the conversation.", 60.0)

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        if not self.connection().user:
            raise ValueError("a server with user and password")
        if not self.mailbox.isprintable() or any(one in self.mailbox for one in "*%"):
            raise ValueError("a mailbox without control characters, * and %")
        if not all(self.mailbox.split("/")):
            raise ValueError("a mailbox such as Contracts/Signed")
        if self.ca_file:
            trusting(self.ca_file)

    def connection(self) -> MailServer:
        return mail_server(self.server, "imap", self.tls, _PORTS)


class Imap(Sink):
    """Looks for its Message-ID, puts the mail there where it is not found, and reads the attachments back."""

    Settings = ImapSettings
    settings: ImapSettings
    proof: ClassVar[str] = "read back and hashed"
    guide: ClassVar[str] = """\
The mail is put into `mailbox` with the files attached, unread, dated as it was first tried; nobody is sent anything.
Above `attach_limit`, or above the size that the server announces (APPENDLIMIT), a notice names the files, their SHA-256
and where they are (`location`). The mail is streamed both ways: a few MB of memory, whatever its size.

**Permissions:** a login of its own. On a server with access lists (RFC 4314) it needs `lri` on the mailbox, and `k` on
the one above it where the mailbox is to be made; `te` lets it take back a second copy of its own (see Retry).
Certificates are always verified, by `ca_file` where a private authority vouches. Gmail takes an app password.
Microsoft 365 takes no passwords over IMAP, so it cannot be reached this way.

**Retry:** harmless. The mailbox is searched for the `Message-ID`, which is the same on every try, and a mail that
carries it counts as done if its attachments have the same bytes; with other bytes the delivery is held for a person's
decision. Where two workers come at once, the later mail is withdrawn by the worker that put it there. A mail that was
moved out of the mailbox before a retry is not seen: let rules that file mails copy them.

**Limits:** the server's own size and quota; where it is full the delivery waits. A mailbox's name is written in its own
script, `/` between its levels; servers that keep personal mailboxes below the inbox want `INBOX/Signed`.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._server = self.settings.connection()
        self._writer = Writer(self.settings)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        with self._connected() as mailbox:
            there = mailbox.open()
            uids = mailbox.find(self._writer.message_id(delivery)) if there else []
            letter = self._letter(delivery, progress, mailbox, found=bool(uids))
            if uids:
                return self._receipt(mailbox, letter, min(uids), found=True)
            if not there:
                self._may_make(mailbox)
                mailbox.make()
            mine = mailbox.put(compose(letter), letter.date, delivery.still_ours)
            uid = self._first(mailbox, letter, mine)
            return self._receipt(mailbox, letter, uid, found=mine not in (None, uid))

    def check(self) -> str:
        with self._connected() as mailbox:
            if not mailbox.open():
                self._may_make(mailbox)
                return f"{self._server.host} takes our login; the mailbox {mailbox.name} will be made"
            if not mailbox.may_be_put_into():
                raise Retryable(f"we may not put mails into the mailbox {mailbox.name}")
            return f"{self._server.host} takes our login, and the mailbox {mailbox.name} is there"

    def _connected(self) -> AbstractContextManager[Mailbox]:
        return connected(self._server, self.settings.mailbox, self.settings.timeout, self.settings.ca_file)

    def _letter(self, delivery: Delivery, progress: Progress, mailbox: Mailbox, *, found: bool) -> Letter:
        """The same on every try, unless the settings of what is not there yet were changed in between."""
        state = progress.load()
        if not (state and found):
            most = mailbox.largest()
            # Text and headers take a few KB.
            fits = self._writer.fits(delivery, None if most is None else int((most - 20_000) / GROWS))
            state = {"date": state.get("date", self._clock()), "attached": fits}
            progress.save(state)
        return self._writer.write(delivery, date=state["date"], attached=state["attached"])

    def _may_make(self, mailbox: Mailbox) -> None:
        if not self.settings.create:
            raise Unlikely(f"the mailbox {mailbox.name} cannot be opened: it is not there, or not for us")

    def _first(self, mailbox: Mailbox, letter: Letter, mine: int | None) -> int:
        """The mail that stays. Where another worker was faster, ours is taken back."""
        mailbox.open()
        uids = mailbox.find(letter.message_id) or ([mine] if mine else [])
        if not uids:
            raise Retryable("the mail was put there and cannot be seen yet")
        if mine and mine != min(uids):
            mailbox.withdraw(mine)
            mailbox.open()
        return min(uids)

    def _receipt(self, mailbox: Mailbox, letter: Letter, uid: int, *, found: bool) -> Receipt:
        """With what was read back. Conflict where it is not what was sent."""
        for number, one in enumerate(letter.attachments, start=2):  # the text is part 1
            if mailbox.sha256(uid, number) != one.sha256:
                raise Conflict(f"a mail with our Message-ID holds other bytes in place of {one.name}")
        uidvalidity = mailbox.uidvalidity()
        details = {
            "message_id": letter.message_id,
            "mailbox": mailbox.name,
            "uid": uid,
            "uidvalidity": uidvalidity,
            "attached": [one.sha256 for one in letter.attachments],
            "bytes": sum(one.size for one in letter.attachments),
        }
        place = f"{quote(mailbox.name)};UIDVALIDITY={uidvalidity}/;UID={uid}"  # RFC 5092
        proof = self.proof if letter.attachments else "found by its Message-ID"
        return Receipt(location=f"imap://{self._server.host}/{place}", proof=proof, found=found, details=details)
