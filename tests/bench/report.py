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
    `crowd` the rows that stand in a store before."""

    rounds: int
    events: int
    documents: int
    samples: int
    large: int
    crowd: int


FULL = Scale(rounds=3, events=3000, documents=1000, samples=200, large=1024**3, crowd=1_000_000)
QUICK = Scale(rounds=1, events=600, documents=150, samples=30, large=128 * 1024**2, crowd=20_000)

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
    asked = parser.parse_args()
    before = facts()
    rows = [row for measure in measures.values() for row in measure(QUICK if asked.quick else FULL)]
    after = {**before, "load average after": facts()["load average"]}
    if asked.json:
        print(json.dumps({"machine": after, "rows": [dataclasses.asdict(row) for row in rows]}, indent=2))
    else:
        print(table(rows, after))


def table(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    lines = [", ".join(f"{name}: {value}" for name, value in machine.items()), ""]
    lines += ["| " + " | ".join((*_HEAD, "target", "note")) + " |", "|---|" + "---:|" * 6 + "---|---|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(row)) + " |" for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    rate = "" if row.rate is None else f"{row.rate:.0f} {row.unit}"
    figures = (_number(row.cpu_ms, 2), _number(row.p50, 1), _number(row.p99, 1))
    return row.case, rate, *figures, _range(row.rate_ratio), _range(row.cpu_ratio), row.target, row.note


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _range(value: tuple[float, float, float] | None) -> str:
    if value is None:
        return ""
    middle, least, most = value
    return f"{middle:.2f} x" if least == most else f"{middle:.2f} x ({least:.2f} to {most:.2f})"
