"""The secret itself is sent: how what came differs from what is configured."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from ...core.explanation import Match
from ...core.ids import fingerprint
from ...core.settings import Secret

_WORD: Final = re.compile(rb"([A-Za-z]{1,20})[ =:]\s*(\S.*)", re.DOTALL)
_BASIC: Final = re.compile(rb"\Abasic ", re.IGNORECASE)


def compare(secrets: Sequence[Secret], sent: Sequence[bytes]) -> Match | None:
    """The nearest way in which one of the values is one of the secrets."""
    found = [(order, secret, way) for secret in secrets for raw in sent for order, way in _ways(secret.reveal(), raw)]
    if not found:
        return None
    order, secret, way = min(found, key=lambda one: one[0])
    if order == 0:
        return Match(secret=fingerprint(secret.reveal()))
    return Match(secret=fingerprint(secret.reveal()), ways=(way,), kind="masked" if order == 1 else "settings")


def _ways(secret: str, raw: bytes) -> Iterator[tuple[int, str]]:
    """(how far, what differs)"""
    wanted = secret.encode("utf-8", "surrogatepass")
    bare = wanted.strip()
    if raw == wanted:
        yield 0, ""
    if raw == fingerprint(secret).encode():
        yield 1, "the fingerprint stands there in the place of the secret: so we keep callbacks"
    if raw.strip() == bare:
        yield 2, "one of the two has blanks around it"
    if raw.strip() == bare.strip(b"\"'`"):
        yield 3, "the configured secret has quotes around it"
    if (word := _WORD.fullmatch(raw.strip())) and word[2].strip() == bare:
        yield 4, f"the word {word[1].decode()} stands before it: a pattern can leave it out"
    if bare in ((pair := basic_pair(raw)), pair.partition(b":")[2]):
        yield 5, "it is sent as a name and password (Basic): what is compared is the whole text"
    if unquote_to_bytes(raw) == wanted:
        yield 6, "it is percent-encoded"
    if raw.lower() == wanted.lower():
        yield 7, "capital and small letters differ"


def basic_pair(raw: bytes) -> bytes:
    """`user:password` of basic credentials (RFC 7617), with or without the word; b"" where it is none."""
    try:
        pair = base64.b64decode(_BASIC.sub(b"", raw.strip()).strip(), validate=True)
    except binascii.Error:
        return b""
    return pair if b":" in pair else b""
