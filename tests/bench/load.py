"""A load generator in a process of its own: requests built before the clock starts, over raw keep-alive sockets."""

import select
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

CONNECTIONS = 64


@dataclass(slots=True)
class Shot:
    """What came back: seconds for all, the latency of each in ms, how often each status, and our own CPU seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    cpu: float = 0.0


@dataclass(slots=True)
class _Line:
    """One connection, the request on its way, and what was read of its answer."""

    sock: socket.socket
    asked: float = 0.0
    read: bytes = b""

    def ask(self, request: bytes, due: float) -> None:
        self.asked, self.read = due, b""
        self.sock.sendall(request)

    def answer(self) -> int:
        """The status once the answer is whole, else 0."""
        chunk = self.sock.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed a connection in the middle")
        self.read += chunk
        head, end, body = self.read.partition(b"\r\n\r\n")
        if not end:
            return 0
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return int(head[9:12]) if len(body) >= int(length or 0) else 0


def shoot(port: int, requests: Sequence[bytes], *, rate: float = 0.0, connections: int = CONNECTIONS) -> Shot:
    """All requests, as fast as they are answered, or `rate` a second: latency then counts from when one was due."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return other.submit(_shoot, port, list(requests), rate, connections).result()


def _shoot(port: int, requests: list[bytes], rate: float, connections: int) -> Shot:
    shot, waiting = Shot(), deque(requests)
    lines = [_Line(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(connections)]
    poll = select.epoll()
    by_number = {line.sock.fileno(): line for line in lines}
    for number, line in by_number.items():
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(number, select.EPOLLIN)
    idle, cpu, started = deque(lines), time.process_time(), time.perf_counter()
    while len(shot.latencies) < len(requests):
        pause = _ask(idle, waiting, started, len(requests), rate)
        for number, _ in poll.poll(pause):
            if status := by_number[number].answer():
                shot.latencies.append((time.perf_counter() - by_number[number].asked) * 1000)
                shot.statuses[status] += 1
                idle.append(by_number[number])
    shot.seconds, shot.cpu = time.perf_counter() - started, time.process_time() - cpu
    poll.close()
    for line in lines:
        line.sock.close()
    return shot


def _ask(idle: deque[_Line], waiting: deque[bytes], started: float, count: int, rate: float) -> float:
    """Sends what is due over idle lines. Seconds until more is due; -1 where only an answer brings us on."""
    while idle and waiting:
        now = time.perf_counter()
        due = started + (count - len(waiting)) / rate if rate else now
        if due > now:
            return due - now
        idle.popleft().ask(waiting.popleft(), due)
    return -1.0
