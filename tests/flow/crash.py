"""The crash harness: kills real processes at random moments while callbacks come in, then counts what arrived."""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.conftest import postgres_programs, postgres_server
from tests.flow.processes import until
from tests.flow.reckoning import Reckoning, reckon, reckon_mail, reckon_rows
from tests.flow.storm import TARGETS, Storm, Tally
from tests.flow.world import SINKS, World
from webhook_svc.core.asking import Query, pages
from webhook_svc.store.sql import SqlStore

LIES = 0.1
CALM_WITHIN = 180.0
_EXPIRED = "SELECT count(*) FROM attempt WHERE outcome = 'expired' GROUP BY ref"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the storm left behind.

    `forgotten` are acknowledged events that the store does not know, `rewritten` objects of the bucket that were
    written more than once, `repeats` the mails beyond one for each document, `counted` those that receipts know of,
    `expiries` how often each job lost its worker.
    """

    rounds: int
    tally: Tally
    places: dict[str, Reckoning]
    forgotten: int
    rewritten: int
    dead: int
    mails: int
    repeats: int
    counted: int
    hidden: int
    expiries: list[int]
    calm_after: float
    slowest: float

    @property
    def lost(self) -> int:
        return self.forgotten + sum(len(place.lost) for place in self.places.values())

    @property
    def good(self) -> bool:
        whole = all(place.right for place in self.places.values())
        return whole and not (self.lost or self.rewritten or self.dead)

    def rows(self) -> Iterator[tuple[str, Any]]:
        tally, doubled = self.tally, {place: len(found.doubled) for place, found in self.places.items()}
        kills = ", ".join(f"{tally.kills[one]} {one}" for one in TARGETS)
        answers = ", ".join(f"{count} of {status or 'none'}" for status, count in sorted(tally.statuses.items()))
        required = sum(promise.required for promise in tally.promises.values())
        yield "rounds", self.rounds
        yield "kill -9", f"{tally.kills.total()}: {kills}"
        yield "callbacks", f"{tally.callbacks}, of them sent twice: {tally.copies}"
        yield "answers", answers
        yield "acknowledged; given up", f"{tally.acknowledged}; {tally.unanswered}"
        yield "documents; acknowledged", f"{len(tally.promises)}; {required}"
        yield "events missing in the store", self.forgotten
        yield "lost", self.lost
        yield "duplicates: folder; bucket", f"{doubled['folder']}; {doubled['bucket']}"
        yield "objects written twice", self.rewritten
        yield "wrong: mails; delivery rows", f"{doubled['mailbox']}; {doubled['rows']}"
        yield "strange", sum(len(place.strange) for place in self.places.values())
        yield "dead letters", self.dead
        yield "mails; repeats; receipts count", f"{self.mails}; {self.repeats}; {self.counted}"
        yield "leases expired; most for a job", f"{sum(self.expiries)}; {max(self.expiries, default=0)}"
        yield "hidden files left by the killed", self.hidden
        yield "longest until acknowledged", f"{tally.longest_wait:.1f} s"
        yield "longest from there to a receipt", f"{self.slowest:.1f} s"
        yield "at rest after the last round", f"{self.calm_after:.1f} s"

    def text(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        table = [f"{name:<{width}}  {value}" for name, value in self.rows()]
        wrong = [f"  {place}: {one}" for place, found in self.places.items() for one in found.sentences()]
        return "\n".join([*table, *wrong[:50], "good" if self.good else "BAD"])


def crash(url: str, home: Path, rounds: int, seed: int, say: Callable[[str], None] = lambda _: None) -> Verdict:
    """`rounds` kills against a service on the migrated store at `url`, with everything it needs below `home`."""
    liar = random.Random(seed)
    with ExitStack() as stack:
        world = stack.enter_context(World(home, lies=lambda: liar.random() < LIES))
        store = SqlStore(url)
        stack.callback(store.close)
        storm = Storm(world, url, seed, stack)
        for number in range(1, rounds + 1):
            storm.round()
            if number % 10 == 0:
                say(f"round {number}: {len(storm.tally.promises)} documents, {_waiting(store)} jobs")
        storm.revive()
        calm_after = _come_to_rest(store, say)
        return _verdict(world, store, storm.tally, rounds, calm_after)


def _come_to_rest(store: SqlStore, say: Callable[[str], None]) -> float:
    """The seconds until no job was left. What is left after a long while will be found lost."""
    try:
        return until(lambda: _waiting(store) == 0, "the service to come to rest", CALM_WITHIN)
    except TimeoutError as error:
        say(str(error))
        return CALM_WITHIN


def _waiting(store: SqlStore) -> int:
    return int(sum(number for (name, _), number in store.gauges().items() if name == "jobs"))


def _verdict(world: World, store: SqlStore, tally: Tally, rounds: int, calm_after: float) -> Verdict:
    promises = list(tally.promises.values())
    deliveries = _all(store, Query(kind="deliveries", limit=500))
    letters = world.in_mailbox()
    counted = {_name(row): int(row["receipt"]["details"]["repeats"]) for row in deliveries if _is_mail(row)}
    rows = [(_name(row), str(row["sink"]), str(row["state"])) for row in deliveries]
    events = {str(row["id"]) for row in _all(store, Query(kind="events", limit=500))}
    with store.database.reader.connect() as connection:
        expiries = list(connection.execute(sa.text(_EXPIRED)).scalars())
    return Verdict(
        rounds=rounds,
        tally=tally,
        places={
            "folder": reckon(promises, world.in_folder()),
            "bucket": reckon(promises, world.in_bucket()),
            "mailbox": reckon_mail(promises, letters, counted),
            "rows": reckon_rows(promises, rows, SINKS),
        },
        forgotten=len(tally.events - events),
        rewritten=sum(count > 1 for count in world.bucket.writes.values()),
        dead=len(_all(store, Query(kind="dead"))),
        mails=len(letters),
        repeats=len(letters) - len({letter.files for letter in letters}),
        counted=sum(counted.values()),
        hidden=len(world.hidden()),
        expiries=expiries,
        calm_after=calm_after,
        slowest=max((_seconds(row, tally) for row in deliveries), default=0.0),
    )


def _all(store: SqlStore, query: Query) -> list[dict[str, Any]]:
    return [row for page in pages(store.list, query) for row in page]


def _name(row: dict[str, Any]) -> str:
    return f"{row['source']}/{row['document']}"


def _is_mail(row: dict[str, Any]) -> bool:
    return (row["sink"], row["state"]) == ("legal", "delivered")


def _seconds(row: dict[str, Any], tally: Tally) -> float:
    return float(row["done"] or time.time()) - tally.answered.get(_name(row), float(row["created"]))


# --- the command ------------------------------------------------------------------------------------------------------


@contextmanager
def _store(kind: str, home: Path) -> Iterator[str]:
    """The address of a new migrated database; Postgres is started for it."""
    with _postgres() if kind == "postgres" else nullcontext(f"sqlite:///{home}/store.db") as url:
        store = SqlStore(url)
        store.migrate()
        store.close()
        yield url


@contextmanager
def _postgres() -> Iterator[str]:
    """A server of our own, as the tests start it."""
    programs = postgres_programs()
    if programs is None:
        raise SystemExit("Postgres is not installed: no initdb and pg_ctl here")
    with postgres_server(programs) as server:
        yield f"{server}/postgres"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.flow.crash",
        description=f"{__doc__} Exit code 0 only if nothing was lost, nothing is there twice and nothing was buried.",
        epilog="Example: python -m tests.flow.crash --store postgres --rounds 200 --seed 7",
    )
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="a new one is made (sqlite)")
    parser.add_argument("--rounds", type=int, default=20, help="each is a kill, and takes two or three seconds (20)")
    parser.add_argument("--seed", type=int, default=None, help="of what is sent and killed (the clock)")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it: the logs are in it")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    print(f"store {chosen.store}, {chosen.rounds} rounds, seed {seed}", flush=True)
    with ExitStack() as stack:
        home = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-")))
        home.mkdir(parents=True, exist_ok=True)
        url = stack.enter_context(_store(chosen.store, home))
        verdict = crash(url, home, chosen.rounds, seed, lambda line: print(line, flush=True))
    print(verdict.text())
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
