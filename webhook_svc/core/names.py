"""Safe file names out of foreign text."""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

_RESERVED: Final = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])(?:\.|$)", re.IGNORECASE)
_FORBIDDEN: Final = re.compile(r'[/\\:*?"<>|]')
_JOINERS: Final = "\u200c\u200d"
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,12}$")
_PARAMETER: Final = re.compile(r';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*)')
_EXTENDED: Final = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.*)", re.IGNORECASE | re.DOTALL)
_HEADER_LIMIT: Final = 4096
NAME_BYTES: Final = 180


def safe_name(text: str, limit: int = NAME_BYTES) -> str:
    """One path segment out of foreign text, at most `limit` bytes of UTF-8, safe on every common file system.

    The extension is kept, a character never cut. What remains of nothing is "unnamed".
    """
    clean = unicodedata.normalize("NFC", "".join(map(_harmless, unicodedata.normalize("NFC", text))))
    clean = _trimmed(_FORBIDDEN.sub("_", " ".join(clean.split())).lstrip(". "))
    if _RESERVED.match(clean):
        clean = "_" + clean
    extension = match.group() if (match := _EXTENSION.search(clean)) else ""
    stem = _cut(clean.removesuffix(extension), limit - len(extension))
    return stem + extension if stem else "unnamed" + extension


def disposition_name(header: str) -> str:
    """The file name in a Content-Disposition header (RFC 6266) as its sender wrote it: not safe yet; "" if none.

    `filename*` wins. A plain `filename` may hold raw or percent-encoded UTF-8, as many senders write it.
    """
    named = dict.fromkeys(("filename*", "filename"), "")
    for name, value in _PARAMETER.findall(";" + header[:_HEADER_LIMIT].partition(";")[2]):
        named[name.lower()] = named.get(name.lower()) or _unquoted(value.strip())
    found = _decoded(named["filename*"]) or _read_plain(named["filename"])
    return re.split(r"[/\\]", found)[-1]


def _harmless(character: str) -> str:
    """Controls and exotic spaces become a space; invisible marks, lone surrogates and unassigned ones vanish."""
    category = unicodedata.category(character)
    if character.isspace() or category in ("Cc", "Zs", "Zl", "Zp"):
        return " "
    return "" if category in ("Cf", "Cs", "Cn", "Co") and character not in _JOINERS else character


def _trimmed(text: str) -> str:
    return text.rstrip(". " + _JOINERS)


def _cut(text: str, size: int) -> str:
    raw = text.encode()
    return text if len(raw) <= size else _trimmed(raw[: max(size, 0)].decode(errors="ignore"))


def _unquoted(value: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", value[1:-1]) if value.startswith('"') else value


def _decoded(value: str) -> str:
    """The text of an RFC 8187 value, "" where it is not one."""
    match = _EXTENDED.fullmatch(value)
    try:
        return unquote(match.group(2), encoding=match.group(1), errors="strict") if match else ""
    except UnicodeDecodeError:
        return ""


def _read_plain(value: str) -> str:
    """Header text is latin-1 on the wire's word only: it is read as UTF-8 where it is that."""
    try:
        return unquote(value.encode("latin-1").decode(), errors="strict")
    except UnicodeError:
        return value
