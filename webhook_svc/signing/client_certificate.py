"""Mutual TLS that a trusted proxy ended: a header tells which certificate the client proved to hold.

How proxies write it, told apart by how it begins: a certificate in PEM, percent-encoded (nginx
`$ssl_client_escaped_cert`, AWS `X-Amzn-Mtls-Clientcert-Leaf`; of a chain the first counts) or not, in DER as base64
(Caddy, HAProxy, Traefik) or between colons (RFC 9440), Envoy's `X-Forwarded-Client-Cert` with `Hash` or `Cert`, or its
SHA-256 fingerprint alone. Anybody can send such a header: who takes it must know that only the proxy can.

https://nginx.org/en/docs/http/ngx_http_ssl_module.html https://www.rfc-editor.org/rfc/rfc9440
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/header-modification.html
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from ..core.errors import NotGenuine
from .reading import Place, Reading

LONGEST: Final = 16 * 1024
"""Characters of the header: three certificates and their percent signs."""

_FINGERPRINT: Final = re.compile(r"[0-9a-fA-F]{2}(?::?[0-9a-fA-F]{2}){31}")
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII)
_ENVOY: Final = re.compile(r'([A-Za-z]{1,20})=("(?:[^"\\]|\\.)*+"|[^",;=]*+)(;|\Z)', re.ASCII)


@dataclass(frozen=True, slots=True)
class Presented:
    """`sha256` of the certificate, and the certificate itself (DER) where it came along, else b""."""

    sha256: bytes
    der: bytes = b""

    @classmethod
    def of(cls, der: bytes) -> "Presented":
        if not der:
            raise ValueError("an empty certificate")
        return cls(hashlib.sha256(der).digest(), der)


def fingerprint_of(text: str) -> bytes:
    """The SHA-256 that 64 hex digits say, with or without colons. ValueError otherwise."""
    if not _FINGERPRINT.fullmatch(text):
        raise ValueError("the secret is no SHA-256 fingerprint of a certificate: 64 hex digits, with or without colons")
    return bytes.fromhex(text.replace(":", ""))


def presented(text: str) -> Presented:
    """What a proxy's header says. ValueError where it is none of the known forms."""
    if _FINGERPRINT.fullmatch(text):
        return Presented(fingerprint_of(text))
    if text.startswith("-----BEGIN"):
        return Presented.of(_from_pem(text))
    if re.match("[A-Za-z]{1,20}=", text):
        return _from_envoy(text)
    return Presented.of(base64.b64decode(text.removeprefix(":").removesuffix(":"), validate=True))


def _from_pem(text: str) -> bytes:
    found = _PEM.match(unquote(text))
    if found is None:
        raise ValueError("no certificate in PEM form")
    return base64.b64decode("".join(found[1].split()), validate=True)


def _from_envoy(text: str) -> Presented:
    """One element: a second one, after a comma, was written by a proxy further away, or by the client."""
    told: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _ENVOY.match(text, at)
        if match is None or match[1].lower() in told.keys() & {"hash", "cert"}:
            raise ValueError("not one element of name=value pairs")
        told[match[1].lower()] = match[2].strip('"')
        at = match.end()
    claimed = fingerprint_of(told["hash"]) if "hash" in told else b""
    if "cert" not in told:
        return Presented(fingerprint_of(told.get("hash", "")))
    found = Presented.of(_from_pem(told["cert"]))
    if claimed not in (b"", found.sha256):
        raise ValueError("the hash is not that of the certificate")
    return found


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """`header` is where the proxy writes, `allowed` are the fingerprints."""

    header: Place
    allowed: frozenset[bytes]

    def signed(self, reading: Reading, now: float) -> list[tuple[bytes, Sequence[bytes]]]:
        """The fingerprint of the certificate, over nothing. NotGenuine where there is none that is valid now."""
        found = self._presented(reading)
        # Only a certificate that somebody allowed is read any further.
        if found.der and found.sha256 in self.allowed:
            _check_dates(found.der, now)
        return [(b"", [found.sha256])]

    def _presented(self, reading: Reading) -> Presented:
        texts = reading.texts(self.header, longest=LONGEST)
        if not texts or not texts[0].strip():
            raise NotGenuine("no_signature", f"header:{self.header.name} holds no client certificate")
        try:
            return presented(texts[0].strip())
        except ValueError:
            raise NotGenuine("malformed", f"header:{self.header.name} holds no certificate in a known form") from None


def _check_dates(der: bytes, now: float) -> None:
    # Imported here: most installations see no certificates and need not hold OpenSSL's bindings in memory.
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    except (ValueError, x509.InvalidVersion):
        raise NotGenuine("malformed", "the client certificate cannot be read") from None
    if not begins <= now <= ends:
        raise NotGenuine("stale", "the client certificate is not valid at this time")
