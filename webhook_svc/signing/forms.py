"""The JSON of a callback that is a form: one field of `multipart/form-data` or of a URL-encoded body holds it, or the
fields of a URL-encoded body are what it would hold.

Both are bounded: a form of more than a hundred fields, or with the field doubled, is no callback, and every byte is
looked at a fixed number of times.
"""

import json
import re
from binascii import a2b_qp
from typing import Final
from urllib.parse import quote_from_bytes, urlencode

from ..core.types import RawRequest

LONGEST: Final = 4096
MOST_FIELDS: Final = 100
KINDS: Final = ("multipart", "form")
WHOLE: Final = "form"
"""The view in which every field of a URL-encoded body is a text of one object."""

_BOUNDARY: Final = re.compile(r';[ \t]*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_FIELD_NAME: Final = re.compile(
    rb'^content-disposition:[ \t]*form-data[^\r\n]*?;[ \t]*name=(?:"([^"\r\n]*)"|([^\s;"]+))',
    re.IGNORECASE | re.MULTILINE,
)
_CHARSET: Final = re.compile(r';[ \t]*charset="?([^\s;"]{1,40})', re.IGNORECASE)
_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def check_view(view: str) -> None:
    """ValueError, in a sentence, where it is not "", multipart:NAME, form:NAME or form."""
    kind, colon, name = view.partition(":")
    if view in ("", WHOLE):
        return
    if kind not in KINDS or not colon:
        raise ValueError("body_view must be multipart:NAME, form:NAME or form")
    if not name.strip():
        raise ValueError(f"body_view names no field: write {kind}:NAME")


def viewed(request: RawRequest, view: str = "") -> bytes:
    """What holds the JSON: the body, the one field of a form, or its fields. ValueError if there is none."""
    kind, _, name = view.partition(":")
    if not view:
        return request.body
    content_type = request.header("content-type") or ""
    if len(content_type) > LONGEST:
        raise ValueError("the content type is longer than any")
    if view == WHOLE:
        return _form_object(_form_items(request.body, content_type))
    if kind == "form":
        items = _form_items(request.body, content_type)
        return _decoded(items[_only(items, name.encode())].partition(b"=")[2])
    return _multipart_field(request.body, content_type, name.encode())


def replaced(request: RawRequest, view: str, content: bytes) -> bytes:
    """The body with other content in the place that `viewed` shows. ValueError where there is none."""
    before = viewed(request, view)
    if view == WHOLE:
        return urlencode(json.loads(content)).encode()
    if not view.startswith("form:"):
        return request.body.replace(before, content)
    items = request.body.split(b"&", MOST_FIELDS)
    at = _only(items, view.partition(":")[2].encode())
    items[at] = items[at].partition(b"=")[0] + b"=" + quote_from_bytes(content, safe="").encode()
    return b"&".join(items)


def _multipart_field(body: bytes, content_type: str, name: bytes) -> bytes:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise ValueError("no multipart boundary")
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(delimiter, MOST_FIELDS + 1)
    if len(pieces) > MOST_FIELDS + 1:
        raise ValueError("more form fields than anybody sends")
    found = []
    for piece in pieces[1:]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        field = _FIELD_NAME.search(head[:LONGEST])
        if blank and field and (field[1] or field[2]) == name:
            found.append(content)
    if len(found) != 1:
        raise ValueError("the form field is missing or stands more than once")
    return found[0]


def _form_items(body: bytes, content_type: str) -> list[bytes]:
    kind, _, _ = content_type.partition(";")
    charset = _CHARSET.search(content_type)
    if kind.strip().lower() != "application/x-www-form-urlencoded":
        raise ValueError("the body is no URL-encoded form")
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        raise ValueError("the form is not UTF-8")
    items = body.split(b"&", MOST_FIELDS)
    if len(items) > MOST_FIELDS:
        raise ValueError("more form fields than anybody sends")
    return items


def _form_object(items: list[bytes]) -> bytes:
    pairs = [item.partition(b"=") for item in items if item]
    fields = {_decoded(name).decode(): _decoded(value).decode() for name, _, value in pairs}
    if len(fields) < len(pairs):
        raise ValueError("a form field stands more than once")
    return json.dumps(fields).encode()


def _only(items: list[bytes], name: bytes) -> int:
    """Where the one field of that name stands; a name that is longer than its last spelling is not decoded."""
    names = [item.partition(b"=")[0] for item in items]
    found = [at for at, one in enumerate(names) if len(one) <= 3 * len(name) and _decoded(one) == name]
    if len(found) != 1:
        raise ValueError("the form field is missing or stands more than once")
    return found[0]


def _decoded(raw: bytes) -> bytes:
    """Quoted-printable is the same code behind another sign, and its decoder needs no object for every character."""
    if _STRAY_PERCENT.search(raw):
        raise ValueError("a stray % in the form")
    return a2b_qp(raw.replace(b"+", b" ").replace(b"=", b"=3D").replace(b"%", b"="))
