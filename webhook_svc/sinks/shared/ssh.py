"""The way into a server that speaks SSH: its key recognised before it is told anything, then the login."""

import errno
import hashlib
import io
import logging
import re
import socket
import threading
from base64 import b64encode
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import paramiko

from ...core.errors import Retryable
from ...core.settings import Secret, setting

_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_SAID: Final = {
    errno.ENOENT: "the server finds no such file or folder",
    errno.EACCES: "the server denies the permission",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    host: str = setting("The server's name or address.")
    port: int = setting("Its port.", 22)
    host_key: tuple[str, ...] = setting(
        "Public keys of the server (`ssh-ed25519 AAAA…`) or their fingerprints (`SHA256:…`); two while it changes them."
    )
    user: str = setting("The login's name.")
    password: Secret | None = setting("Its password; this, private_key or both.", None)
    private_key: Secret | None = setting("Its private key: the text of the file, OpenSSH or PEM.", None)
    passphrase: Secret | None = setting("Of the private key, where it has one.", None)
    timeout: float = setting("Seconds for the way in, and for each answer after it.", 30.0)

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host) or not 0 < self.port < 65536:
            raise ValueError("the name or address of a host, and a port")
        if not self.user.strip():
            raise ValueError("a user that is not empty")
        if not (self.password or self.private_key):
            raise ValueError("a password or a private_key")
        self.pinned()
        self.key()

    def pinned(self) -> dict[str, str]:
        """Fingerprint → type of key, "" where it is not known. ValueError where there is none."""
        if not self.host_key:
            raise ValueError("at least one host_key: `ssh-keyscan HOST | ssh-keygen -lf -` shows what a server says")
        return dict(map(_pinned, self.host_key))

    def key(self) -> paramiko.PKey | None:
        """ValueError, without a word of it, where it cannot be read."""
        if self.private_key is None:
            return None
        text = self.private_key.reveal().strip().replace("\\n", "\n") + "\n"
        passphrase = self.passphrase.reveal() if self.passphrase else None
        for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
            with suppress(paramiko.SSHException, ValueError, TypeError, IndexError):
                return kind.from_private_key(io.StringIO(text), passphrase)
        raise ValueError("a private_key that is Ed25519, ECDSA or RSA, and its passphrase if it has one")


@dataclass(frozen=True, slots=True)
class Way:
    """Threads may share it: each conversation has a connection of its own."""

    settings: SshSettings
    pinned: dict[str, str]
    key: paramiko.PKey | None

    @classmethod
    def to(cls, settings: SshSettings) -> "Way":
        # The library would repeat in the log what servers say, banners and all.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        return cls(settings, settings.pinned(), settings.key())

    @contextmanager
    def sftp(self) -> Iterator[paramiko.SFTPClient]:
        """A conversation. What goes wrong in it is Retryable, unless it is an error of ours."""
        place = (self.settings.host, self.settings.port)
        with _translated(), socket.create_connection(place, self.settings.timeout) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # questions are small, and not to be saved up
            transport = paramiko.Transport(line)
            try:
                with _bounded(transport, self.settings.timeout):
                    channel = self._let_in(transport)
                channel.settimeout(self.settings.timeout)
                yield paramiko.SFTPClient(channel)
            finally:
                with suppress(OSError):  # else its thread would notice a tenth of a second later
                    line.shutdown(socket.SHUT_RDWR)
                transport.close()

    def _let_in(self, transport: paramiko.Transport) -> paramiko.Channel:
        self._ask_for_pinned(transport)
        transport.start_client(timeout=self.settings.timeout)
        self._recognise(transport.get_remote_server_key())
        user, password = self.settings.user, self.settings.password
        if self.key is not None:
            transport.auth_publickey(user, self.key)
        if password and not transport.is_authenticated():
            transport.auth_password(user, password.reveal())
        if not transport.is_authenticated():
            raise Retryable("the server wants more than this login has")
        channel = transport.open_session(timeout=self.settings.timeout)
        channel.invoke_subsystem("sftp")
        return channel

    def _ask_for_pinned(self, transport: paramiko.Transport) -> None:
        """A server has a key of each type: it is asked for one that is pinned, where their types are known."""
        kinds = set(self.pinned.values())
        if "" not in kinds:
            options = transport.get_security_options()
            names = [one for one in options.key_types if ("ssh-rsa" if one.startswith("rsa-") else one) in kinds]
            options.key_types = names or options.key_types

    def _recognise(self, key: paramiko.PKey) -> None:
        shown = _fingerprint(key.asbytes())
        if shown not in self.pinned:
            raise Retryable(f"the server shows another host key than the pinned one: {key.get_name()} {shown}")


@contextmanager
def _bounded(transport: paramiko.Transport, seconds: float) -> Iterator[None]:
    """The library waits for some of the answers on the way in without an end."""
    watch = threading.Timer(seconds, transport.close)
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        watch.join()


def _pinned(text: str) -> tuple[str, str]:
    """(fingerprint, type of key or "") of a public key or a fingerprint, as ssh-keygen prints them."""
    if _FINGERPRINT.fullmatch(text.strip()):
        return text.strip(), ""
    kind, _, rest = text.strip().partition(" ")
    try:
        blob = a2b_base64(rest.split(" ", 1)[0], strict_mode=True)
    except NotBase64:
        blob = b""
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
        raise ValueError("a host_key such as ssh-ed25519 AAAA… or SHA256:…")
    return _fingerprint(blob), kind


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


@contextmanager
def _translated() -> Iterator[None]:
    """The one table from what a server, SSH or a socket says to what it means. Server texts are not shown."""
    try:
        yield
    except paramiko.AuthenticationException:
        raise Retryable("the server refused the login") from None
    except (paramiko.SSHException, paramiko.SFTPError, EOFError) as error:
        raise Retryable(f"the conversation with the server broke off ({type(error).__name__})") from None
    except TimeoutError:
        raise Retryable("no answer in time") from None
    except socket.gaierror:
        raise Retryable("the host's name cannot be looked up") from None
    except ConnectionError as error:
        raise Retryable(f"the connection failed ({type(error).__name__})") from None
    except OSError as error:
        raise Retryable(_SAID.get(error.errno or 0, "the server refused, and did not say why")) from None
