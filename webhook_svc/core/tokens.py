"""Tokens of the sources, in memory alone: one login at a time for each source, whoever waits shares what it brings."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf
from typing import Final

from .errors import Permanent
from .outgoing import Token
from .ports import Clock

REFUSED_FOR: Final = 60.0
"""Seconds before a login that was refused for good is tried again: a hundred waiting jobs must not lock the account."""


@dataclass(slots=True)
class _Flight:
    """A login under way, or what it brought."""

    result: "Future[str]"
    until: float = inf


class Tokens:
    """Threads may share it. `monotonic` is a clock in seconds that never jumps."""

    def __init__(self, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()

    def get(self, source: str, login: Callable[[], Token]) -> str:
        """The token. Raises what the login raised."""
        with self._lock:
            flight = self._flights.get(source)
            if flight is not None and self._monotonic() < flight.until:
                mine = False
            else:
                flight, mine = _Flight(Future()), True
                self._flights[source] = flight
        if mine:
            self._fly(source, flight, login)
        try:
            return flight.result.result()
        except Permanent as error:
            # It is kept, and raised for each who asks: with its traceback the frames of all of them would be kept too.
            raise error.with_traceback(None) from None

    def drop(self, source: str, text: str) -> None:
        """That token was refused; one that took its place meanwhile stays."""
        with self._lock:
            flight = self._flights.get(source)
            if flight is not None and _brought(flight) == text:
                del self._flights[source]

    def _fly(self, source: str, flight: _Flight, login: Callable[[], Token]) -> None:
        try:
            token = login()
        except BaseException as error:
            with self._lock:
                if isinstance(error, Permanent):
                    flight.until = self._monotonic() + REFUSED_FOR
                else:
                    del self._flights[source]
            flight.result.set_exception(error)
            return
        flight.until = inf if token.lasts is None else self._monotonic() + token.lasts
        flight.result.set_result(token.text)


def _brought(flight: _Flight) -> str | None:
    done = flight.result.done() and flight.result.exception() is None
    return flight.result.result() if done else None
