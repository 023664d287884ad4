"""S/MIME (RFC 8551): a letter that is signed, encrypted, or both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...core.errors import Retryable
from ...core.ids import digest
from ...core.settings import Secret, setting
from .letter import Attachment, Letter, held
from .mime import GROWS, Message, Piece, entity, envelope

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

    SigningKey = RSAPrivateKey | EllipticCurvePrivateKey

Pieces = tuple[Piece, ...]

_SIGNATURE: Final = b"""\
Content-Type: application/pkcs7-signature; name="smime.p7s"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="smime.p7s"

""".replace(b"\n", b"\r\n")
_ENVELOPE: Final = b"""\
Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="smime.p7m"

""".replace(b"\n", b"\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Smime:
    """With nothing set, a mail is neither signed nor encrypted."""

    certificate: str = setting("Sign: our certificate, then those up to its authority; PEM text, or a file of it.", "")
    key: Secret | None = setting("Its private key (RSA or EC); PEM text, or a file of it.", None)
    password: Secret | None = setting("Of a key that is encrypted.", None)
    recipients: Mapping[str, str] = setting(
        "Encrypt: the certificate (RSA) of each recipient, by address; PEM text, or a file of it.", factory=dict
    )

    def __post_init__(self) -> None:
        Seal(self)

    def seal(self) -> "Seal | None":
        return Seal(self) if self.certificate or self.recipients else None


class Seal:
    """Certificates and keys, read. ValueError where one of them cannot be used."""

    def __init__(self, settings: Smime) -> None:
        if bool(settings.certificate) != bool(settings.key):
            raise ValueError("`certificate` and `key` together")
        self._chain = _certificates("certificate", settings.certificate) if settings.certificate else []
        self._key = _key(settings.key, settings.password) if settings.key else None
        if self._key and self._key.public_key() != self._chain[0].public_key():
            raise ValueError("a `key` that belongs to the first certificate")
        self._recipients = {one: _certificates(one, text)[0] for one, text in settings.recipients.items()}
        if wrong := [name for name, one in self._recipients.items() if not _is_rsa(one)]:
            raise ValueError(f"certificates of RSA keys in `recipients`; that of {wrong[0][:60]} has another")

    @property
    def grows(self) -> float:
        """How many times as long as its files a letter may become: Base64, twice where it is encrypted."""
        return GROWS * GROWS if self._recipients else GROWS

    @property
    def acts(self) -> str:
        """What is done to each letter, in words."""
        done = ("signed" if self._key else "", "encrypted" if self._recipients else "")
        return " and ".join(filter(None, done))

    def compose(self, letter: Letter, now: float) -> Message:
        """Other bytes every time. It takes memory: cryptography signs and encrypts nothing by pieces.

        Retryable where a certificate is not valid `now`.
        """
        self.judge(now)
        content = tuple(entity(letter))
        if self._key:
            content = tuple(self._signed(content, self._key, f"=_{digest('signed', letter.message_id).hex()[:32]}"))
        if self._recipients:
            content = (_ENVELOPE, self._encrypted(content))
        return Message(pieces=(envelope(letter), *content))

    def judge(self, now: float) -> datetime:
        """When the first certificate ends. Retryable where one has, or is not valid yet: a new one will be set."""
        moment = datetime.fromtimestamp(now, UTC)
        named = [("our sender", one) for one in self._chain[:1]]
        named += [(f"{name[0]}***@{name.rpartition('@')[2]}", one) for name, one in self._recipients.items()]
        for whose, one in named:
            begin, end = one.not_valid_before_utc, one.not_valid_after_utc
            if not begin <= moment <= end:
                raise Retryable(f"the S/MIME certificate of {whose} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}")
        return min(one.not_valid_after_utc for _, one in named)

    def _signed(self, content: Pieces, key: "SigningKey", boundary: str) -> Iterator[Piece]:
        """The content is read a second time where it travels: what would be other bytes then makes no whole mail."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

        # The data comes first: `set_data` forgets further certificates.
        builder = PKCS7SignatureBuilder().set_data(_whole(content)).add_signer(self._chain[0], key, SHA256())
        for one in self._chain[1:]:
            builder = builder.add_certificate(one)
        # Binary: these very bytes are signed, whose lines end in CRLF already.
        signature = builder.sign(Encoding.DER, [PKCS7Options.DetachedSignature, PKCS7Options.Binary])
        head = 'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;\r\n'
        yield f'{head} boundary="{boundary}"\r\n\r\n--{boundary}\r\n'.encode()
        yield from content
        yield f"\r\n--{boundary}\r\n".encode() + _SIGNATURE
        yield held("smime.p7s", "application/pkcs7-signature", signature)
        yield f"\r\n--{boundary}--\r\n".encode()

    def _encrypted(self, content: Pieces) -> Attachment:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES256
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7EnvelopeBuilder, PKCS7Options

        builder = PKCS7EnvelopeBuilder().set_data(_whole(content)).set_content_encryption_algorithm(AES256)
        for one in self._recipients.values():
            builder = builder.add_recipient(one)
        sealed = builder.encrypt(Encoding.DER, [PKCS7Options.Binary])
        return held("smime.p7m", "application/pkcs7-mime", sealed)


def _whole(content: Pieces) -> bytes:
    """`BytesIO` gives its buffer away without a copy."""
    whole = BytesIO()
    whole.writelines(Message(pieces=content).chunks())
    return whole.getvalue()


def _is_rsa(certificate: "Certificate") -> bool:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    return isinstance(certificate.public_key(), RSAPublicKey)


def _certificates(name: str, text: str) -> list["Certificate"]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_pem(text))
    except ValueError as error:
        raise ValueError(f"a certificate in PEM form as {name[:60]}: {_why(error)}") from None


def _key(text: Secret, password: Secret | None) -> "SigningKey":
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_pem(text.reveal()), password.reveal().encode() if password else None)
    except (ValueError, TypeError) as error:  # TypeError: a password too many, or too few
        raise ValueError(f"a private key in PEM form as `key`, with its `password`: {_why(error)}") from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise ValueError("a key of RSA or of an elliptic curve")
    return key


class _Unreadable(ValueError):
    """The file cannot be read."""


def _pem(text: str) -> bytes:
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise _Unreadable(error.strerror) from None


def _why(error: Exception) -> str:
    """Nothing of the text: it may be the key."""
    return str(error) if isinstance(error, _Unreadable) else "it cannot be understood"
