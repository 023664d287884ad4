"""The demonstration: simulated providers, the real service and a mailbox on this machine, and contracts through them.

It needs no network and no configuration, and proves what it shows.
"""

import time
from contextlib import ExitStack
from dataclasses import replace

from ..core.asking import Query
from ..core.types import RawRequest
from ..simulators.serve import send
from ..stage.processes import tail, until
from .contracts import CONTRACTS, FIRST, LOST, Contract
from .scene import PATIENCE, Say, Scene, stage
from .verdict import Heard, lines_of, tell, verdicts_on


def run(serve_on: bool = False, *, say: Say = print) -> int:
    """0 if everything arrived exactly once and unaltered and what was forged was refused, else 1."""
    with ExitStack() as stack:
        scene = stage(stack, say)
        heard = _callbacks(scene, say)
        say(f"waiting for {len(CONTRACTS)} contracts in the folder and in the mailbox …")
        _watch(scene, 2 * len(CONTRACTS), say)
        lines = list(lines_of(scene))
        verdicts = verdicts_on(scene, heard, lines)
        tell(lines, verdicts, say)
        if serve_on:
            _linger(scene, say)
        return 0 if all(ok for _, ok in verdicts) else 1


def _callbacks(scene: Scene, say: Say) -> Heard:
    """Sends everything a provider does to us on a bad day."""
    heard = Heard()
    for contract in CONTRACTS:
        simulator = scene.simulators[contract.source]
        say(f"{contract.id}: {contract.story}")
        simulator.misbehave(contract.quirk, times=contract.times)
        callbacks = simulator.finish(contract.id, title=contract.title)
        for callback in callbacks:
            kind = heard.forged if contract is LOST else heard.genuine
            kind.append(_post(scene, contract, callback, "its callback", say))
        if contract is FIRST:
            heard.repeated.append(_post(scene, contract, callbacks[0], "the same callback a second time", say))
            altered = replace(callbacks[0], body=callbacks[0].body.replace(b"contract-1", b"contract-5"))
            heard.forged.append(_post(scene, contract, altered, "the same callback, altered on the way", say))
    return heard


def _post(scene: Scene, contract: Contract, callback: RawRequest, what: str, say: Say) -> int:
    status, headers, _ = send(f"{scene.url}/hooks/{contract.source}", callback)
    say(f"  {what:<40} → {status} {headers.get('webhook-event', '')}")
    return status


def _watch(scene: Scene, expected: int, say: Say) -> None:
    """Tells of every delivery as it is finished, until the service has come to rest."""
    told: set[str] = set()

    def finished() -> bool:
        for row in scene.store.list(Query(kind="deliveries")):
            if row["state"] != "waiting" and row["id"] not in told:
                told.add(row["id"])
                say(f"  {row['document']} → {row['sink']:<8} {row['state']} ({len(told)} of {expected})")
        return len(told) >= expected and _at_rest(scene)

    until(finished, f"{expected} deliveries", PATIENCE, lambda: tail(scene.log))


def _at_rest(scene: Scene) -> bool:
    return not any(name == "jobs" and number for (name, _), number in scene.store.gauges().items())


def _linger(scene: Scene, say: Say) -> None:
    say(f"\nStill running: look at {scene.archive} and {scene.log}.")
    say(f"Ask it: WEBHOOK_SVC_CONFIG_TOML='[store]\nurl = \"{scene.store.url}\"' webhook-svc events")
    say("Ctrl-C ends it and removes its files.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("")
