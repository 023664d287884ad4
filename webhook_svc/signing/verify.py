"""The declarative verifier: a scheme described by settings, held against a callback.

Words that `NotGenuine.reason` takes here: no_signature, bad_signature, malformed, missing_value, doubled, stale,
too_long, too_many, not_json; with RFC 9421 also unsupported, not_covered, wrong_algorithm, wrong_digest, wrong_key.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from ..core.errors import NotGenuine
from ..core.explanation import Explanation
from ..core.ids import fingerprint
from ..core.masks import mask_value, without
from ..core.settings import Secret
from ..core.types import RawRequest, at_path, parse_json
from .client_certificate import ClientCertificates, fingerprint_of, presented
from .forms import replaced, viewed
from .keys import Check, checker, decode_signature
from .reading import LONGEST, Place, Reading, pattern, query_items, taken
from .rfc9421.message_signatures import MessageSignatures
from .settings import VerifySettings

__all__ = ["Verifier", "VerifySettings"]

Proof = Callable[[Reading, float], list[tuple[bytes, Sequence[bytes]]]]
"""(callback, now) → what was signed, and the signatures over it, of which one has to hold."""

MOST_CANDIDATES: Final = 100
_SENT: Final = ("equal", "client-certificate")
"""Of these the callback holds what is configured as a secret."""
_ALWAYS_MASKED: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


class Verifier:
    """A `core.ports.Scheme` made of settings. ValueError at construction where a secret cannot be used."""

    def __init__(self, settings: VerifySettings, secrets: Sequence[Secret], public_url: str = "") -> None:
        self._settings = settings
        self._secrets = tuple(secrets)
        self._public_url = public_url
        self._checks = _checks(settings, secrets)
        self._sent = _sent(settings, secrets)
        if not self.signs:
            return
        self._place = Place.parse(settings.signature)
        self._pattern = pattern(settings.pattern) if settings.pattern else None
        self._encodings = settings.encoding.split("|")
        self._message = settings.template(public_url)
        if self._message.uses("url") and not public_url:
            raise ValueError("{url} is signed, so [service] public_url must say how the sender writes our address")
        self._proof = self._chosen(secrets, public_url)

    def _chosen(self, secrets: Sequence[Secret], public_url: str) -> Proof:
        settings = self._settings
        if settings.alg == "client-certificate":
            return ClientCertificates(self._place, frozenset(_fingerprints(secrets))).signed
        if not self._message.uses("base"):
            return self._templated
        return MessageSignatures(
            header=self._place,
            labelled=self._pattern,
            alg=settings.alg,
            covers=self._message.components,
            keyids=settings.keyids,
            tolerance=settings.tolerance,
            public_url=public_url,
        ).signed

    @property
    def signs(self) -> bool:
        return self._settings.alg != "none"

    @property
    def needs_proxy(self) -> bool:
        return self._settings.alg == "client-certificate"

    def verify(self, request: RawRequest, now: float) -> str:
        """The fingerprint of the secret that verified ("" where nothing is signed). NotGenuine otherwise."""
        if not self.signs:
            return ""
        reading = Reading(request, self._settings.body_view)
        signed = self._proof(reading, now)
        # Every secret is tried, so that the time does not tell which of them is in use.
        held = [mark for mark, holds in self._checks if sum([holds(message, found) for message, found in signed])]
        if not held:
            raise NotGenuine("bad_signature", "no secret gives this signature")
        return held[0]

    def explain(self, request: RawRequest, now: float) -> tuple[Explanation, ...]:
        """What it sees in the callback, for a person: see `core.ports.Explains`."""
        # Imported here: only a person at a command line asks.
        from .explaining.explain import explained

        return (explained(self._settings, self._secrets, self._public_url, request, now),)

    def mask(self, request: RawRequest) -> RawRequest:
        """The request with credentials, and what was sent as the secret itself, replaced by fingerprints; the request
        itself where it holds neither."""
        alg, kind = self._settings.alg, self._place.kind if self.signs else ""
        if alg not in _SENT and _ALWAYS_MASKED.isdisjoint(name.lower() for name, _ in request.headers):
            return request
        if alg == "equal" and kind == "query":
            request = replace(request, query="&".join(self._masked_query(request.query)))
        if alg == "equal" and kind == "json":
            request = replace(request, body=self._masked_body(request))
        headers = tuple((name, self._masked_header(name, text)) for name, text in request.headers)
        return without(replace(request, headers=headers), self._sent)

    def _templated(self, reading: Reading, now: float) -> list[tuple[bytes, Sequence[bytes]]]:
        candidates = self._candidates(reading)
        self._check_time(reading, now)
        return [(self._message.render(reading), candidates)]

    def _candidates(self, reading: Reading) -> list[bytes]:
        texts = [part for text in reading.texts(self._place) for part in self._parts(text) if part]
        if not texts:
            raise NotGenuine("no_signature", f"no signature at {self._settings.signature}")
        if len(texts) > MOST_CANDIDATES:
            raise NotGenuine("too_many", f"more than {MOST_CANDIDATES} signatures at {self._settings.signature}")
        if self._settings.alg == "equal" and self._settings.encoding == "hex":
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
        if self._settings.alg in _SENT and self._place.is_header(name):
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
        masked = mask_value(field, str(value), self._secret_mark(str(value)))
        return replaced(request, self._settings.body_view, masked)

    def _secret_mark(self, text: str) -> str:
        """The fingerprint `verify` would have given for this secret, so that a person can compare the two."""
        if self._settings.alg == "client-certificate":
            return self._certificate_mark(text)
        parts = [part for part in self._parts(text) if part] if len(text) <= LONGEST else []
        part = parts[0] if len(parts) == 1 else text
        if self._settings.encoding == "base64":
            part = (decode_signature(part, "base64") or part.encode()).decode(errors="replace")
        return fingerprint(part) if part else ""

    def _certificate_mark(self, text: str) -> str:
        try:
            found = presented(text.strip()).sha256
        except ValueError:
            return fingerprint(text) if text else ""
        return next((mark for mark, holds in self._checks if holds(b"", [found])), fingerprint(found.hex()))


def _checks(settings: VerifySettings, secrets: Sequence[Secret]) -> list[tuple[str, Check]]:
    if settings.alg == "none":
        if secrets:
            raise ValueError(
                "alg = none looks at no secret, but secrets are configured: remove them or name the scheme"
            )
        return []
    if not secrets:
        raise ValueError(f"alg = {settings.alg} needs at least one secret")
    fixed = settings.message == "{base}"
    return [
        (fingerprint(secret.reveal()), checker(settings.alg, settings.key, secret, fixed=fixed)) for secret in secrets
    ]


def _fingerprints(secrets: Sequence[Secret]) -> Iterator[bytes]:
    yield from (fingerprint_of(secret.reveal().strip()) for secret in secrets)


def _sent(settings: VerifySettings, secrets: Sequence[Secret]) -> tuple[Secret, ...]:
    """The texts in which a secret comes along itself."""
    if settings.alg != "equal":
        return ()
    written = (base64.b64encode(one.reveal().encode()).decode() for one in secrets if settings.encoding == "base64")
    return (*secrets, *map(Secret, written))
