"""Reading a callback's body: whole, and within its size. The server has waited for it already (see `patient`)."""

from collections.abc import Mapping
from typing import Any

from ..core.errors import BodyTooLarge, BrokenRequest


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The exact bytes. Raises BodyTooLarge, or BrokenRequest where the sender stopped in the middle."""
    length = _length(environ)
    if length is not None and length > limit:
        raise BodyTooLarge("body_too_large")
    if length == 0:
        return b""
    try:
        body: bytes = environ["wsgi.input"].read(limit + 1 if length is None else length)
    except (OSError, EOFError, ValueError) as error:
        raise BrokenRequest("broken_body") from error
    except Exception as error:  # the server parses chunks while we read: its errors are the sender's
        if type(error).__module__.startswith("gunicorn."):
            raise BrokenRequest("broken_body") from error
        raise
    if len(body) > limit:
        raise BodyTooLarge("body_too_large")
    if length is not None and len(body) < length:
        raise BrokenRequest("body_cut_short")
    return body


def _length(environ: Mapping[str, Any]) -> int | None:
    """None for a chunked body."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return None
    text = environ.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BrokenRequest("bad_content_length")
    return int(text)
