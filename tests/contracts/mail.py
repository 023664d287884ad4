"""A mail server that says what it is told to, and the sink that speaks with it."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

from tests.guard import secret
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.email import EmailSettings

NOW = 1_790_000_000.0
PASSWORD = secret("password")
DEED = b"%PDF-1.7 deed %%EOF"
DROP = "drop"
SLOW = "slow "
SLOWNESS = 0.6


@dataclass
class MailServer:
    """A mail server that says what it is told to. `says` maps the beginning of a command to its answers in turn."""

    says: dict[str, list[str]] = field(default_factory=dict)
    features: tuple[str, ...] = ("AUTH PLAIN LOGIN",)
    context: ssl.SSLContext | None = None
    implicit: bool = False
    heard: list[str] = field(default_factory=list)
    lines: int = 0
    threads: list[Thread] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)
    mails: list[tuple[str, bytes]] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.lines += 1
            self.open.append(connection)
            self.threads.append(Thread(target=self._serve_one, args=(connection,)))
            self.threads[-1].start()

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._talk(connection)
        except OSError:
            self.heard.append("(broken off)")

    def hang_up(self) -> None:
        """Ends every conversation, and waits until they are over."""
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()

    def _talk(self, connection: socket.socket) -> None:
        if self.context and self.implicit:
            connection = self.context.wrap_socket(connection, server_side=True)
        if not self._say(connection, self._answer("greeting", "220 mail.test")):
            return
        reader = connection.makefile("rb")
        recipient: str | None = None
        while line := reader.readline().decode().strip():
            verb = line.split()[0].upper()
            command, bracket, rest = line.partition("<")
            # Which words smtplib writes in lower case differs between versions of Python.
            line = command.upper() + bracket + rest if bracket else verb + line[len(verb) :]
            self.heard.append(line)
            if verb == "RSET":
                recipient = None
            if verb == "RCPT":
                recipient = line.partition("<")[2].partition(">")[0]
            nested = verb == "MAIL" and recipient is not None
            answer = self._answer(line, "503 one at a time" if nested else self._usual(verb))
            if not self._say(connection, answer) or verb == "QUIT":
                break
            if verb == "STARTTLS" and answer.startswith("220") and self.context:
                reader.close()
                connection = self.context.wrap_socket(connection, server_side=True)
                reader = connection.makefile("rb")
            if verb == "DATA" and answer.startswith("354"):
                lines = self._lines(reader)
                if lines is None:
                    break
                mail = b"".join(lines)
                answer = self._answer("end of data", "250 queued")
                if answer.startswith(("250", SLOW)) or answer == DROP:
                    self.mails.append((str(recipient), mail))
                recipient = None
                if not self._say(connection, answer):
                    break
        reader.close()
        connection.close()

    def _lines(self, reader: BinaryIO) -> list[bytes] | None:
        """Of a mail, up to the lone dot; None where the line breaks before it."""
        lines = []
        while (line := reader.readline()) != b".\r\n":
            if not line:
                self.heard.append("(broken off)")
                return None
            lines.append(line.removeprefix(b"."))
        return lines

    def _usual(self, verb: str) -> str:
        offered = "\r\n".join(f"250-{one}" for one in self.features)
        hello = f"250-mail.test\r\n{offered}\r\n250 8BITMIME"
        usual = {"EHLO": hello, "DATA": "354 go", "AUTH": "235 in", "QUIT": "221 bye", "STARTTLS": "220 go"}
        return usual.get(verb, "250 OK")

    def _answer(self, line: str, usual: str) -> str:
        for beginning, answers in self.says.items():
            if line.startswith(beginning) and answers:
                return answers.pop(0)
        return usual

    def _say(self, connection: socket.socket, answer: str) -> bool:
        if answer == DROP:
            return False
        if answer.startswith(SLOW):
            time.sleep(SLOWNESS)
        connection.sendall(answer.removeprefix(SLOW).encode() + b"\r\n")
        return True

    def to(self) -> list[str]:
        return [recipient for recipient, _ in self.mails]

    def mail(self, index: int = 0) -> EmailMessage:
        return message_from_bytes(self.mails[index][1], policy=policy.default)


@contextmanager
def serving(server: MailServer) -> Iterator[int]:
    """The port on which it listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=server.serve, args=(listener,))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        server.hang_up()


def settings(**changes: Any) -> EmailSettings:
    common = {"server": Secret("smtp://127.0.0.1"), "from_": "Acme Bot <bot@acme.example>", "tls": "none"}
    people = ("ann@acme.example", "bob@acme.example", "cid@acme.example")
    return EmailSettings(**{**common, "to": people, **changes})


def secured(server: MailServer, path: Path, implicit: bool) -> str:
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(path)
    server.implicit = implicit
    server.features = ("AUTH PLAIN",) if implicit else ("STARTTLS", "AUTH PLAIN")
    return "smtps://bot:{password}@127.0.0.1:{port}" if implicit else "smtp://bot:{password}@127.0.0.1:{port}"
