"""HTTP Message Signatures (RFC 9421) over Digest Fields (RFC 9530): what is signed is built from what the signature
says it covers. https://www.rfc-editor.org/rfc/rfc9421 https://www.rfc-editor.org/rfc/rfc9530
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...core.errors import NotGenuine
from ...core.types import RawRequest
from ..reading import LONGEST, Place, Reading
from .components import Components
from .structured import InnerList, Item, Member, dictionary

ALGORITHMS: Final = ("hmac-sha256", "ed25519", "ecdsa-p256-sha256", "rsa-pss-sha512", "rsa-v1_5-sha256")
INPUT: Final = "signature-input"
DIGEST: Final = "content-digest"
MOST_SIGNATURES: Final = 20

_DIGESTS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSignatures:
    """What a callback's signatures must be like. `covers` are identifiers as `components.identifier` writes them.

    `labelled` chooses signatures by their text in the header, `sig1=:…:`; None, and no `keyids`: any will do.
    """

    header: Place
    labelled: re.Pattern[str] | None
    alg: str
    covers: tuple[str, ...] = ()
    keyids: tuple[str, ...] = ()
    tolerance: int | None = None
    public_url: str = ""

    def signed(self, reading: Reading, now: float) -> list[tuple[bytes, Sequence[bytes]]]:
        """(signature base, its signature) of each chosen label. NotGenuine where none can be judged."""
        signatures = self._signatures(reading)
        inputs = _inputs(reading)
        check_digest(reading.request)
        components = Components(reading.request, self.public_url)
        found: list[tuple[bytes, Sequence[bytes]]] = []
        refusals: list[NotGenuine] = []
        for label, signature in signatures.items():
            try:
                found.append((self._base(inputs.get(label), components, now), [signature]))
            except NotGenuine as refusal:
                refusals.append(refusal)
        if not found:
            raise refusals[0]
        return found

    def _signatures(self, reading: Reading) -> dict[str, bytes]:
        found = {}
        for label, member in _members(reading, self.header.name).items():
            if not isinstance(member, Item) or not isinstance(member.value, bytes) or not member.value:
                raise NotGenuine("malformed", "a signature is not a byte sequence")
            if self.labelled is None or self.labelled.search(f"{label}={member}"):
                found[label] = member.value
        if not found:
            raise NotGenuine("no_signature", "no signature has a label that is looked for")
        if len(found) > MOST_SIGNATURES:
            raise NotGenuine("too_many", f"more than {MOST_SIGNATURES} signatures")
        return found

    def _base(self, member: InnerList | None, components: Components, now: float) -> bytes:
        if member is None:
            raise NotGenuine("no_signature", f"{INPUT} does not speak of the signature")
        self._check_parameters(member, now)
        lacking = set(self.covers) - set(map(str, member.items))
        if lacking:
            raise NotGenuine("not_covered", f"the signature does not cover {', '.join(sorted(lacking))}")
        return base_of(member, components)

    def _check_parameters(self, member: InnerList, now: float) -> None:
        created, expires = (_seconds(member, name) for name in ("created", "expires"))
        if member.parameter("alg") not in (None, self.alg):
            raise NotGenuine("wrong_algorithm", f"the signature speaks of another algorithm than {self.alg}")
        if self.keyids and member.parameter("keyid") not in self.keyids:
            raise NotGenuine("wrong_key", "the signature speaks of a key that is not among keyids")
        if expires is not None and now > expires:
            raise NotGenuine("stale", "the signature has expired")
        if self.tolerance is None:
            return
        if created is None:
            raise NotGenuine("missing_value", "the signature does not say when it was created")
        if not abs(now - created) <= self.tolerance:
            raise NotGenuine("stale", f"signed more than {self.tolerance} s before or after now")


def base_of(covered: InnerList, components: Components) -> bytes:
    """The signature base (§2.5). NotGenuine where it cannot be made."""
    names = list(map(str, covered.items))
    if len(set(names)) < len(names):
        raise NotGenuine("doubled", "a component is signed twice")
    lines = [f"{component}: {components.value(component)}" for component in covered.items]
    return "\n".join([*lines, f'"@signature-params": {covered}']).encode("ascii")


def only_input(request: RawRequest) -> tuple[str, InnerList]:
    """The one label and what it covers, of a request that is about to be signed. ValueError where there is another."""
    found = dictionary(", ".join(request.header_all(INPUT)))
    ((label, member),) = found.items() if len(found) == 1 else [("", None)]
    if not isinstance(member, InnerList):
        raise ValueError(f"one {INPUT} must say what is to be signed")
    return label, member


def content_digest(body: bytes, name: str = "sha-256") -> str:
    """The value of Content-Digest for a body."""
    return f"{name}=:{base64.b64encode(_DIGESTS[name](body).digest()).decode()}:"


def check_digest(request: RawRequest) -> None:
    """Where there is a Content-Digest it is that of the body, by every algorithm that is still any good."""
    if not request.header_all(DIGEST):
        return
    members = _members(Reading(request), DIGEST)
    given = [(_DIGESTS[name], member) for name, member in members.items() if name in _DIGESTS]
    if not given:
        raise NotGenuine("unsupported", f"{DIGEST} holds neither {' nor '.join(_DIGESTS)}")
    for algorithm, member in given:
        told = member.value if isinstance(member, Item) else None
        if not isinstance(told, bytes) or not hmac.compare_digest(told, algorithm(request.body).digest()):
            raise NotGenuine("wrong_digest", f"{DIGEST} is not that of the body")


def _inputs(reading: Reading) -> dict[str, InnerList]:
    found = _members(reading, INPUT)
    lists = {label: member for label, member in found.items() if isinstance(member, InnerList)}
    if len(lists) < len(found):
        raise NotGenuine("malformed", f"{INPUT} holds what is no list of components")
    return lists


def _members(reading: Reading, header: str) -> dict[str, Member]:
    """The dictionary in a header, however many lines it has."""
    lines = reading.request.header_all(header)
    if not any(line.strip() for line in lines):
        raise NotGenuine("no_signature", f"no header {header}")
    text = ", ".join(lines)
    if len(text) > LONGEST:
        raise NotGenuine("too_long", f"header:{header} is longer than {LONGEST} characters")
    try:
        return dictionary(text)
    except ValueError:
        raise NotGenuine("malformed", f"header:{header} is no dictionary of structured fields") from None


def _seconds(member: InnerList, name: str) -> int | None:
    found = member.parameter(name)
    if found is not None and (not isinstance(found, int) or isinstance(found, bool)):
        raise NotGenuine("malformed", f"{name} is not a number of seconds")
    return found
