"""What the benchmarks printed, as the README shows it."""

from typing import Any

from tests.bench.readme import BEGIN, END, with_measurements
from tests.readme import README

MACHINE = {"cores": "2", "cpu": "a CPU", "python": "3.11"}


def row(case: str, **more: Any) -> dict[str, Any]:
    blank = dict.fromkeys(("rate", "cpu_ms", "p50", "p99", "rate_ratio", "cpu_ratio"))
    return {**blank, "case": case, "unit": "events/s", "target": "", "note": "", **more}


def shown(*results: dict[str, Any]) -> list[str]:
    text = with_measurements(f"before\n{BEGIN}\nan old table\n{END}\nafter\n", results)
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


def test_a_figure_stands_beside_its_yardstick_and_its_target() -> None:
    measured = row("accept", rate=812.3, cpu_ms=1.5, p50=20.0, p99=45.5, cpu_ratio=(1.234, 1.1, 1.3), target="≤ 1.25 x")
    figure = "812 events/s, p50 20.0 ms, p99 45.5 ms, 1.50 ms CPU"
    expected = f"| accept | {figure} | a hook that verifies and stores nothing | CPU 1.23 x | ≤ 1.25 x |"
    assert [expected] == shown({"machine": MACHINE, "rows": {"accept": [row("yardstick", rate=1.0), measured]}})


def test_another_yardstick_stands_beside_the_first_though_it_has_no_target() -> None:
    by_hand = row("by hand", rate=248.0, cpu_ratio=(1.88, 1.8, 2.0), unit="documents/s")
    expected = "| by hand | 248 documents/s | a script that keeps no state | CPU 1.88 x |  |"
    assert [expected] == shown({"machine": MACHINE, "rows": {"forward": [row("script", rate=1.0), by_hand]}})


def test_of_what_was_measured_twice_the_last_counts() -> None:
    first, second = (
        {"machine": MACHINE, "rows": {"wake": [row("wake", p50=p50, p99=9.0, target="< 10 ms")]}} for p50 in (5.0, 6.0)
    )
    assert ["| wake | p50 6.00 ms, p99 9.00 ms |  |  | < 10 ms |"] == shown(first, second)


def test_the_readme_has_a_place_for_it() -> None:
    text = README.read_text("utf-8")
    assert (1, 1) == (text.count(BEGIN), text.count(END))
