"""A mailbox at Dovecot."""

import grp
import hashlib
import imaplib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import pytest

from webhook_svc.core.ports import Sink
from webhook_svc.sinks.imap import Imap
from webhook_svc.sinks.mail.letter import Writer
from webhook_svc.sinks.mail.mailbox import encoded_name

from .base import SECRETS, Bundle, Rig, make_sink
from .servers import Servers, free_port

_CONFIGURATION = """
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
protocols = imap
listen = 127.0.0.1
ssl = {ssl}
disable_plaintext_auth = no
auth_mechanisms = plain
auth_failure_delay = 0
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = {uid}
last_valid_uid = {uid}
first_valid_gid = {gid}
mail_location = maildir:~/mail
mail_fsync = never
mail_plugins = quota
passdb {{
  driver = passwd-file
  args = {home}/users
}}
userdb {{
  driver = passwd-file
  args = {home}/users
}}
namespace inbox {{
  inbox = yes
}}
plugin {{
  quota = maildir:User
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {safe_port}
  }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Dovecot:
    """A server that knows `bot`, and `small` whose quota is 100 KB; both have SECRETS[0] as their password."""

    home: Path
    port: int
    safe_port: int = 0

    def url(self, user: str = "bot", password: str = SECRETS[0]) -> str:
        return f"imap://{user}:{password}@127.0.0.1:{self.port}"


@contextmanager
def dovecot(certificate: Path | None = None) -> Iterator[Dovecot]:
    """Without `certificate` (a file with its key) it speaks no TLS."""
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("Dovecot is not installed (Debian: dovecot-imapd): nothing to hold the sink imap against")
    home = Path(mkdtemp(prefix="dovecot-"))
    try:
        server = Dovecot(home=home, port=free_port(), safe_port=free_port() if certificate else 0)
        _write(server, certificate)
        running = subprocess.Popen([program, "-F", "-c", str(home / "conf")], start_new_session=True)
        try:
            _wait(server, running)
            yield server
        finally:
            os.killpg(running.pid, signal.SIGKILL)  # asked to end, it takes a second
            running.wait()
    finally:
        shutil.rmtree(home)


def _write(server: Dovecot, certificate: Path | None) -> None:
    # It serves no mails as root.
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    home = server.home
    home.chmod(0o755)
    (home / "mail").mkdir()
    if os.getuid() == 0:
        os.chown(home / "mail", user.pw_uid, user.pw_gid)
    safe = f"yes\nssl_cert = <{certificate}\nssl_key = <{certificate}" if certificate else "no"
    text = _CONFIGURATION.format(
        home=home, ssl=safe, user=user.pw_name, group=grp.getgrgid(user.pw_gid).gr_name, uid=user.pw_uid,
        gid=user.pw_gid, port=server.port, safe_port=server.safe_port,
    )  # fmt: skip
    (home / "conf").write_text(text)
    known = f"{{PLAIN}}{SECRETS[0]}:{user.pw_uid}:{user.pw_gid}::{home}/mail"
    (home / "users").write_text(f"bot:{known}/bot::nodelay=y\nsmall:{known}/small::userdb_quota_rule=*:storage=100k\n")


def _wait(server: Dovecot, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            imaplib.IMAP4("127.0.0.1", server.port, timeout=5).logout()
            return
        except OSError:
            assert running.poll() is None, (server.home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)


class ImapRig(Rig):
    behind = "Dovecot"
    real = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.server = servers.get("dovecot", dovecot)
        self.name = "계약 & Signed/" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
        self.sink = self.make()
        self.broken = self.make(server=self.server.url(password=f"{SECRETS[0]}-wrong"))

    def make(self, **changes: Any) -> Sink:
        common = {"server": self.server.url(), "from": "Bot <bot@acme.example>", "to": ["legal@acme.example"]}
        return make_sink("imap", {**common, "mailbox": self.name, "tls": "none", **changes})

    def mails(self) -> list[EmailMessage]:
        """All that stands in the mailbox, in the order in which it came."""
        with self._opened() as imap:
            if imap.select(self._box(), readonly=True)[0] != "OK":
                return []
            _, found = imap.uid("SEARCH", "ALL")
            raw = [imap.uid("FETCH", uid.decode(), "(BODY.PEEK[])")[1][0][1] for uid in found[0].split()]
            return [message_from_bytes(one, policy=policy.default) for one in raw]

    def unseen(self) -> int:
        with self._opened() as imap:
            imap.select(self._box(), readonly=True)
            return len(imap.search(None, "UNSEEN")[1][0].split())

    def visible(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for mail in self.mails():
            for attachment in mail.iter_attachments():
                name = str(attachment.get_filename())
                assert name not in found, "a second copy"
                found[name] = attachment.get_content()
        return found

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        return {path.rpartition("/")[2]: content for path, content in bundle.files.items()}

    def plant(self, path: str, content: bytes) -> None:
        """In a mail of somebody else's that has our Message-ID."""
        message = EmailMessage()
        message["From"] = "other@acme.example"
        message["Message-ID"] = Writer(cast(Imap, self.sink).settings).message_id(Bundle().delivery())
        message.set_content("something else")
        message.add_attachment(content, maintype="application", subtype="pdf", filename=path.rpartition("/")[2])
        self.put(message.as_bytes(policy=policy.SMTP))

    def put(self, message: bytes) -> None:
        with self._opened() as imap:
            imap.create(self._box())
            assert imap.append(self._box(), "", "", message)[0] == "OK"

    @contextmanager
    def _opened(self) -> Iterator[imaplib.IMAP4]:
        with imaplib.IMAP4("127.0.0.1", self.server.port, timeout=10) as imap:
            imap.login("bot", SECRETS[0])
            yield imap

    def _box(self) -> str:
        return '"' + encoded_name(self.name).replace("/", ".") + '"'
