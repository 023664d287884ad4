"""A mail server that asks for a login: aiosmtpd."""

from contextlib import ExitStack
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from webhook_svc.core.ports import Sink

from .base import SECRETS, Bundle, Rig, make_sink
from .servers import Servers, free_port


class Mailbox:
    """An SMTP server's memory: what was accepted, and for whom."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        assert isinstance(envelope.content, bytes)
        assert session.authenticated
        self.mails.extend((recipient, envelope.content) for recipient in envelope.rcpt_tos)
        return "250 OK"


class EmailRig(Rig):
    behind = "aiosmtpd and Postfix"
    real = True
    recipients = ("legal@acme.example", "board@acme.example")

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.mailbox = Mailbox()
        controller = Controller(
            self.mailbox, hostname="127.0.0.1", port=free_port(),
            server_hostname="mail.test", authenticator=_knows, auth_require_tls=False,
        )  # fmt: skip
        controller.start()
        start.callback(controller.stop)
        self.sink = self._make(f"smtp://bot:{SECRETS[0]}@127.0.0.1:{controller.port}")
        self.broken = self._make(f"smtp://bot:{SECRETS[0]}-wrong@127.0.0.1:{controller.port}")

    def _make(self, server: str) -> Sink:
        table = {"server": server, "from": "Bot <bot@acme.example>", "to": list(self.recipients), "tls": "none"}
        return make_sink("email", table)

    def visible(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for recipient, raw in self.mailbox.mails:
            for attachment in message_from_bytes(raw, policy=policy.default).iter_attachments():
                key = f"{recipient}/{attachment.get_filename()}"
                assert key not in found, "a second copy"
                found[key] = attachment.get_content()
        return found

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        named = {path.rpartition("/")[2]: content for path, content in bundle.files.items()}
        return {f"{one}/{name}": content for one in self.recipients for name, content in named.items()}


def _knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:  # noqa: ARG001 - aiosmtpd's
    right = isinstance(data, LoginPassword) and data.password == SECRETS[0].encode()
    return AuthResult(success=right, handled=False)
