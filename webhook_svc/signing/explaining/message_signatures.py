"""What a callback with HTTP Message Signatures (RFC 9421) shows: its labels, when they were made, and the likely
mistake where none holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from ...core.errors import NotGenuine
from ...core.explanation import Candidate, Match, TimeSeen
from ...core.ids import fingerprint
from ...core.settings import Secret
from ...core.types import RawRequest
from ..reading import LONGEST
from ..rfc9421.message_signatures import ALGORITHMS, INPUT
from ..rfc9421.structured import InnerList, Item, Member, dictionary
from ..trying.rewritten import addresses, bodies
from ..trying.trial import keys
from ..verify import Verifier, VerifySettings

_MOST: Final = 100


def candidates(request: RawRequest, header: str) -> Iterator[Candidate]:
    for member in _members(request, header).values():
        if isinstance(member, Item) and isinstance(member.value, bytes):
            yield Candidate(characters=len(str(member)), encoding="base64", bytes=len(member.value), decodable=True)


def time_seen(request: RawRequest, now: float, tolerance: int | None) -> TimeSeen | None:
    """The time of the first signature that says when it was made."""
    found = moments(request)
    return TimeSeen(ahead=found[0] - now, tolerance=tolerance) if found else None


def moments(request: RawRequest) -> list[int]:
    """When the signatures say that they were made, in Unix seconds."""
    lists = [member for member in _members(request, INPUT).values() if isinstance(member, InnerList)]
    told = [member.parameter("created") for member in lists]
    return [one for one in told if isinstance(one, int) and not isinstance(one, bool)]


def _members(request: RawRequest, header: str) -> dict[str, Member]:
    text = ", ".join(request.header_all(header))
    try:
        return dictionary(text) if len(text) <= LONGEST else {}
    except ValueError:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    ways: tuple[str, ...]
    settings: VerifySettings
    request: RawRequest
    public_url: str
    kind: Literal["", "body", "settings"] = "settings"


def find(
    settings: VerifySettings, secrets: Sequence[Secret], public_url: str, request: RawRequest, now: float
) -> tuple[Match | None, int]:
    """The first change with which a secret verifies, and how many were tried: each was run as it would run."""
    tried = 0
    for way in _ways(settings, secrets, public_url, request):
        for secret in secrets:
            tried += 1
            if _holds(way, secret, now):
                return Match(secret=fingerprint(secret.reveal()), ways=way.ways, kind=way.kind), tried
    return None, tried


def _holds(way: _Way, secret: Secret, now: float) -> bool:
    try:
        Verifier(way.settings, [secret], way.public_url).verify(way.request, now)
    except (NotGenuine, ValueError):
        return False
    return True


def _ways(settings: VerifySettings, secrets: Sequence[Secret], public_url: str, request: RawRequest) -> Iterator[_Way]:
    """As it is but for the clock, then with one change each."""
    bare = replace(settings, preset="", tolerance=None)
    yield _Way(ways=(), settings=bare, request=request, public_url=public_url, kind="")
    if bare.covers:
        loose = replace(bare, covers=())
        yield _Way(ways=("covers = []",), settings=loose, request=request, public_url=public_url)
    for words, body in bodies(request.body):
        if words and (made := body()) is not None:
            changed = replace(request, body=made)
            yield _Way(ways=(words,), settings=bare, request=changed, public_url=public_url, kind="body")
    for words, origin, _ in addresses(request, public_url):
        if words and origin not in ("", public_url):
            yield _Way(ways=(words,), settings=bare, request=request, public_url=origin)
    for key in (key for secret in secrets for key in keys(secret.reveal(), ALGORITHMS)):
        changes = {"alg": key.alg, "key": key.kind}
        ways = tuple(f'{name} = "{value}"' for name, value in changes.items() if getattr(bare, name) != value)
        if ways:
            yield _Way(
                ways=ways,
                settings=replace(bare, **changes),  # type: ignore[arg-type]  # words of the settings' own
                request=request,
                public_url=public_url,
            )
