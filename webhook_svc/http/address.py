"""An address as it is asked: what is judged, connected to and sent comes from one reading of it."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import requests

from ..core.errors import Permanent
from ..core.settings import host_of
from .fates import translated

_PLAIN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9][a-z0-9.-]*)(?::(?P<port>[1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(?P<target>(?:/(?!\.)[A-Za-z0-9_.~-]*)+(?:\?[A-Za-z0-9_.~/=&-]+)?)"
)
_USUAL: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`url` whole, `target` what of it goes to its server, `origin` as `scheme://host:port`."""

    url: str
    target: str
    origin: str
    scheme: str
    host: str
    port: int


def read(url: str) -> Place:
    """As requests reads it; Permanent for what is no plain web address."""
    return plainly(url) or carefully(url)


def plainly(url: str) -> Place | None:
    """Letters, digits and marks that no reader changes; None where anything else stands in it."""
    found = _PLAIN.fullmatch(url)
    if found is None:
        return None
    scheme, host, port, target = found.groups()
    port = port or _USUAL[scheme]
    origin = f"{scheme}://{host}:{port}"
    return Place(url=url, target=target, origin=origin, scheme=scheme, host=host, port=int(port))


def carefully(url: str) -> Place:
    prepared = requests.PreparedRequest()
    with translated("the address"):
        prepared.prepare_url(url, None)
        origin = _origin(prepared.url or "")
    scheme, _, place = origin.partition("://")
    host, _, port = place.rpartition(":")
    target = prepared.path_url
    return Place(url=prepared.url or "", target=target, origin=origin, scheme=scheme, host=host, port=int(port))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise Permanent("only http and https addresses are asked")
    if parts.username or parts.password:
        raise Permanent(f"{parts.hostname}: user and password do not belong into an address")
    return host_of(url)
