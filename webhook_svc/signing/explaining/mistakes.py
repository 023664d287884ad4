"""Why no secret gives the signature: the likely mistakes, one or two at a time, the nearest first.

The bound: a body of 1 MB has all pairs of them tried, one of 10 MB only the first; `MOST_HASHED` bytes are hashed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Final, Literal

from ...core.errors import NotGenuine
from ...core.explanation import Match
from ...core.ids import fingerprint
from ...core.settings import Secret
from ...core.types import RawRequest
from ..keys import HMAC_DIGESTS, PUBLIC_KEY_ALGORITHMS
from ..message import Message
from ..reading import Reading
from ..trying.rewritten import Rewrite, addresses, bodies
from ..trying.trial import Budget, Key, could_be, keys, spellings
from ..verify import MOST_CANDIDATES, VerifySettings

MOST_HASHED: Final = 800_000_000
MOST_DEVIATIONS: Final = 2

_MESSAGES: Final = (
    *("{body}", "{ts}.{body}", "{ts}{body}", "{ts}:{body}", "{ts},{body}", "{body}{ts}"),
    *("{id}.{ts}.{body}", "v0:{ts}:{body}", "{url}{body}"),
)
_QUOTES: Final = "\"'`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A callback with the texts of its signature, and the settings and secrets that it is held against."""

    settings: VerifySettings
    secrets: tuple[Secret, ...]
    public_url: str
    request: RawRequest
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """Signed bytes, made when they are tried, for together they may not fit into memory. `ways` is what differs."""

    ways: tuple[str, ...]
    render: Rewrite
    changed: bool
    """Whether the body is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keyed:
    ways: tuple[str, ...]
    secret: str
    key: Key


def find(attempt: Attempt) -> tuple[Match | None, int]:
    """The nearest way in which a secret gives the signature, and how many were tried."""
    signatures = list(_signatures(attempt))[:MOST_CANDIDATES]
    budget, size = Budget(MOST_HASHED), len(attempt.request.body)
    last, message = None, None
    for said, keyed in _nearest(attempt, {len(raw) for _, raw in signatures}):
        if not budget.allows(keyed.key, size, len(signatures)):
            break
        if said is not last:
            last, message = said, said.render()
        if message is not None and (match := _match(said, keyed, message, signatures)):
            return match, budget.trials
    return None, budget.trials


def _nearest(attempt: Attempt, sizes: set[int]) -> Iterator[tuple[_Said, _Keyed]]:
    """What differs least comes first; of equals, those that share a message come together."""
    said, keyed = list(_messages(attempt)), list(_keys(attempt, sizes))
    places = product(range(len(said)), range(len(keyed)))
    apart = ((len(said[at].ways) + len(keyed[which].ways), at, which) for at, which in places)
    for _, at, which in sorted(one for one in apart if one[0] <= MOST_DEVIATIONS):
        yield said[at], keyed[which]


def _match(said: _Said, key: _Keyed, message: bytes, signatures: Sequence[tuple[str, bytes]]) -> Match | None:
    if not key.key.check(message, [raw for _, raw in signatures]):
        return None
    written = next(way for way, raw in signatures if key.key.check(message, [raw]))
    ways = (*said.ways, *key.ways, *([written] if written else ()))
    kind: Literal["", "body", "settings"] = "body" if said.changed else "settings" if ways else ""
    return Match(secret=fingerprint(key.secret), ways=ways, kind=kind)


def _signatures(attempt: Attempt) -> Iterator[tuple[str, bytes]]:
    """(what differs, bytes) of every way to read what stands there, those of the configuration first."""
    encodings = attempt.settings.encoding.split("|")
    found = [(name, raw) for text in attempt.texts for name, raw in spellings(text)]
    yield from (("", raw) for name, raw in found if name in encodings)
    yield from ((f"the signature read as {name}", raw) for name, raw in found if name not in encodings)


# --- what it was signed with --------------------------------------------------------------------------------------


def _keys(attempt: Attempt, sizes: set[int]) -> Iterator[_Keyed]:
    configured = attempt.settings
    public = configured.alg in PUBLIC_KEY_ALGORITHMS
    family = PUBLIC_KEY_ALGORITHMS if public else (*HMAC_DIGESTS, "sha1")
    algorithms = [alg for alg in family if any(could_be(alg, size) for size in sizes)]
    for secret in attempt.secrets:
        for change, text in _secret_texts(secret.reveal()):
            for key in keys(text, algorithms):
                ways = (
                    *([change] if change else ()),
                    *([f'alg = "{key.alg}"'] if key.alg != configured.alg else ()),
                    *([f'key = "{key.kind}"'] if key.kind != configured.key else ()),
                )
                yield _Keyed(ways=ways, secret=secret.reveal(), key=key)


def _secret_texts(secret: str) -> Iterator[tuple[str, str]]:
    yield "", secret
    bare = secret.strip()
    if bare != secret:
        yield "the secret without the blanks around it", bare
    if len(bare) > 2 and bare[0] == bare[-1] and bare[0] in _QUOTES:
        yield "the secret without the quotes around it", bare[1:-1]
    if (prefix := bare.partition("_")[0]) in ("whsec", "whpk"):
        yield f"the secret without {prefix}_", bare.removeprefix(f"{prefix}_")
    yield "the secret with a line break at its end", bare + "\n"


# --- what was signed ----------------------------------------------------------------------------------------------


def _messages(attempt: Attempt) -> Iterator[_Said]:
    configured, written = attempt.settings.message, list(bodies(attempt.request.body))
    for template in dict.fromkeys((configured, *_MESSAGES)):
        try:
            message = Message.parse(template, attempt.settings.vars, attempt.public_url)
        except ValueError:
            continue  # it speaks of a value that this configuration does not name
        if not message.uses("url") or attempt.public_url:
            ways = () if template == configured else (f'message = "{template}"',)
            yield from _renderings(attempt, message, written, ways)


def _renderings(
    attempt: Attempt, message: Message, written: Sequence[tuple[str, Rewrite]], ways: tuple[str, ...]
) -> Iterator[_Said]:
    request = attempt.request
    written = written if message.uses("body") else written[:1]
    targets = list(addresses(request, attempt.public_url)) if message.uses("url") else [("", "", "")]
    for (change, body), (spelt, origin, target) in product(written, targets):
        if message.uses("url"):
            path, _, query = target.partition("?")
            said = partial(_rendered, replace(message, public_url=origin), replace(request, path=path, query=query))
        else:
            said = partial(_rendered, message, request)
        differing = (*ways, *(way for way in (change, spelt) if way))
        yield _Said(ways=differing, render=partial(said, attempt.settings.body_view, body), changed=bool(change))


def _rendered(message: Message, request: RawRequest, view: str, body: Rewrite) -> bytes | None:
    """The signed bytes; None where the callback lacks one of the values, or the body cannot be changed like this."""
    made = body()
    if made is None:
        return None
    try:
        return message.render(Reading(replace(request, body=made), view))
    except NotGenuine:
        return None
