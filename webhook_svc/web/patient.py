"""gunicorn's threaded worker, except that a request takes a thread only when all of it has arrived, and that callbacks
which have arrived by the same time share one.

Slow senders wait in the event loop, where hundreds of them cost no more than their bytes; so does whoever is slow to
hang up. Nothing of a request is printed: gunicorn's own lines about bad ones hold the path, the query and headers.
"""

import re
import socket
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from selectors import EVENT_READ
from typing import Any, ClassVar, Final

from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn

from ..core.errors import BodyTooSlow, Refused, StoreUnavailable
from .arrival import Arrival
from .exchange import ExchangeWorker
from .terse import RETRY_AFTER, raw_answer
from .together import HELD_UP, Together, Turn

_RECEIVED: Final = 256 * 1024
_SMALL: Final = 64 * 1024
_HANG_UP: Final = 5.0
_LINGER: Final = 2.0  # as gunicorn does for connections that are idle when it stops
_CROWDED: Final = 0.8
_MOST_TOGETHER: Final = 64
_TARGET: Final = re.compile(rb"(?:\r\n)?([A-Z]{3,20}) \S*?/hooks/([a-z0-9][a-z0-9_-]{0,62})[/? ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What is waited for: `seconds` for one request, `body` bytes of it, `memory` bytes of all that are here."""

    seconds: float
    body: int
    memory: int = 128 * 1024 * 1024


def patient(patience: Patience) -> type:
    """The worker class for gunicorn's `worker_class`."""
    return type("PatientWorker", (PatientWorker,), {"patience": patience})


class PatientWorker(ExchangeWorker):
    """Its methods run on the event loop's thread and never block."""

    patience: ClassVar[Patience]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: dict[TConn, Arrival] = {}  # the oldest first
        self._leaving: dict[TConn, float] = {}  # until when, the oldest first
        self._rests: dict[TConn, bytes] = {}  # what came behind a request that is being answered
        self._sizes: dict[TConn, int] = {}
        self._held = 0
        self._callbacks: list[TConn] = []  # whole since the last look at the poller
        self._working = 0  # threads
        self._shared = 0  # of these, with callbacks that share one
        self._turn = Turn()

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        if cfg.is_ssl:
            raise RuntimeError("this server speaks plain HTTP: TLS ends at the proxy in front of it")
        super().check_config(cfg, log)

    # --- arriving -------------------------------------------------------------------------------------------------

    def enqueue_req(self, conn: TConn) -> None:
        """A connection from which a request is expected: new, kept alive, or with the next one sent behind the last."""
        _unblock(conn.sock)
        self._receive(conn, Arrival(self.patience.body, time.monotonic()), conn.sock)

    def _receive(self, conn: TConn, arrival: Arrival, sock: socket.socket) -> None:
        try:
            data = self._rests.pop(conn, b"") or sock.recv(_RECEIVED)
            whole = arrival.feed(data)
            self._weigh(conn, len(arrival))
        except BlockingIOError:
            self._wait_for(conn, arrival)
        except OSError:
            self._forget(conn)
            self._close(conn)
        except (Refused, StoreUnavailable) as refusal:
            self._refuse(conn, arrival, refusal)
        else:
            if whole or not data:
                self._serve(conn, arrival)
            else:
                self._wait_for(conn, arrival)

    def _wait_for(self, conn: TConn, arrival: Arrival) -> None:
        if conn not in self._arriving:
            self._arriving[conn] = arrival
            self.poller.register(conn.sock, EVENT_READ, partial(self._receive, conn, arrival))
        if arrival.wants_continue():
            self.send(conn.sock, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _serve(self, conn: TConn, arrival: Arrival) -> None:
        """To a thread, whose parser reads what is here and finds the end of the connection behind it."""
        self._forget(conn)
        if not len(arrival):
            self._close(conn)
            return
        if rest := arrival.rest():
            self._rests[conn] = rest
        conn.parser = get_parser(self.cfg, arrival.pieces(), conn.client)
        if len(arrival) <= _SMALL and not rest and _TARGET.match(arrival.beginning):
            self._callbacks.append(conn)
        else:
            conn.sock.setblocking(True)
            self._give(Together([(conn, self.exchange(conn))], self._turn))

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        try:
            events = self.poller.select(timeout)
        except InterruptedError:
            return
        with self._turn.taken():
            for key, _ in events:
                key.data(key.fileobj)
            while self._callbacks and self._shared < self.cfg.threads:  # else they gather for the next that is free
                ready, self._callbacks = self._callbacks[:_MOST_TOGETHER], self._callbacks[_MOST_TOGETHER:]
                self._give_together(ready)

    def _give_together(self, conns: list[TConn]) -> None:
        """Their sockets stay as they are: a short answer that finds no room in one is not being read.

        While a thread begins them this one waits, and leaves its turn to it.
        """
        together = Together([(conn, self.exchange(conn)) for conn in conns], self._turn)
        self._give(together, shared=True)
        left = together.left
        while not together.all_begun.wait(HELD_UP) and self._working < self.cfg.threads:
            if together.left == left:
                self._give(together, shared=True)
            left = together.left

    def _give(self, together: Together[TConn], *, shared: bool = False) -> None:
        self._working += 1
        self._shared += shared
        worked = partial(self._worked, shared)
        self.tpool.submit(together.work).add_done_callback(partial(self.method_queue.defer, worked))

    def _refuse(self, conn: TConn, arrival: Arrival, why: Refused | StoreUnavailable) -> None:
        status, reason = (why.status, why.reason) if isinstance(why, Refused) else (503, str(why))
        self._forget(conn)
        found = _TARGET.match(arrival.beginning)
        method, source = (found[1].decode(), found[2].decode()) if found else ("", "")
        ms = round((time.monotonic() - arrival.since) * 1000, 1)
        self.tell(status, reason, method=method, source=source, ms=ms)
        self.send(conn.sock, raw_answer(status, {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}))
        self._hang_up(conn)

    def _weigh(self, conn: TConn, size: int) -> None:
        """A large request has to fit into the memory that all share; small ones always do."""
        self._held += size - self._sizes.get(conn, 0)
        self._sizes[conn] = size
        if size > _SMALL and self._held > self.patience.memory:
            raise StoreUnavailable("too_much_at_once")

    def _lighten(self, conn: TConn) -> None:
        self._held -= self._sizes.pop(conn, 0)

    def _forget(self, conn: TConn) -> None:
        """Nothing is waited for on this connection."""
        if self._arriving.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)

    # --- answered -------------------------------------------------------------------------------------------------

    def _worked(self, shared: bool, done: "Future[list[tuple[TConn, bool]]]") -> None:
        self._working -= 1
        self._shared -= shared
        for conn, kept in done.result():
            self._answered(conn, kept)

    def _answered(self, conn: TConn, kept: bool) -> None:
        self._lighten(conn)
        parser: Any = conn.parser
        agreed = not parser.unreader.buf.getvalue()  # on where the request ends, the parser and we
        if not (kept and agreed):
            self._hang_up(conn)
        elif conn in self._rests:
            self.enqueue_req(conn)
        else:
            self._keep(conn)

    def _keep(self, conn: TConn) -> None:
        _unblock(conn.sock)
        keep = self.cfg.keepalive
        conn.timeout = time.monotonic() + (keep if self.alive else min(keep, _LINGER))
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_client_socket_readable, conn))

    def _hang_up(self, conn: TConn) -> None:
        """Closing while bytes still come would destroy the answer on its way: the sender gets a while to finish."""
        self._lighten(conn)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        self._leaving[conn] = time.monotonic() + _HANG_UP
        self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: TConn, sock: socket.socket) -> None:
        try:
            gone = not sock.recv(_RECEIVED)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._left(conn)

    def _left(self, conn: TConn) -> None:
        del self._leaving[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: TConn) -> None:
        self._rests.pop(conn, None)
        self._lighten(conn)
        self.nr_conns -= 1
        conn.close()

    # --- the clock ------------------------------------------------------------------------------------------------

    def murder_pending(self) -> None:
        """Once a second, or with every event: whoever is too late is told so."""
        now = time.monotonic()
        while self._arriving and now >= self._oldest()[1].since + self.patience.seconds:
            self._give_up(BodyTooSlow("too_slow"))
        while self._leaving and now >= next(iter(self._leaving.values())):
            self._left(next(iter(self._leaving)))
        while self.nr_conns > _CROWDED * self.worker_connections and self._make_room():
            pass

    def _make_room(self) -> bool:
        """Ends the connection that is missed least. False where every one of them is being answered."""
        if self._leaving:
            self._left(next(iter(self._leaving)))
        elif self.keepalived_conns:
            idle = self.keepalived_conns.popleft()
            self.poller.unregister(idle.sock)
            self._close(idle)
        elif self._arriving:
            self._give_up(StoreUnavailable("too_many_at_once"))
        else:
            return False
        return True

    def _oldest(self) -> tuple[TConn, Arrival]:
        return next(iter(self._arriving.items()))

    def _give_up(self, why: Refused | StoreUnavailable) -> None:
        conn, arrival = self._oldest()
        if len(arrival):
            self._refuse(conn, arrival, why)
        else:
            self._forget(conn)
            self._close(conn)


def _unblock(sock: socket.socket) -> None:
    """Most are so already, and asking costs nothing."""
    if sock.gettimeout() != 0.0:
        sock.setblocking(False)
