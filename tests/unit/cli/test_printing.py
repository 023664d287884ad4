"""What reaches a terminal: harmless, aligned, with ages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.cli import printing
from webhook_svc.cli.printing import age, cut, echo_json, iso, plain, size, table, when, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Vertrag für Ōsaka 東京 😀", "Vertrag für Ōsaka 東京 😀"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x9b31m", r"\x9b31m"),
        ("pdf\u202efdp.exe", r"pdf\u202efdp.exe"),
        ("\ud800", r"\ud800"),
        ("\u2028\x00\x7f", r"\u2028\x00\x7f"),
        (None, ""),
        (7, "7"),
    ],
)
def test_text_cannot_steer_a_terminal(text: object, shown: str) -> None:
    assert shown == plain(text)


@given(st.text())
def test_whatever_comes_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = plain(text)
    assert 1 >= len(shown.splitlines())
    assert b"\x1b" not in shown.encode()


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("", 0)])
def test_the_width_is_that_of_a_terminal(text: str, columns: int) -> None:
    assert columns == width(text)


@pytest.mark.parametrize(("text", "kept"), [("abcd", "abcd"), ("abcde", "abc…"), ("東京都", "東…"), ("", "")])
def test_a_long_text_is_cut_to_its_column(text: str, kept: str) -> None:
    assert kept == cut(text, 4)


def test_columns_line_up_beside_wide_characters_and_the_last_is_never_cut() -> None:
    shown = table(("A", "B"), [("東京", "x" * 100), ("a" * 9, "y")], longest=6)
    assert ["A       B", "東京    " + "x" * 100, "aaaaa…  y"] == shown.split("\n")


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (1000.0, "now"),
        (970.0, "30 s ago"),
        (1030.0, "in 30 s"),
        (1000.0 - 180, "3 min ago"),
        (1000.0 + 4 * 3600, "in 4 h"),
        (1000.0 - 3 * 86400, "3 days ago"),
        (1000.0 - 100 * 60, "100 min ago"),
    ],
)
def test_a_time_is_told_by_its_age(moment: float, told: str) -> None:
    assert told == age(moment, 1000.0)


def test_a_time_is_iso_utc_with_its_age_and_no_time_is_empty() -> None:
    assert "2026-01-01T00:00:00Z (3 min ago)" == when(1767225600.0, 1767225780.0)
    assert ("", "") == (when(None, 0.0), iso(None))


@pytest.mark.parametrize(("count", "told"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2e12, "2000.0 GB")])
def test_a_size_is_told_in_its_unit(count: float, told: str) -> None:
    assert told == size(count)


def test_json_is_ascii_with_times_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    printing.echo_json([{"received": 1767225600.25, "title": "\x1b東\ud800", "done": None, "copies": 2}])
    out = capsys.readouterr().out
    assert out.isascii()
    wanted = {"received": "2026-01-01T00:00:00.250Z", "title": "\x1b東\ud800", "done": None, "copies": 2}
    assert [wanted] == json.loads(out)


def test_of_hints_only_the_names_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"hints": {"link": "https://files.example/x?signature=s3cret"}})
    assert '{\n  "hints": [\n    "link"\n  ]\n}\n' == capsys.readouterr().out
