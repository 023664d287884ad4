"""One mailbox at an IMAP server: opened, searched, put into and read back. What the server says becomes a fate here."""

import hashlib
import imaplib
import re
import socket
import ssl
import unicodedata
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, cast

from ...core.errors import Permanent, Retryable, Unlikely, WebhookError
from ..shared.upload import held_back
from .mailserver import MailServer
from .mime import Message

_PIECE: Final = 1024 * 1024
"""Bytes that are read back at once."""
_CODE: Final = re.compile(rb"\[([A-Z][A-Z-]{1,30})(?: ([^\]]*))?\]")
_QUOTED: Final = re.compile(rb'\]<\d+> "([^"]*)"')
_SEPARATOR: Final = re.compile(rb'\) "\\?(.)"')
_NOT_THERE: Final = ("", "NONEXISTENT", "TRYCREATE")
_MEANINGS: Final[Mapping[str, tuple[type[Retryable] | type[Permanent], str]]] = {
    "ALREADYEXISTS": (Retryable, "somebody else has just made it"),
    "AUTHENTICATIONFAILED": (Retryable, "our credentials are not accepted"),
    "AUTHORIZATIONFAILED": (Retryable, "we may not act for that user"),
    "CANNOT": (Permanent, "no mailbox can have that name"),
    "CLIENTBUG": (Unlikely, "the server calls it a mistake of ours"),
    "CONTACTADMIN": (Retryable, "its administrator has to be asked"),
    "EXPIRED": (Retryable, "our credentials have expired"),
    "INUSE": (Retryable, "the mailbox is in use"),
    "LIMIT": (Retryable, "a limit of the server is reached"),
    "NONEXISTENT": (Unlikely, "the mailbox is not there"),
    "NOPERM": (Retryable, "we are not allowed to"),
    "OVERQUOTA": (Retryable, "the mailbox is full"),
    "PRIVACYREQUIRED": (Permanent, "it wants TLS"),
    "SERVERBUG": (Retryable, "an error of the server"),
    "TOOBIG": (Permanent, "the mail is too large; a smaller attach_limit makes it a notice"),
    "TRYCREATE": (Retryable, "the mailbox is not there"),
    "UNAVAILABLE": (Retryable, "a part of the server is away"),
}
"""Response codes (https://www.rfc-editor.org/rfc/rfc5530, TOOBIG: RFC 4469, read 22 Nov 2026). What a person may put
right at the server is tried again; so is a refusal without a code."""


