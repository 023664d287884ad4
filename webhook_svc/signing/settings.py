"""How a sender signs, as a configuration describes it; judged when it is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, cast, get_args

from ..core.settings import setting, suggestion
from .forms import check_view
from .message import Message
from .presets import PRESETS
from .reading import Place, pattern
from .rfc9421 import message_signatures
from .rfc9421.components import identifier

Algorithm = Literal[
    "hmac-sha256",
    "hmac-sha1",
    "hmac-sha512",
    "hmac-md5",
    "sha1",
    "ed25519",
    "ecdsa-p256-sha256",
    "rsa-pss-sha512",
    "rsa-v1_5-sha256",
    "equal",
    "client-certificate",
    "none",
]
KeyKind = Literal["utf8", "hex", "base64", "whsec", "whpk", "utf8-nfkd"]
Encoding = Literal["hex", "base64", "base64|hex"]


class _Unwritten(str):
    """A default: beside it a preset may have its say, while the same word in a configuration was meant."""

    __slots__ = ()


class _UnwrittenTuple(tuple[str, ...]):
    """The same of a list."""

    __slots__ = ()


_UNWRITTEN_PATTERN: Final = _Unwritten("")
_UNWRITTEN_COVERS: Final = _UnwrittenTuple()
_UNWRITTEN_KEY: Final = cast(KeyKind, _Unwritten("utf8"))
_UNWRITTEN_ENCODING: Final = cast(Encoding, _Unwritten("hex"))
_SHA256_DIGITS: Final = "[0-9a-fA-F]{64}"
_DER: Final = ("base64", "hex")
_PUBLIC_KEY_KINDS: Final = {
    "ed25519": ("base64", "hex", "whpk"),
    **dict.fromkeys(("ecdsa-p256-sha256", "rsa-pss-sha512", "rsa-v1_5-sha256"), _DER),
}
_OF_A_SIGNATURE: Final = ("key", "message", "vars", "tolerance", "covers", "keyids")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """How a sender signs. `equal` compares the secret itself; `none` must be written out and makes callbacks hints.

    `preset` fills every field that was left at its default; what was written beside it wins.
    """

    preset: str = setting(f"a known way to sign: {', '.join(PRESETS)}; it fills whatever is not written here", "")
    alg: Algorithm = setting(
        "the algorithm; equal: the secret itself is sent; client-certificate: a trusted proxy passes on what TLS "
        "proved; none: nothing is signed",
        "",
    )
    key: KeyKind = setting(
        "how the secret is written: utf8 takes it as it stands, whsec and whpk are base64", _UNWRITTEN_KEY
    )
    message: str = setting(
        "what is signed: {body} {url} {json:/path} {header:Name} and the names under vars; {base}: what RFC 9421 says",
        "",
    )
    encoding: Encoding = setting("how the signature is written", _UNWRITTEN_ENCODING)
    signature: str = setting("where it stands: header:NAME (or a regex over names), query:NAME, json:/path", "")
    pattern: str = setting(
        "a regex whose group is the signature; several matches are several candidates", _UNWRITTEN_PATTERN
    )
    vars: Mapping[str, str] = setting("names for the message: header:NAME (~ regex), json:/path", factory=dict)
    covers: tuple[str, ...] = setting(
        "with {base}: components that must be signed, such as content-digest", _UNWRITTEN_COVERS
    )
    keyids: tuple[str, ...] = setting("with {base}: key ids that may sign; none: any", ())
    tolerance: int | None = setting("seconds that {ts}, or `created`, may be away from now, both sides", None)
    body_view: str = setting("multipart:NAME or form:NAME where the JSON is a field of a form; form: its fields", "")

    def __post_init__(self) -> None:
        """ValueError, in a sentence, for what cannot work."""
        _fill(self)
        check_view(self.body_view)
        if self.alg == "none":
            _refuse_set(self, (*_OF_A_SIGNATURE, "encoding", "signature", "pattern"))
            return
        if not self.signature:
            raise ValueError("signature is missing: where in the callback does it stand?")
        Place.parse(self.signature)
        pattern(self.pattern)
        if self.alg == "equal":
            _refuse_set(self, (*_OF_A_SIGNATURE, *(() if self.encoding == "base64" else ("encoding",))))
        elif self.alg == "client-certificate":
            _refuse_set(self, (*_OF_A_SIGNATURE, "encoding", "pattern"))
            _check_header(self)
        else:
            _check_signed(self)

    def template(self, public_url: str = "") -> Message:
        """What is signed. ValueError for a field that means nothing."""
        return Message.parse(self.message, self.vars, public_url, components=tuple(map(identifier, self.covers)))

    def protects(self, path: str) -> bool:
        """Whether another value there (`/a/b`, `a.b` or `header:NAME`) would be noticed. What comes with a certificate
        comes from its holder alone."""
        return self.alg == "client-certificate" or (bool(self.message) and self.template().covers(path))


def _fill(settings: VerifySettings) -> None:
    if settings.preset:
        if settings.preset not in PRESETS:
            raise ValueError(f"preset {settings.preset!r} is unknown, expected {suggestion(settings.preset, PRESETS)}")
        given = PRESETS[settings.preset].fields
        for field in fields(settings):
            if field.name in given and _is_default(settings, field.name):
                object.__setattr__(settings, field.name, _filling(settings, field.name, given))
        _check_fixed(settings, given)
    if settings.alg not in get_args(Algorithm):
        raise ValueError(f"alg or a preset: one of {', '.join(get_args(Algorithm))}, or of {', '.join(PRESETS)}")


def _filling(settings: VerifySettings, name: str, given: Mapping[str, Any]) -> Any:
    """What a preset says; what it reads beside the signature it reads where this one stands."""
    if name != "vars":
        return given[name]
    signature, written = given["signature"], settings.signature or given["signature"]
    places = {key: place.partition(" ~ ") for key, place in given["vars"].items()}
    return {key: "".join((written if place == signature else place, *rest)) for key, (place, *rest) in places.items()}


def _check_fixed(settings: VerifySettings, given: Mapping[str, Any]) -> None:
    if _SHA256_DIGITS not in given.get("pattern", "") or settings.pattern != given["pattern"]:
        return
    if settings.alg != given["alg"] or settings.encoding == "base64":
        raise ValueError(
            f"the pattern of preset {settings.preset} takes the 64 hex digits of {given['alg']} alone: beside another "
            "alg or encoding write a pattern too"
        )


def _is_default(settings: VerifySettings, name: str) -> bool:
    value = getattr(settings, name)
    empty = value in (None, "", {}) and name != "pattern"  # no pattern is a word; no alg or message is none
    return empty or isinstance(value, _Unwritten | _UnwrittenTuple)


def _check_signed(settings: VerifySettings) -> None:
    if not settings.message:
        raise ValueError("message is missing: what is signed, for example {body}?")
    message = settings.template()
    kinds = _PUBLIC_KEY_KINDS.get(settings.alg)
    if kinds and settings.key not in kinds:
        raise ValueError(f"{settings.alg} takes a public key written as {' or '.join(kinds)}, not {settings.key}")
    if not kinds and settings.key == "whpk":
        raise ValueError(f"key = whpk is a public key, {settings.alg} needs a shared secret")
    if settings.tolerance is not None and settings.tolerance <= 0:
        raise ValueError("tolerance must be a positive number of seconds; leave it out where nothing is timed")
    if message.uses("base"):
        _check_base(settings)
        return
    if settings.covers or settings.keyids:
        raise ValueError("covers and keyids belong to message = {base}: elsewhere the message says what is signed")
    if settings.tolerance is not None and ("ts" not in settings.vars or not message.uses("ts")):
        raise ValueError("tolerance needs ts under vars and {ts} in message: a time that is not signed proves nothing")


def _check_base(settings: VerifySettings) -> None:
    """RFC 9421 leaves nothing of this to choose."""
    if settings.alg not in message_signatures.ALGORITHMS:
        raise ValueError(f"message = {{base}} knows alg {', '.join(message_signatures.ALGORITHMS)}, not {settings.alg}")
    if settings.message != "{base}" or settings.vars:
        raise ValueError("{base} is all that is signed: message = {base} alone, without vars")
    if settings.encoding != "base64":
        raise ValueError("signatures over {base} are always written in base64: encoding = base64")
    _check_header(settings)


def _check_header(settings: VerifySettings) -> None:
    place = Place.parse(settings.signature)
    if place.kind != "header" or place.names is not None:
        raise ValueError("signature must be header:NAME here, with the name written out")


def _refuse_set(settings: VerifySettings, names: Sequence[str]) -> None:
    written = {name for name in names if getattr(settings, name) and not _is_default(settings, name)}
    given = [field.name for field in fields(settings) if field.name in written]
    if given:
        raise ValueError(f"alg = {settings.alg} signs nothing, so {', '.join(given)} would never be looked at")
