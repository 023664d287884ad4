import os
import runpy
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
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
        self.waiting: list[str] = []
        self.gate = threading.Event()
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

    def _app(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(environ)
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("S3CRET")
        body = b"%d" % len(environ["wsgi.input"].read())
        headers = [("Content-Length", str(len(body)))]
        if "bye" in environ["QUERY_STRING"]:
            headers.append(("Connection", "close"))
        if "torn" in environ["QUERY_STRING"]:
            return self._torn(int(environ["QUERY_STRING"].removeprefix("torn=")), start)
        if "late" in environ["QUERY_STRING"]:
            return self._late(body, headers, environ, start)
        if "stuck" in environ["QUERY_STRING"]:
            self._gate(environ)
        start("200 OK", headers)
        return [body]

    def _late(self, body: bytes, headers: Any, environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        """Answers only when it is asked for its answer, and after that of `gate`."""
        self._gate(environ)
        if "broken" in environ["QUERY_STRING"]:
            raise RuntimeError("S3CRET")
        start("200 OK", headers)
        yield body

    def _torn(self, size: int, start: Callable[..., Any]) -> Iterator[bytes]:
        """Breaks off behind `size` bytes."""
        start("200 OK", [("Content-Length", str(size + 1))])
        yield b"x" * size
        raise RuntimeError("S3CRET")

    def _gate(self, environ: dict[str, Any]) -> None:
        self.waiting.append(environ["QUERY_STRING"])
        assert self.gate.wait(20)

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


def so_many_wait(running: Running, number: int) -> bool:
    return len(running.waiting) == number


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


def test_an_application_ends_a_connection_by_its_header(run: Callable[..., Running]) -> None:
    with closing(connected(run(), hook("bye"))) as connection:
        assert b"\r\nConnection: close\r\n" in ended(connection)


def test_a_short_answer_leaves_in_one_piece(run: Callable[..., Running]) -> None:
    with closing(connected(run(), hook("short"))) as connection:
        assert connection.recv(65536).endswith(b"\r\n\r\n3")


def test_an_answer_that_breaks_off_before_any_of_it_is_sent_is_a_500(run: Callable[..., Running]) -> None:
    answer = answered(run(), hook("torn=3"))
    assert (500, False) == (status(answer), b"xxx" in answer)


def test_an_answer_that_breaks_off_later_ends_the_connection_within_its_length(run: Callable[..., Running]) -> None:
    running = run()
    answer = answered(running, hook("torn=20000"))
    assert (200, 20000) == (status(answer), len(answer.partition(b"\r\n\r\n")[2]))
    assert "S3CRET" not in str(running.lines.said)


# --- callbacks together -------------------------------------------------------------------------------------------


def one_answer(connection: socket.socket) -> int:
    """The status of the next answer, read to its end: its body has one byte."""
    read = b""
    while len(read.partition(b"\r\n\r\n")[2]) < 1:
        read += connection.recv(1)
    return status(read)


def hook(query: str, method: str = "POST") -> bytes:
    return f"{method} /hooks/a?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".encode()


def block_loop(running: Running) -> threading.Event:
    """What arrives until the event is set has arrived together."""
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go_on.wait(20)

    running.worker.method_queue.defer(hold)
    assert held.wait(20)
    return go_on


def test_callbacks_that_arrived_together_are_all_begun_before_one_is_waited_for(run: Callable[..., Running]) -> None:
    running = run()
    with ExitStack() as stack:
        kept = [stack.enter_context(closing(connected(running, hook("first")))) for _ in range(5)]
        assert [200] * 5 == [one_answer(one) for one in kept]
        go_on = block_loop(running)
        for number, connection in enumerate(kept):
            connection.sendall(hook(f"late={number}"))
        go_on.set()
        until(lambda: len(running.waiting) > 0)
        assert (10, 1) == (len(running.asked), len(running.waiting)), "one thread waits for all of them"
        running.gate.set()
        assert [200] * 5 == [one_answer(one) for one in kept]


def test_a_callback_that_is_stuck_or_fails_harms_no_other(run: Callable[..., Running]) -> None:
    running = run()
    with ExitStack() as stack:
        kept = [stack.enter_context(closing(connected(running, hook("first")))) for _ in range(4)]
        assert [200] * 4 == [one_answer(one) for one in kept]
        go_on = block_loop(running)
        for query, connection in zip(("stuck", "", "", "plain"), kept, strict=True):
            connection.sendall(hook(query))
        go_on.set()
        assert [200] * 3 == [one_answer(one) for one in kept[1:]], "before the first is answered"
        running.gate.set()
        assert 200 == one_answer(kept[0])


def test_callbacks_that_find_every_thread_waiting_gather_for_the_next_that_is_free(run: Callable[..., Running]) -> None:
    running = run()
    with ExitStack() as stack:
        kept = []
        for number in range(2):
            kept.append(stack.enter_context(closing(connected(running, hook(f"late={number}")))))
            until(partial(so_many_wait, running, number + 1))
        kept += [stack.enter_context(closing(connected(running, hook("late=more")))) for _ in range(5)]
        until(lambda: running.worker.nr_conns == 7)
        for _ in range(2):  # the loop has gone round, and so looked at all of them
            block_loop(running).set()
        assert 0 == running.worker.tpool._work_queue.qsize(), "none stands in a queue alone"
        running.gate.set()
        assert [200] * 7 == [one_answer(one) for one in kept]


def test_a_late_answer_that_fails_is_a_500_for_its_own_sender(run: Callable[..., Running]) -> None:
    running = run()
    running.gate.set()
    broken, fine = answered(running, hook("late broken".replace(" ", "&"))), answered(running, hook("late"))
    assert (500, 200, False) == (status(broken), status(fine), b"S3CRET" in broken)


def test_other_requests_wait_for_no_callback(run: Callable[..., Running]) -> None:
    running = run()
    with closing(connected(running, hook("late"))) as waiting:
        until(lambda: running.waiting == ["late"])
        assert 200 == status(answered(running, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"))
        running.gate.set()
        assert 200 == one_answer(waiting)


def test_a_late_answer_to_head_has_no_body_and_one_to_http_1_0_ends_the_connection(run: Callable[..., Running]) -> None:
    running = run()
    running.gate.set()
    assert answered(running, hook("late", "HEAD")).endswith(b"Content-Length: 1\r\n\r\n")
    with closing(connected(running, hook("late").replace(b"HTTP/1.1", b"HTTP/1.0"))) as connection:
        assert ended(connection).endswith(b"\r\n\r\n3")


def test_callbacks_behind_each_other_on_one_connection_are_answered_in_order(run: Callable[..., Running]) -> None:
    running = run()
    running.gate.set()
    queries = ["late=1", "2", "late=3", "4"]
    answers = answered(running, b"".join(map(hook, queries)))
    assert (4, queries) == (answers.count(b"HTTP/1.1 200 OK"), [one["QUERY_STRING"] for one in running.asked])


def test_a_worker_that_stops_answers_what_it_has_begun(run: Callable[..., Running]) -> None:
    running = run()
    with closing(connected(running, hook("late"))) as waiting:
        until(lambda: running.waiting == ["late"])
        running.worker.handle_exit(15, None)
        running.gate.set()
        assert 200 == status(ended(waiting))


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
