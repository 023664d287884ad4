"""Patterns of operators: those that a stranger could make hang are refused at start, all others answer quickly."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import Problem
from webhook_svc.core.settings import build
from webhook_svc.signing import timed
from webhook_svc.signing.patterns import judge as patterns
from webhook_svc.signing.patterns.judge import LONGEST, pattern
from webhook_svc.signing.presets import PRESETS
from webhook_svc.signing.verify import VerifySettings

SHARED = Path(__file__).parents[3].parent / "shared"

EVIL = {
    "a repetition of a repetition": r"(a+)+$",
    "the same without a group": r"(?:a*)*$",
    "the same, lazy": r"(?:a*?)*?b",
    "the same, with a character between": r"^(?:[a-z]+.)+[A-Z]+$",
    "alternatives that take the same": r"(?:ab|ab)*c",
    "alternatives that begin alike": r"(?:a|aa)+$",
    "alternatives that are made of others": r"(?:a|b|ab)*c",
    "classes that overlap": r"(?:\d+|\w+)*=",
    "an optional piece": r"(?:ab?b?)*c",
    "an optional separator": r"^(?:\w+\s?)*$",
    "blanks around a separator": r"(?:\s*,\s*)*x",
    "any text again and again": r"(?:.*)*x",
    "two in one": r"(?:x+x+)+y",
    "e-mail addresses": r"^(?:[a-zA-Z0-9])(?:[a-zA-Z0-9]*[.-]?)*@x",
    "paths": r"^(?:/?[\w.-]*)*\?",
    "comma-separated values": r"^(?:.*?,)*x$",
    "hidden in a look ahead": r"(?=(?:a+)+$)x",
    "hidden behind a look ahead": r"(?:(?!x)a*)*b",
    "hidden in a look back": r"(?:\d+(?<=0{1000}))x",
    "hidden in cases": r"(?i)^(?:[a-z]+[A-Z]+)+$",
    "hidden in words": r"(?:\bx*\b)*y",
    "nothing at all, again and again": r"^(?:(?:(?!x)){3,}b)+c",
    "perhaps nothing, again and again": r"^(?:(?:a?)*b)+c",
    "nothing or nothing, again and again": r"(?:|){40}([0-9a-f]+)",
    "nothing or the beginning": r"(?:^|){60}x",
    "perhaps a look ahead": r"(?:(?!\n){0,2}){30,}x",
    "perhaps nothing at all": r"(?:(?:)*?){40,}x",
    "nothing or a look ahead": r"(?:(?!xx)|){60}y",
    "nothing or nothing between two": r"x(?:|){40}y",
    "nothing or nothing before the end": r"x(?:|){40}$",
    "nothing or nothing behind many": r"x*(?:|){9}y",
    "more that are optional than are counted": r"(?:a?){50}b",
    "counted": r"(?:a{1,10}){1,30}b",
    "counted, three times": r"(?:(?:a{1,10}){1,10}){1,10}b",
    "counted without an end": r"(?:a{2,})*b",
    "many that are optional": r"(?:a?){30}a{30}",
    "many alternatives": r"(?:ab|ab){25}c",
    "a cube": r"\d+\d+\d+x",
    "a cube that is searched for": r".*.*=",
    "a cube that begins": r"^.*=.*;.*$",
    "a cube of blanks": r"^\s*(.*?)\s*$",
    "a cube of optional commas": r"\s*,?\s*,?\s*x",
    "what a group took": r"(.*)\1",
    "what a group took, as a condition": r"(a)?(?(1)b|c)",
    "letters of all scripts": r"(?u:\w+)",
    "more than can be judged": "".join(f"x{number}y?" for number in range(200)),
}

GOOD = [
    r"",
    r"(.*)",
    r"\d+x",
    r"\s+$",
    r"^\s+|\s+$",
    r"^.*=(.*)$",
    r".*signature=(.*)",
    r"[0-9a-f]{64}",
    r"([0-9a-f]{512})",
    r".{1,4096}",
    r"[a-z]{0,300}[0-9]{0,300}=",
    r"v1=([0-9a-f]{64})",
    r"(?:^|;)\s*sig\s*=\s*\"([^\"]*)\"",
    r"^(?:[^=;]*=[^;]*;)*sig=([^;]*)",
    r"(?:[a-z]+=[^,]*,)*v1=([^,]*)",
    r"(?<=sha256=)[0-9a-f]+",
    r"^[A-Za-z0-9+/]+={0,2}$",
    r"^(?:\d{1,3}\.){3}\d{1,3}$",
    r"v1=([a-f0-9]+)(?:,|$)",
    r"\bv1=(\w+)\b",
    r"(?:sha256|sha512|sha1)=([0-9a-f]+)",
    r"(?i)signature=\"?([a-z0-9+/=]+)\"?",
    r"(?i:(?:a|A)+)$",
    r"\d+abcdefgh$",
    r"(?m)^sig: (.*)$",
    r"(?s)<s>(.*?)</s>",
    r"^(?:\"(?:[^\"\\]|\\.)*\"|[^,\"])*,",
    r"(?:(?:a|b)(?:c|d))*e",
    r"(?>a+)b",
    r"a++b",
    r"[^日本]+本",
]


def used() -> Iterator[str]:
    """The patterns that stand in our own code, in the vectors and in the profiles that were noted down."""
    yield from (timed._ONE_TIME, timed._SIGNATURES)
    tables: list[Any] = [preset.fields for preset in PRESETS.values()]
    if SHARED.is_dir():
        for name in ("published", "made_here"):
            tables += [vector["params"] for vector in json.loads((SHARED / "vectors" / f"{name}.json").read_text())]
        tables += json.loads((SHARED / "reference" / "provider_profiles.json").read_text()).values()
    for table in tables:
        yield from (table[key] for key in ("pattern", "sig_re") if table.get(key))
        yield from (place.split(" ~ ")[1] for place in (table.get("vars") or {}).values() if " ~ " in place)


ACCEPTED = sorted({*GOOD, *used()})


@pytest.mark.parametrize("name", EVIL)
def test_a_pattern_that_could_hang_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the pattern {EVIL[name]!r} ")) as caught:
        pattern(EVIL[name])
    assert re.search("too many ways|cannot be judged|to be judged|only ASCII", str(caught.value))


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_pattern_that_is_quick_is_accepted(text: str) -> None:
    assert pattern(text).pattern == text


def test_the_sentence_names_the_character_and_what_to_do() -> None:
    with pytest.raises(ValueError, match="on a text with many 'a': repeat nothing that repeats the same characters"):
        pattern("(a+)+$")


def test_what_would_take_long_to_judge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_MOST_PAIRS", 10)
    with pytest.raises(ValueError, match="too complicated to be judged"):
        pattern("(?:a.|b.|c.){7}d")


def test_nesting_without_an_end_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        pattern("(?:" * 5000 + ")" * 5000)


@pytest.mark.parametrize("name", [r"x-docusign-signature-\d+", "X-.*", "x-(?:a|b)-signature", ".*.*"])
def test_patterns_of_header_names_are_judged_too(name: str) -> None:
    assert pattern(name, names=True).fullmatch("x" * LONGEST) is None or name == ".*.*"
    with pytest.raises(ValueError, match="too many ways"):
        pattern(name + "(?:x+)+", names=True)


@pytest.mark.parametrize(
    "table",
    [
        {"pattern": "(a+)+$"},
        {"signature": "header:x-(?:a+)+y"},
        {"vars": {"ts": "header:X ~ (?:a+)+$"}, "message": "{ts}{body}"},
    ],
)
def test_wherever_the_configuration_has_a_pattern_it_is_judged_at_start(table: dict[str, Any]) -> None:
    problems: list[Problem] = []
    plain = {"alg": "hmac-sha256", "message": "{body}", "signature": "header:X"}
    build(VerifySettings, plain | table, "sources.x.verify", problems)
    assert ["sources.x.verify"] == [problem.where for problem in problems]
    assert "too many ways" in problems[0].expected


# --- what was accepted, on what would hurt most -------------------------------------------------------------------

RUN = r"""
import json, re, sys, time
slowest = (0.0, "", "")
for text, shapes in json.load(sys.stdin):
    compiled = re.compile(text, re.ASCII)
    for beginning, again, length in shapes:
        shown = (beginning + again * length)[: length - 1] + "!"
        begun = time.process_time()
        for match in compiled.finditer(shown):
            pass
        slowest = max(slowest, (time.process_time() - begun, text, shown[:20]))
print(json.dumps(slowest))
"""


def pieces(text: str) -> list[str]:
    """Characters and words that the pattern speaks of, as they may stand in a text."""
    words = re.findall(r"[A-Za-z0-9=,;:\" ]{2,}", text.replace("\\", " "))
    letters = [letter for letter in 'a0=,;: "\n' if letter in text or letter in "a0 "]
    return list(dict.fromkeys([*letters, *words[:4]]))


def hurtful(text: str) -> Iterator[tuple[str, str, int]]:
    """(beginning, what is repeated behind it, characters in all): pairs are shorter, for there are many."""
    found = pieces(text)
    yield from (("", piece, LONGEST) for piece in found)
    for left in found[:5]:
        for right in found[:5]:
            yield "", left + right, LONGEST // 4
            yield left, right, LONGEST // 4


def test_every_accepted_pattern_answers_quickly_whatever_it_is_shown() -> None:
    shown = json.dumps([(text, list(dict.fromkeys(hurtful(text)))) for text in ACCEPTED])
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=shown, capture_output=True, text=True, timeout=120, check=True
    )
    seconds, text, where = json.loads(done.stdout)
    assert seconds < 3, f"{text!r} took {seconds:.1f} s on {where!r}…"
