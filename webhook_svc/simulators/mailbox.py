"""A receiving mail server on loopback that keeps what it is given; plain, without authentication, for the demo."""

import re
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

_LINE = 4096
_PATH = re.compile(rb"\s*<([^<>\r\n]*)>(.*)", re.DOTALL)
_MOST = 64 * 1024 * 1024


class Moment(Enum):
    """When a server may do something else than expected.

    CONNECT is when a conversation begins, and each further mail in it; KEPT is when the message is here and the sender
    waits.
    """

    CONNECT = "connect"
    RCPT = "rcpt"
    DATA = "data"
    KEPT = "kept"


Quirk = Callable[[Moment], str | None]
"""What to say at such a moment instead of the usual; HANG_UP ends the conversation without a word."""
HANG_UP: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message as it came over the wire, with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(slots=True)
class _Envelope:
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)


class _Session(socketserver.StreamRequestHandler):
    server: "_Server"
    timeout = 30.0

    def handle(self) -> None:
        self.envelope = _Envelope()
        self.kept = 0
        self.served = False
        try:
            if self._talk():
                return
        except (ConnectionError, TimeoutError):
            pass  # the conversation broke off, as it may: what was kept in it is noted
        self.server.leave_unsure(self.kept)

    def _talk(self) -> bool:
        """Did it end with a farewell?"""
        greeting = self._quirk(Moment.CONNECT)
        self._say(greeting or "220 mailbox ready")
        if greeting:
            return True
        while line := self.rfile.readline(_LINE):
            self.kept = 0  # who goes on has heard that the last mail was kept
            verb, _, rest = line.strip().partition(b" ")
            if verb.upper() == b"QUIT":
                self._say("221 bye")
                return True
            answer = self._answer(verb.upper(), rest)
            self._say(answer)
            if answer.startswith("421"):
                return True
        return False

    def _answer(self, verb: bytes, rest: bytes) -> str:
        if verb == b"EHLO":
            return f"250-mailbox\r\n250-SIZE {_MOST}\r\n250-8BITMIME\r\n250 SMTPUTF8"
        if verb in (b"HELO", b"NOOP"):
            return "250 mailbox"
        if verb == b"RSET":
            self.envelope = _Envelope()
            return "250 forgotten"
        if verb == b"MAIL":
            return self._mail(rest)
        if verb == b"RCPT":
            return self._recipient(rest)
        return self._data() if verb == b"DATA" else "502 not known here"

    def _mail(self, rest: bytes) -> str:
        path = _path(rest, b"FROM:")
        if path is None:
            return "501 MAIL FROM:<address>"
        busy = self._quirk(Moment.CONNECT) if self.served else None
        self.envelope, self.served = _Envelope(sender=path), True
        return busy or "250 ok"

    def _recipient(self, rest: bytes) -> str:
        path = _path(rest, b"TO:")
        if not path or self.envelope.sender is None:
            return "501 RCPT TO:<address>" if not path else "503 MAIL first"
        refusal = self._quirk(Moment.RCPT)
        if not refusal:
            self.envelope.recipients.append(path)
        return refusal or "250 ok"

    def _data(self) -> str:
        sender, recipients = self.envelope.sender, tuple(self.envelope.recipients)
        if sender is None or not recipients:
            return "503 MAIL and RCPT first"
        self._say("354 end with a dot")
        lines: list[bytes] = []
        size = 0
        while (line := self.rfile.readline()) not in (b".\r\n", b".\n"):
            if not line:
                raise ConnectionResetError("the message was cut off")
            size += len(line)
            lines.append(line.removeprefix(b".") if size <= _MOST else b"")
        self.envelope = _Envelope()
        refusal = "552 too large" if size > _MOST else self._quirk(Moment.DATA)
        if refusal:
            return refusal
        self.server.keep(Mail(sender=sender, recipients=recipients, content=b"".join(lines)))
        self.kept += 1
        return self._quirk(Moment.KEPT) or "250 kept"

    def _quirk(self, moment: Moment) -> str | None:
        said = self.server.quirk(moment)
        if said == HANG_UP:
            raise ConnectionResetError("the server hangs up")
        return said

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], quirk: Quirk) -> None:
        super().__init__(address, _Session)
        self.quirk = quirk
        self.mails: list[Mail] = []
        self.unsure = 0
        self.arrived = threading.Condition()

    def leave_unsure(self, mails: int) -> None:
        with self.arrived:
            self.unsure += mails

    def keep(self, mail: Mail) -> None:
        with self.arrived:
            self.mails.append(mail)
            self.arrived.notify_all()


class Mailbox:
    """Listens while it is open: `with Mailbox() as box: …`. `quirk` lets it misbehave, and is asked on many threads."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, quirk: Quirk = lambda _: None) -> None:
        self._server = _Server((host, port), quirk)
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"smtp://{self.host}:{self.port}"

    @property
    def mails(self) -> tuple[Mail, ...]:
        with self._server.arrived:
            return tuple(self._server.mails)

    @property
    def unsure(self) -> int:
        """Mails that were kept in conversations that broke off: their senders may not know it, and send them again."""
        with self._server.arrived:
            return self._server.unsure

    def wait_for(self, count: int, timeout: float) -> bool:
        """True as soon as `count` messages are here."""
        with self._server.arrived:
            return self._server.arrived.wait_for(lambda: len(self._server.mails) >= count, timeout)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> "Mailbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _path(rest: bytes, word: bytes) -> str | None:
    """The address between the angle brackets; parameters such as SIZE= and BODY= are accepted and not looked at."""
    if not rest.upper().startswith(word):
        return None
    match = _PATH.fullmatch(rest[len(word) :])
    return match[1].decode("utf-8", "replace") if match else None
