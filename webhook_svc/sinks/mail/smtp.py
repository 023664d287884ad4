"""The conversation with a mail server: how it begins, one mail in it, and how it is kept for the next."""

import os
import smtplib
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from ...core.errors import Permanent, Retryable, Unlikely
from .mailserver import MailServer

_SCAN: Final = 600.0
"""Seconds that a server may take over a whole message (RFC 5321, 4.5.3.2.6): whoever leaves earlier sends it twice."""
_ALIVE: Final = 5.0
"""Seconds in which an idle line must answer."""
_SYNTAX: Final = range(500, 505)
"""What is said of a line that is no command (RFC 5321, 4.2.2). Of a whole message it is no verdict: the server takes
its lines for commands, or answers one of them, and its answer to the message comes later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where and how. `name` is our own, `timeout` is in seconds; the files are "" where none is set."""

    address: MailServer
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    name: str = "localhost"
    timeout: float = 30.0

    def context(self) -> ssl.SSLContext:
        """ValueError where one of the files cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.certificate_file:
                # The password keeps OpenSSL from asking the terminal for one.
                context.load_cert_chain(self.certificate_file, self.key_file or None, password=lambda: "")
        except OSError as error:  # ssl.SSLError is one, and says nothing of use
            why = error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "it is no such PEM"
            raise ValueError(f"`ca_file`, `certificate_file` and `key_file` that can be used: {why}") from None
        return context

    def connect(self, context: ssl.SSLContext) -> smtplib.SMTP:
        # Our own name is given, because smtplib would ask the DNS for it on every connection.
        common: dict[str, Any] = {"timeout": self.timeout, "local_hostname": self.name}
        at = self.address
        if at.tls == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(at.host, at.port, context=context, **common)
        else:
            smtp = smtplib.SMTP(at.host, at.port, **common)
        try:
            if smtp.sock:  # else the last line of a mail waits for the other side's delayed ACK: 40 ms each
                smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if at.tls == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if at.user:
                smtp.login(at.user, at.password.reveal())
        except BaseException:
            smtp.close()
            raise
        return smtp


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idle:
    """A line between two mails. Where another process made it, it is only closed."""

    smtp: smtplib.SMTP
    since: float
    process: int

    @property
    def ours(self) -> bool:
        return self.process == os.getpid()


class _OutOfStep(smtplib.SMTPException):
    """The server's answers are no longer those to what it was sent."""


