"""Postfix, a mail server of the open internet: its own folders, its own port, mailboxes for `KNOWN`."""

import os
import pwd
import shutil
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from webhook_svc.stage.processes import until

from .certificate import certificate
from .servers import free_port

KNOWN = ("legal@acme.example", "board@acme.example")
LARGEST = 200_000
_PROGRAMS = Path("/usr/lib/postfix/sbin")
_MAIN = """
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
daemon_directory = {programs}
maillog_file = {home}/log
maillog_file_prefixes = {home}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {certificate}
message_size_limit = {largest}
virtual_mailbox_limit = 0
virtual_mailbox_domains = acme.example
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n - 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
_SPOOL = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold"),
    *("incoming", "maildrop", "pid", "private", "public", "saved", "trace"),
)


@dataclass(frozen=True, kw_only=True)
class Postfix:
    """It speaks nothing but TLS, after STARTTLS, with the `certificate` as its own authority."""

    home: Path
    port: int
    certificate: Path

    def mail(self, recipient: str, delivery: str) -> bytes:
        """The one mail of that delivery, as soon as it lies in the mailbox."""
        box, found = self.home / "mail" / recipient.partition("@")[0] / "new", list[bytes]()

        def arrived() -> bool:
            mails = [one.read_bytes() for one in box.iterdir()] if box.is_dir() else []
            found[:] = [one for one in mails if f"\nMessage-ID: <{delivery}.".encode() in one]
            return bool(found)

        until(arrived, f"a mail for {recipient}")
        (mail,) = found
        return mail

    def log(self) -> str:
        return (self.home / "log").read_text()


@contextmanager
def postfix() -> Iterator[Postfix]:
    if not (_PROGRAMS / "master").exists():
        pytest.skip("Postfix is not installed (Debian: postfix): the sink email is held against aiosmtpd alone")
    if os.getuid() != 0:
        pytest.skip("Postfix starts as root alone: the sink email is held against aiosmtpd alone")
    home = Path(mkdtemp(prefix="postfix-"))
    try:
        server = Postfix(home=home, port=free_port(), certificate=certificate(home))
        _write(server)
        running = subprocess.Popen(
            [_PROGRAMS / "master", "-c", home / "conf", "-d"],
            start_new_session=True, env={"PATH": "/usr/sbin:/usr/bin:/bin"},
        )  # fmt: skip
        try:
            until(lambda: _listens(server, running), "Postfix to listen")
            yield server
        finally:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    finally:
        shutil.rmtree(home)


def _write(server: Postfix) -> None:
    home, owner, nobody = server.home, pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
    home.chmod(0o755)
    for name in ("conf", "spool", "data", "mail", *(f"spool/{one}" for one in _SPOOL)):
        (home / name).mkdir()
    for name in ("data", *(f"spool/{one}" for one in _SPOOL if one != "pid")):
        os.chown(home / name, owner.pw_uid, owner.pw_gid)
    os.chown(home / "mail", nobody.pw_uid, nobody.pw_gid)
    boxes = ", ".join(f"{one}={one.partition('@')[0]}/" for one in KNOWN)
    main = _MAIN.format(
        home=home, programs=_PROGRAMS, boxes=boxes, uid=nobody.pw_uid, largest=LARGEST, certificate=server.certificate
    )
    (home / "conf/main.cf").write_text(main)
    (home / "conf/master.cf").write_text(_MASTER.format(port=server.port))
    os.utime(home / "conf/main.cf", (1, 1))  # it waits two seconds for a file that was just written to be done


def _listens(server: Postfix, running: "subprocess.Popen[bytes]") -> bool:
    assert running.poll() is None, server.log()
    try:
        smtplib.SMTP("127.0.0.1", server.port, "test.example", timeout=5).quit()
    except OSError:
        return False
    return True
