"""The proxy really does to connections what it says."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.flow.processes import until
from tests.flow.trouble.proxy import Absent, Broken, Hang, Proxy, Slow

ANSWER = bytes(range(256)) * 40


class _Server(socketserver.ThreadingTCPServer):
    """Answers each line with ANSWER, and remembers the lines."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.lines: list[bytes] = []


class _Answers(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.server.lines.append(line)
                self.wfile.write(ANSWER)
        except ConnectionError:
            return


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: _Server) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", server.server_address[1])) as wire:
        yield wire


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def read(line: socket.socket, size: int = len(ANSWER)) -> bytes:
    """So much, or what came before an orderly end."""
    found = b""
    while len(found) < size and (chunk := line.recv(size - len(found))):
        found += chunk
    return found


def ask(proxy: Proxy) -> bytes:
    with connect(proxy) as line:
        line.sendall(b"hello\n")
        return read(line)


def test_everything_passes_in_both_directions_until_there_is_trouble(proxy: Proxy, server: _Server) -> None:
    with connect(proxy) as line:
        for number in range(3):
            line.sendall(b"%d\n" % number)
            assert ANSWER == read(line)

    assert [b"0\n", b"1\n", b"2\n"] == server.lines


def test_an_absent_server_refuses_and_resets_what_was_open_and_comes_back_at_its_port(proxy: Proxy) -> None:
    absent = proxy.trouble(Absent())
    with connect(proxy) as line:
        line.sendall(b"hello\n")
        assert ANSWER == read(line)
        absent.start()
        with pytest.raises(ConnectionResetError):
            line.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    absent.stop()

    assert ANSWER == ask(proxy)
    assert 1 == absent.happened


def test_whoever_is_taken_in_the_moment_in_which_the_port_closes_is_reset(proxy: Proxy) -> None:
    absent, busy = proxy.trouble(Absent()), threading.Event()
    proxy._loop.call_soon_threadsafe(busy.wait, 10)
    with connect(proxy) as line, ThreadPoolExecutor(1) as pool:
        starting = pool.submit(absent.start)
        waiting = proxy._loop._ready  # type: ignore[attr-defined]  # asyncio tells nobody what waits
        until(lambda: len(waiting) > 0, "the call to wait behind the knock")
        busy.set()
        starting.result(10)

        with pytest.raises(ConnectionResetError):
            line.recv(1)


def test_a_server_that_hangs_takes_connections_and_never_answers(proxy: Proxy, server: _Server) -> None:
    hang = proxy.trouble(Hang())
    hang.start()
    with connect(proxy) as line:
        line.sendall(b"hello\n")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)
        hang.stop()
        line.settimeout(10)
        with pytest.raises(ConnectionResetError):
            line.recv(1)

    assert [] == server.lines
    assert 1 == hang.happened


def test_a_slow_answer_comes_whole_and_takes_as_long_as_its_rate_says(proxy: Proxy) -> None:
    slow = proxy.trouble(Slow(rate=len(ANSWER) * 4))
    slow.start()
    begun = time.monotonic()

    assert ANSWER == ask(proxy)
    assert 0.2 <= time.monotonic() - begun
    assert 1 == slow.happened


def test_a_slow_answer_is_handed_over_at_once_when_the_trouble_ends(proxy: Proxy) -> None:
    slow = proxy.trouble(Slow(rate=50))
    slow.start()
    with connect(proxy) as line:
        line.sendall(b"hello\n")
        assert ANSWER[:1] == read(line, 1)
        slow.stop()

        assert ANSWER[1:] == read(line, len(ANSWER) - 1)


def test_whoever_leaves_a_slow_answer_before_its_end_is_known_with_what_he_had(proxy: Proxy) -> None:
    slow = proxy.trouble(Slow(rate=5000))
    slow.start()
    with connect(proxy) as line:
        line.sendall(b"hello\n")
        read(line, 200)
        assert [True] == [talk.answered >= 200 for talk in slow.passing]
    until(lambda: not slow.passing, "the proxy to see it")

    assert 1 == len(slow.left)
    assert 200 <= slow.left[0] < len(ANSWER)


def test_whoever_has_a_slow_answer_whole_left_nothing(proxy: Proxy) -> None:
    slow = proxy.trouble(Slow(rate=len(ANSWER) * 20))
    slow.start()

    assert ANSWER == ask(proxy)
    until(lambda: not slow.passing, "the proxy to see the end")
    assert [] == slow.left


@pytest.mark.parametrize("after", [1, 5000])
def test_an_answer_is_cut_after_so_many_bytes(proxy: Proxy, after: int) -> None:
    cut = proxy.trouble(Broken(after=after, reset=False))
    cut.start()

    assert ANSWER[:after] == ask(proxy)
    assert 1 == cut.happened


def test_a_connection_is_reset_in_the_middle_of_its_second_answer(proxy: Proxy) -> None:
    reset = proxy.trouble(Broken(after=100))
    with connect(proxy) as line:
        line.sendall(b"hello\n")
        assert ANSWER == read(line)
        reset.start()
        line.sendall(b"hello\n")
        assert ANSWER[:100] == read(line, 100)
        with pytest.raises(ConnectionResetError):
            line.recv(1)


def test_a_request_that_was_answered_may_never_learn_it(proxy: Proxy, server: _Server) -> None:
    proxy.trouble(Broken(after=0)).start()
    with connect(proxy) as line:
        line.sendall(b"hello\n")
        with pytest.raises(ConnectionResetError):
            line.recv(1)

    assert [b"hello\n"] == server.lines


def test_a_share_of_the_answers_breaks(proxy: Proxy) -> None:
    broken = proxy.trouble(Broken(after=10, reset=False, share=0.5))
    broken.start()
    whole = sum(ask(proxy) == ANSWER for _ in range(40))

    assert 40 == whole + broken.happened
    assert 8 < whole < 32


def test_a_hundred_connections_pass_at_once(proxy: Proxy) -> None:
    lines = [connect(proxy) for _ in range(100)]
    for line in lines:
        line.sendall(b"hello\n")
    for line in lines:
        with line:
            assert ANSWER == read(line)


def test_a_proxy_without_its_server_resets(proxy: Proxy, server: _Server) -> None:
    server.socket.close()
    with connect(proxy) as line, pytest.raises(ConnectionResetError):
        line.recv(1)
