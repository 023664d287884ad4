"""Trying things out: one secret read in several ways, one text as bytes in several ways, and how much work that may be.

For people at a command line who hold the secret; nothing here answers a stranger.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ...core.settings import Secret
from ..keys import PUBLIC_KEY_ALGORITHMS, Check, checker, decode_key, decode_signature, digest

SIZES: Final = {"hmac-sha256": 32, "hmac-sha1": 20, "hmac-sha512": 64, "hmac-md5": 16, "sha1": 20, "ed25519": 64}
"""Bytes of a signature by its algorithm."""
ECDSA_SIZES: Final = range(8, 73)
"""Bytes of an ECDSA signature over P-256, in DER."""
RSA_SIZES: Final = range(256, 2049)
"""Bytes of an RSA signature: as many as its key has."""
KINDS: Final = ("utf8", "base64", "hex", "whsec", "utf8-nfkd")
_LOOSE: Final = "base64 with - and _, or without its ="
PUBLIC_KINDS: Final = ("base64", "hex", "whpk")

_EACH_DIGEST: Final = 2_000
_EACH_VERIFICATION: Final = 50_000
"""What one trial costs beside its bytes, in bytes: about those that are hashed in the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One secret, read as `kind` says, for one algorithm."""

    alg: str
    kind: str
    check: Check
    sign: Callable[[bytes], bytes] | None = None
    """What a signature by this key is; None where the key is a public one."""

    def cost(self, size: int, signatures: int) -> int:
        """Of one message of `size` bytes against so many signatures. A digest is made once for all of them."""
        public = self.alg in PUBLIC_KEY_ALGORITHMS
        return (size + _EACH_VERIFICATION) * signatures if public else size + _EACH_DIGEST


class Budget:
    """The work that may still be done, in bytes that are hashed."""

    def __init__(self, bytes_hashed: int) -> None:
        self._left = bytes_hashed
        self.trials = 0

    def allows(self, key: Key, size: int, signatures: int = 1) -> bool:
        """Whether a message of so many bytes may be tried; if so, it is counted."""
        cost = key.cost(size, signatures)
        if cost > self._left:
            return False
        self._left -= cost
        self.trials += 1
        return True


def could_be(alg: str, size: int) -> bool:
    """Whether a signature of that algorithm can have so many bytes."""
    if alg.startswith("rsa-"):
        return size in RSA_SIZES
    if alg == "ecdsa-p256-sha256":
        return size in ECDSA_SIZES
    return SIZES.get(alg) == size


def keys(text: str, algorithms: Sequence[str]) -> Iterator[Key]:
    """The secret in every way that it can be read; what comes to the same key comes once."""
    for alg in algorithms:
        public = alg in PUBLIC_KEY_ALGORITHMS
        for kind in PUBLIC_KINDS if public else KINDS:
            if (kind in ("whsec", "whpk") and not text.startswith(f"{kind}_")) or _needless(kind, text):
                continue
            try:
                check = checker(alg, kind, Secret(text))
            except ValueError:
                continue
            sign = None if public else partial(digest, alg, decode_key(text, kind))
            yield Key(alg=alg, kind=kind, check=check, sign=sign)


def _needless(kind: str, text: str) -> bool:
    return kind == "utf8-nfkd" and text.isascii()


def spellings(text: str) -> Iterator[tuple[str, bytes]]:
    """(encoding, bytes) for each way in which senders write signatures, the two of the configuration first."""
    bare = text.replace("-", "+").replace("_", "/").rstrip("=")
    ways = [("hex", decode_signature(text, "hex")), ("base64", decode_signature(text, "base64"))]
    ways.append((_LOOSE, decode_signature(bare + "=" * (-len(bare) % 4), "base64")))
    seen = set()
    for name, raw in ways:
        if raw is not None and raw not in seen:
            seen.add(raw)
            yield name, raw
            if (inner := _hex_in(raw)) is not None:
                yield f"hex written as {name}", inner


def _hex_in(raw: bytes) -> bytes | None:
    return decode_signature(raw.decode("ascii"), "hex") if raw.isascii() and raw.isalnum() else None
