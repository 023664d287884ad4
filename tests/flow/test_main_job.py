"""The main job by the Procfile's own lines, the demonstration, and what a stop and a kill leave behind."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.flow.processes import Line, environment, procfile
from tests.flow.world import World
from webhook_svc.core.asking import Query
from webhook_svc.core.types import RawRequest
from webhook_svc.prove.reckoning import Promise, Reckoning, reckon, reckon_mail
from webhook_svc.simulators.serve import send
from webhook_svc.stage.processes import answers, free_port, until
from webhook_svc.store.sql import SqlStore

RETRY = {"delays": [0.2, 1, 5], "not_ready": [0.2, 1, 5]}


class Town:
    """The world, a store, and a service in it that is started line by line."""

    def __init__(self, world: World, url: str, stack: ExitStack) -> None:
        self.world = world
        self.url = url
        self.store = SqlStore(url)
        self.port = free_port()
        self._stack = stack
        stack.callback(self.store.close)

    def start(self, line: str, **sections: dict[str, Any]) -> Line:
        toml = self.world.configuration(retry=RETRY, **sections)
        started = Line(line, environment(toml, self.url, self.port), self.world.home / "service.log")
        self._stack.callback(started.kill)
        return started

    def wait_until_ready(self) -> None:
        until(lambda: answers(f"http://127.0.0.1:{self.port}/readyz"), "the web process to be ready")

    def finish(self, source: str, document: str) -> Promise:
        for callback in self.world.simulators[source].finish(document):
            assert 200 == self.send(source, callback)
        return self.world.promise(source, document)

    def send(self, source: str, callback: RawRequest) -> int:
        return send(f"http://127.0.0.1:{self.port}/hooks/{source}", callback)[0]

    def wait_until_calm(self) -> None:
        until(lambda: not self._jobs(), "all work to be done")

    def dead_letters(self) -> list[dict[str, Any]]:
        return self.store.list(Query(kind="dead"))

    def signing(self) -> dict[str, Any]:
        """The story of the one signing; empty while there is none."""
        events = self.store.list(Query(kind="events"))
        story = self.store.timeline(events[0]["id"]) or {}
        return next(iter(story["signings"]), {})

    def job(self) -> dict[str, Any]:
        """The job of the one signing, empty where it has none."""
        return self.signing().get("job") or {}

    def outcomes(self) -> set[str]:
        """Of every attempt at the one signing and its deliveries."""
        signing = self.signing()
        return {one["outcome"] for place in (signing, *signing["deliveries"]) for one in place["attempts"]}

    def _jobs(self) -> float:
        return sum(number for (name, _), number in self.store.gauges().items() if name == "jobs")


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Callable[[str], Town]]:
    """A town around the database of an address."""
    with ExitStack() as stack:
        yield lambda url: Town(stack.enter_context(World(tmp_path)), url, stack)


@pytest.fixture
def sqlite_town(town: Callable[[str], Town], sqlite_url: str) -> Town:
    return town(sqlite_url)


def test_the_lines_of_the_procfile_forward_documents_of_both_senders_into_every_sink(
    town: Callable[[str], Town], empty_url: str
) -> None:
    here = town(empty_url)
    lines = procfile()
    assert 0 == here.start(lines["release"]).wait()
    web, worker = here.start(lines["web"]), here.start(lines["worker"])
    here.wait_until_ready()

    promises = [here.finish(source, f"{source}-1") for source in here.world.simulators]
    here.wait_until_calm()

    assert Reckoning() == reckon(promises, here.world.in_folder())
    assert Reckoning() == reckon(promises, here.world.in_bucket())
    assert Reckoning() == reckon_mail(promises, here.world.letters(), {})
    assert [] == here.dead_letters()
    assert (0, 0) == (web.stop(), worker.stop())


def test_the_demonstration_ends_well_within_half_a_minute() -> None:
    begun = time.monotonic()
    done = subprocess.run(
        ["webhook-svc", "demo"],
        env=environment("", "", 0),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert time.monotonic() - begun < 30
    assert "✗" not in done.stdout


def test_a_worker_that_is_told_to_stop_finishes_what_runs(sqlite_town: Town) -> None:
    worker = _fetching_slowly(sqlite_town)

    begun = time.monotonic()
    assert 0 == worker.stop()

    assert time.monotonic() - begun < 20
    assert ("complete", {}) == (sqlite_town.signing()["state"], sqlite_town.job())
    assert {"done"} == sqlite_town.outcomes()


def test_a_worker_without_time_to_finish_gives_back_what_runs_at_no_cost(sqlite_town: Town) -> None:
    town = sqlite_town
    worker = _fetching_slowly(town, drain=0.2)

    begun = time.monotonic()
    assert 0 == worker.stop()

    assert time.monotonic() - begun < 10
    assert ("fetch", "waiting", 0) == tuple(town.job()[key] for key in ("stage", "state", "tries"))
    town.start(procfile()["worker"])
    town.wait_until_calm()
    assert Reckoning() == reckon([town.world.promise("contracts", "slow")], town.world.in_folder())
    assert "expired" not in town.outcomes()


def test_a_web_process_that_is_told_to_stop_answers_the_callback_in_flight(sqlite_town: Town) -> None:
    town = sqlite_town
    web = town.start(procfile()["web"])
    town.wait_until_ready()
    callback = town.world.simulators["contracts"].finish("late")[0]
    half = len(callback.body) // 2

    with closing(socket.create_connection(("127.0.0.1", town.port), timeout=20)) as sender:
        sender.sendall(_head("/hooks/contracts", callback, "Expect: 100-continue") + callback.body[:half])
        assert sender.recv(4096).startswith(b"HTTP/1.1 100")
        web.signal(signal.SIGTERM)
        until(lambda: "Handling signal: term" in web.text(), "gunicorn to heed it")
        sender.sendall(callback.body[half:])
        answer = sender.recv(4096)

    assert answer.startswith(b"HTTP/1.1 200")
    assert 0 == web.wait(25)
    assert 1 == len(town.store.list(Query(kind="events")))


def test_one_process_for_all_survives_the_kill_of_the_process_that_serves(sqlite_town: Town) -> None:
    town = sqlite_town
    up = town.start(f"webhook-svc up --port {town.port}", worker={"lease": 1.0, "poll": 0.2})
    town.wait_until_ready()
    first = town.finish("contracts", "first")

    up.kill_child()
    until(lambda: answers(f"http://127.0.0.1:{town.port}/readyz"), "the next process to serve")
    promises = [first, town.finish("inhouse", "second")]
    town.wait_until_calm()

    assert Reckoning() == reckon(promises, town.world.in_folder())
    assert [] == town.dead_letters()
    assert 0 == up.stop()


def _fetching_slowly(town: Town, **pace: float) -> Line:
    """The worker that has begun to fetch the document "slow", whose file comes in a trickle of two seconds."""
    town.world.simulators["contracts"].misbehave("trickle")
    web = town.start(procfile()["web"])
    town.wait_until_ready()
    town.finish("contracts", "slow")
    assert 0 == web.stop()
    worker = town.start(procfile()["worker"], worker=pace)
    until(lambda: town.job().get("state") == "running", "the fetch to run")
    return worker


def _head(path: str, callback: RawRequest, *more: str) -> bytes:
    own = (f"{name}: {value}" for name, value in callback.headers)
    head = (f"POST {path} HTTP/1.1", "Host: localhost", *own, f"Content-Length: {len(callback.body)}", *more, "", "")
    return "\r\n".join(head).encode("latin-1")
