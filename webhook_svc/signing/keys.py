"""Secrets become checks: strict decoding of keys and signatures, and the comparison of each algorithm."""

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from ..core.settings import Secret
from .client_certificate import fingerprint_of

Check = Callable[[bytes, Sequence[bytes]], bool]
"""(message, candidates) → does one of the candidates hold?"""

HMAC_DIGESTS: Final = {"hmac-sha256": "sha256", "hmac-sha1": "sha1", "hmac-sha512": "sha512", "hmac-md5": "md5"}
PUBLIC_KEY_ALGORITHMS: Final = ("ed25519", "ecdsa-p256-sha256", "rsa-pss-sha512", "rsa-v1_5-sha256")

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def decode_signature(text: str, encoding: str) -> bytes | None:
    """The bytes of a signature, None where it is not canonical: odd, cut, padded wrongly, with foreign characters."""
    if encoding == "hex":
        return bytes.fromhex(text) if _HEX.fullmatch(text) else None
    if not _BASE64.fullmatch(text) or len(text) % 4:
        return None
    raw = base64.b64decode(text)
    return raw if base64.b64encode(raw).decode() == text else None


def decode_key(text: str, kind: str) -> bytes:
    """The bytes of a configured secret. ValueError, which never quotes the secret, where it does not fit the kind."""
    if not text.strip():
        raise ValueError("an empty secret would accept everything")
    if kind in ("utf8", "utf8-nfkd"):
        return _utf8(unicodedata.normalize("NFKD", text) if kind == "utf8-nfkd" else text)
    if kind == "hex":
        if not _HEX.fullmatch(text):
            raise ValueError("the secret is not hex: an even number of the digits 0-9 and a-f")
        return bytes.fromhex(text)
    return _base64_key(text.removeprefix(f"{kind}_") if kind in ("whsec", "whpk") else text)


def checker(alg: str, key: str, secret: Secret, *, fixed: bool = False) -> Check:
    """The check of one secret, its key decoded once. ValueError where the secret cannot be used.

    `fixed`: ECDSA signatures are two numbers of fixed length (RFC 9421 §3.3.4), not DER.
    """
    if alg in PUBLIC_KEY_ALGORITHMS:
        # Imported here: most installations verify HMAC only and need not hold OpenSSL's bindings in memory.
        from .public_keys import check_of

        return check_of(alg, _public_key_bytes(secret.reveal(), key), fixed=fixed)
    if alg == "client-certificate":
        allowed = fingerprint_of(secret.reveal().strip())
        return lambda _message, candidates: _any_equal(allowed, candidates)
    raw = decode_key(secret.reveal(), key)
    if alg == "equal":
        return lambda _message, candidates: _any_equal(raw, candidates)
    return lambda message, candidates: _any_equal(digest(alg, raw, message), candidates)


def digest(alg: str, key: bytes, message: bytes) -> bytes:
    if alg == "sha1":
        # The scheme is the sender's: SHA-1 over the message and then the key.
        return hashlib.sha1(message + key, usedforsecurity=False).digest()
    return hmac.digest(key, message, HMAC_DIGESTS[alg])


def _any_equal(expected: bytes, candidates: Sequence[bytes]) -> bool:
    # All are compared, so that the time does not tell which one came close.
    return bool(sum([hmac.compare_digest(expected, candidate) for candidate in candidates]))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("the secret holds characters that are no UTF-8") from None


def _base64_key(text: str) -> bytes:
    """Secrets are lenient where senders' own suites are: padding and unused bits may be missing or set."""
    bare = text.rstrip("=")
    if not _BASE64.fullmatch(text) or len(bare) % 4 == 1 or (bare != text and len(text) % 4):
        raise ValueError("the secret is not base64")
    return base64.b64decode(bare + "=" * (-len(bare) % 4))


def _public_key_bytes(text: str, kind: str) -> bytes:
    """PEM as it stands, or the decoded key."""
    return _utf8(text.strip()) if text.lstrip().startswith("-----BEGIN ") else decode_key(text, kind)
