"""Mail over SMTP: one message, one transaction a recipient, and a memory of who has it already."""

import smtplib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from ipaddress import ip_address
from typing import Any, ClassVar, Final, Literal
from urllib.parse import unquote, urlsplit

from ..core.errors import Permanent, Retryable
from ..core.ids import digest
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, setting
from ..core.types import Delivery, Receipt
from .letter import LetterSettings, Writer
from .mime import Message, compose

_SCAN: Final = 600.0
"""Seconds that a server may take over a whole message (RFC 5321, 4.5.3.2.6): whoever leaves earlier sends it twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    user: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailSettings(LetterSettings):
    server: Secret = setting("smtp://user:password@host:587 or smtps://…:465, usually ${SMTP_URL}; %-encoded.")
    tls: Literal["auto", "starttls", "tls", "none"] = setting(
        "auto: tls for smtps, else starttls, never without. none is for a relay on this machine or network.", "auto"
    )
    timeout: float = setting(
        "Seconds for each step of the conversation; 600 at least for the answer to a whole mail.", 30.0
    )

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        server = self.connection()
        if server.user and server.tls == "none" and not _is_loopback(server.host):
            raise ValueError('no password with tls = "none": it would travel in the clear')

    def connection(self) -> _Server:
        """ValueError, without a word of its text, where `server` is no SMTP address."""
        expected = ValueError("a server such as smtp://user:password@host:587, in ASCII, special characters %-encoded")
        try:
            url = urlsplit(self.server.reveal())
            user, password = unquote(url.username or ""), unquote(url.password or "")
            known = url.scheme in ("smtp", "smtps") and url.hostname and (user + password).isascii()
            port = url.port
        except ValueError:
            raise expected from None
        if not known or url.path.strip("/") or url.query or url.fragment:
            raise expected
        tls = self.tls if self.tls != "auto" else "tls" if url.scheme == "smtps" else "starttls"
        default = {"tls": 465, "starttls": 587, "none": 25}[tls]
        return _Server(host=url.hostname or "", port=port or default, tls=tls, user=user, password=Secret(password))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    """What survives between tries. Recipients are named by a digest, so that a hundred fit.

    `sending` is whose transaction may have gone through without our knowing; `repeats` counts those sent again.
    `date` and `attached` are those of the first try: everybody is sent the same message.
    """

    date: float
    attached: bool
    accepted: tuple[str, ...] = ()
    sending: str = ""
    repeats: int = 0

    def state(self) -> dict[str, Any]:
        return {**asdict(self), "accepted": list(self.accepted)}


@dataclass(slots=True, kw_only=True)
class _Round:
    """One try: the memory as it grows, and who was refused or put off."""

    delivery: Delivery
    progress: Progress
    memory: _Memory
    refused: dict[str, int] = field(default_factory=dict)
    deferred: dict[str, int] = field(default_factory=dict)

    def before_last(self, recipient: str) -> None:
        """The message lies there but for its last line. A server that never sees that has not taken it."""
        again = self.memory.sending == _key(recipient)
        self._keep(sending=_key(recipient), repeats=self.memory.repeats + again)
        self.delivery.still_ours()

    def accept(self, recipient: str) -> None:
        self._keep(sending="", accepted=(*self.memory.accepted, _key(recipient)))

    def refuse(self, recipient: str, code: int) -> None:
        (self.refused if code >= 500 else self.deferred)[recipient] = code
        self._keep(sending="")

    def _keep(self, **changes: Any) -> None:
        self.memory = replace(self.memory, **changes)
        self.progress.save(self.memory.state())

    def judge(self) -> None:
        """Those put off come first: the others are only given up when everybody who can be served is."""
        if self.deferred:
            raise Retryable(f"put off by the server: {_masked(self.deferred)}")
        if self.refused:
            raise Permanent(f"refused by the server: {_masked(self.refused)}; all other recipients have it")


class Email(Sink):
    """Sends the documents as attachments, or, where they are too large, a notice of them."""

    Settings = EmailSettings
    settings: EmailSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = "accepted by the mail server"
    guide: ClassVar[str] = """\
The files are attached; above `attach_limit`, or above the size that the server announces, a notice lists them with
their SHA-256 and says where they are (`location`). A mail is streamed: it takes a few MB of memory, however
large the files.

**Permissions:** a login that may send as `from`. Certificates are always verified; for a private authority point
`SSL_CERT_FILE` at its certificate. `tls = "none"` takes a password only to a server on this machine.

**Retry:** mail cannot be create-only. Each recipient has a transaction of its own and is remembered as soon as the
server has said 250, so that a retry goes only to those who lack it. A crash in the moment between can send one
message twice: it carries the same `Message-ID`, which most mailboxes fold into one, and the receipt counts it
(`repeats`).

