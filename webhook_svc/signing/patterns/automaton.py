"""A regular expression as an automaton: each of its characters is a state, and what may follow it is counted.

Built from the tree of Python's own parser (re._parser). Where that tree says less than the engine does (look-around,
atomic groups, possessive and large counted repetitions), the automaton has more ways, never fewer.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from importlib import import_module
from typing import Any, Final

Ways = dict[int, int]
"""State → in how many ways it is reached."""

ALL: Final = (1 << 257) - 1
"""A set of characters has a bit for each of the first 256, and one for all others together."""

_MOST_COPIES: Final = 40
"""States that a counted repetition is written out to; a larger one counts as one without a limit."""
_MOST_STATES: Final = 500
_MOST_WAYS: Final = 1000
"""In which nothing may be taken between one character and the next."""
_TOO_MANY_EMPTY: Final = "takes nothing in too many ways: repeat nothing that may take nothing"


@dataclass(frozen=True, slots=True)
class Automaton:
    """`classes[s]` are the characters that lead into state s, `follow[s]` the states behind it, `first` those at the
    beginning of the text, `anywhere` those of them that may begin further on. `tries[s]` is in how many ways it is
    tried to go on from state s, also where that cannot fail, and `begins` the same of a beginning."""

    classes: list[int]
    follow: list[Ways]
    first: Ways
    anywhere: Ways
    tries: list[int]
    begins: int

    def searched(self) -> "Automaton":
        """With one more state, which waits from the beginning of the text and lets it begin at every character."""
        wait = len(self.classes)
        follow = [*self.follow, {wait: 1, **self.anywhere}]
        tries = [*self.tries, self.begins]
        return replace(self, classes=[*self.classes, ALL], follow=follow, first={wait: 1, **self.first}, tries=tries)


def automaton(text: str, flags: int, *, whole: bool) -> Automaton:
    """Of a pattern that is searched for, or matched as a whole. ValueError for what cannot be judged."""
    tree = import_module("re._parser").parse(text, flags)
    built = _Builder()
    part = built.sequence(tree, tree.state.flags)
    tries = [sum(after.values()) + part.last.get(state, 0) for state, after in enumerate(built.follow)]
    begins = sum(part.first.values()) + part.empty
    if not whole:
        _forget_what_cannot_fail(built, part)
    return Automaton(built.classes, built.follow, part.first_at_start, part.first, tries, begins)


def _forget_what_cannot_fail(built: "_Builder", part: "_Part") -> None:
    """Where a search may end, and may end wherever it goes from there, it has succeeded: nothing is tried again."""
    ends = set(part.ends)
    while leaving := {state for state in ends if not built.follow[state].keys() <= ends}:
        ends -= leaving
    for after in (*built.follow, part.first, part.first_at_start):
        for state in ends & after.keys():
            del after[state]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A piece of a pattern. `empty` is in how many ways it takes nothing, `first` what it may begin with, both of them
    also for the very beginning of the text, where ^ holds. `last` is what it may end with, `ends` the same without
    conditions such as $, `skippable` whether it may take nothing without any."""

    empty: int = 0
    empty_at_start: int = 0
    first: Ways = field(default_factory=dict)
    first_at_start: Ways = field(default_factory=dict)
    last: Ways = field(default_factory=dict)
    ends: frozenset[int] = frozenset()
    skippable: bool = False

    def __post_init__(self) -> None:
        ways = (self.empty, self.empty_at_start, *self.first_at_start.values(), *self.last.values())
        if max(ways) > _MOST_WAYS:
            raise ValueError(_TOO_MANY_EMPTY)


_NOTHING: Final = _Part(empty=1, empty_at_start=1, skippable=True)
_CONDITION: Final = _Part(empty=1, empty_at_start=1)
_BEGINNING: Final = _Part(empty_at_start=1)


