"""Figures as rows, rows as one Markdown table or JSON."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from .machine import facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case of one measurement. Ratios are to the yardstick of the same round: the median, and its extremes."""

    case: str
    rate: float | None = None
    unit: str = "events/s"
    cpu_ms: float | None = None
    p50: float | None = None
    p99: float | None = None
    rate_ratio: tuple[float, float, float] | None = None
    cpu_ratio: tuple[float, float, float] | None = None
    target: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of it: interleaved `rounds`, each of so many events, documents or samples; `large` is a file's bytes,
    `crowd` the rows that stand in a store before, `stream` the events that go through one worker, `rate` how many
    of them a second (0: as fast as it goes), `calm` the seconds for which nothing happens."""

    rounds: int
    events: int
    documents: int
    samples: int
    large: int
    crowd: int
    stream: int
    calm: float
    rate: float = 0.0


FULL = Scale(
    rounds=3,
    events=3000,
    documents=1000,
    samples=200,
    large=2 * 1024**3,
    crowd=1_000_000,
    stream=1_000_000,
    calm=20.0,
)
QUICK = Scale(
    rounds=1,
    events=600,
    documents=150,
    samples=30,
    large=128 * 1024**2,
    crowd=20_000,
    stream=20_000,
    calm=4.0,
)

Measure = Callable[[Scale], list[Row]]
_HEAD = ("case", "rate", "CPU ms a unit", "p50 ms", "p99 ms", "rate against yardstick", "CPU against yardstick")


def ratios(figures: Sequence[float], yardstick: Sequence[float]) -> tuple[float, float, float]:
    """Round by round, so that a drift of the machine falls out of it."""
    found = [one / other for one, other in zip(figures, yardstick, strict=True)]
    return median(found), min(found), max(found)


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def run(measures: Mapping[str, Measure]) -> None:
    """The command line of each measurement, and of all of them."""
    parser = argparse.ArgumentParser(description="Measures the service beside a yardstick.")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="small counts: does it run?")
    parser.add_argument("--rate", type=float, default=0.0, help="events a second at most, where a stream is measured")
    if len(measures) > 1:
        parser.add_argument("--only", metavar="NAME", nargs="+", choices=measures, help="these alone, of: %(choices)s")
    asked = parser.parse_args()
    scale = dataclasses.replace(QUICK if asked.quick else FULL, rate=asked.rate)
    before = facts()
    rows = {name: measures[name](scale) for name in vars(asked).get("only") or measures}
    after = {**before, "load average after": facts()["load average"]}
    if asked.json:
        told = {name: [dataclasses.asdict(row) for row in some] for name, some in rows.items()}
        print(json.dumps({"machine": after, "rows": told}, indent=2))
    else:
        print(table([row for some in rows.values() for row in some], after))


def table(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    lines = [", ".join(f"{name}: {value}" for name, value in machine.items()), ""]
    lines += ["| " + " | ".join((*_HEAD, "target", "note")) + " |", "|---|" + "---:|" * 6 + "---|---|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(row)) + " |" for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    rate = "" if row.rate is None else f"{row.rate:.{0 if abs(row.rate) >= 10 else 2}f} {row.unit}"
    figures = (_number(row.cpu_ms, 2), _number(row.p50, 1), _number(row.p99, 1))
    return row.case, rate, *figures, _range(row.rate_ratio), _range(row.cpu_ratio), row.target, row.note


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _range(value: tuple[float, float, float] | None) -> str:
    if value is None:
        return ""
    middle, least, most = value
    return f"{middle:.2f} x" if least == most else f"{middle:.2f} x ({least:.2f} to {most:.2f})"
