"""What a scheme saw in a callback, in sentences."""

from collections.abc import Iterator, Sequence

from ..core.explanation import Candidate, Explanation, LookedAt, TimeSeen

_CAUSES = {
    "body": "the body was changed on the way: by a proxy, by an editor, by whatever parsed and printed it again",
    "settings": "the configuration differs from how this sender signs",
    "masked": "it cannot be judged again, but that secret was sent",
}


def told(explanations: Sequence[Explanation]) -> Iterator[str]:
    """Of several schemes those that hold, else all of them."""
    holding = [one for one in explanations if not one.reason]
    for number, one in enumerate(holding or explanations):
        yield f"{'or ' if number else ''}{one.scheme}:"
        if one.detail and len(explanations) > 1:
            yield f"  {one.detail}"
        yield from (f"  {sentence}" for sentence in _sentences(one))


def _sentences(one: Explanation) -> Iterator[str]:
    for name in dict.fromkeys(place.place for place in one.places):
        found = [place for place in one.places if place.place == name]
        yield f"looked at {name} for {' and '.join(place.role for place in found)}: {_place(found[0])}"
    if one.candidates:
        yield _candidates(one.candidates)
    elif any(place.values for place in one.places[:1]):
        yield "found no signature in it: the pattern takes nothing out of it"
    if one.time is not None:
        yield _time(one.time)
    yield from _match(one)
    yield from one.notes


def _place(place: LookedAt) -> str:
    if place.values:
        often = "it is there" if place.values == 1 else f"it stands there {place.values} times"
        return f"{often}, {place.longest} characters"
    return f"it is missing; there is {', '.join(place.alike)}" if place.alike else "it is missing"


def _candidates(found: Sequence[Candidate]) -> str:
    shown = "; ".join(dict.fromkeys(map(_candidate, found[:5]))) + ("; …" if len(found) > 5 else "")
    good = sum(one.decodable for one in found)
    told = f"found {len(found)} signature{'s' if len(found) > 1 else ''}"
    return f"{told}{'' if good == len(found) else f', {good} of them as configured'}: {shown}"


def _candidate(one: Candidate) -> str:
    if one.bytes is None:
        return f"{one.characters} characters" + ("" if one.decodable else " that are neither hex nor base64")
    return f"{one.characters} characters, {one.encoding}, {one.bytes} bytes"


def _time(seen: TimeSeen) -> str:
    allowed = "nobody looks at the time" if seen.tolerance is None else f"{seen.tolerance} s are allowed"
    if seen.ahead is None:
        return f"its time is no number of seconds; {allowed}"
    side = "after" if seen.ahead > 0 else "before"
    unit = ", in milliseconds, which is not understood" if seen.milliseconds else ""
    return f"signed {abs(seen.ahead):.0f} s {side} the time it is judged at{unit}; {allowed}"


def _match(one: Explanation) -> Iterator[str]:
    if one.match is not None and not one.match.ways:
        yield f"secret {one.match.secret} fits"
    elif one.match is not None:
        yield f"secret {one.match.secret} would fit with: {'; '.join(one.match.ways)}"
        yield _CAUSES[one.match.kind]
    elif one.candidates and one.secrets:
        if one.length is not None and all(found.bytes != one.length for found in one.candidates):
            yield f"a right signature has {one.length} bytes"
        yield f"none of these secrets fits: {', '.join(one.secrets)}; {one.tried} ways were tried"
        yield "it is another secret, or another body; `webhook-svc learn` looks further"
