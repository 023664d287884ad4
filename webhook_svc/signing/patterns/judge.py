"""Regular expressions of the configuration: compiled, and judged before they see what strangers send.

Python's engine tries every way in which a pattern may take the characters, one after the other. How many ways there are
is counted here, from above, for every text of `LONGEST` characters: the pattern becomes an automaton whose states are
its characters, and each state is followed to see in how many ways it can be reached at once. Two states are at work at
once only where one and the same text leads to both, so repetitions that take different characters do not add up.
(Ways are the runs of an automaton; https://doi.org/10.1016/0304-3975(91)90381-B tells how their number grows.)
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from .automaton import ALL, Automaton, automaton

Groups = list[list[tuple[int, int]]]
"""(state, factor)"""

LONGEST: Final = 4096
"""Characters that a pattern may see."""
MOST_STEPS: Final = 20_000_000
"""Steps that it may take over them: a few tenths of a second."""

_MOST_PAIRS: Final = 300_000
"""Looks at two characters of the pattern at once, while it is judged."""
_MOST_GROUPS: Final = 200
_LOOKS_AHEAD: Final = 8
_FREE_TRIES: Final = 8
"""Alternatives that cost nothing beside the step that leads to them."""


def pattern(text: str, *, names: bool = False) -> re.Pattern[str]:
    """A compiled pattern of the configuration; ASCII, so that `\\d` is ten digits and not every script's. `names`: it
    is held against whole header names. ValueError, in a sentence, where it is none, or could take too long."""
    flags = re.ASCII | (re.IGNORECASE if names else 0)
    try:
        compiled = re.compile(text, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"the pattern {text!r} is no regular expression: {error}") from None
    if compiled.groups > 1:
        raise ValueError(
            f"the pattern {text!r} has {compiled.groups} groups; the one group is what is taken, use (?:…)"
        )
    if trouble := _trouble(text, int(flags), names):
        raise ValueError(f"the pattern {text!r} {trouble}")
    return compiled


@lru_cache(maxsize=1000)
def _trouble(text: str, flags: int, names: bool) -> str:
    """What is wrong with a pattern that compiles; "" where it is quick whatever it is shown."""
    try:
        made = automaton(text, flags, whole=names)
        worst = _slowest(made if names else made.searched())
        if worst is not None and not names and _slowest(made, anew=True) is None:
            return ""  # it had counted what begins in two places as one that goes on in two ways
    except ValueError as error:
        return str(error)
    return "" if worst is None else _sentence(worst)


def _slowest(made: Automaton, *, anew: bool = False) -> int | None:
    """None where all is well, else the characters that lead to the state that is reached in the most ways. `anew`: the
    automaton begins again at every character of the text.

    Follows the most ways in which each state can be reached, character by character, until it is certain that they grow
    slowly enough.
    """
    together = _together(made)
    sources = [_sources(made, together, state) for state in range(len(made.classes))]
    alike = _alike(made, together)
    ways = [made.first.get(state, 0) for state in range(len(made.classes))]
    before, rates = ways, [0] * len(ways)
    steps = made.begins // _FREE_TRIES * LONGEST if anew else 0
    for left in range(LONGEST, 0, -1):
        after = [_most(groups, ways) for groups in sources]
        if left % _LOOKS_AHEAD == 0 and _grow_at_most(sources, ways, rates):
            now, more = _most(alike, ways), _most(alike, rates)
            rest = sum((now + more * later) * (left - later if anew else 1) for later in range(left))
            if steps + rest <= MOST_STEPS:
                return None
        steps += _most(alike, ways) * (left if anew else 1)
        if steps > MOST_STEPS:
            return made.classes[max(range(len(after)), key=lambda state: after[state])]
        rates = [max(new - old, old - older, 0) for new, old, older in zip(after, ways, before, strict=True)]
        before, ways = ways, after
    return None


def _most(groups: Groups, ways: Sequence[int]) -> int:
    return max((sum(ways[state] * times for state, times in group) for group in groups), default=0)


def _grow_at_most(sources: list[Groups], ways: Sequence[int], rates: Sequence[int]) -> bool:
    """Whether no state ever gets more ways than it has now and `rates` more with each character: if it holds for what
    leads to each state, it holds for all that follows."""
    return all(
        _most(groups, rates) <= rate and _most(groups, ways) <= now + rate
        for groups, now, rate in zip(sources, ways, rates, strict=True)
    )


def _together(made: Automaton) -> list[set[int]]:
    """For each state those that some text leads to as well, itself among them."""
    found: list[set[int]] = [set() for _ in made.classes]
    waiting = [(left, right) for left in made.first for right in made.first]
    looks = 0
    while waiting:
        left, right = waiting.pop()
        if right in found[left] or not made.classes[left] & made.classes[right]:
            continue
        found[left].add(right)
        found[right].add(left)
        ways = [(one, other) for one in made.follow[left] for other in made.follow[right]]
        waiting.extend(ways)
        looks += len(ways)
        if looks > _MOST_PAIRS:
            raise ValueError("is too complicated to be judged: say it with fewer alternatives and repetitions")
    return found


def _sources(made: Automaton, together: list[set[int]], state: int) -> Groups:
    """Groups of (state before this one, ways from there to here): only those of one group can be at work at once."""
    before = {one: after[state] for one, after in enumerate(made.follow) if state in after}
    return [[(one, before[one]) for one in group] for group in _groups(before, together)]


def _alike(made: Automaton, together: list[set[int]]) -> Groups:
    """Groups of (state, steps it costs) that may be at work at once: one character leads to them, and one text."""
    costs = [1 + tries // _FREE_TRIES for tries in made.tries]
    symbols = range(ALL.bit_length())
    led = (tuple(state for state, taken in enumerate(made.classes) if taken >> symbol & 1) for symbol in symbols)
    return [
        [(one, costs[one]) for one in group] for states in dict.fromkeys(led) for group in _groups(states, together)
    ]


def _groups(states: Iterable[int], together: list[set[int]]) -> list[list[int]]:
    """The largest groups of states that are all together with each other; where there are too many, larger ones."""
    some = {state for state in states if state in together[state]}
    found = list(islice(_cliques([], some, set(), together), _MOST_GROUPS + 1))
    if len(found) <= _MOST_GROUPS:
        return found
    return [sorted(together[state] & some) for state in some]


def _cliques(chosen: list[int], left: set[int], done: set[int], together: list[set[int]]) -> Iterator[list[int]]:
    """https://doi.org/10.1145/362342.362367 (Bron and Kerbosch), with a pivot."""
    if not left and not done:
        yield chosen
        return
    pivot = max(left | done, key=lambda state: len(together[state] & left))
    for state in sorted(left - (together[pivot] - {pivot})):
        others = together[state] - {state}
        yield from _cliques([*chosen, state], left & others, done & others, together)
        left = left - {state}
        done = done | {state}


def _sentence(taken: int) -> str:
    symbol = next((chr(code) for code in (*range(33, 127), *range(256)) if taken >> code & 1), "x")
    return (
        f"may have to be tried in too many ways on a text with many {symbol!r}: repeat nothing that repeats the same "
        "characters, let repetitions that follow each other take different ones, and begin with ^ or with what always "
        "stands before"
    )