class Mailbox:
    """`name` is as people write it: any script, / between the levels."""

    def __init__(self, imap: imaplib.IMAP4, name: str) -> None:
        self.name = name
        self._imap = imap
        separator = self._separator()
        self._quoted = _quoted(separator.join(map(encoded_name, name.split("/"))))

    def largest(self) -> int | None:
        """Bytes of a mail that it takes; None where the server does not say (RFC 7889)."""
        said = (one.partition("=")[2] for one in self._imap.capabilities if one.startswith("APPENDLIMIT="))
        return next((int(one) for one in said if one.isascii() and one.isdigit()), None)

    def open(self) -> bool:
        """For reading, and with all that has come in since. False where it is not there."""
        kind, data = self._imap.select(self._quoted, readonly=True)
        if kind != "OK" and _code(data)[0] not in _NOT_THERE:
            raise _refusal("opening the mailbox", data)
        return kind == "OK"

    def make(self) -> None:
        kind, data = self._imap.create(self._quoted)
        if kind != "OK" and _code(data)[0] != "ALREADYEXISTS":
            raise _refusal("making the mailbox", data)
        self._imap.subscribe(self._quoted)  # many programs show no other; where it is refused nothing is lost

    def may_be_put_into(self) -> bool:
        """Where the server knows of rights (RFC 4314); else True."""
        if "ACL" not in self._imap.capabilities:
            return True
        kind, data = self._imap.myrights(self._quoted)
        return kind != "OK" or b"i" in data[-1].rpartition(b" ")[2]

    def find(self, message_id: str) -> list[int]:
        """The numbers (UID) of the mails that carry it, in the order in which they came. It has to be open."""
        kind, data = self._imap.uid("SEARCH", "HEADER", "Message-ID", _quoted(message_id))
        if kind != "OK":
            raise _refusal("searching the mailbox", data)
        return sorted(int(one) for one in (data[-1] or b"").split())

    def uidvalidity(self) -> int:
        """With it a UID names a mail for ever (RFC 3501, 2.3.1.1). It has to be open."""
        said = self._imap.response("UIDVALIDITY")[1][-1]
        return int(said) if said else 0

    def put(self, message: Message, date: float, before_last: Callable[[], None]) -> int | None:
        """Its UID, where the server says it (UIDPLUS, RFC 4315). `before_last` is called before its last bytes leave:
        what it raises, or the message itself at its end, leaves nothing there."""
        self._imap.literal = _Literal(message, before_last)  # type: ignore[assignment]  # anything with a length
        when = imaplib.Time2Internaldate(datetime.fromtimestamp(date, UTC))
        kind, data = self._imap.xatom("APPEND", self._quoted, when)  # `append` would copy it twice
        if kind != "OK":
            raise _refusal("putting the mail there", data)
        code, said = _code(data)
        return int(said.split()[-1]) if code == "APPENDUID" and said.split()[-1].isdigit() else None

    def withdraw(self, uid: int) -> None:
        """Deletes that one mail; needs UIDPLUS. Where it may not, the mail stays."""
        self._imap.select(self._quoted)
        self._imap.uid("STORE", str(uid), "+FLAGS.SILENT", r"(\Deleted)")
        self._imap.uid("EXPUNGE", str(uid))

    def sha256(self, uid: int, number: int) -> str:
        """The hash of the attachment that is its part of this number (from 1); "" where it is not in Base64.

        It is read in pieces, and marks nothing as seen.
        """
        found, rest, start, piece = hashlib.sha256(), b"", 0, b"-" * _PIECE
        while len(piece) == _PIECE:
            piece = self._piece(uid, number, start)
            start += len(piece)
            rest += piece.translate(None, b"\r\n")
            full = len(rest) // 4 * 4
            try:
                found.update(b64decode(rest[:full], validate=True))
            except NoBase64:
                return ""
            rest = rest[full:]
        return "" if rest else found.hexdigest()

    def _piece(self, uid: int, number: int, start: int) -> bytes:
        kind, data = self._imap.uid("FETCH", str(uid), f"(BODY.PEEK[{number}]<{start}.{_PIECE}>)")
        if kind != "OK":
            raise _refusal("reading back", data)
        literal = next((bytes(one[1]) for one in data if isinstance(one, tuple)), None)
        quoted = _QUOTED.search(b"".join(one for one in data if isinstance(one, bytes)))
        return literal if literal is not None else quoted[1] if quoted else b""

    def _separator(self) -> str:
        kind, data = self._imap.list('""', '""')
        found = _SEPARATOR.search(cast(bytes, data[-1]) or b"") if kind == "OK" else None
        return found[1].decode("ascii", "replace") if found else "/"


