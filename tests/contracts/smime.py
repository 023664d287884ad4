"""Certificates for S/MIME, and the `openssl` command that reads what is sent with them."""

import datetime
import shutil
import subprocess
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from .mail import NOW

YEAR = 365 * 86400
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl command here to read S/MIME mails")


@dataclass(frozen=True, kw_only=True)
class Person:
    """A certificate, its key, and both as files. `chain` holds the certificate and those above it, but the root."""

    certificate: x509.Certificate
    key: Any
    folder: Path
    chain: str

    @property
    def files(self) -> tuple[str, str]:
        return str(self.folder / "certificate.pem"), str(self.folder / "key.pem")

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, password: str = "") -> str:
        how = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        return str(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode())


def person(
    folder: Path, name: str, issuer: Person | None = None, *, curve: bool = False, ca: bool = False, years: int = 1
) -> Person:
    """Valid `years` before and after NOW."""
    key = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.datetime.fromtimestamp(NOW - years * YEAR, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=730 * years))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(name)]), critical=False)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    chain = pem + (issuer.chain if issuer else "") if issuer else ""
    made = Person(certificate=certificate, key=key, folder=folder / name, chain=chain)
    made.folder.mkdir()
    Path(made.files[0]).write_text(made.pem)
    Path(made.files[1]).write_text(made.key_pem())
    return made


def openssl(*arguments: str, given: bytes) -> bytes | None:
    """What it makes of it; None where it refuses."""
    done = subprocess.run(["openssl", "cms", *arguments], input=given, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def verified(mail: bytes, root: Person) -> bytes | None:
    """The content that was signed, as an expert of S/MIME reads it who trusts the root alone."""
    moment = str(int(NOW))
    return openssl("-verify", "-CAfile", root.files[0], "-purpose", "any", "-attime", moment, given=mail)


def opened(mail: bytes, who: Person) -> bytes | None:
    certificate, key = who.files
    return openssl("-decrypt", "-recip", certificate, "-inkey", key, given=mail)


def attachments(content: bytes | None) -> dict[str | None, bytes]:
    assert content is not None
    mail = message_from_bytes(content, policy=policy.default)
    return {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