**Limits:** 100 recipients. Templates know: source, document, round, version, title, completed (`{completed:%d %B %Y}`),
sink, delivery, count, files, missing, location. "Accepted" is the server's word, not that of the mailbox. It has ten
minutes to accept a mail, whatever `timeout` says: some scan for long, and who hangs up earlier sends it twice.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._server = self.settings.connection()
        self._writer = Writer(self.settings)
        self._sender = self._writer.sender

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        state = progress.load()
        accepted = state.get("accepted", ())
        waiting = [one for one in self.settings.recipients() if _key(one) not in accepted]
        if not waiting:
            return self._receipt(delivery, _remembered(state), found=True)
        with _translated(), self._connected() as smtp:
            memory = _remembered(state) if state else self._first(delivery, smtp)
            this = _Round(delivery=delivery, progress=progress, memory=memory)
            letter = self._writer.write(delivery, date=memory.date, attached=memory.attached)
            message = compose(letter)
            for recipient in waiting:
                self._send(smtp, message, recipient, this)
        this.judge()
        return self._receipt(delivery, this.memory, found=False)

    def check(self) -> str:
        with _translated(), self._connected() as smtp:
            self._mail_from(smtp)
            smtp.rset()
        login = "after login" if self._server.user else "without login"
        return f"{self._server.host}:{self._server.port} takes mail from {self._sender.addr_spec} ({login})"

    # --- the conversation ---

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        server = self._server
        context = ssl.create_default_context()
        # Our own name is given, because smtplib would ask the DNS for it on every connection.
        common: dict[str, Any] = {"timeout": self.settings.timeout, "local_hostname": self._sender.domain}
        if server.tls == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, context=context, **common)
        else:
            smtp = smtplib.SMTP(server.host, server.port, **common)
        try:
            if server.tls == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if server.user:
                smtp.login(server.user, server.password.reveal())
            yield smtp
            with suppress(OSError):  # what was accepted stays accepted if the farewell fails
                smtp.quit()
        finally:
            smtp.close()

    def _mail_from(self, smtp: smtplib.SMTP) -> None:
        code, _ = smtp.mail(self._sender.addr_spec)
        if code != 250:
            raise smtplib.SMTPResponseException(code, "the sender was refused")

    def _send(self, smtp: smtplib.SMTP, message: Message, recipient: str, this: _Round) -> None:
        self._mail_from(smtp)
        code, _ = smtp.rcpt(recipient)
        if code in (250, 251):
            code = self._data(smtp, message, partial(this.before_last, recipient))
        if code == 250:
            this.accept(recipient)
        else:
            this.refuse(recipient, code)
        if code != 250:  # a refusal may leave the transaction open
            smtp.rset()

    def _data(self, smtp: smtplib.SMTP, message: Message, before_last: Callable[[], None]) -> int:
        """`SMTP.data`, but `timeout` is for each stretch of the message, and its last answer has more."""
        code, _ = smtp.docmd("data")
        if code >= 400:  # the server said no before it had seen a byte
            return code
        if code != 354 or not smtp.sock:
            raise smtplib.SMTPResponseException(code, "no leave to send the message")
        for stretch in _dotted(message.chunks()):
            smtp.send(stretch)
        before_last()
        smtp.send(b".\r\n")
        smtp.sock.settimeout(max(self.settings.timeout, _SCAN))
        code, _ = smtp.getreply()
        smtp.sock.settimeout(self.settings.timeout)
        return code

    def _first(self, delivery: Delivery, smtp: smtplib.SMTP) -> _Memory:
        announced = smtp.esmtp_features.get("size", "")
        limit = int(announced) if announced.isascii() and announced.isdigit() else 0
        # Base64 and its line ends take 37 % more, text and headers a few KB.
        most = int((limit - 20_000) / 1.37) if limit else None
        return _Memory(date=self._clock(), attached=self._writer.fits(delivery, most))

    def _receipt(self, delivery: Delivery, memory: _Memory, *, found: bool) -> Receipt:
        details = {
            "message_id": self._writer.message_id(delivery),
            "recipients": self.settings.recipients(),
            "repeats": memory.repeats,
            "attached": [placed.part.sha256 for placed in delivery.files] if memory.attached else [],
        }
        return Receipt(location=", ".join(self.settings.recipients()), proof=self.proof, found=found, details=details)


def _remembered(state: Mapping[str, Any]) -> _Memory:
    """Keys that another version of this sink wrote are passed over."""
    known = {one.name: state[one.name] for one in fields(_Memory) if one.name in state}
    return _Memory(**{**known, "accepted": tuple(state.get("accepted", ()))})


def _dotted(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """As it travels: a dot at a line's start is doubled, since a lone one ends it."""
    end = b"\n"
    for chunk in filter(None, chunks):
        yield (end + chunk).replace(b"\n.", b"\n..")[1:]
        end = chunk[-1:]


def _key(recipient: str) -> str:
    return digest("recipient", recipient).hex()[:12]


def _masked(codes: Mapping[str, int]) -> str:
    shown = (f"{one[0]}***@{one.rpartition('@')[2]} ({code})" for one, code in list(codes.items())[:5])
    return f"{len(codes)} of the recipients: " + ", ".join(shown)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def _translated() -> Iterator[None]:
    """The one table of what a server, a socket or a certificate says. Server texts are not shown: they echo input."""
    try:
        yield
    except smtplib.SMTPConnectError as error:
        raise Retryable(f"the mail server takes no conversation now ({error.smtp_code})") from None
    except smtplib.SMTPAuthenticationError as error:
        fate = Permanent if error.smtp_code >= 500 else Retryable
        raise fate(f"the mail server refused the login ({error.smtp_code})") from None
    except smtplib.SMTPResponseException as error:
        fate = Permanent if error.smtp_code >= 500 else Retryable
        raise fate(f"the mail server refused ({error.smtp_code})") from None
    except smtplib.SMTPNotSupportedError:
        raise Permanent("the mail server offers no STARTTLS, or no login that we know") from None
    except ssl.SSLCertVerificationError as error:
        # As with every other connection: an expired certificate is usually renewed within hours.
        raise Retryable(f"the mail server's certificate does not hold ({error.verify_message})") from None
    except OSError as error:
        raise Retryable(f"the conversation with the mail server broke off ({type(error).__name__})") from None
