"""Secret addresses: whoever knows one may post there, so it is configured, shown and logged as a secret."""

from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

from ...core.outgoing import Request, Upload, json_bytes
from ...core.ports import Http
from ...core.settings import Secret, host_of
from ...core.types import EMPTY
from .answers import MAY_PASS, failure
from .upload import held_back

JSON: Final = {"Content-Type": "application/json"}
"""The headers of a `message`."""


def origin(url: Secret) -> str:
    """`https://host:port`. ValueError, without a word of its text, where it is no web address."""
    text = url.reveal().strip()
    try:
        found = host_of(text) if "@" not in urlsplit(text).netloc and "#" not in text else ""
    except ValueError:
        found = ""
    if not found.startswith(("https:", "http:")):
        raise ValueError("a web address such as https://host/path, its host in ASCII, without a user and password")
    return found


def host(url: Secret) -> str:
    """The part that people may see."""
    return origin(url).partition("://")[2].removesuffix(":443")


def asked(http: Http, url: Secret, auth: Mapping[str, str] = EMPTY) -> str:
    """A sentence on what answers there. It is asked with OPTIONS, for some receivers act upon every GET and HEAD."""
    answer = http.call(Request(method="OPTIONS", url=url.reveal().strip(), auth=auth))
    if answer.status in MAY_PASS or answer.status >= 500 or answer.status == 410:
        raise failure("asking with OPTIONS", answer)
    return f"{host(url)} is there ({answer.status} to OPTIONS; only a delivery shows the rest)"


def message(said: Any, begin: Callable[[], None]) -> Upload:
    """As JSON. `begin` is called once there is a connection, before any of it leaves."""
    content = json_bytes(said)
    return Upload(open=partial(held_back, partial(BytesIO, content), begin), size=len(content))