class _Builder:
    def __init__(self) -> None:
        self.classes: list[int] = []
        self.follow: list[Ways] = []

    def state(self, taken: int) -> int:
        if len(self.classes) >= _MOST_STATES:
            raise ValueError("is too long to be judged: say it with fewer characters and repetitions")
        self.classes.append(taken)
        self.follow.append({})
        return len(self.classes) - 1

    def sequence(self, tree: Iterable[Any], flags: int) -> _Part:
        return reduce(self._then, (self._part(str(op), found, flags) for op, found in tree), _NOTHING)

    def _part(self, op: str, found: Any, flags: int) -> _Part:
        match op:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._character(characters(op, found, flags))
            case "BRANCH":
                return reduce(_either, (self.sequence(tree, flags) for tree in found[1]))
            case "SUBPATTERN":
                _, added, removed, tree = found
                return self.sequence(tree, flags_of(flags, added, removed))
            case "ATOMIC_GROUP":
                return self.sequence(found, flags)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, tree = found
                return self._repeated(least, most, tree, flags)
            case "ASSERT" | "ASSERT_NOT":
                direction, tree = found
                return self._looked_around(direction, tree, flags)
            case "AT":
                beginning = str(found) == "AT_BEGINNING_STRING" or (str(found) == "AT_BEGINNING" and not flags & re.M)
                return _BEGINNING if beginning else _CONDITION
            case "FAILURE":
                return _Part()
        raise ValueError("looks back at what a group took, which cannot be judged: write it without \\1 and (?(1)…)")

    def _character(self, taken: int) -> _Part:
        state = self.state(taken)
        once = {state: 1}
        return _Part(first=once, first_at_start=dict(once), last=dict(once), ends=frozenset(once))

    def _then(self, left: _Part, right: _Part) -> _Part:
        self._link(left, right)
        return _Part(
            empty=left.empty * right.empty,
            empty_at_start=left.empty_at_start * right.empty_at_start,
            first=_sum(left.first, right.first, left.empty),
            first_at_start=_sum(left.first_at_start, right.first_at_start, left.empty_at_start),
            last=_sum(right.last, left.last, right.empty),
            ends=right.ends | (left.ends if right.skippable else frozenset()),
            skippable=left.skippable and right.skippable,
        )

    def _link(self, left: _Part, right: _Part) -> None:
        for state, ways in left.last.items():
            self.follow[state] = _sum(self.follow[state], right.first, ways)
            if max(self.follow[state].values(), default=0) > _MOST_WAYS:
                raise ValueError(_TOO_MANY_EMPTY)

    def _repeated(self, least: int, most: Any, tree: Any, flags: int) -> _Part:
        before = len(self.classes)
        part = self.sequence(tree, flags)
        endless = str(most) == "MAXREPEAT"
        copies = least if endless else most
        if max(len(self.classes) - before, 1) * copies > _MOST_COPIES:
            if least > 1 and part.empty_at_start:  # the engine repeats nothing as often as it must
                raise ValueError(_TOO_MANY_EMPTY)
            endless, copies = True, min(least, 1)
        if not endless:
            return self._counted(least, most, part, tree, flags)
        required = [part, *(self.sequence(tree, flags) for _ in range(copies - 1))]
        self._link(required[-1], required[-1])
        whole = _once_more(reduce(self._then, required), required[-1])
        return whole if copies else _optional(replace(whole, empty=part.empty, empty_at_start=part.empty_at_start))

    def _counted(self, least: int, most: int, part: _Part, tree: Any, flags: int) -> _Part:
        """`a{2,4}` as aa(a(a)?)?"""
        if most == 0:
            return _NOTHING
        parts = [part, *(self.sequence(tree, flags) for _ in range(most - 1))]
        rest = _NOTHING
        for one in reversed(parts[least:]):
            rest = _optional(self._then(one, rest))
        return reduce(self._then, [*parts[:least], rest])

    def _looked_around(self, direction: int, tree: Any, flags: int) -> _Part:
        """A way of its own that leads nowhere, beside the one that goes on. Looking back costs as much as forward."""
        before = len(self.classes)
        part = self.sequence(tree, flags)
        if direction < 0:
            self.classes[before:] = [ALL] * (len(self.classes) - before)
        return replace(part, empty=1, empty_at_start=1, last={}, ends=frozenset(), skippable=False)


def _optional(part: _Part) -> _Part:
    return replace(part, empty=part.empty + 1, empty_at_start=part.empty_at_start + 1, skippable=True)


def _once_more(whole: _Part, part: _Part) -> _Part:
    """Behind the last repetition the engine tries one more that takes nothing, where there is such a one."""
    return replace(
        whole,
        empty=whole.empty * (1 + part.empty),
        empty_at_start=whole.empty_at_start * (1 + part.empty_at_start),
        last={state: ways * (1 + part.empty) for state, ways in whole.last.items()},
    )


def _either(left: _Part, right: _Part) -> _Part:
    return _Part(
        empty=left.empty + right.empty,
        empty_at_start=left.empty_at_start + right.empty_at_start,
        first=_sum(left.first, right.first),
        first_at_start=_sum(left.first_at_start, right.first_at_start),
        last=_sum(left.last, right.last),
        ends=left.ends | right.ends,
        skippable=left.skippable or right.skippable,
    )


def _sum(left: Ways, right: Ways, times: int = 1) -> Ways:
    found = dict(left)
    for state, ways in right.items() if times else ():
        found[state] = found.get(state, 0) + ways * times
    return found


# --- characters ---------------------------------------------------------------------------------------------------


def _set(codes: Iterable[int]) -> int:
    return reduce(lambda found, code: found | 1 << min(code, 256), codes, 0)


_CATEGORIES: Final = {
    "CATEGORY_DIGIT": _set(b"0123456789"),
    "CATEGORY_SPACE": _set(b" \t\n\r\f\v"),
    "CATEGORY_WORD": _set(b"0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
}
_CAPITALS: Final = _set(range(65, 91))


def flags_of(flags: int, added: int, removed: int) -> int:
    if added & re.UNICODE:
        raise ValueError("asks for the letters of all scripts, (?u:…), where only ASCII is read")
    return (flags | added) & ~removed


def characters(op: str, found: Any, flags: int) -> int:
    """The characters that a leaf of the tree takes."""
    if op == "ANY":
        return ALL if flags & re.DOTALL else ALL & ~_set(b"\n")
    items = found if op == "IN" else [("LITERAL", found)]
    negated = op == "NOT_LITERAL" or any(str(kind) == "NEGATE" for kind, _ in items)
    taken = reduce(lambda one, other: one | other, (_item(str(kind), value) for kind, value in items), 0)
    if flags & re.IGNORECASE:
        taken |= (taken & _CAPITALS) << 32 | (taken >> 32 & _CAPITALS)
    return ALL & ~(taken & ~(1 << 256)) if negated else taken


def _item(kind: str, value: Any) -> int:
    match kind:
        case "LITERAL":
            return _set([value])
        case "RANGE":
            low, high = value
            return _set(range(min(low, 256), min(high, 256) + 1))
        case "CATEGORY":
            name = str(value)
            return _CATEGORIES[name] if name in _CATEGORIES else ALL & ~_CATEGORIES[name.replace("_NOT", "")]
    return 0
