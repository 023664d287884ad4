"""How long the service needs to stand up again: pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """Something that went wrong from `begun` to `ended`, in Unix seconds; of a kill both are the same."""

    name: str
    begun: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One document: when its callbacks were acknowledged, and when the last sink had it."""

    answered: float
    done: float


def recoveries(disturbances: Iterable[Disturbance], passages: Iterable[Passage]) -> Mapping[str, float]:
    """Name of each disturbance → seconds from its end until all was delivered that had been acknowledged by then; the
    longest of its kind.

    What was delivered only after another trouble that lasted had ended too is counted for that one: who knows whether
    it could have been delivered before. A kill is over at once and excuses nothing.
    """
    told = list(disturbances)
    ends = sorted(one.ended for one in told if one.begun < one.ended)
    late = [one for one in passages if one.done > one.answered]
    longest = {one.name: 0.0 for one in told}
    for each in told:
        following = bisect_right(ends, each.ended)
        over = ends[following] if following < len(ends) else inf
        done = (one.done for one in late if one.answered < each.ended < one.done <= over)
        longest[each.name] = max([longest[each.name], *(moment - each.ended for moment in done)])
    return longest
