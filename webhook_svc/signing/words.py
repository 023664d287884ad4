"""A verification in words, for people who compare senders."""

from ..core.template import Template
from .verify import VerifySettings

_NAMES = {
    "sha1": "SHA-1",
    "ed25519": "Ed25519",
    "ecdsa-p256-sha256": "ECDSA P-256",
    "equal": "the secret",
    "client-certificate": "client certificate, through a proxy",
    "none": "URL token",
}


def in_words(settings: VerifySettings) -> str:
    """`HMAC-SHA256 over time and body`, `the secret in a header`, …"""
    alg = _NAMES.get(settings.alg) or settings.alg.upper()
    if settings.alg in ("none", "client-certificate"):
        return alg
    if settings.alg == "equal":
        place = settings.signature.partition(":")[0]
        return f"{alg} in {'the body' if place == 'json' else f'a {place}'}"
    names = [field.name for field in Template.parse(settings.message).fields]
    if "base" in names:
        return f"{alg} over an RFC 9421 base"
    over = [word for name, word in (("id", "id"), ("ts", "time"), ("url", "URL"), ("body", "body")) if name in names]
    if not over or "body" not in names:
        over.append("some fields")
    return f"{alg} over {' and '.join(over) if len(over) < 3 else ', '.join(over[:-1]) + ' and ' + over[-1]}"
