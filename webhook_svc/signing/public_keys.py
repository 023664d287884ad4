"""Checks that need a public key: Ed25519, ECDSA over P-256, RSA."""

from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .keys import Check

Verify = Callable[[bytes, bytes], object]
"""(signature, message) → nothing, or InvalidSignature."""

_RSA: Final[dict[str, tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]]] = {
    "rsa-pss-sha512": (padding.PSS(padding.MGF1(hashes.SHA512()), salt_length=64), hashes.SHA512()),
    "rsa-v1_5-sha256": (padding.PKCS1v15(), hashes.SHA256()),
}
_LEAST_RSA_BITS: Final = 2048


def check_of(alg: str, raw: bytes, *, fixed: bool = False) -> Check:
    """The check of one public key: PEM, DER SubjectPublicKeyInfo, or the 32 bytes of Ed25519. ValueError otherwise.

    `fixed`: ECDSA signatures are r and s of 32 bytes each, not DER.
    """
    try:
        key = _load(alg, raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"the secret is no public key for {alg}") from None
    match key:
        case ed25519.Ed25519PublicKey() if alg == "ed25519":
            return _check(key.verify)
        case ec.EllipticCurvePublicKey() if alg == "ecdsa-p256-sha256" and isinstance(key.curve, ec.SECP256R1):
            return _check(_ecdsa(key, fixed))
        case rsa.RSAPublicKey() if alg in _RSA and key.key_size >= _LEAST_RSA_BITS:
            return _check(_rsa(key, alg))
    raise ValueError(f"the secret is a public key of another kind than {alg}")


def _ecdsa(key: ec.EllipticCurvePublicKey, fixed: bool) -> Verify:
    def verify(signature: bytes, message: bytes) -> None:
        key.verify(_as_der(signature) if fixed else signature, message, ec.ECDSA(hashes.SHA256()))

    return verify


def _as_der(signature: bytes) -> bytes:
    if len(signature) != 64:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def _rsa(key: rsa.RSAPublicKey, alg: str) -> Verify:
    scheme, algorithm = _RSA[alg]
    return lambda signature, message: key.verify(signature, message, scheme, algorithm)


def _load(alg: str, raw: bytes) -> object:
    if raw.startswith(b"-----BEGIN "):
        return serialization.load_pem_public_key(raw)
    if alg == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return serialization.load_der_public_key(raw)


def _check(verify: Verify) -> Check:
    def check(message: bytes, candidates: Sequence[bytes]) -> bool:
        return any(_holds(verify, candidate, message) for candidate in candidates)

    return check


def _holds(verify: Verify, signature: bytes, message: bytes) -> bool:
    try:
        verify(signature, message)
    except InvalidSignature:
        return False
    return True
