import os
import runpy
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config as GunicornConfig
from gunicorn.glogging import Logger

from webhook_svc.core.sections import Config, ServiceSettings
from webhook_svc.web.patient import Patience, PatientWorker, patient
from webhook_svc.web.server import options

ROOT = Path(__file__).parents[3]
REQUEST = b"POST /hooks/a/T0KEN?q=S3CRET HTTP/1.1\r\nHost: x\r\n"


class Lines:
    """A logger that only remembers: (level, message, what was given along)."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        def say(message: object, *args: object, extra: Any = None, **_: Any) -> None:
            self.said.append((level, f"{message} {args}", extra or {}))

        return say


class Running:
    """A worker on a thread of this process, as its arbiter would start it, with an application that counts bytes."""

    def __init__(self, patience: Patience, **settings: Any) -> None:
        config = GunicornConfig()
        for key, value in {"threads": 2, "keepalive": 30, "worker_connections": 20, **settings}.items():
            config.set(key, value)
        self.asked: list[dict[str, Any]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        kind = patient(patience)
        self.worker: Any = kind(0, os.getppid(), [self.listener], None, 30, config, Logger(config))
        self.lines = self.worker.log = Lines()
        self.worker.wsgi = self._app
        self.worker.tpool = ThreadPoolExecutor(2)
        self.worker.poller = selectors.DefaultSelector()
        self.worker.method_queue.init()
        self._thread = threading.Thread(target=self.worker.run)
        self._thread.start()

    def _app(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        self.asked.append(environ)
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("S3CRET")
        body = b"%d" % len(environ["wsgi.input"].read())
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def close(self) -> None:
        self.worker.alive = False
        self.worker.method_queue.defer(lambda: None)
        self._thread.join()
        self.worker.tpool.shutdown()
        self.worker.tmp.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    with ExitStack() as stack:

        def start(*, seconds: float = 5.0, body: int = 200_000, memory: int = 300_000, **settings: Any) -> Running:
            running = Running(Patience(seconds=seconds, body=body, memory=memory), graceful_timeout=1, **settings)
            stack.callback(running.close)
            return running

        yield start


def connected(running: Running, data: bytes) -> socket.socket:
    connection = socket.create_connection(running.listener.getsockname(), timeout=10)
    connection.sendall(data)
    return connection


def answered(running: Running, data: bytes) -> bytes:
    with closing(connected(running, data)) as connection:
        connection.shutdown(socket.SHUT_WR)
        return ended(connection)


def ended(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def test_a_request_in_single_bytes_takes_a_thread_only_at_its_end(run: Callable[..., Running]) -> None:
    running = run()
    wire = REQUEST + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc"
    with closing(connected(running, b"")) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in wire[:-1]:
            connection.send(bytes([byte]))
        assert 200 == status(answered(running, REQUEST + b"Connection: close\r\n\r\n"))
        assert 1 == len(running.asked)
        connection.send(wire[-1:])
        assert ended(connection).endswith(b"\r\n\r\n3")


def test_large_requests_share_the_memory_and_small_ones_always_fit(run: Callable[..., Running]) -> None:
    running = run()
    head = REQUEST + b"Content-Length: 200000\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(closing(connected(running, head + b"x" * 140_000)))
        third = stack.enter_context(closing(connected(running, head + b"x" * 140_000)))
        answer = ended(third)
        assert (503, True) == (status(answer), b"Retry-After: 10" in answer)
        assert 200 == status(answered(running, REQUEST + b"Content-Length: 3\r\n\r\nabc"))
    until(lambda: running.worker._held == 0)
    assert 200 == status(answered(running, head + b"x" * 200_000))


def test_who_is_late_is_told_so_and_its_line_holds_no_path(run: Callable[..., Running]) -> None:
    running = run(seconds=0.2)
    with (
        closing(connected(running, REQUEST + b"X: ")) as head,
        closing(connected(running, REQUEST + b"Content-Length: 3\r\n\r\na")) as body,
    ):
        assert [408, 408] == [status(ended(head)), status(ended(body))]
    told = [extra for level, message, extra in running.lines.said if (level, message) == ("warning", "callback ()")]
    expected = {"method": "POST", "source": "a", "status": 408, "reason": "too_slow"}
    assert [expected] * 2 == [{key: one[key] for key in expected} for one in told]
    assert "T0KEN" not in str(running.lines.said)


def test_who_never_says_anything_is_let_go_without_a_word(run: Callable[..., Running]) -> None:
    running = run(seconds=0.2)
    with closing(connected(running, b"")) as connection:
        assert b"" == ended(connection)


def test_an_idle_connection_makes_room_for_a_new_one(run: Callable[..., Running]) -> None:
    running = run()
    with ExitStack() as stack:
        idle = [stack.enter_context(closing(connected(running, REQUEST + b"\r\n"))) for _ in range(25)]
        assert 200 == status(answered(running, REQUEST + b"\r\n"))
        assert 200 == status(idle[0].recv(4096))


def test_who_does_not_hang_up_is_left_alone_and_then_cut(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_svc.web.patient._HANG_UP", 0.2)
    running = run()
    with closing(connected(running, REQUEST + b"Connection: close\r\n\r\n")) as connection:
        assert 200 == status(ended(connection))
        until(lambda: running.worker.nr_conns == 0)


def test_nothing_is_held_once_everybody_is_gone(run: Callable[..., Running]) -> None:
    running = run()
    wires = [b"", b"x", b"GET / HTTP/1.1\r\n\r\n", REQUEST + b"Content-Length: 9\r\n\r\nabc", b"\r\n\r\n\r\n"]
    wires += [REQUEST + b"Content-Length: 999999\r\n\r\n", REQUEST + b"\r\n" + REQUEST + b"\r\n" + REQUEST]
    for wire in wires:
        answered(running, wire)
    until(lambda: running.worker.nr_conns == 0)
    worker = running.worker
    assert (0, {}, {}, {}, {}) == (worker._held, worker._sizes, worker._arriving, worker._leaving, worker._rests)


def test_an_application_that_fails_is_a_500_without_its_words(run: Callable[..., Running]) -> None:
    running = run()
    answer = answered(running, b"GET /fails HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (500, False) == (status(answer), b"S3CRET" in answer)
    assert "S3CRET" not in str(running.lines.said)
    assert [("error", "callback ()")] == [line[:2] for line in running.lines.said if line[0] == "error"]


def test_tls_is_refused_rather_than_served_half() -> None:
    config = GunicornConfig()
    config.set("certfile", "x.pem")
    with pytest.raises(RuntimeError, match="proxy"):
        PatientWorker.check_config(config, Logger(config))


def test_the_file_for_gunicorn_says_what_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SVC_CONFIG_TOML", "[service]\nport = 8123\nbody_deadline = 3\nmax_body = 77")
    written = runpy.run_path(str(ROOT / "config/gunicorn.py"))
    said = options(Config(service=ServiceSettings(port=8123, body_deadline=3.0, max_body=77)))
    kinds = written.pop("worker_class"), said.pop("worker_class")
    assert said == {key: written[key] for key in said}
    assert [Patience(seconds=3.0, body=77)] * 2 == [kind.patience for kind in kinds]
    assert written["bind"][0].endswith(":8123")
