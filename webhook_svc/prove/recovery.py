"""How long the service needs to stand up again: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


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

    While another trouble lasts nothing can be delivered, perhaps: the time counts from the end of the last of those
    that lasted in between. A kill is over at once and excuses nothing.
    """
    told = sorted(disturbances, key=lambda one: one.ended)
    late = [one for one in passages if one.done > one.answered]
    longest = {one.name: 0.0 for one in told}
    for each in told:
        after = [one.ended for one in told if one.begun < one.ended > each.ended]
        for done in (one.done for one in late if one.answered < each.ended < one.done):
            since = max((end for end in after if end < done), default=each.ended)
            longest[each.name] = max(longest[each.name], done - since)
    return longest
