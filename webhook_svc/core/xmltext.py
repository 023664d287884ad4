"""Reading foreign XML: the text of a few elements, and nothing that a document could declare."""

from collections.abc import Collection
from typing import Any, Final
from xml.parsers import expat  # no tree is built, and every declaration is refused below

_ENCODINGS: Final = ("utf-8", "utf-16", "us-ascii", "iso-8859-1")
"""Those that the parser knows by itself; others would be looked up among Python's codecs."""
_DEEPEST: Final = 64
_MOST_ELEMENTS: Final = 500_000
_LONGEST_NAME: Final = 256
_LONGEST: Final = 4096
_DECLARATIONS: Final = (
    *("StartDoctypeDecl", "EntityDecl", "ElementDecl", "AttlistDecl", "NotationDecl", "UnparsedEntityDecl"),
    *("ExternalEntityRef", "SkippedEntity"),
)
_BEFORE: Final = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"


def is_xml(body: bytes) -> bool:
    """Does it begin with `<`, in whatever encoding? JSON never does."""
    return body[:64].lstrip(_BEFORE)[:1] == b"<"


def texts(body: bytes, paths: Collection[str]) -> dict[str, str]:
    """The text of the elements at these paths, as far as they are there: `Root/Child/Leaf`, names without prefixes.

    Of other elements nothing is kept, however long they are. ValueError, without a word of the body, where it is not
    well-formed, holds a DOCTYPE, is nested too deeply or too large, or where one of the paths stands twice.
    """
    reader = _Reader(frozenset(paths))
    try:
        reader.parser.Parse(body, True)
    except (expat.ExpatError, LookupError, UnicodeError):
        raise ValueError(f"not XML: it goes wrong at byte {max(reader.parser.ErrorByteIndex, 0)}") from None
    return {path: "".join(pieces).strip() for path, pieces in reader.found.items()}


class _Reader:
    def __init__(self, wanted: frozenset[str]) -> None:
        # Names as they stand: with namespaces each of them would be as long as the address of its own.
        self.parser = expat.ParserCreate()
        self.found: dict[str, list[str]] = {}
        self._wanted = wanted
        self._levels = max((path.count("/") + 1 for path in wanted), default=0)
        self._open: list[str] = []
        self._seen = 0
        self._path = ""
        self._kept = 0
        self.parser.XmlDeclHandler = _check_encoding
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        for name in _DECLARATIONS:
            setattr(self.parser, f"{name}Handler", _refuse)

    def _start(self, name: str, _attributes: Any) -> None:
        self._seen += 1
        if len(self._open) >= _DEEPEST or self._seen > _MOST_ELEMENTS or len(name) > _LONGEST_NAME:
            raise ValueError("not XML that anybody sends: nested too deeply, too many elements or too long a name")
        self._open.append(name.rpartition(":")[2])
        self._look()
        if self._path in self._wanted:
            if self._path in self.found:
                raise ValueError(f"{self._path} stands twice")
            self.found[self._path] = []

    def _end(self, _name: str) -> None:
        self._open.pop()
        self._look()

    def _look(self) -> None:
        self._path = "/".join(self._open) if len(self._open) <= self._levels else ""

    def _text(self, text: str) -> None:
        if self._path not in self._wanted:
            return
        self._kept += len(text)
        if self._kept > _LONGEST:
            raise ValueError("a text that should be short is longer than anybody writes")
        self.found[self._path].append(text)


def _check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise ValueError("the encoding that the XML names is not read")


def _refuse(*_declared: Any) -> None:
    raise ValueError("XML with a DOCTYPE or other declarations is not read")