def trusting(ca_file: str) -> ssl.SSLContext:
    """The authorities in that PEM file; "" for the system's. ValueError where it cannot be used."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one, and says nothing of use
        why = error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "it is no such PEM"
        raise ValueError(f"a `ca_file` that can be used: {why}") from None


@contextmanager
def connected(server: MailServer, name: str, timeout: float, ca_file: str) -> Iterator[Mailbox]:
    """The mailbox of that name, after login. Errors of server, line and certificate are Retryable or Permanent."""
    with _translated():
        imap = _begun(server, timeout, ca_file)
        try:
            _login(imap, server)
            yield Mailbox(imap, name)
            with suppress(OSError, imaplib.IMAP4.error):  # what is there stays there if the farewell fails
                imap.logout()
        finally:
            with suppress(OSError):  # no farewell: a mail that was begun is not taken
                imap.shutdown()


def encoded_name(name: str) -> str:
    """Modified UTF-7 (RFC 3501, 5.1.3)."""
    runs = re.findall(r"([\x20-\x7e]+)|([^\x20-\x7e]+)", unicodedata.normalize("NFC", name))
    return "".join(plain.replace("&", "&-") or f"&{_utf7(other)}-" for plain, other in runs)


def _utf7(text: str) -> str:
    return b64encode(text.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Literal:
    """A message as imaplib takes it: it has a length, and is sent at once."""

    def __init__(self, message: Message, before_last: Callable[[], None]) -> None:
        self._message = message
        self._before_last = before_last

    def __len__(self) -> int:
        return self._message.size

    def __iter__(self) -> Iterator[bytes]:
        with held_back(self._message.open, self._before_last) as stream:
            while piece := stream.read(_PIECE):
                yield piece


class _Session(imaplib.IMAP4):
    def open(self, *args: Any, **more: Any) -> None:
        super().open(*args, **more)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a mail is followed by a short line

    def send(self, data: Any) -> None:
        """In pieces: the timeout is then one for a piece, and no mail is held in memory."""
        for piece in data if isinstance(data, _Literal) else (data,):
            super().send(piece)


class _SafeSession(_Session, imaplib.IMAP4_SSL):
    """The same over TLS from the first byte."""


def _begun(server: MailServer, timeout: float, ca_file: str) -> imaplib.IMAP4:
    try:
        if server.tls == "tls":
            context = trusting(ca_file)
            return _SafeSession(server.host, server.port, ssl_context=context, timeout=timeout)
        imap = _Session(server.host, server.port, timeout=timeout)
    except imaplib.IMAP4.error:
        raise Retryable("the mail server takes no conversation now") from None
    if server.tls == "starttls":
        _protect(imap, ca_file)
    return imap


def _protect(imap: imaplib.IMAP4, ca_file: str) -> None:
    try:
        if "STARTTLS" not in imap.capabilities:
            raise Permanent("the mail server offers no STARTTLS")
        imap.starttls(trusting(ca_file))
    except BaseException:
        with suppress(OSError):
            imap.shutdown()
        raise


def _login(imap: imaplib.IMAP4, server: MailServer) -> None:
    """Without a word of what the server says: it may repeat what it was told."""
    user, password = server.user, server.password.reveal()
    if "LOGINDISABLED" in imap.capabilities:
        raise Permanent("the mail server takes no password on this connection: it wants TLS")
    try:
        if "AUTH=PLAIN" in imap.capabilities:
            imap.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
        else:
            imap.login(_quoted(user), password)
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        raise _refusal("logging in", [str(error).encode()]) from None
    kind, data = imap.capability()
    if kind == "OK":  # more is offered to those it knows
        imap.capabilities = tuple((data[-1] or b"").decode("ascii", "replace").upper().split())


def _code(data: Any) -> tuple[str, bytes]:
    """The response code and what stands behind it; ("", b"") where there is none."""
    found = _CODE.search((data and data[-1]) or b"")
    return (found[1].decode(), found[2] or b"") if found else ("", b"")


def _refusal(act: str, data: Any) -> WebhookError:
    code, _ = _code(data)
    fate, meaning = _MEANINGS.get(code, (Retryable, ""))
    return fate(f"{act}: the mail server refused" + (f" ({code}): {meaning}" if meaning else ""))


@contextmanager
def _translated() -> Iterator[None]:
    """The one table of what a server, a socket or a certificate says. Server texts are not shown: they echo input."""
    try:
        yield
    except imaplib.IMAP4.abort:
        raise Retryable("the conversation with the mail server broke off") from None
    except imaplib.IMAP4.error:
        # BAD. It should mean that we speak badly; some say it where they are overloaded.
        raise Unlikely("the mail server did not understand, or was too busy to") from None
    except ssl.SSLCertVerificationError as error:
        # As with every other connection: an expired certificate is usually renewed within hours.
        raise Retryable(f"the mail server's certificate does not hold ({error.verify_message})") from None
    except OSError as error:
        raise Retryable(f"the conversation with the mail server broke off ({type(error).__name__})") from None
