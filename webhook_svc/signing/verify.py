"""The declarative verifier: a scheme described by settings, held against a callback.

Words that `NotGenuine.reason` takes here: no_signature, bad_signature, malformed, missing_value, doubled, stale,
too_long, too_many, not_json.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from ..core.errors import NotGenuine
from ..core.explanation import Explanation
from ..core.ids import fingerprint
from ..core.masks import mask_value, without
from ..core.settings import Secret, setting
from ..core.types import RawRequest, at_path, parse_json
from .keys import Check, checker, decode_signature
from .message import Message
from .reading import LONGEST, Place, Reading, pattern, query_items, taken, viewed

Algorithm = Literal[
    "hmac-sha256", "hmac-sha1", "hmac-sha512", "hmac-md5", "sha1", "ed25519", "ecdsa-p256-sha256", "equal", "none"
]
KeyKind = Literal["utf8", "hex", "base64", "whsec", "whpk", "utf8-nfkd"]
Encoding = Literal["hex", "base64", "base64|hex"]

MOST_CANDIDATES: Final = 100
_ALWAYS_MASKED: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_PUBLIC_KEY_KINDS: Final = {"ed25519": ("base64", "hex", "whpk"), "ecdsa-p256-sha256": ("base64", "hex")}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """How a sender signs. `equal` compares the secret itself; `none` must be written out and makes callbacks hints."""

    alg: Algorithm = setting("the algorithm; equal: the secret itself is sent; none: nothing is")
    key: KeyKind = setting("how the secret is written: utf8 takes it as it stands, whsec and whpk are base64", "utf8")
    message: str = setting("what is signed: {body} {url} {json:/path} {header:Name} and the names under vars", "")
    encoding: Encoding = setting("how the signature is written", "hex")
    signature: str = setting("where it stands: header:NAME (or a regex over names), query:NAME, json:/path", "")
    pattern: str = setting("a regex whose group is the signature; several matches are several candidates", "")
    vars: Mapping[str, str] = setting("names for the message: header:NAME (~ regex), json:/path", factory=dict)
    tolerance: int | None = setting("seconds that {ts} may be away from now, both sides", None)
    body_view: str = setting("multipart:NAME where the JSON is a field of a form", "")

    def __post_init__(self) -> None:
        """ValueError, in a sentence, for what cannot work."""
        if self.body_view and not self.body_view.removeprefix("multipart:").strip():
            raise ValueError("body_view names no field: write multipart:NAME")
        if self.body_view and not self.body_view.startswith("multipart:"):
            raise ValueError("body_view must be multipart:NAME")
        if self.alg == "none":
            _refuse_set(self, ("key", "message", "encoding", "signature", "pattern", "vars", "tolerance"))
            return
        if not self.signature:
            raise ValueError("signature is missing: where in the callback does it stand?")
        Place.parse(self.signature)
        pattern(self.pattern)
        if self.alg == "equal":
            _refuse_set(self, ("key", "message", "encoding", "vars", "tolerance"))
            return
        _check_signed(self)


def _check_signed(settings: VerifySettings) -> None:
    if not settings.message:
        raise ValueError("message is missing: what is signed, for example {body}?")
    message = Message.parse(settings.message, settings.vars)
    kinds = _PUBLIC_KEY_KINDS.get(settings.alg)
    if kinds and settings.key not in kinds:
        raise ValueError(f"{settings.alg} takes a public key written as {' or '.join(kinds)}, not {settings.key}")
    if not kinds and settings.key == "whpk":
        raise ValueError(f"key = whpk is a public key, {settings.alg} needs a shared secret")
    if settings.tolerance is None:
        return
    if settings.tolerance <= 0:
        raise ValueError("tolerance must be a positive number of seconds; leave it out where nothing is timed")
    if "ts" not in settings.vars or not message.uses("ts"):
        raise ValueError("tolerance needs ts under vars and {ts} in message: a time that is not signed proves nothing")


def _refuse_set(settings: VerifySettings, names: Sequence[str]) -> None:
    asked = [field for field in fields(settings) if field.name in names]
    given = [field.name for field in asked if getattr(settings, field.name) not in (field.default, {})]
    if given:
        raise ValueError(f"alg = {settings.alg} signs nothing, so {', '.join(given)} would never be looked at")


class Verifier:
    """A `core.ports.Scheme` made of settings. ValueError at construction where a secret cannot be used."""

    def __init__(self, settings: VerifySettings, secrets: Sequence[Secret], public_url: str = "") -> None:
        self._settings = settings
        self._secrets = tuple(secrets)
        self._public_url = public_url
        self._checks = _checks(settings, secrets)
        if not self.signs:
            return
        self._place = Place.parse(settings.signature)
        self._pattern = pattern(settings.pattern) if settings.pattern else None
        self._encodings = settings.encoding.split("|")
        self._message = Message.parse(settings.message, settings.vars, public_url)
        if self._message.uses("url") and not public_url:
            raise ValueError("{url} is signed, so [service] public_url must say how the sender writes our address")

    @property
    def signs(self) -> bool:
        return self._settings.alg != "none"

    def verify(self, request: RawRequest, now: float) -> str:
        """The fingerprint of the secret that verified ("" where nothing is signed). NotGenuine otherwise."""
        if not self.signs:
            return ""
        reading = Reading(request, self._settings.body_view)
        candidates = self._candidates(reading)
        self._check_time(reading, now)
        message = self._message.render(reading)
        # Every secret is tried, so that the time does not tell which of them is in use.
        held = [mark for mark, holds in self._checks if holds(message, candidates)]
        if not held:
            raise NotGenuine("bad_signature", "no secret gives this signature")
        return held[0]

    def explain(self, request: RawRequest, now: float) -> tuple[Explanation, ...]:
        """What it sees in the callback, for a person: see `core.ports.Explains`."""
        # Imported here: only a person at a command line asks.
        from .explain import explained

        return (explained(self._settings, self._secrets, self._public_url, request, now),)

    def mask(self, request: RawRequest) -> RawRequest:
        """The request with credentials, and what was sent as the secret itself, replaced by fingerprints; the request
        itself where it holds neither."""
        if self._settings.alg != "equal" and _ALWAYS_MASKED.isdisjoint(name.lower() for name, _ in request.headers):
            return request
        if self._settings.alg == "equal" and self._place.kind == "query":
            request = replace(request, query="&".join(self._masked_query(request.query)))
        if self._settings.alg == "equal" and self._place.kind == "json":
            request = replace(request, body=self._masked_body(request))
        headers = tuple((name, self._masked_header(name, text)) for name, text in request.headers)
        return without(replace(request, headers=headers), self._secrets if self._settings.alg == "equal" else ())

    def _candidates(self, reading: Reading) -> list[bytes]:
        texts = [part for text in reading.texts(self._place) for part in self._parts(text) if part]
        if not texts:
            raise NotGenuine("no_signature", f"no signature at {self._settings.signature}")
        if len(texts) > MOST_CANDIDATES:
            raise NotGenuine("too_many", f"more than {MOST_CANDIDATES} signatures at {self._settings.signature}")
        if self._settings.alg == "equal":
            return [self._place.raw(text) for text in texts]
        decoded = [decode_signature(text, encoding) for text in texts for encoding in self._encodings]
        if not any(decoded):
            raise NotGenuine("malformed", f"the signature is not {self._settings.encoding}")
        return [raw for raw in decoded if raw]

    def _parts(self, text: str) -> Iterator[str]:
        if self._pattern is None:
            yield text
        else:
            yield from map(taken, self._pattern.finditer(text))

    def _check_time(self, reading: Reading, now: float) -> None:
        if self._settings.tolerance is None:
            return
        text = self._message.variables["ts"].raw(reading)
        if not text.isdigit() or len(text) > 12:
            raise NotGenuine("malformed", "the timestamp is not a number of seconds")
        if not abs(now - int(text)) <= self._settings.tolerance:
            raise NotGenuine("stale", f"signed more than {self._settings.tolerance} s before or after now")

    def _masked_header(self, name: str, text: str) -> str:
        if self._settings.alg == "equal" and self._place.is_header(name):
            return self._secret_mark(text)
        return fingerprint(text) if text and name.lower() in _ALWAYS_MASKED else text

    def _masked_query(self, query: str) -> Iterator[str]:
        for name, value, item in query_items(query):
            yield f"{item.partition('=')[0]}={self._secret_mark(value)}" if name == self._place.name else item

    def _masked_body(self, request: RawRequest) -> bytes:
        """The value at the place gives way wherever the JSON holds it, whatever way it is written there."""
        try:
            field = viewed(request, self._settings.body_view)
            value = at_path(parse_json(field), self._place.name)
        except ValueError:
            return request.body
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return request.body
        return request.body.replace(field, mask_value(field, str(value), self._secret_mark(str(value))))

    def _secret_mark(self, text: str) -> str:
        """The fingerprint `verify` would have given for this secret, so that a person can compare the two."""
        parts = [part for part in self._parts(text) if part] if len(text) <= LONGEST else []
        return fingerprint(parts[0] if len(parts) == 1 else text) if text else ""


def _checks(settings: VerifySettings, secrets: Sequence[Secret]) -> list[tuple[str, Check]]:
    if settings.alg == "none":
        if secrets:
            raise ValueError(
                "alg = none looks at no secret, but secrets are configured: remove them or name the scheme"
            )
        return []
    if not secrets:
        raise ValueError(f"alg = {settings.alg} needs at least one secret")
    return [(fingerprint(secret.reveal()), checker(settings.alg, settings.key, secret)) for secret in secrets]
