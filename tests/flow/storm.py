"""A service whose processes are killed at random moments while callbacks come in."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from tests.flow.processes import Line, answers, environment, free_port, procfile, until
from tests.flow.reckoning import Promise
from tests.flow.world import World
from webhook_svc.core.types import RawRequest
from webhook_svc.simulators.serve import send

PATIENCE = 120.0
SECTIONS: dict[str, dict[str, Any]] = {
    "worker": {"lease": 2.0, "poll": 0.2},
    "retry": {"delays": [0.2, 0.5, 1, 1, 2, 2, 5, 5], "not_ready": [0.2, 0.5, 1]},
}
ROLES = {"web": "web", "worker 1": "worker", "worker 2": "worker"}
TARGETS = {
    "web": ("web",),
    "gunicorn's child": ("web",),
    "worker 1": ("worker 1",),
    "worker 2": ("worker 2",),
    "both workers": ("worker 1", "worker 2"),
    "web and worker 1": ("web", "worker 1"),
    "everything": ("web", "worker 1", "worker 2"),
}


@dataclass
class Tally:
    """What the senders saw. Every promise is here by its name; the times are Unix seconds of the last answer."""

    kills: Counter[str] = field(default_factory=Counter)
    callbacks: int = 0
    copies: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    events: set[str] = field(default_factory=set)
    promises: dict[str, Promise] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    longest_wait: float = 0.0


class Storm:
    """What is killed and sent comes from the seed; what a kill hits is the machine's own chance."""

    def __init__(self, world: World, url: str, seed: int, stack: ExitStack) -> None:
        self.tally = Tally()
        self._world = world
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._senders = stack.enter_context(ThreadPoolExecutor(8, "sender"))
        port = free_port()
        self._hooks = f"http://127.0.0.1:{port}/hooks"
        environ = environment(world.configuration(**SECTIONS), url, port)
        lines = procfile()
        self._lines = {name: Line(lines[kind], environ, world.home / f"{kind}.log") for name, kind in ROLES.items()}
        for line in self._lines.values():
            stack.callback(line.kill)
        until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the service to be ready")

    def round(self) -> None:
        """Some documents are signed, something is killed meanwhile, and in the end every sender has its answer."""
        sent = [job for _ in range(self._random.randint(3, 5)) for job in self._sign()]
        time.sleep(self._random.uniform(0.0, 1.2))
        self.revive()
        self._kill(self._random.choice(list(TARGETS)))
        self.revive()
        while not all(job.done() for job in sent):
            time.sleep(0.05)
            self.revive()
        for job in sent:
            job.result()

    def revive(self) -> None:
        """What a platform does. A process may also die later than it was killed: gunicorn's master of its child."""
        for line in self._lines.values():
            if line.dead:
                line.start_again()

    def _kill(self, target: str) -> None:
        self.tally.kills[target] += 1
        for name in TARGETS[target]:
            if target == "gunicorn's child":
                self._lines[name].kill_child()
            else:
                self._lines[name].kill()

    # --- senders --------------------------------------------------------------------------------------------------

    def _sign(self) -> Iterator["Future[None]"]:
        """One document. In one of eight cases its sender gives up where it is not answered, else never."""
        source = self._random.choice(list(self._world.simulators))
        document = f"{source[0]}-{len(self.tally.promises)}"
        stubborn = self._random.random() > 1 / 8
        callbacks = self._world.simulators[source].finish(document)
        promise = self._world.promise(source, document, required=False)
        self.tally.promises[promise.name] = promise
        for callback in callbacks:
            self.tally.callbacks += 1
            copies = 1 if self.tally.callbacks % 5 else 2
            self.tally.copies += copies - 1
            for _ in range(copies):
                yield self._senders.submit(self._send, promise, callback, stubborn, self._random.uniform(0.0, 0.8))

    def _send(self, promise: Promise, callback: RawRequest, stubborn: bool, delay: float) -> None:
        time.sleep(delay)
        begun = time.monotonic()
        while time.monotonic() < begun + PATIENCE:
            status, event = self._post(promise.name.partition("/")[0], callback)
            if status == 200:
                self._answered(promise, event, time.monotonic() - begun, binding=_says_ready(callback))
                return
            if not stubborn:
                with self._lock:
                    self.tally.unanswered += 1
                return
            time.sleep(0.1)
        raise TimeoutError(f"a callback was not taken within {PATIENCE:g} s")

    def _post(self, source: str, callback: RawRequest) -> tuple[int, str]:
        """Status 0 where there was no answer."""
        try:
            status, headers, _ = send(f"{self._hooks}/{source}", callback, timeout=10)
        except (OSError, http.client.HTTPException):
            status, headers = 0, {}
        with self._lock:
            self.tally.statuses[status] += 1
        return status, headers.get("webhook-event", "")

    def _answered(self, promise: Promise, event: str, seconds: float, *, binding: bool) -> None:
        with self._lock:
            self.tally.acknowledged += 1
            self.tally.events.add(event)
            self.tally.longest_wait = max(self.tally.longest_wait, seconds)
            if binding:
                self.tally.answered[promise.name] = time.time()
                self.tally.promises[promise.name] = replace(promise, required=True)


def _says_ready(callback: RawRequest) -> bool:
    """All do but one kind, whose acknowledgement promises no document."""
    return b"signed_by_one" not in callback.body
