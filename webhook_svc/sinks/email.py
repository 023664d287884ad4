"""Mail over SMTP: one message, one transaction a recipient, and a memory of who has it already."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, Final

from ..core.errors import Permanent, Retryable
from ..core.ids import digest
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, setting
from ..core.types import Delivery, Receipt
from .mail.letter import LetterSettings, Writer, address
from .mail.mailserver import Tls, mail_server
from .mail.mime import GROWS, Message, compose
from .mail.smime import Smime
from .mail.smtp import Lines, Server, Talk, translated

_PORTS: Final = {"tls": 465, "starttls": 587, "none": 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailSettings(LetterSettings):
    to: tuple[str, ...] = setting("The recipients; each is served, and remembered, on its own.")
    server: Secret = setting("smtp://user:password@host:587 or smtps://…:465, usually ${SMTP_URL}; %-encoded.")
    tls: Tls = setting(
        "auto: tls for smtps, else starttls, never without. none is for a relay on this machine or network.", "auto"
    )
    ca_file: str = setting("A PEM file of the authorities that may vouch for the server; empty: the system's.", "")
    certificate_file: str = setting("A PEM file of our own certificate, where the server asks for one.", "")
    key_file: str = setting("A PEM file of its key, unencrypted; empty: it stands in the certificate's file.", "")
    timeout: float = setting(
        "Seconds for each step of the conversation; 600 at least for the answer to a whole mail.", 30.0
    )
    keep_open: float = setting("Seconds that a connection is kept for the next mail; 0: not at all.", 10.0)
    smime: Smime = setting("S/MIME: sign with `certificate` and `key`, encrypt for `recipients`.", factory=Smime)

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        server = self.connection()
        if server.key_file and not server.certificate_file:
            raise ValueError("a `certificate_file` for the `key_file`")
        if server.ca_file or server.certificate_file:
            server.context()
        self._judge_encryption()

    def _judge_encryption(self) -> None:
        """Nobody is ever sent what others are sent encrypted."""
        known = self.smime.recipients
        if known and (bare := [one for one in self.recipients() if one not in known]):
            raise ValueError(f"a certificate in `smime` for every recipient; there is none for {bare[0]}")
        if strange := [one for one in known if one not in self.recipients()]:
            raise ValueError(f"no certificate in `smime` of somebody who is sent nothing, such as {strange[0]}")
        if known and self.bcc:
            raise ValueError("no `bcc` with encryption: the message names everybody it is encrypted for")

    def connection(self) -> Server:
        """ValueError, without a word of its text, where `server` is no SMTP address."""
        return Server(
            address=mail_server(self.server, "smtp", self.tls, _PORTS),
            ca_file=self.ca_file,
            certificate_file=self.certificate_file,
            key_file=self.key_file,
            name=address(self.from_).domain,
            timeout=self.timeout,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    """What survives between tries. Recipients are named by a digest, so that a hundred fit.

    `sending` are those whose message may have been taken without our knowing; `repeats` counts what was sent again.
    `date` is that of the first try, and `attached` that of the first message that anybody took, or may have: everybody
    is sent the same one.
    """

    date: float
    attached: bool
    accepted: tuple[str, ...] = ()
    sending: tuple[str, ...] = ()
    repeats: int = 0


@dataclass(slots=True, kw_only=True)
class _Round:
    """One try: the memory as it grows, and who was refused or put off."""

    delivery: Delivery
    progress: Progress
    memory: _Memory
    begun: str = ""
    refused: dict[str, int] = field(default_factory=dict)
    deferred: dict[str, int] = field(default_factory=dict)

    def before_last(self, recipient: str) -> None:
        """The message lies there but for its last line. A server that never sees that has not taken it."""
        self.begun = recipient
        key, sending = _key(recipient), self.memory.sending
        doubted = key in sending
        self._keep(sending=sending if doubted else (*sending, key), repeats=self.memory.repeats + doubted)
        self.delivery.still_ours()

    def note(self, recipient: str, code: int) -> None:
        """The server's last word. A refusal before the message was whole leaves an earlier doubt as it was."""
        key, memory = _key(recipient), self.memory
        if code != 250:
            (self.refused if code >= 500 else self.deferred)[recipient] = code
        if self.begun == recipient:
            accepted = (*memory.accepted, key) if code == 250 else memory.accepted
            self._keep(sending=tuple(one for one in memory.sending if one != key), accepted=accepted)

    def _keep(self, **changes: Any) -> None:
        self.memory = replace(self.memory, **changes)
        self.progress.save(asdict(self.memory))

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
their SHA-256 and says where they are (`location`). A mail is streamed: it takes a few MB of memory, however large the
files. A connection serves one mail after the other, and is kept for the next delivery for `keep_open` seconds.

Subject, text and HTML are templates, in the settings or in files of their own (`text_file`, `html_file`). They know:
source, document, round, version, title, completed (`{completed:%d %B %Y}`), sink, delivery, count, missing, location;
text and HTML also files, the list of them. What stands in HTML is escaped, and in a `location` that begins with
`https://` it is percent-encoded; that knows filename, path and sha256 too, for a place of each file.

