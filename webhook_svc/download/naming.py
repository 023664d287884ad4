"""The file name of a part: safe, with an extension that fits its bytes, and unlike the others of its haul."""

from collections.abc import Mapping, Set
from itertools import count
from typing import Final

from ..core.names import NAME_BYTES, safe_name

_EXTENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "application/pdf": (".pdf",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (".docx",),
    "application/zip": (".zip",),
    "application/json": (".json",),
    "application/xml": (".xml",),
    "text/xml": (".xml",),
    "text/html": (".html", ".htm"),
    "text/csv": (".csv",),
    "text/plain": (".txt",),
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/gif": (".gif",),
}
"""The endings that fit a type; a name with none of them is given the first."""
_ROOM: Final = 8  # for "-12345" between stem and extension


def part_name(wanted: str, content_type: str, taken: Set[str]) -> str:
    """`wanted` made safe. `taken` holds the names in use, case-folded: some targets do not tell case apart."""
    fitting = _EXTENSIONS.get(content_type, ())
    if fitting and not wanted.casefold().rstrip(". ").endswith(fitting):
        wanted += fitting[0]
    name = safe_name(wanted, NAME_BYTES - _ROOM)
    stem, dot, ending = name.rpartition(".")
    numbered = (f"{stem}-{number}{dot}{ending}" if dot else f"{name}-{number}" for number in count(2))
    return name if name.casefold() not in taken else next(n for n in numbered if n.casefold() not in taken)
