"""JSON Web Tokens that vouch for us when we log in (RFC 7515, RFC 7523): RS256, signed by a key of our own."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from ...core.settings import Secret
from .private_keys import rsa_private_key


def signed(claims: Mapping[str, Any], key: Secret, headers: Mapping[str, str] | None = None) -> str:
    """The compact form. `key` is an RSA private key in PEM form; ValueError, without a word of it, where it is none."""
    # Imported here: most installations log in nowhere in this way and need not hold OpenSSL's bindings in memory.
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    loaded = rsa_private_key(key)
    head = {"alg": "RS256", "typ": "JWT", **(headers or {})}
    text = f"{_part(head)}.{_part(claims)}"
    return f"{text}.{_base64(loaded.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _part(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
