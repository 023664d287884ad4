"""Values of core as the text that stands in a column, and back."""

import json
from collections.abc import Mapping
from typing import Any, Final

from ..core.types import DocumentRef, Part, RawRequest, Receipt
from ..core.work import NewDelivery

_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))


def dump(value: Any) -> str:
    """ASCII JSON: `\\u0000` and lone surrogates are escapes, so every database stores and returns them."""
    return _COMPACT.encode(value)


def dump_request(request: RawRequest) -> str:
    return dump(
        {"method": request.method, "path": request.path, "query": request.query, "headers": request.headers},
    )


def load_request(text: str, body: bytes) -> RawRequest:
    raw = json.loads(text)
    headers = tuple((name, value) for name, value in raw["headers"])
    return RawRequest(method=raw["method"], path=raw["path"], query=raw["query"], headers=headers, body=body)


def dump_ref(ref: DocumentRef) -> str:
    return dump(
        {
            "id": ref.id,
            "round": ref.round,
            "name": ref.name,
            "completed": ref.completed,
            "parts": ref.parts,
            "hints": dict(ref.hints),
        }
    )


def load_ref(text: str) -> DocumentRef:
    raw = json.loads(text)
    return DocumentRef(**{**raw, "parts": tuple(raw["parts"])})


def part_dict(part: Part) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "name": part.name,
        "sha256": part.sha256,
        "size": part.size,
        "content_type": part.content_type,
    }


def dump_bundle(delivery: NewDelivery, title: str) -> str:
    return dump(
        {
            "title": title,
            "parts": [part_dict(part) for part in delivery.parts],
            "paths": delivery.paths,
            "missing": delivery.missing,
            "manifest": delivery.manifest.decode(),
            "manifest_path": delivery.manifest_path,
            "members": [part_dict(part) for part in delivery.members],
        }
    )


def load_bundle(text: str) -> dict[str, Any]:
    """The fields of a DeliveryRow that stand in its bundle."""
    raw = json.loads(text)
    return {
        "title": raw["title"],
        "parts": tuple(Part(**part) for part in raw["parts"]),
        "paths": tuple(raw["paths"]),
        "missing": tuple(raw["missing"]),
        "manifest": raw["manifest"].encode(),
        "manifest_path": raw["manifest_path"],
        "members": tuple(Part(**part) for part in raw.get("members", ())),
    }


def contents(bundle: str) -> frozenset[tuple[str, str]]:
    """Kind and name of the parts that a delivery brings, also of those in a zip."""
    raw = json.loads(bundle)
    return frozenset((part["kind"], part["name"]) for part in raw.get("members") or raw["parts"])


def dump_receipt(receipt: Receipt) -> str:
    return dump(
        {
            "location": receipt.location,
            "proof": receipt.proof,
            "found": receipt.found,
            "details": _plain(receipt.details),
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