class Lines:
    """Connections to one server. One that served is kept for `keep` seconds, and asked before it serves again.

    None outlives the process that made it, nor the last reference to this. For any number of threads.
    """

    def __init__(self, server: Server, keep: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.server = server
        self._keep = keep
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        self._watch: list[threading.Timer] = []
        weakref.finalize(self, _end, self._idle, self._watch)

    @contextmanager
    def talk(self) -> Iterator["Talk"]:
        """After an error nothing more is said on the line: what was begun must not be completed."""
        talk = Talk(self)
        try:
            yield talk
        except BaseException:
            talk.smtp.close()
            raise
        self._put_back(talk.smtp)

    def take(self) -> smtplib.SMTP | None:
        """An idle line that still answers."""
        while one := self._last_idle():
            with suppress(OSError):
                if one.ours and self._answers(one.smtp):
                    return one.smtp
            one.smtp.close()
        return None

    def connect(self) -> smtplib.SMTP:
        if self._context is None:
            self._context = self.server.context()
        with _reaching():
            return self.server.connect(self._context)

    def _answers(self, smtp: smtplib.SMTP) -> bool:
        if not smtp.sock:
            return False
        smtp.sock.settimeout(min(_ALIVE, self.server.timeout))
        code = smtp.rset()[0]
        smtp.sock.settimeout(self.server.timeout)
        return code == 250

    def _last_idle(self) -> _Idle | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _put_back(self, smtp: smtplib.SMTP) -> None:
        idle = _Idle(smtp=smtp, since=self._clock(), process=os.getpid())
        if not self._keep:
            _leave([idle])
            return
        with self._lock:
            self._idle.append(idle)
            if not any(one.is_alive() for one in self._watch):  # a fork leaves threads behind
                self._look_in(self._keep)

    def _end_old(self) -> None:
        """What was idle for too long is left; while others are idle, the next look is prepared."""
        with self._lock:
            now = self._clock()
            old = [one for one in self._idle if one.since + self._keep <= now]
            self._idle[:] = [one for one in self._idle if one not in old]
            self._watch.clear()
            if self._idle:
                self._look_in(self._idle[0].since + self._keep - now)
        _leave(old)

    def _look_in(self, seconds: float) -> None:
        act = weakref.WeakMethod(self._end_old)
        timer = threading.Timer(seconds, lambda: (still := act()) and still())
        timer.daemon = True
        self._watch[:] = [timer]
        timer.start()


class Talk:
    """Mails to one server, one after the other, on a line that may be replaced between two of them."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        idle = lines.take()
        self._fresh = idle is None
        self.smtp = idle or lines.connect()

    @property
    def limit(self) -> int:
        """Bytes that the server says a mail may have; 0 where it says nothing."""
        announced = self.smtp.esmtp_features.get("size", "")
        return int(announced) if announced.isascii() and announced.isdigit() else 0

    def mail(self, sender: str, size: int = 0) -> None:
        """A new mail. Where a line that served before has ended meanwhile, another takes its place."""
        try:
            code = self._mail(sender, size)
        except OSError:
            if self._fresh:
                raise
            code = 421
        if code == 421 and not self._fresh:
            self.smtp.close()
            self.smtp, self._fresh = self._lines.connect(), True
            code = self._mail(sender, size)
        if code != 250:
            raise smtplib.SMTPResponseException(code, "the sender was refused")
        self._fresh = False

    def _mail(self, sender: str, size: int) -> int:
        options = [f"SIZE={size}"] if size and "size" in self.smtp.esmtp_features else []
        return self.smtp.mail(sender, options)[0]

    def recipient(self, address: str) -> int:
        """250 or the code of a refusal."""
        code = self.smtp.rcpt(address)[0]
        return 250 if code == 251 else code

    def data(self, chunks: Iterator[bytes], before_last: Callable[[], None]) -> int:
        """`SMTP.data`, streamed: `timeout` is for each chunk, and the last answer has more.

        What `before_last` or the chunks raise leaves a message without its end, which no server takes.
        """
        smtp = self.smtp
        code = smtp.docmd("data")[0]
        if code >= 400:  # the server said no before it had seen a byte
            return code
        if code != 354 or not smtp.sock:
            raise smtplib.SMTPResponseException(code, "no leave to send the message")
        for chunk in dotted(chunks):
            smtp.send(chunk)
        before_last()
        smtp.send(b".\r\n")
        smtp.sock.settimeout(max(self._lines.server.timeout, _SCAN))
        code = smtp.getreply()[0]
        smtp.sock.settimeout(self._lines.server.timeout)
        if code < 400 and code // 100 != 2:  # it may have been taken
            raise smtplib.SMTPServerDisconnected("no answer that can be understood")
        if code in _SYNTAX:
            raise _OutOfStep
        return 250 if code < 400 else code

    def reset(self) -> None:
        self.smtp.rset()


def dotted(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """As it travels: a dot at a line's start is doubled, since a lone one ends it."""
    end = b"\n"
    for chunk in filter(None, chunks):
        yield (end + chunk).replace(b"\n.", b"\n..")[1:]
        end = chunk[-1:]


@contextmanager
def translated() -> Iterator[None]:
    """The one table of what a server says, with `_reaching`. Its texts are not shown: they echo input.

    `smtplib` makes an error of its own of whatever a socket says later on; other errors are those of a disk.
    """
    try:
        yield
    except (smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:
        raise Retryable(f"the mail server takes no conversation now ({error.smtp_code})") from None
    except smtplib.SMTPAuthenticationError as error:
        # Of a server that is overloaded this is often a 4xx; passwords are rotated, and then nothing is replayed.
        raise Retryable(f"the mail server refused the login ({error.smtp_code})") from None
    except smtplib.SMTPResponseException as error:
        fate = Permanent if error.smtp_code >= 500 else Retryable
        hint = ": it is too large; lower `attach_limit`" if error.smtp_code == 552 else ""
        raise fate(f"the mail server refused ({error.smtp_code}){hint}") from None
    except _OutOfStep:
        raise Unlikely("the mail server did not understand the message, or what it said to it") from None
    except smtplib.SMTPNotSupportedError:
        raise Permanent("the mail server offers no STARTTLS, or no login that we know") from None
    except smtplib.SMTPException as error:
        raise Retryable(f"the conversation with the mail server broke off ({type(error).__name__})") from None


@contextmanager
def _reaching() -> Iterator[None]:
    """What a socket or a certificate says before there is a conversation."""
    try:
        yield
    except smtplib.SMTPException:
        raise
    except ssl.SSLCertVerificationError as error:
        # As with every other connection: an expired certificate is usually renewed within hours.
        raise Retryable(f"the mail server's certificate does not hold ({error.verify_message})") from None
    except OSError as error:
        raise Retryable(f"the mail server cannot be reached ({type(error).__name__})") from None


def _end(idle: list[_Idle], watch: list[threading.Timer]) -> None:
    for timer in watch:
        timer.cancel()
    _leave(idle)


def _leave(idle: list[_Idle]) -> None:
    """A farewell without waiting for its answer: what was accepted stays accepted."""
    for one in idle:
        if one.ours:
            with suppress(OSError):
                one.smtp.putcmd("quit")
        one.smtp.close()
    idle.clear()
