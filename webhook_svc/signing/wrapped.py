"""Text that is encrypted for the holder of an RSA key, as Anvil's library writes it.

https://github.com/anvilco/node-encryption/blob/master/src/index.js (2026-11): an AES key of 32 bytes, written as 64
hexadecimal digits, goes through RSA-OAEP (SHA-1) and base64; a colon; sixteen bytes of IV in hex; a colon; the
content through AES-256-CBC with PKCS #7 padding, in hex. Whoever has the public key can write it: it hides a content
and proves nothing.
"""

import base64
from collections.abc import Callable
from typing import Any, Final

from ..core.settings import Secret
from .outgoing.private_keys import rsa_private_key

_LONGEST: Final = 8 * 1024 * 1024
_KEY_BYTES: Final = 32
_BLOCK: Final = 16


def unwrapped(text: str, key: Secret) -> bytes:
    """What it holds. ValueError, which says nothing of key or content, where it does not open."""
    loaded = rsa_private_key(key)
    try:
        sealed, iv, content = text[:_LONGEST].split(":")
        inner = bytes.fromhex(loaded.decrypt(base64.b64decode(sealed, validate=True), _oaep()).decode("ascii"))
        return _decrypted(inner, bytes.fromhex(iv), bytes.fromhex(content))
    except ValueError:
        raise ValueError("what is encrypted does not open with the private key") from None


def wrapped(content: bytes, public: Any, random: Callable[[int], bytes]) -> str:
    """A sender's side; `public` is an RSA public key of `cryptography`."""
    from cryptography.hazmat.primitives.padding import PKCS7

    key, iv, padder = random(_KEY_BYTES), random(_BLOCK), PKCS7(_BLOCK * 8).padder()
    cipher = _cipher(key, iv).encryptor()
    body = cipher.update(padder.update(content) + padder.finalize()) + cipher.finalize()
    return f"{base64.b64encode(public.encrypt(key.hex().encode(), _oaep())).decode()}:{iv.hex()}:{body.hex()}"


def _decrypted(key: bytes, iv: bytes, content: bytes) -> bytes:
    from cryptography.hazmat.primitives.padding import PKCS7

    if len(key) != _KEY_BYTES:
        raise ValueError("no key of AES-256")
    cipher, unpadder = _cipher(key, iv).decryptor(), PKCS7(_BLOCK * 8).unpadder()
    return unpadder.update(cipher.update(content) + cipher.finalize()) + unpadder.finalize()


def _cipher(key: bytes, iv: bytes) -> Any:
    # Imported here, as in all of this file: most installations decrypt nothing and need not hold OpenSSL's bindings.
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    return Cipher(AES256(key), CBC(iv))


def _oaep() -> Any:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.hashes import SHA1

    return OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303  what the sender chose; it hides, no more
