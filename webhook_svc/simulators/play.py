"""A simulator at work: it serves its API, and signings complete whose callbacks go to a running service."""

import http.client
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..core.errors import Retryable
from ..core.ports import Simulator
from ..core.types import RawRequest
from .serve import send, serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A callback and its answer. `event` is the id under which the service keeps it, where it says so."""

    document: str
    status: int
    event: str
    seconds: float


class Play:
    """The simulator's API stands at `url` from the start; close it, or use it as a context manager."""

    def __init__(self, simulator: Simulator, *, port: int = 0) -> None:
        self.simulator = simulator
        self._wsgi = simulator.wsgi()
        self._asked = threading.Event()
        self._served = serve(self._counted, port=port)
        self.url = self._served.url

    def source(self) -> dict[str, Any]:
        return self.simulator.source(self.url)

    def complete(self, document: str, to: str, *, title: str = "", size: int = 0) -> Iterator[Sent]:
        """Each callback of one signing, as it is answered. Retryable where nobody answers."""
        for callback in self.simulator.finish(document, title=title, size=size):
            yield _sent(document, to, callback)

    def wait_until_quiet(self, seconds: float) -> bool:
        """Returns when nobody has asked the API for so long. Did anybody ask before?"""
        anybody = False
        while self._asked.wait(seconds):
            anybody = True
            self._asked.clear()
        return anybody

    def close(self) -> None:
        self._served.close()

    def __enter__(self) -> "Play":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counted(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self._asked.set()
        return self._wsgi(environ, start)


def _sent(document: str, to: str, callback: RawRequest) -> Sent:
    begun = time.monotonic()
    try:
        status, headers, _ = send(to, callback)
    except (OSError, http.client.HTTPException) as error:
        raise Retryable(f"no answer from the service: {error or type(error).__name__}") from error
    return Sent(
        document=document,
        status=status,
        event=headers.get("webhook-event", ""),
        seconds=time.monotonic() - begun,
    )
