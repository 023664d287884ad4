"""Names of things: ids that sort by time, and digests that foreign text cannot break."""

import hashlib
import secrets
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_SHIFTS = range(120, -1, -10)

RandomBits = Callable[[int], int]


def new_id(prefix: str, now: float, random_bits: RandomBits = secrets.randbits) -> str:
    """`evt_01k…`: 48 bits of milliseconds and 80 bits of chance in Crockford's base 32, so that ids sort by time."""
    number = (int(now * 1000) & (2**48 - 1)) << 80 | random_bits(80)
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def digest(*parts: bytes | str) -> bytes:
    """SHA-256 over the parts, each led by its length, so that no two lists of parts share a digest.

    Lone surrogates are legal in JSON and must not fail here, hence `surrogatepass`.
    """
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(8, "big"))
        whole.update(raw)
    return whole.digest()


def fingerprint(secret: str) -> str:
    """Eight hex digits that tell two secrets apart and give neither away."""
    return digest("fingerprint", secret).hex()[:8]


def storable(text: str, limit: int = 1000) -> str:
    """Foreign text as a database takes it: no NUL, no lone surrogate, not endless."""
    if text.isascii() and "\x00" not in text and len(text) <= limit:
        return text
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\u0000")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
