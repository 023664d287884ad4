"""Azure Storage's Shared Key for requests that go out (learn.microsoft.com/rest/api/storageservices/
authorize-with-shared-key, looked at on 22 November 2026)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

from ...core.outgoing import Request, Upload
from ...core.settings import Secret

_SIGNED: Final = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)
"""The standard headers in the order in which their values are signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKey:
    """`key` is in base64, as Azure shows it."""

    account: str
    key: Secret


def sign(request: Request, shared: SharedKey) -> Request:
    """The request with its `Authorization`; its headers hold `x-ms-date` and `x-ms-version` (2016-05-31 or later)."""
    key = b64decode(shared.key.reveal(), validate=True)
    signature = b64encode(hmac.digest(key, string_to_sign(request, shared.account).encode(), "sha256")).decode()
    return replace(request, auth={**request.auth, "Authorization": f"SharedKey {shared.account}:{signature}"})


def string_to_sign(request: Request, account: str) -> str:
    """Method, standard headers, Azure's own headers, path and query, each in its one form."""
    headers = {name.lower(): value.strip() for name, value in request.headers.items()}
    headers["content-length"] = _length(request)
    own = (f"{name}:{value}" for name, value in sorted(headers.items()) if name.startswith("x-ms-"))
    standard = (headers.get(name, "") for name in _SIGNED)
    return "\n".join([request.method, *standard, *own, *_resource(request.url, account)])


def _length(request: Request) -> str:
    """Of no body, and of an empty one since version 2015-02-21, nothing stands there."""
    size = request.body.size if isinstance(request.body, Upload) else len(request.body or b"")
    return str(size) if size else ""


def _resource(url: str, account: str) -> Iterator[str]:
    """The path as it stands in the address, then each name of the query with its values."""
    parts = urlsplit(url)
    yield f"/{account}{parts.path or '/'}"
    query: dict[str, list[str]] = {}
    for name, values in parse_qs(parts.query, keep_blank_values=True).items():
        query.setdefault(name.lower(), []).extend(values)
    yield from (f"{name}:{','.join(sorted(values))}" for name, values in sorted(query.items()))
