"""The proof: real processes on the user's own store, killed while callbacks come in, and a reckoning at the end."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..stage.processes import child_environment, free_port
from ..store.apart import apart
from ..store.sql import SqlStore
from .rounds import Post, Round, Rounds
from .service import Commands, Service
from .town import Town, Wiring
from .traffic import Traffic
from .verdict import Evidence, Verdict, jobs

Say = Callable[[str], None]
CALM_WITHIN = 120.0
SECTIONS: dict[str, dict[str, Any]] = {
    "worker": {"lease": 3.0, "poll": 0.2, "drain": 2.0},
    "retry": {
        "delays": [0.2, 0.5, *[1.0] * 5, *[2.0] * 60],
        "not_ready": [0.2, 0.5, 1.0],
        "pause_first": 0.5,
        "pause_longest": 2.0,
    },
}
"""Seconds here, where in earnest they are minutes and hours: nobody wants to wait for the proof of it."""


WEB, WORKER = ("webhook_svc.prove.web",), ("webhook_svc", "worker")
"""Modules with their arguments."""


def ending_with_us(web: Sequence[str], worker: Sequence[str]) -> Commands:
    """They end with this process, however it ends."""
    program = (sys.executable, "-m", "webhook_svc.prove.tied", str(os.getpid()))
    return Commands(web=(*program, *web), worker=(*program, *worker))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for. `patience` is how many seconds the service is given to come to rest."""

    rounds: int = 10
    seed: int = 1
    workers: int = 2
    commands: Commands = field(default_factory=lambda: ending_with_us(WEB, WORKER))
    patience: float = CALM_WITHIN


def prove(url: str, order: Order, say: Say = lambda _: None) -> Verdict:
    """Against a store apart beside the one at `url`. StoreUnavailable where there can be none, TimeoutError where the
    service does not start."""
    with ExitStack() as stack:
        address, place = stack.enter_context(apart(url))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook-svc-prove-")))
        say(f"store: {place}, which goes away again; sources and sinks: simulated, in {home}")
        store = stack.enter_context(opened(address))
        store.migrate()
        return _run(store, home, order, say)


@contextmanager
def opened(url: str) -> Iterator[SqlStore]:
    store = SqlStore(url)
    try:
        yield store
    finally:
        store.close()


def _run(store: SqlStore, home: Path, order: Order, say: Say) -> Verdict:
    chance, post = random.Random(order.seed), Post()
    with ExitStack() as stack:
        town = stack.enter_context(Town(home, wiring=Wiring(post=post)))
        port = free_port()
        sections = {**SECTIONS, "service": {"public_url": f"http://127.0.0.1:{port}", "host": "127.0.0.1"}}
        environ = child_environment(town.configuration(**sections), url=store.url, port=port)
        service = stack.enter_context(Service(order.commands, environ, home, workers=order.workers))
        traffic = stack.enter_context(Traffic(town, f"{service.url}/hooks", order.seed))
        lease = SECTIONS["worker"]["lease"]
        say(f"service: web process at {service.url}, worker processes: {order.workers}, lease {lease:g} s")

        def calm() -> float:
            return come_to_rest(service, traffic, store, order.patience)

        rounds = Rounds(chance=chance, service=service, traffic=traffic, town=town, post=post, calm=calm)
        calm_after = _strike(rounds, order, say)
        return Evidence(
            town=town,
            store=store,
            tally=traffic.tally,
            disturbances=rounds.disturbances,
            calm_after=calm_after,
        ).verdict()


def _strike(rounds: Rounds, order: Order, say: Say) -> float:
    """The seconds to rest after the last round. What did not recover once is beaten no further."""
    last = 0.0
    for number in range(1, order.rounds + 1):
        done = rounds.round()
        last = done.recovered
        say(f"round {number}/{order.rounds}: {_told(done)}")
        if last >= order.patience:
            break
    return last


def _told(done: Round) -> str:
    outside = f", {done.outside}" if done.outside else ""
    return f"{done.signed} documents{outside}, kill -9 {', '.join(done.killed)}; at rest after {done.recovered:.1f} s"


def come_to_rest(service: Service, traffic: Traffic, store: SqlStore, patience: float) -> float:
    """The seconds until every sender had its answer and no job was left; `patience` where that did not come. What dies
    meanwhile starts again."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < patience:
        service.revive()
        if traffic.quiet and not jobs(store):
            return passed
        time.sleep(0.05)
    return patience
