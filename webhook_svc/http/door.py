"""Where a connection may lead and how long it may take."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any

from ..core.addresses import Address, is_never_reached, is_public, read_address
from ..core.errors import Permanent, Retryable

Resolve = Callable[..., Sequence[tuple[Any, ...]]]


class TooLong(TimeoutError):
    """The time for the whole call is used up."""


class Timer(threading.local):
    """When the call that this thread is in has to be over, and whether it opened a connection."""

    def __init__(self, clock: Callable[[], float], connect: float, read: float) -> None:
        self._clock = clock
        self.usual = read
        self._connect = connect
        self._until = inf
        self.opened = False

    @contextmanager
    def call(self, seconds: float) -> Iterator[None]:
        """Calls may nest: an upload may be read from another answer."""
        before, self._until = self._until, min(self._until, self._clock() + seconds)
        try:
            yield
        finally:
            self._until = before

    @contextmanager
    def bounding(self, sock: socket.socket, *, connecting: bool = False) -> Iterator[None]:
        """One act on the socket that ends in time."""
        left = self._until - self._clock()
        if left <= 0:
            raise TooLong
        sock.settimeout(min(left, self._connect if connecting else self.usual))
        try:
            yield
        except TimeoutError:
            if self._clock() >= self._until:
                raise TooLong from None
            raise


class Door:
    """Opens connections: to trusted hosts as written, to others only where all that their name leads to is public."""

    def __init__(
        self, trusted: frozenset[str], allow_hosts: frozenset[str], own_ports: frozenset[int], resolve: Resolve
    ) -> None:
        self._trusted = trusted
        self._allowed = frozenset(host.lower() for host in allow_hosts)
        self._own_ports = own_ports
        self._resolve = resolve

    def trusts(self, origin: str) -> bool:
        return origin in self._trusted

    def judged(self, scheme: str, host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        """(family, socket address) of each place the name leads to. Permanent where one of them is forbidden."""
        found = [(info[0], info[4]) for info in self._looked_up(host, port)]
        if not self.trusts(f"{scheme}://{host}:{port}"):
            for _, place in found:
                self._judge(host, port, read_address(place[0]))
        return found

    def connect(self, scheme: str, host: str, port: int, timer: Timer, *, trusted: bool = False) -> socket.socket:
        """Connected to one of the addresses that were judged: the name is not looked up again."""
        host = host.strip("[]").lower()
        places = [(i[0], i[4]) for i in self._looked_up(host, port)] if trusted else self.judged(scheme, host, port)
        failure: OSError = ConnectionRefusedError("no address")
        for family, place in places:
            try:
                return _opened(family, place, timer)
            except TooLong:
                raise
            except OSError as error:
                failure = error
        raise failure

    def _looked_up(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        try:
            return self._resolve(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Retryable(f"{host}: the name cannot be resolved ({error.strerror or type(error).__name__})") from None

    def _judge(self, host: str, port: int, address: Address) -> None:
        led = f"a link or redirect leads to {host}"
        if is_never_reached(address):
            raise Permanent(f"{led}: {address} is a link-local or metadata address, which is never asked")
        if port in self._own_ports and _is_this_machine(address):
            raise Permanent(f"{led}: port {port} of {address} is our own")
        if not self._allowed & {host, f"{host}:{port}"} and not is_public(address):
            raise Permanent(f"{led}: {address} is not a public address, and [http] allow_hosts does not name the host")


class _Socket(socket.socket):
    """Asks the system only for what is new: its time-out is set again before every act, and mostly the same."""

    def settimeout(self, value: float | None) -> None:
        if value != self.gettimeout():
            super().settimeout(value)


def _opened(family: int, place: tuple[Any, ...], timer: Timer) -> socket.socket:
    sock = _Socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with timer.bounding(sock, connecting=True):
            sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_this_machine(address: Address) -> bool:
    """Only an address of our own can be bound."""
    if address.is_loopback or address.is_unspecified:
        return True
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True
