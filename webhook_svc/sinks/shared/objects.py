"""What stores of objects have in common: keys, one request for each object, and how it is compared afterwards."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import quote

from ...core.errors import Permanent, Retryable, WebhookError
from ...core.outgoing import Answer, Request, Upload
from ...core.ports import Http
from ...core.types import EMPTY, Delivery, Receipt
from .things import EVERYTHING, Compared, Stored, Thing, joined, other_bytes, receipt, things

READ_BACK: Final = "read back and hashed"
LONGEST_KEY: Final = 1024
"""Bytes of UTF-8 at Amazon and Google; Azure counts characters."""

_MAY_STAND: Final = (403, 409, 412)
"""How stores say that an object stands there already. The condition of a write is not always what they look at first:
a hold on the object, or that we may create and not overwrite, can come before it."""
LARGE: Final = 8 * 1024 * 1024
"""Bytes from which it is looked first: a service that refuses a long body need not read it to its end, and then its
answer may be lost."""


def check_prefix(prefix: str) -> None:
    """ValueError where a setting cannot stand before every name."""
    if prefix and any(segment in ("", ".", "..") for segment in prefix.strip("/").split("/")):
        raise ValueError("a prefix without empty segments and dots")


def md5_of(thing: Thing) -> str:
    """In base64, for services that check nothing stronger. Raises ArtifactLost as reading it does."""
    whole = hashlib.md5(usedforsecurity=False)
    thing.feed(whole.update)
    return b64encode(whole.digest()).decode()


def same_md5(thing: Thing, md5: str, *, kept: str, claimed: str) -> bool | None:
    """What the MD5 that a store keeps says beside the SHA-256 that the object's metadata claims.

    The metadata is a claim, and MD5 can be forged: together they say that the object came whole from us.
    """
    return True if (kept, claimed) == (md5, thing.sha256) else None


def delivered(
    delivery: Delivery, place: str, store: Callable[[Thing], Stored], *, prefix: str, manifest: bool
) -> Receipt:
    """The receipt for everything that a delivery holds, once `store` has brought it there; the manifest last.

    `place` is where all of it stands, for people.
    """
    sent = list(things(delivery, partial(_key, prefix), manifest=manifest))
    stored = [store(thing) for thing in sent]
    return receipt(f"{place}/{sent[0].path}", sent, stored)


def _key(prefix: str, path: str) -> str:
    key = joined(prefix, path)
    if len(key.encode()) > LONGEST_KEY:
        raise Permanent(f"the name is longer than {LONGEST_KEY} bytes: {key[:60]}…")
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A place where objects stand, each at its key below `address`, which has no slash at its end.

    `vouched` puts into a request what vouches for us. `failure` says what an answer means that is no success, and is
    told what we were about ("writing"). `looking` are headers of each look at an object. `reads`: no hash of the store
    is taken for a proof, every object is read back.
    """

    address: str
    http: Http
    vouched: Callable[[Request], Request]
    failure: Callable[[str, Answer], WebhookError]
    looking: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    reads: bool = False

    def call(
        self,
        method: str,
        key: str = "",
        *,
        query: str = "",
        headers: Mapping[str, str] = EMPTY,
        body: Upload | None = None,
    ) -> Answer:
        url = self._url(key) + (f"?{query}" if query else "")
        return self.http.call(self.vouched(Request(method=method, url=url, headers=headers, body=body)))

    def create(
        self,
        thing: Thing,
        still_ours: Callable[[], None],
        *,
        headers: Mapping[str, str],
        same: Callable[[Answer], bool | None],
        proof: str,
    ) -> Stored:
        """Sent in one request, whose `headers` hold the condition that nothing stands there, or found; then compared
        as `compare` does."""
        head = self.head(thing) if thing.size > LARGE else None
        if head is not None:
            return Stored(found=True, proof=self.compare(thing, head, same=same, proof=proof))
        answer = self.put(thing, still_ours, headers)
        if answer.ok or answer.status in _MAY_STAND:
            head = self.head(thing)
        if head is None and not answer.ok and answer.status != 412:
            raise self.failure("writing", answer)
        return Stored(found=not answer.ok, proof=self.compare(thing, head, same=same, proof=proof))

    def put(self, thing: Thing, still_ours: Callable[[], None], headers: Mapping[str, str]) -> Answer:
        headers = {"Content-Type": thing.content_type, **headers}
        return self.call("PUT", thing.path, headers=headers, body=thing.upload(still_ours))

    def head(self, thing: Thing) -> Answer | None:
        """None where there is no such object."""
        answer = self.call("HEAD", thing.path, headers=self.looking)
        if answer.status == 404:
            return None
        if not answer.ok:
            raise self.failure("looking", answer)
        return answer

    def compare(self, thing: Thing, head: Answer | None, *, same: Callable[[Answer], bool | None], proof: str) -> str:
        """How it was proved that the object holds these bytes. Conflict where it holds others.

        `same` is what the hashes in the look say that the store keeps, and `proof` how that is called; where they say
        nothing (None) the object is read back.
        """
        if head is None:
            raise Retryable("the object was written and cannot be seen yet")
        equal: bool | None = False
        if head.headers.get("content-length", str(thing.size)) == str(thing.size):
            equal = None if self.reads else same(head)
        if equal is None:
            self._read_back(thing)
            return READ_BACK
        if not equal:
            raise other_bytes(thing)
        return proof

    def _read_back(self, thing: Thing) -> None:
        stands = Compared(thing)
        request = self.vouched(Request(url=self._url(thing.path)))
        answer = self.http.save(request, stands, limit=EVERYTHING)
        if not answer.ok:
            raise self.failure("reading back", answer)
        stands.end()

    def _url(self, key: str) -> str:
        return f"{self.address}/{quote(key, safe='/~')}" if key else self.address
