"""What a declared scheme sees in a callback, and why it refuses it: facts for a person, never what it computed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from ...core.errors import NotGenuine
from ...core.explanation import Candidate, Explanation, LookedAt, Match, TimeSeen
from ...core.ids import fingerprint
from ...core.settings import Secret
from ...core.types import RawRequest, at_path
from ..client_certificate import fingerprint_of, presented
from ..reading import LONGEST, Place, Reading, pattern, query_items, taken
from ..rfc9421.message_signatures import INPUT
from ..trying.trial import SIZES, spellings
from ..verify import MOST_CANDIDATES, Verifier, VerifySettings
from . import message_signatures as explain_9421
from .mistakes import Attempt, find
from .sent import compare

_LONGEST_NAME: Final = 100
_MOST_ALIKE: Final = 5
_TELLING: Final = ("sign", "hmac", "hash", "digest", "token", "secret", "authorization")
"""Words in the names of places where a signature stands."""


def explained(
    settings: VerifySettings, secrets: Sequence[Secret], public_url: str, request: RawRequest, now: float
) -> Explanation:
    """The facts, and the likely mistake where no secret gives the signature. Never raises for bad input."""
    if settings.alg == "none":
        return Explanation(scheme='alg = "none"', notes=("nothing is signed: everybody is believed",))
    reading = Reading(request, settings.body_view)
    refusal = _refusal(Verifier(settings, secrets, public_url), request, now)
    told = Explanation(
        scheme=_scheme(settings),
        reason=refusal.reason if refusal else "",
        detail=str(refusal or ""),
        places=tuple(_places(settings, reading)),
        secrets=tuple(map(_mark, secrets)),
    )
    if settings.message == "{base}":
        header = Place.parse(settings.signature).name
        match, tried = explain_9421.find(settings, secrets, public_url, request, now)
        found = tuple(explain_9421.candidates(request, header))
        seen = explain_9421.time_seen(request, now, settings.tolerance)
        return replace(told, candidates=found, time=seen, match=match, tried=tried)
    texts = _texts(settings, reading)
    found = tuple(_candidate(settings, text) for text in texts[:MOST_CANDIDATES])
    told = replace(told, candidates=found, length=SIZES.get(settings.alg), time=_time(settings, reading, now))
    if settings.alg in ("equal", "client-certificate"):
        return replace(told, match=_sent(settings, secrets, texts or _values(Place.parse(settings.signature), reading)))
    some = tuple(texts[:MOST_CANDIDATES])
    match, tried = find(
        Attempt(settings=settings, secrets=tuple(secrets), public_url=public_url, request=request, texts=some)
    )
    return replace(told, match=match, tried=tried)


def _scheme(settings: VerifySettings) -> str:
    match settings.alg:
        case "equal":
            return "the secret itself is sent"
        case "client-certificate":
            return "a client certificate, passed on by a proxy"
    return f"{settings.alg} over {settings.message}, the key as {settings.key}, written as {settings.encoding}"


def _refusal(verifier: Verifier, request: RawRequest, now: float) -> NotGenuine | None:
    try:
        verifier.verify(request, now)
    except NotGenuine as refusal:
        return refusal
    return None


def _sent(settings: VerifySettings, secrets: Sequence[Secret], texts: Sequence[str]) -> Match | None:
    if settings.alg == "client-certificate":
        return next((Match(secret=_mark(one)) for one in secrets for text in texts if _presents(text, one)), None)
    codec = "utf-8" if settings.signature.startswith("json:") else "latin-1"
    return compare(secrets, [text.encode(codec, "replace") for text in texts[:MOST_CANDIDATES]])


def _presents(text: str, secret: Secret) -> bool:
    try:
        return presented(text.strip()).sha256 == fingerprint_of(secret.reveal().strip())
    except ValueError:
        return False


def _mark(secret: Secret) -> str:
    return fingerprint(secret.reveal())


# --- places -------------------------------------------------------------------------------------------------------


def _places(settings: VerifySettings, reading: Reading) -> Iterator[LookedAt]:
    yield _looked_at(reading, settings.signature, "the signature", _TELLING)
    if settings.message == "{base}":
        yield _looked_at(reading, f"header:{INPUT}", "what is signed")
    message = settings.template()
    for field in dict.fromkeys(message.template.fields):
        if field.detail:
            yield _looked_at(reading, f"{field.name}:{field.detail}", str(field))
        elif field.name in settings.vars:
            yield _looked_at(reading, settings.vars[field.name].partition(" ~ ")[0].strip(), str(field))


def _looked_at(reading: Reading, text: str, role: str, telling: Sequence[str] = ()) -> LookedAt:
    place = Place.parse(text)
    found = _values(place, reading)
    alike = () if found else tuple(_alike(place, reading, telling))
    return LookedAt(place=text, role=role, values=len(found), longest=max(map(len, found), default=0), alike=alike)


def _values(place: Place, reading: Reading) -> list[str]:
    """All that stands there, however long or often."""
    request = reading.request
    if place.kind == "header":
        return [value for name, value in request.headers if place.is_header(name)]
    if place.kind == "query":
        return [value for name, value, _ in query_items(request.query) if name == place.name]
    try:
        value = reading.scalar(place.name)
    except NotGenuine:
        return []
    return [] if value is None else [value]


def _alike(place: Place, reading: Reading, telling: Sequence[str]) -> Iterator[str]:
    """Names that are there, as `header:x-name`: first those that are spelt alike, then those with a telling word."""
    wanted, names = _names(place, reading)
    close = get_close_matches(wanted, names, n=_MOST_ALIKE, cutoff=0.75)
    others = [name for name in names if any(word in name.lower() for word in telling)]
    for name in list(dict.fromkeys([*close, *others]))[:_MOST_ALIKE]:
        yield f"{place.kind}:{name}"


def _names(place: Place, reading: Reading) -> tuple[str, list[str]]:
    """The name that is missing, and those that stand beside where it should be."""
    request = reading.request
    names: list[str] = [name for name, _ in request.headers]
    wanted = place.name
    if place.kind == "query":
        names = [name for name, _, _ in query_items(request.query)]
    elif place.kind == "json":
        above, wanted = _parted(place.name)
        names = _keys_at(reading, above)
    short = [name for name in names if 0 < len(name) <= _LONGEST_NAME]
    return wanted[:_LONGEST_NAME], list(dict.fromkeys(short))[:1000]


def _parted(path: str) -> tuple[str, str]:
    """`/a/b` as `/a` and `b`, `a.b` as `a` and `b`."""
    above, _, last = path.rpartition("/" if path.startswith("/") else ".")
    return above, last


def _keys_at(reading: Reading, path: str) -> list[str]:
    try:
        value = at_path(reading.document, path) if path else reading.document
    except NotGenuine:
        return []
    return list(value) if isinstance(value, dict) else []


# --- candidates and time ------------------------------------------------------------------------------------------


def _texts(settings: VerifySettings, reading: Reading) -> list[str]:
    """What could be a signature, as the pattern takes it out; each once."""
    values = [value for value in _values(Place.parse(settings.signature), reading) if len(value) <= LONGEST]
    if not settings.pattern:
        return [value for value in dict.fromkeys(values) if value]
    wanted = pattern(settings.pattern)
    parts = (taken(match) for value in values[:MOST_CANDIDATES] for match in wanted.finditer(value))
    return [part for part in dict.fromkeys(parts) if part]


def _candidate(settings: VerifySettings, text: str) -> Candidate:
    if not settings.message:
        return Candidate(characters=len(text), decodable=True)
    found = list(spellings(text))
    wanted = [(name, raw) for name, raw in found if name in settings.encoding.split("|")]
    if not found:
        return Candidate(characters=len(text))
    name, raw = (wanted or found)[0]
    return Candidate(characters=len(text), encoding=name, bytes=len(raw), decodable=bool(wanted))


def _time(settings: VerifySettings, reading: Reading, now: float) -> TimeSeen | None:
    """How far the time that is signed is from now; None where none is signed, or it is missing."""
    message = settings.template()
    if not message.uses("ts"):
        return None
    try:
        text = message.variables["ts"].raw(reading)
    except NotGenuine:
        return None
    if not text.isdigit() or len(text) > 14:
        return TimeSeen(ahead=None, tolerance=settings.tolerance)
    if len(text) > 12:
        return TimeSeen(ahead=int(text) / 1000 - now, tolerance=settings.tolerance, milliseconds=True)
    return TimeSeen(ahead=int(text) - now, tolerance=settings.tolerance)
