"""What stores of objects have in common: the keys of things, and how each is compared with what stands there."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from ..core.errors import Conflict, Permanent, Retryable
from ..core.outgoing import Answer
from .things import Thing, joined

READ_BACK: Final = "read back and hashed"
LONGEST_KEY: Final = 1024
"""Bytes of UTF-8 at Amazon and Google; Azure counts characters."""


def check_prefix(prefix: str) -> None:
    """ValueError where a setting cannot stand before every name."""
    if prefix and any(segment in ("", ".", "..") for segment in prefix.strip("/").split("/")):
        raise ValueError("a prefix without empty segments and dots")


def key_of(prefix: str, path: str) -> str:
    """Permanent where it is longer than stores take."""
    key = joined(prefix, path)
    if len(key.encode()) > LONGEST_KEY:
        raise Permanent(f"the name is longer than {LONGEST_KEY} bytes: {key[:60]}…")
    return key


def md5_of(thing: Thing) -> str:
    """In base64, for services that check nothing stronger. Raises ArtifactLost as reading it does."""
    whole = hashlib.md5(usedforsecurity=False)
    thing.feed(whole.update)
    return b64encode(whole.digest()).decode()


def compare(
    thing: Thing, head: Answer | None, read: Callable[[], str], *, same: bool | None = None, proof: str = ""
) -> str:
    """How it was proved that the object holds these bytes. Conflict where it holds others.

    `head` describes what stands there, None where nothing does. `same` is what a hash says that the store keeps, and
    `proof` how that is called; where it says nothing the object is read back, and `read` gives its SHA-256.
    """
    if head is None:
        raise Retryable("the object was written and cannot be seen yet")
    if head.headers.get("content-length", str(thing.size)) != str(thing.size):
        raise Conflict(f"{thing.path} holds other bytes")
    if same is None:
        same, proof = read() == thing.sha256, READ_BACK
    if not same:
        raise Conflict(f"{thing.path} holds other bytes")
    return proof
