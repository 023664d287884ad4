"""The one table from what sockets, TLS, urllib3 and requests raise to the errors whose class is the fate."""

import http.client
import ssl
from collections.abc import Iterator
from typing import Final

import requests
from urllib3 import exceptions as urllib3

from ..core.errors import Permanent, Retryable, WebhookError
from .door import TooLong

Kinds = type[BaseException] | tuple[type[BaseException], ...]

_CAUSES: Final[tuple[tuple[Kinds, str], ...]] = (
    (TooLong, "the time for the whole call is used up"),
    (urllib3.ProxyError, "the proxy does not let us through"),
    # Not Permanent: nothing was sent, and an expired certificate is usually renewed within hours.
    (ssl.SSLCertVerificationError, "its certificate does not hold"),
    (ssl.SSLError, "TLS failed"),
    ((TimeoutError, urllib3.TimeoutError), "no answer in time"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionError, "the connection was cut"),
    ((http.client.IncompleteRead, urllib3.IncompleteRead), "fewer bytes came than were announced"),
    ((http.client.HTTPException, urllib3.InvalidHeader), "the answer is not HTTP"),
)
_FOREIGN: Final = (requests.RequestException, urllib3.HTTPError, http.client.HTTPException, OSError, ValueError)


class translated:  # noqa: N801 - read as a sentence, and no generator: it stands around every chunk
    """Foreign exceptions become ours: Permanent for an address that is none, Retryable for all that a network does.

    Their texts hold paths and queries, so only the cause is named, and they are not chained.
    """

    def __init__(self, host: str) -> None:
        self._host = host

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _FOREIGN) and not isinstance(error, WebhookError):
            raise _fate(self._host, error) from None


def _fate(host: str, foreign: BaseException) -> WebhookError:
    chain = list(_chain(foreign))
    for kinds, words in _CAUSES:
        for error in chain:
            if isinstance(error, kinds):
                detail = f" ({error.verify_message})" if isinstance(error, ssl.SSLCertVerificationError) else ""
                return Retryable(f"{host}: {words}{detail}")
    if isinstance(foreign, ValueError):
        return Permanent(f"{host}: it cannot be used as a web address")
    system = next((error.strerror for error in chain if isinstance(error, OSError) and error.strerror), "")
    return Retryable(f"{host}: {system or type(foreign).__name__}")


def _chain(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """The error and what it was made of: requests and urllib3 keep the cause in `args` or `reason`."""
    yield error
    inner = (*error.args, getattr(error, "reason", None), error.__cause__)
    for cause in inner if depth else ():
        if isinstance(cause, BaseException):
            yield from _chain(cause, depth - 1)
