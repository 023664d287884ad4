"""What a log line looks like, and what never stands in one."""

import io
import json
import logging
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.guard import secret
from webhook_svc import log
from webhook_svc.core.outgoing import Request
from webhook_svc.core.settings import Secret
from webhook_svc.http import HttpClient

Lines = Callable[[], list[dict[str, Any]]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level
    for name in ("werkzeug", "urllib3", "urllib3.connection", "alembic", "gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


@pytest.fixture
def lines() -> Lines:
    stream = io.StringIO()
    log.configure("debug", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def only(lines: Lines) -> dict[str, Any]:
    (line,) = lines()
    return line


def test_a_line_is_one_json_object_with_time_level_and_logger(lines: Lines) -> None:
    structlog.get_logger("webhook_svc.worker").info("claimed", job="job_1", tries=2)
    line = only(lines)
    assert line.pop("timestamp").endswith("Z")
    assert {
        "event": "claimed",
        "job": "job_1",
        "tries": 2,
        "level": "info",
        "logger": "webhook_svc.worker",
    } == line


def test_bound_ids_stand_on_every_line_those_of_libraries_included(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(event_id="evt_1"):
        structlog.get_logger("ours").info("one")
        logging.getLogger("theirs").warning("two %s", "words", extra={"more": 3})
    assert [("one", "evt_1"), ("two words", "evt_1")] == [(line["event"], line["event_id"]) for line in lines()]
    assert 3 == lines()[1]["more"]


def test_noise_of_libraries_is_left_out_and_their_warnings_are_not(lines: Lines) -> None:
    for name in ("werkzeug", "urllib3.connectionpool", "alembic.runtime.migration"):
        logging.getLogger(name).info("noise")
        logging.getLogger(name).warning("trouble in %s", name)
    assert 3 == len([line for line in lines() if line["event"].startswith("trouble")]) == len(lines())


@pytest.mark.parametrize("odd", ["Content-Type: multipart/mixed", " X: y", "From x", ": nameless"])
def test_odd_headers_of_an_answer_put_no_link_into_the_log(lines: Lines, odd: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(f"HTTP/1.1 200 OK\r\n{odd}\r\nContent-Length: 2\r\n\r\nok".encode())

        served = pool.submit(answer)
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with closing(HttpClient(trusted=frozenset({origin}))) as client:
            assert 200 == client.call(Request(url=f"{origin}/deed.pdf?sig={secret('link')}")).status
        served.result(5)
    assert [] == [line for line in lines() if "deed.pdf" in str(line)]


def test_a_warning_of_python_is_a_line(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old style", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old style" in only(lines)["event"]


def test_below_the_level_nothing_is_printed() -> None:
    stream = io.StringIO()
    log.configure("warning", "json", stream)
    structlog.get_logger("x").info("quiet")
    logging.getLogger("y").info("quiet")
    assert "" == stream.getvalue()


def test_configuring_twice_prints_once() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    log.configure("info", "json", stream)
    structlog.get_logger("x").info("once")
    assert 1 == len(stream.getvalue().splitlines())


def test_a_line_that_cannot_be_written_harms_nobody() -> None:
    with open("/dev/full", "w") as full:
        log.configure("info", "json", full)
        structlog.get_logger("x").info("ours")
        logging.getLogger("y").warning("theirs")
    structlog.get_logger("x").info("to a file that was closed")


def test_lines_of_many_threads_are_whole(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as file, ThreadPoolExecutor(8) as threads:
        log.configure("info", "json", file)
        for number in range(200):
            threads.submit(structlog.get_logger("x").info, "e", number=number, long="x" * 1500)
    written = [json.loads(line)["number"] for line in (tmp_path / "log").read_text().splitlines()]
    assert list(range(200)) == sorted(written)


def test_the_module_that_speaks_is_named_where_it_did_not_say_so(lines: Lines) -> None:
    structlog.get_logger().info("e")
    assert __name__ == only(lines)["logger"]


def test_people_on_a_terminal_get_text() -> None:
    stream = io.StringIO()
    log.configure("info", "console", stream)
    try:
        raise RuntimeError("broke at https://x.example/?token=abc")
    except RuntimeError:
        structlog.get_logger("x").exception("failed", password="hunter2")
    text = stream.getvalue()
    assert "failed" in text
    assert "RuntimeError: broke at https://x.example/?***" in text
    assert "hunter2" not in text
    assert "abc" not in text


@pytest.mark.parametrize(
    "key",
    [
        "secret",
        "api_key",
        "apiKey",
        "X-Api-Key",
        "password",
        "Authorization",
        "access_token",
        "X-Firma-Signature",
        "Cookie",
    ],
)
def test_a_value_whose_key_names_a_secret_is_masked_at_any_depth(lines: Lines, key: str) -> None:
    structlog.get_logger("x").info("e", **{key: "hunter2"}, deep=[{"headers": {key: ["hunter2"]}}], numbers={key: 4711})
    line = only(lines)
    assert ("***", [{"headers": {key: "***"}}], {key: "***"}) == (line[key], line["deep"], line["numbers"])


def test_a_flag_named_after_a_secret_is_left_as_it_is(lines: Lines) -> None:
    structlog.get_logger("x").info("e", signature=True, token=None)
    assert (True, None) == (only(lines)["signature"], only(lines)["token"])


def test_a_secret_prints_as_stars_wherever_it_stands(lines: Lines) -> None:
    secret = Secret("hunter2")
    structlog.get_logger("x").info(f"with {secret}", value=secret, many=(secret, {"deep": secret}))
    logging.getLogger("y").warning("with %s", secret)
    assert "hunter2" not in json.dumps(lines())
    assert ("***", ["***", {"deep": "***"}]) == (lines()[0]["value"], lines()[0]["many"])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://x.example/a/b", "https://x.example/a/b"),
        ("https://x.example/a?sig=S", "https://x.example/a?***"),
        (
            "got https://x.example/a?sig=S#f and https://y.example/#S",
            "got https://x.example/a?*** and https://y.example/?***",
        ),
        ("postgres://user:S@db.example:5432/x", "postgres://db.example:5432/x"),
        ("postgres://user:p@S@db.example/x", "postgres://db.example/x"),
        (
            "Max retries exceeded with url: /a?x=S&y=S (Caused by E)",
            "Max retries exceeded with url: /a?*** (Caused by E)",
        ),
        ("'GET /a?x=S HTTP/1.1'", "'GET /a?*** HTTP/1.1'"),
        ("Authorization: Bearer SSSSSSSSSSSS.SSSS==", "Authorization: Bearer ***"),
        ("api_key=S, retry", "api_key=***, retry"),
        ("password='S'", "password='***'"),
        ("Is it ready? Yes.", "Is it ready? Yes."),
        ("wrong signature: too old", "wrong signature: too old"),
    ],
)
def test_credentials_and_queries_are_taken_out_of_texts(text: str, left: str) -> None:
    assert left == log.redact_text(text)


def test_masking_is_quick_for_hostile_texts(lines: Lines) -> None:
    for text in ("a." * 50_000, "?" * 100_000, "://" * 50_000, "token=" * 30_000, "bearer " * 30_000):
        structlog.get_logger("x").info(text)
    assert {True} == {len(line["event"]) <= 2 * log.LONGEST for line in lines()}


def test_bytes_are_counted_and_never_printed(lines: Lines) -> None:
    structlog.get_logger("x").info("e", body=b"contract")
    assert "<8 bytes>" == only(lines)["body"]


def test_a_value_that_contains_itself_or_cannot_be_encoded_is_still_a_line(lines: Lines) -> None:
    loop: list[Any] = []
    loop.append(loop)
    structlog.get_logger("x").info("e", loop=loop, lone="\ud800", nul="\x00", path=Path("a"), many={1, 2})
    line = only(lines)
    assert ("\ud800", "\x00", "a", [1, 2]) == (line["lone"], line["nul"], line["path"], sorted(line["many"]))


def test_a_line_break_in_a_value_makes_no_line_of_its_own(lines: Lines) -> None:
    structlog.get_logger("x").info('a\n{"event": "forged"}')
    assert ['a\n{"event": "forged"}'] == [line["event"] for line in lines()]


def test_an_exception_is_a_short_chain_without_locals(lines: Lines) -> None:
    def inner() -> None:
        hidden = "hunter2"
        raise ValueError(f"cannot use https://x.example/?sig=S {len(hidden)}")

    try:
        try:
            inner()
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("y").exception("failed too")
    ours, theirs = lines()
    assert ours["exception"] == theirs["exception"]
    assert [("RuntimeError", "outer"), ("ValueError", "cannot use https://x.example/?*** 7")] == [
        (part["type"], part["message"]) for part in ours["exception"]
    ]
    assert ours["exception"][1]["trace"][-1].endswith(" inner")
    assert "hunter2" not in json.dumps(lines())


def test_a_deep_recursion_is_told_in_a_few_frames(lines: Lines) -> None:
    def down(depth: int) -> None:
        if depth:
            down(depth - 1)
        raise ValueError("deep")

    try:
        down(200)
    except ValueError as error:
        structlog.get_logger("x").error("failed", exc_info=error)
    assert log.FRAMES == len(only(lines)["exception"][0]["trace"])


def test_gunicorn_speaks_in_the_same_form_and_prints_no_path(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [('Content-Length', '0')])\n    return []\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(ROOT / "config/gunicorn.py"),
        "--access-logfile",
        "-",
        "app:app",
    ]
    environ = {**os.environ, "PORT": str(port), "WEB_CONCURRENCY": "3", "LOG_FORMAT": "json", "WEB_THREADS": "2"}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        printed = []
        for line in server.stdout:
            printed.append(json.loads(line))
            if printed[-1]["event"].startswith("Booting worker"):
                break
        answers = [_status(port, "GET /hooks/a/S3CRET?x=S3CRET HTTP/1.1\r\nHost: x\r\n\r\n")]
        answers.append(_status(port, f"GET / HTTP/1.1\r\nHost: x\r\nX-Long: {'a' * 65536}\r\n\r\n"))
        server.terminate()
        printed += [json.loads(line) for line in server.stdout]
    assert ["200", "431"] == answers
    assert "S3CRET" not in json.dumps(printed)
    assert 1 == len([line for line in printed if line["event"].startswith("Booting worker")])
    assert {"gunicorn.error"} == {line["logger"] for line in printed}


def _status(port: int, request: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb") as answer:
            return answer.readline().decode().split(" ")[1]


def test_what_a_command_prints_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with log.quiet():
        structlog.get_logger().error("inside", source="contracts")
    structlog.get_logger().info("outside")
    printed = capsys.readouterr().out
    assert ["inside" in printed, "outside" in printed] == [False, True]
