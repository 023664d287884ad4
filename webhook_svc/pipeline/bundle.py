"""From parts to a delivery: where each file goes in a sink, and the manifest that describes them."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count
from typing import BinaryIO, Final

from ..core.ids import digest, new_id
from ..core.names import NAME_BYTES, safe_name
from ..core.template import Field, Template
from ..core.types import CALLBACK, DOCUMENT, DocumentRef, Part
from ..core.work import DeliveryRow, NewDelivery
from .pack import MANIFEST, ZIP, Open, read_zip, zipped
from .parties import Target
from .routes import meta_of

MANIFEST_KIND = "manifest"
_ENDINGS: Final = {MANIFEST_KIND: ".json", ZIP: ".zip"}
"""Of the kinds that every bundle has one of: their path ends in this, and says which supplement it is."""
_OURS: Final = frozenset({MANIFEST, "callback.http"})
"""Names that no file of a provider takes."""
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_LEAST: Final = 24
"""Bytes that a segment of a shortened path has at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What goes out together: the first bundle of a version, or a supplement to it."""

    source: str
    signing_id: str
    ref: DocumentRef
    title: str
    completed: float
    version: int
    supplement: int
    parts: tuple[Part, ...]
    missing: tuple[str, ...] = ()


def delivery_of(bundle: Bundle, target: Target, now: float, open_: Open) -> NewDelivery | None:
    """The delivery of what a sink wants of a bundle, its paths rendered for good; None where it wants nothing of it."""
    bundle = _wanted(bundle, target.parts)
    if not bundle.parts:
        return None
    delivery_id = new_id("dlv", now)
    if target.zipped:
        return _in_one(bundle, target, delivery_id, open_)
    paths: list[str] = []
    for part in bundle.parts:
        paths.append(_path(bundle, target, delivery_id, part, paths))
    return _new(bundle, target, delivery_id, paths, _manifest(bundle, paths))


def opening(row: DeliveryRow, open_: Open) -> Open:
    """How a delivery's parts are opened: a zip is made of its members, everything else lies in the vault."""

    def opened(part: Part) -> BinaryIO:
        if part.kind != ZIP:
            return open_(part)
        return read_zip(part, row.members, row.manifest, _moment(row.manifest), open_)

    return opened


def _wanted(bundle: Bundle, kinds: Sequence[str]) -> Bundle:
    if not kinds:
        return bundle
    parts = tuple(part for part in bundle.parts if part.kind in kinds)
    return replace(bundle, parts=parts, missing=tuple(kind for kind in bundle.missing if kind in kinds))


def _in_one(bundle: Bundle, target: Target, delivery_id: str, open_: Open) -> NewDelivery:
    """All parts in one zip, the manifest last."""
    members, manifest = bundle.parts, _manifest(bundle, [part.name for part in bundle.parts])
    name = f"{segment(bundle.title or bundle.ref.id)}.zip"
    made = zipped(name, members, manifest, _moment(manifest), open_)
    whole = replace(bundle, parts=(made,))
    path = _path(whole, target, delivery_id, made, ())
    return replace(_new(whole, target, delivery_id, [path], manifest), members=members)


def _new(bundle: Bundle, target: Target, delivery_id: str, paths: list[str], manifest: bytes) -> NewDelivery:
    index = Part(kind=MANIFEST_KIND, name=MANIFEST, sha256=digest(delivery_id).hex(), size=0)
    return NewDelivery(
        id=delivery_id,
        sink=target.name,
        supplement=bundle.supplement,
        parts=bundle.parts,
        paths=tuple(paths),
        manifest=manifest,
        manifest_path=_path(bundle, target, delivery_id, index, paths),
        missing=bundle.missing,
    )