`smime` signs each mail, encrypts it, or both; `recipients` then names a certificate for everybody, and who has none is
refused at the start. AES-256 for RSA keys; the subject stays readable, so word it with care. Such a mail is made
in memory: count one and a half times the size of its files to sign it and six times to encrypt it, for each delivery
that runs at once (`concurrency`).

**Permissions:** a login that may send as `from`. Certificates are always verified; for a private authority set
`ca_file` (or `SSL_CERT_FILE` for everything). `tls = "none"` takes a password only to a server on this machine.

**Retry:** mail cannot be create-only. Each recipient has a transaction of its own and is remembered as soon as the
server has said 250, so that a retry goes only to those who lack it. A crash in the moment between the last line of a
message and that word can send it twice: it carries the same `Message-ID`, which most mailboxes fold into one, and the
receipt counts it (`repeats`).

**Limits:** 100 recipients. "Accepted" is the server's word, not that of the mailbox. It has ten minutes to accept a
mail, whatever `timeout` says: some scan for long, and who hangs up earlier sends it twice. A 552 says that a mail is
too large for a server that announces no size, or that the mailbox is full.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._writer = Writer(self.settings)
        self._sender = self._writer.sender.addr_spec
        self._seal = self.settings.smime.seal()
        self._lines = Lines(self.settings.connection(), self.settings.keep_open)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        state = progress.load()
        accepted = state.get("accepted", ())
        waiting = [one for one in self.settings.recipients() if _key(one) not in accepted]
        if not waiting:
            return self._receipt(delivery, _remembered(state), found=True)
        with translated(), self._lines.talk() as talk:
            memory = self._planned(delivery, state, talk.limit)
            this = _Round(delivery=delivery, progress=progress, memory=memory)
            letter = self._writer.write(delivery, date=memory.date, attached=memory.attached)
            message = self._seal.compose(letter, self._clock()) if self._seal else compose(letter)
            for recipient in waiting:
                self._send(talk, message, recipient, this)
        this.judge()
        return self._receipt(delivery, this.memory, found=False)

    def check(self) -> str:
        until = self._seal.judge(self._clock()) if self._seal else None
        with translated(), self._lines.talk() as talk:
            talk.mail(self._sender)
            talk.reset()
            most = f" of up to {talk.limit} bytes" if talk.limit else ""
        server = self._lines.server.address
        login = "after login" if server.user else "without login"
        sealed = f"; the first S/MIME certificate ends on {until:%Y-%m-%d}" if until else ""
        return f"{server.host}:{server.port} takes mail{most} from {self._sender} ({login}){sealed}"

    def _send(self, talk: Talk, message: Message, recipient: str, this: _Round) -> None:
        talk.mail(self._sender, message.size)
        code = talk.recipient(recipient)
        if code == 250:
            code = talk.data(message.chunks(), partial(this.before_last, recipient))
        this.note(recipient, code)
        if code != 250:  # a refusal may leave the transaction open
            talk.reset()

    def _planned(self, delivery: Delivery, state: Mapping[str, Any], limit: int) -> _Memory:
        """By the settings as they are now, unless somebody has, or may have, what was planned before."""
        memory = _remembered(state) if state else _Memory(date=self._clock(), attached=True)
        if memory.accepted or memory.sending:
            return memory
        grows = self._seal.grows if self._seal else GROWS
        most = int((limit - 20_000) / grows) if limit else None  # text and headers take a few KB
        return replace(memory, attached=self._writer.fits(delivery, most))

    def _receipt(self, delivery: Delivery, memory: _Memory, *, found: bool) -> Receipt:
        details = {
            "message_id": self._writer.message_id(delivery),
            "recipients": self.settings.recipients(),
            "repeats": memory.repeats,
            "attached": [placed.part.sha256 for placed in delivery.files] if memory.attached else [],
            **({"smime": self._seal.acts} if self._seal else {}),
        }
        return Receipt(location=", ".join(self.settings.recipients()), proof=self.proof, found=found, details=details)


def _remembered(state: Mapping[str, Any]) -> _Memory:
    """Keys that another version of this sink wrote are passed over."""
    known = {one.name: state[one.name] for one in fields(_Memory) if one.name in state}
    sending = state.get("sending", ())
    doubted = (sending,) if sending and isinstance(sending, str) else tuple(sending)
    return _Memory(**{**known, "accepted": tuple(state.get("accepted", ())), "sending": doubted})


def _key(recipient: str) -> str:
    return digest("recipient", recipient).hex()[:12]


def _masked(codes: Mapping[str, int]) -> str:
    shown = (f"{one[0]}***@{one.rpartition('@')[2]} ({code})" for one, code in list(codes.items())[:5])
    return f"{len(codes)} of the recipients: " + ", ".join(shown)
