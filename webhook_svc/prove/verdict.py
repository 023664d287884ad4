"""What was promised against what is there, as one table and one sentence."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.asking import Query, pages
from ..store.sql import SqlStore
from .reckoning import Reckoning, reckon, reckon_mail, reckon_rows
from .recovery import Disturbance, Passage, recoveries
from .town import Town
from .traffic import Tally

MAIL = "legal"
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`forgotten` are acknowledged events that the store does not know, `dead` what it gave up, `rewritten` objects
    that were written more than once.

    `mails` arrived, `repeats` of them beyond one for each document; `counted` the receipts know of, and `unsure` are
    mails whose conversation broke off before their sender could know. By the kind of trouble: how often it `happened`,
    in how many of those times somebody `met` it where that is known, and the seconds of the longest `recovery`.
    `missing` are sentences on what was to go wrong and did not: then nothing is shown.
    """

    tally: Tally
    places: Mapping[str, Reckoning]
    forgotten: tuple[str, ...]
    dead: tuple[str, ...]
    rewritten: tuple[str, ...]
    mails: int
    repeats: int
    counted: int
    unsure: int
    happened: Mapping[str, int]
    met: Mapping[str, int]
    recovery: Mapping[str, float]
    calm_after: float
    missing: tuple[str, ...] = ()

    @property
    def documents(self) -> int:
        """Those of which every callback was acknowledged."""
        return sum(promise.required for promise in self.tally.promises.values())

    @property
    def lost(self) -> int:
        """Documents that are not whole in every sink, and events that are known to nobody."""
        names = {line.partition(":")[0] for found in self.places.values() for line in found.lost}
        return len(names | {self.tally.events[event] for event in self.forgotten})

    @property
    def kills(self) -> int:
        return sum(times for name, times in self.happened.items() if name.startswith("kill -9"))

    @property
    def duplicates(self) -> dict[str, int]:
        return {place: len(found.doubled) for place, found in self.places.items()}

    @property
    def good(self) -> bool:
        return not self.problems()

    def problems(self) -> list[str]:
        """Sentences on everything that is not as it was promised, and on what was not put to the proof."""
        return [*self._broken(), *(f"not shown: {line}" for line in self.missing)]

    def _broken(self) -> list[str]:
        lost_at = ((event, self.tally.events[event]) for event in self.forgotten)
        found = [f"lost {name}: {event} was acknowledged, and the store does not know it" for event, name in lost_at]
        found += [f"{place}: {line}" for place, each in self.places.items() for line in each.sentences()]
        found += [f"given up: {line}" for line in self.dead]
        found += [f"written more than once: {name}" for name in self.rewritten]
        if self.repeats > self.unsure:
            found.append(f"{self.repeats} mails came again, {self.unsure} of them may")
        if self.tally.waiting:
            found.append(f"{self.tally.waiting} callbacks were not taken in the end")
        return found

    def sentence(self) -> str:
        if self.good:
            return f"Good: {self.documents} acknowledged documents are in every sink, whole and once."
        if not self._broken():
            return f"NOT SHOWN: {self.documents} acknowledged documents are there, but too little went wrong."
        doubled = sum(self.duplicates.values())
        lost = f"{self.lost} of {self.documents} acknowledged documents are lost"
        return f"BAD: {lost}, and {doubled} things are there too often."

    def rows(self) -> Iterator[tuple[str, str]]:
        tally = self.tally
        answers = ", ".join(f"{count} of {status or 'none'}" for status, count in sorted(tally.statuses.items()))
        doubled = (f"{place} {count}" for place, count in self.duplicates.items())
        worst = max(self.recovery.items(), key=lambda item: item[1], default=("", 0.0))
        yield "callbacks accepted", f"{tally.acknowledged} of {tally.callbacks}, {len(tally.events)} events"
        yield "answers", answers
        yield "documents acknowledged", str(self.documents)
        yield "lost", str(self.lost)
        yield "duplicates", ", ".join(doubled)
        yield "mails; repeats; that may be", f"{self.mails}; {self.repeats}; {self.unsure}"
        yield "dead letters", str(len(self.dead))
        yield "processes killed", str(self.kills)
        yield "longest wait of a sender", f"{tally.longest_wait:.1f} s"
        yield "longest recovery", f"{worst[1]:.1f} s" + (f" after: {worst[0]}" if worst[0] else "")
        yield "at rest at the end after", f"{self.calm_after:.1f} s"
        for name, times in sorted(self.happened.items()):
            met = f", met somebody in {self.met[name]}" if name in self.met else ""
            yield f"· {name}", f"{times} times{met}, recovered within {self.recovery[name]:.1f} s"

    def lines(self) -> Iterator[str]:
        """For people: the table, what is wrong, and the sentence that says it all."""
        width = max(len(name) for name, _ in self.rows())
        yield from (f"{name:<{width}}  {value}" for name, value in self.rows())
        problems = self.problems()
        yield from (f"  {line}" for line in problems[:SHOWN])
        if len(problems) > SHOWN:
            yield f"  … and {len(problems) - SHOWN} more"
        yield self.sentence()

    def document(self) -> dict[str, Any]:
        """For a machine."""
        tally = self.tally
        numbers = {"callbacks": tally.callbacks, "accepted": tally.acknowledged, "events": len(tally.events)}
        mail = {"mails": self.mails, "repeats": self.repeats, "unsure": self.unsure, "counted": self.counted}
        return {
            "good": self.good,
            **numbers,
            "documents": self.documents,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "mail": mail,
            "dead": len(self.dead),
            "kills": self.kills,
            "happened": dict(self.happened),
            "recovery_seconds": {name: round(seconds, 3) for name, seconds in self.recovery.items()},
            "longest_recovery_seconds": round(max(self.recovery.values(), default=0.0), 3),
            "problems": self.problems(),
        }


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What the verdict is made of: the town, the store and the senders' tally after everything came to rest."""

    town: Town
    store: SqlStore
    tally: Tally
    disturbances: list[Disturbance]
    calm_after: float
    rewritten: tuple[str, ...] = ()
    met: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def verdict(self) -> Verdict:
        deliveries = everything(self.store, Query(kind="deliveries", limit=500))
        letters = self.town.letters()
        counted = {_name(row): int(row["receipt"]["details"]["repeats"]) for row in deliveries if _is_mail(row)}
        known = {str(row["id"]) for row in everything(self.store, Query(kind="events", limit=500))}
        return Verdict(
            tally=self.tally,
            places=self._places(deliveries, counted),
            forgotten=tuple(sorted(self.tally.events.keys() - known)),
            dead=tuple(map(_grave, everything(self.store, Query(kind="dead", limit=500)))),
            rewritten=self.rewritten,
            mails=len(letters),
            repeats=len(letters) - len({letter.files for letter in letters}),
            counted=sum(counted.values()),
            unsure=self.town.mailbox.unsure,
            happened=Counter(one.name for one in self.disturbances),
            met=self.met,
            recovery=recoveries(self.disturbances, self._passages(deliveries)),
            calm_after=self.calm_after,
            missing=self.missing,
        )

    def _places(self, deliveries: list[dict[str, Any]], counted: dict[str, int]) -> dict[str, Reckoning]:
        promises = list(self.tally.promises.values())
        rows = [(_name(row), str(row["sink"]), str(row["state"])) for row in deliveries]
        return {
            **{sink: reckon(promises, found) for sink, found in self.town.places().items()},
            MAIL: reckon_mail(promises, self.town.letters(), counted),
            "deliveries": reckon_rows(promises, rows, self.town.sinks),
        }

    def _passages(self, deliveries: list[dict[str, Any]]) -> Iterator[Passage]:
        done: dict[str, float] = {}
        for row in deliveries:
            done[_name(row)] = max(done.get(_name(row), 0.0), float(row["done"] or 0.0))
        answered = self.tally.answered
        yield from (Passage(answered=answered[name], done=done[name]) for name in answered.keys() & done.keys())


def everything(store: SqlStore, query: Query) -> list[dict[str, Any]]:
    return [row for page in pages(store.list, query) for row in page]


def jobs(store: SqlStore) -> int:
    """Work that is not settled."""
    return int(sum(number for (name, _), number in store.gauges().items() if name == "jobs"))


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['source']}/{row['document']}"


def _is_mail(row: Mapping[str, Any]) -> bool:
    return (row["sink"], row["state"]) == (MAIL, "delivered")


def _grave(row: Mapping[str, Any]) -> str:
    return f"{row['id']}: {row['reason']}"