def _manifest(bundle: Bundle, paths: Sequence[str]) -> bytes:
    """JSON that says what was delivered, so that anybody can check it later without us."""
    content = {
        "source": bundle.source,
        "signing": bundle.signing_id,
        "document": bundle.ref.id,
        "round": bundle.ref.round,
        "title": bundle.title,
        "completed": datetime.fromtimestamp(bundle.completed, UTC).isoformat(timespec="seconds"),
        "version": bundle.version,
        "supplement": bundle.supplement,
        **({"meta": meta} if (meta := meta_of(bundle.ref)) else {}),
        "parts": [
            {
                "kind": part.kind,
                "path": path,
                "sha256": part.sha256,
                "size": part.size,
                "content_type": part.content_type,
            }
            for part, path in zip(bundle.parts, paths, strict=True)
        ],
        "missing": bundle.missing,
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def _moment(manifest: bytes) -> datetime:
    """When its signing was completed: what later events teach of that changes nothing of a delivery."""
    return datetime.fromisoformat(json.loads(manifest)["completed"])


def _path(bundle: Bundle, target: Target, delivery_id: str, part: Part, taken: Iterable[str]) -> str:
    """The part's path below the sink's root: safe segments, never one that this bundle uses already.

    What the template does not say (round, version, which part) stands in the file name or, where the template has no
    file name either, in its last segment: two files of one signing never meet.
    """
    names = {field.name for field in target.path.fields if not field.detail}
    marks = _marks(bundle, names, part)

    def value(field: Field) -> str:
        if field.name == "completed":
            return datetime.fromtimestamp(bundle.completed, UTC).strftime(field.detail or "%Y-%m-%d")
        if field.name == "filename":
            stem, ending = _parted(part.name)
            return _short(stem + marks, 120 - len(ending)) + ending
        return segment(_text(field, bundle, target, delivery_id, part))

    rendered = "/".join(one for one in target.path.render(value).split("/") if one)
    own = _ENDINGS.get(part.kind, "") if "filename" not in names else ""
    stem, ending = _parted(rendered, _literal_end(target.path), "" if own else part.name)
    short = "/".join(_short(one, NAME_BYTES - len(ending)) for one in stem.split("/"))
    stem = "/".join(map(safe_name, (short + ending).split("/"))).removesuffix(ending)
    if "filename" not in names:
        stem += ("" if "part" in names or part.kind in (DOCUMENT, ZIP) else f".{part.kind}") + marks
    return _free(stem, own or ending, target.sink.max_path, taken)


def _literal_end(template: Template) -> str:
    """What a template says after its last field."""
    last = template.pieces[-1]
    return last if isinstance(last, str) else ""


def _parted(path: str, *known: str) -> tuple[str, str]:
    """A path without its ending, and the ending: one that a text of `known` has as well, if there are any. The rest of
    a dotted number ("2026.11") is none, else two numbers would become one path."""
    for text in known or (path,):
        ending = found.group() if (found := _ENDING.search(text)) else ""
        stem = path.removesuffix(ending)
        if ending and stem != path and stem.rpartition("/")[2]:
            return stem, ending
    return path, ""


def _free(stem: str, ending: str, most: int, taken: Iterable[str]) -> str:
    """A path that is not taken: upper and lower case are one name on many disks."""
    used = {one.casefold() for one in taken}
    numbered = (f"-{number}{ending}" for number in count(2))
    paths = (_fitted(stem, tail, most) for tail in chain((ending,), numbered))
    return next(path for path in paths if path.casefold() not in used)


def _fitted(stem: str, tail: str, most: int) -> str:
    """Not longer than a sink takes: every segment gives, and of too many folders the last ones go. `tail` stays, and a
    piece of the hash keeps two apart that were longer."""
    if len((stem + tail).encode()) <= most:
        return stem + tail
    tail = f"-{digest(stem).hex()[:8]}{tail}"
    *folders, name = stem.split("/")
    room = most - len(tail)
    folders = folders[: max(room // _LEAST - 1, 0)]
    share = room // (len(folders) + 1) - 1
    return "/".join((*(safe_name(one, limit=share) for one in folders), safe_name(name, limit=share) + tail))


def _short(text: str, most: int) -> str:
    """At most so many bytes. A piece of the hash keeps two texts apart that were longer."""
    if len(text.encode()) <= most:
        return text
    return f"{safe_name(text, limit=most - 9)}-{digest(text).hex()[:8]}"


def named_apart(parts: Iterable[Part], taken: set[str]) -> tuple[Part, ...]:
    """The parts with names of their own among themselves and beside those taken: a supplement never meets a file
    that an earlier bundle of its version put there, and none meets what we make ourselves."""
    apart = []
    for part in parts:
        name = _free(*_parted(part.name), NAME_BYTES, taken if part.kind == CALLBACK else taken | _OURS)
        taken = taken | {name}
        apart.append(replace(part, name=name))
    return tuple(apart)


def segment(text: str) -> str:
    """Foreign text as one path segment. Where that changes it, a piece of its hash keeps two of them apart."""
    safe = safe_name(text, limit=120)
    return safe if safe == text else f"{safe}-{digest(text).hex()[:8]}"


def _text(field: Field, bundle: Bundle, target: Target, delivery_id: str, part: Part) -> str:
    values = {
        "source": bundle.source,
        "sink": target.name,
        "document": bundle.ref.id,
        "round": bundle.ref.round or "0",
        "title": bundle.title or bundle.ref.id,
        "version": str(bundle.version),
        "delivery": delivery_id,
        "part": part.kind,
        "sha256": part.sha256,
    }
    meta = field.name.removeprefix("meta.")
    text = ", ".join(meta_of(bundle.ref).get(meta, ("none",))) if meta != field.name else values[field.name]
    return text[: int(field.detail[1:])] if field.detail.startswith(".") else text


def _marks(bundle: Bundle, names: set[str], part: Part) -> str:
    marks = ""
    if bundle.ref.round and "round" not in names:
        marks += f".{segment(bundle.ref.round)}"
    if bundle.version > 1 and "version" not in names:
        marks += f".v{bundle.version}"
    if bundle.supplement and part.kind in _ENDINGS:
        marks += f".supplement-{bundle.supplement}"
    return marks
