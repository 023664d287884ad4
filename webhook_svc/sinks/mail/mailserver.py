"""The address of a mail server, as people write it: `imaps://user:password@host`, everything %-encoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from ...core.settings import Secret

Tls = Literal["auto", "starttls", "tls", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    user: str
    password: Secret


def mail_server(address: Secret, protocol: str, tls: Tls, ports: Mapping[str, int]) -> MailServer:
    """`protocol` is "imap" for imap:// and imaps://, `ports` those of starttls, tls and none.

    ValueError, without a word of the address, where it is none, or would send a password in the clear.
    """
    expected = ValueError(f"a server such as {protocol}s://user:password@host, in ASCII, special characters %-encoded")
    try:
        url = urlsplit(address.reveal())
        user, password, port = unquote(url.username or ""), unquote(url.password or ""), url.port
    except ValueError:
        raise expected from None
    known = url.scheme in (protocol, f"{protocol}s") and url.hostname and _plain(user + password)
    if not known or url.path.strip("/") or url.query or url.fragment:
        raise expected
    safe = tls if tls != "auto" else "tls" if url.scheme == f"{protocol}s" else "starttls"
    if user and safe == "none" and not _is_loopback(url.hostname or ""):
        raise ValueError('no password with tls = "none": it would travel in the clear')
    return MailServer(host=url.hostname or "", port=port or ports[safe], tls=safe, user=user, password=Secret(password))


def _plain(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not text)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
