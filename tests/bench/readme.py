"""The README's table of measurements: `python -m tests.bench.readme FILE …` writes it.

The files hold what `python -m tests.bench --json` printed, in one run or in several: of what was measured twice the
last counts. So nothing stands in the README that was not measured.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.readme import README

BEGIN, END = "<!-- python -m tests.bench.readme writes what follows -->", "<!-- and the measurements end here -->"
BESIDE = {
    "accept": "a hook that verifies and stores nothing",
    "forward": "a script that keeps no state",
    "peers": "the better peer",
    "memory": "`curl -o`",
    "growth": "the empty store",
}
"""The yardstick of each measurement that has one, run in turn with what it measures."""


def with_measurements(text: str, results: Sequence[Mapping[str, Any]]) -> str:
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{_chapter(results)}\n\n{END}{after}"


def _chapter(results: Sequence[Mapping[str, Any]]) -> str:
    machine = results[-1]["machine"]
    measured = {name: rows for result in results for name, rows in result["rows"].items()}
    lines = [f"On {machine['cores']} cores ({machine['cpu']}), Python {machine['python']}:", ""]
    lines += ["| what | figure | beside | ratio | target |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(line for name, rows in measured.items() for line in _lines(name, rows))])


def _lines(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What has a target or a ratio, and the peers; the rest stands in the full table."""
    for row in rows:
        ratio = ", ".join(_ratios(row))
        if row["target"] or ratio or name == "peers":
            yield f"| {row['case']} | {_figure(row)} | {BESIDE[name] if ratio else ''} | {ratio} | {row['target']} |"


def _figure(row: Mapping[str, Any]) -> str:
    told = [] if row["rate"] is None else [f"{_number(row['rate'])} {row['unit']}"]
    told += [] if row["p50"] is None else [f"p50 {_number(row['p50'])} ms, p99 {_number(row['p99'])} ms"]
    told += [] if row["cpu_ms"] is None else [f"{_number(row['cpu_ms'])} ms CPU"]
    return ", ".join(told)


def _ratios(row: Mapping[str, Any]) -> Iterator[str]:
    for name, word in (("rate_ratio", "rate"), ("cpu_ratio", "CPU")):
        if row[name] is not None:
            yield f"{word} {row[name][0]:.2f} x"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    found = [json.loads(Path(name).read_text("utf-8")) for name in sys.argv[1:]]
    README.write_text(with_measurements(README.read_text("utf-8"), found), "utf-8")
