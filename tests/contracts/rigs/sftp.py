"""OpenSSH's server, run by somebody who owns nothing else."""

import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.ports import Sink

from .base import SECRETS, Rig, make_sink
from .servers import Servers, free_port

_CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {home}/host_ed25519
HostKey {home}/host_ecdsa
AuthorizedKeysFile {home}/authorized
PidFile none
StrictModes no
UsePAM yes
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    port: int
    user: str
    home: Path
    """Where files may be put; everything below belongs to the server's user."""
    host_keys: tuple[str, ...]
    """Its public keys, ed25519 before ecdsa."""
    private_key: str
    """Of a login that it lets in."""

    def table(self, **changes: Any) -> dict[str, Any]:
        common = {"host": "127.0.0.1", "port": self.port, "user": self.user, "private_key": self.private_key}
        return {**common, "host_key": self.host_keys[:1], **changes}

    def own(self, *paths: Path) -> None:
        """What a test has made becomes the server's."""
        if os.geteuid() == 0:
            user = pwd.getpwnam(self.user)
            for path in paths:
                os.chown(path, user.pw_uid, user.pw_gid)


@contextmanager
def sshd() -> Iterator[Server]:
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("OpenSSH's server is not installed: no sshd on PATH or in /usr/sbin")
    home = Path(tempfile.mkdtemp(prefix="sftp-"))
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    keys = [_new_key(home / name) for name in ("host_ed25519", "host_ecdsa", "login_ed25519")]
    shutil.copy(home / "login_ed25519.pub", home / "authorized")
    server = Server(
        port=free_port(), user=user.pw_name, home=home, host_keys=tuple(keys[:2]),
        private_key=(home / "login_ed25519").read_text(),
    )  # fmt: skip
    (home / "config").write_text(_CONFIGURATION.format(port=server.port, home=home))
    server.own(home, *home.iterdir())
    identity: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(home / "config")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, **(identity if os.geteuid() == 0 else {}),
        )  # fmt: skip
    try:
        _wait_for(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(home)


def _new_key(path: Path) -> str:
    kind = path.name.partition("_")[2]
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text().strip()


def _wait_for(server: Server, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 20
    while True:
        assert process.poll() is None, (server.home / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
        except OSError:
            assert time.monotonic() < end, "OpenSSH's server does not listen"
            time.sleep(0.02)
        else:
            return


class SftpRig(Rig):
    behind = "OpenSSH"
    real = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.server = servers.get("sshd", sshd)
        self.root = self.server.home / hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
        self.sink = self.make()
        self.broken = self.make(private_key=None, password=SECRETS[0])

    def make(self, **changes: Any) -> Sink:
        table = self.server.table(**{"path": str(self.root), **changes})
        return make_sink("sftp", {key: value for key, value in table.items() if value is not None})

    def visible(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def plant(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        inner = [folder for folder in target.parents if folder.is_relative_to(self.root)]
        self.server.own(target, *inner)
