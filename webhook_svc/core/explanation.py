"""What a scheme saw in a callback, as facts for a person. They hold no secret, no body and no signature: a computed
signature would make whoever prints it sign for strangers.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """One place that the scheme reads. `values` is how many stand there (0: it is missing), `longest` the characters of
    the longest. `alike` are names that are there and resemble one that is missing."""

    place: str
    role: str
    values: int
    longest: int = 0
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A text that could be the signature. `bytes` is None where it is in no encoding that senders use; `decodable`
    says whether it is in the one that is configured."""

    characters: int
    encoding: str = ""
    bytes: int | None = None
    decodable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeen:
    """The time that is signed: `ahead` seconds after now (negative: before it), None where it is no number of seconds.
    `tolerance` in seconds; None: nobody looks at the time."""

    ahead: float | None
    tolerance: int | None
    milliseconds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The secret with this fingerprint gives the signature; `ways` is what has to be different for that (none: it
    matches as it is configured)."""

    secret: str
    ways: tuple[str, ...] = ()
    kind: Literal["", "body", "settings", "masked"] = ""
    """Whether the body was changed on the way, the configuration is off, or the callback was kept masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What one scheme made of one callback. `reason` and `detail` are the word and the sentence of its refusal, ""
    where it holds. `length` is the bytes of a right signature, where they are known, `secrets` are the fingerprints of
    those that are configured, `tried` is how many ways to sign were tried, `notes` are sentences."""

    scheme: str
    reason: str = ""
    detail: str = ""
    places: tuple[LookedAt, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    length: int | None = None
    time: TimeSeen | None = None
    secrets: tuple[str, ...] = ()
    match: Match | None = None
    tried: int = 0
    notes: tuple[str, ...] = ()
