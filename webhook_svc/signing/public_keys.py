"""Checks that need a public key: Ed25519 and ECDSA over P-256."""

from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from .keys import Check


def check_of(alg: str, raw: bytes) -> Check:
    """The check of one public key: PEM, DER SubjectPublicKeyInfo, or the 32 bytes of Ed25519. ValueError otherwise."""
    try:
        key = _load(alg, raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"the secret is no public key for {alg}") from None
    if alg == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
        return _check(key.verify)
    if alg == "ecdsa-p256-sha256" and isinstance(key, ec.EllipticCurvePublicKey) and _is_p256(key):
        return _check(lambda signature, message: key.verify(signature, message, ec.ECDSA(hashes.SHA256())))
    raise ValueError(f"the secret is a public key of another kind than {alg}")


def _load(alg: str, raw: bytes) -> object:
    if raw.startswith(b"-----BEGIN "):
        return serialization.load_pem_public_key(raw)
    if alg == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return serialization.load_der_public_key(raw)


def _is_p256(key: ec.EllipticCurvePublicKey) -> bool:
    return isinstance(key.curve, ec.SECP256R1)


def _check(verify: Callable[[bytes, bytes], object]) -> Check:
    def check(message: bytes, candidates: Sequence[bytes]) -> bool:
        return any(_holds(verify, candidate, message) for candidate in candidates)

    return check


def _holds(verify: Callable[[bytes, bytes], object], signature: bytes, message: bytes) -> bool:
    try:
        verify(signature, message)
    except InvalidSignature:
        return False
    return True
