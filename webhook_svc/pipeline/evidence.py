"""The callback as a part of its bundle: the request as it arrived, byte for byte but for its secrets."""

import hashlib
from collections.abc import Iterator

from ..core.ports import Vault
from ..core.rawhttp import raw_text
from ..core.store import Store
from ..core.types import CALLBACK, Artifact, Part
from ..core.work import SigningRow
from .versions import Plan

_NAME = "callback.http"


def callback(store: Store, vault: Vault, row: SigningRow, plan: Plan) -> tuple[Part, ...]:
    """The newest that spoke of the signing; where the vault lost one, that one. None where its bytes are not kept, or
    where the provider's list told of the signing and nobody called."""
    lost = {one.part.sha256 for one in row.parts if one.part.kind == CALLBACK and CALLBACK in plan.lost}
    for text in _told(store, row.id):
        if not lost or hashlib.sha256(text).hexdigest() in lost:
            return (_kept(vault, text),)
    return ()


def _told(store: Store, signing_id: str) -> Iterator[bytes]:
    for event_id in store.spoken(signing_id):
        event = store.event(event_id)
        if event.listed is None:
            yield raw_text(event.request)


def _kept(vault: Vault, text: bytes) -> Part:
    with vault.writer() as writer:
        writer.write(text)
        artifact: Artifact = writer.commit()
    return Part(kind=CALLBACK, name=_NAME, sha256=artifact.sha256, size=artifact.size, content_type="message/http")
