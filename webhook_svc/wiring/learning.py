"""From a captured callback and its secret to what a configuration has to say: a provider's name, or how it signs."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args, get_origin

from ..core.errors import ConfigError, Ignored, NotGenuine, Permanent
from ..core.ports import Provider, Scheme
from ..core.settings import Secret, Url
from ..core.types import EMPTY, RawRequest
from ..providers import PROVIDERS
from ..signing.explaining.sent import basic_pair
from ..signing.learning.learn import Lesson, learn, moments, table, variants, warnings

_DESCRIBED: Final = "generic"
_FILLED: Final[Mapping[Any, Any]] = types.MappingProxyType(
    {Secret: Secret("x" * 16), Url: Url("https://api.invalid"), str: "x", int: 1, float: 1.0, bool: False}
)
"""What stands in for settings that verify nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """Either `providers` that sign like this and understand it, or the table `verify` (called `known` where it has a
    name; `alike` are providers that sign so too), or nothing: then `clues` texts could have been signatures and
    `trials` ways to sign were tried, not all of them where `bounded`.

    `moment` is the time at which the callback is genuine, `notes` say what has to be different, `warnings` what the
    table leaves open.
    """

    providers: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    verify: Mapping[str, Any] = dataclasses.field(default_factory=lambda: EMPTY)
    known: str = ""
    moment: float | None = None
    tolerance: int | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    clues: int = 0
    trials: int = 0
    bounded: bool = False

    @property
    def found(self) -> bool:
        return bool(self.providers or self.verify)


def learned(request: RawRequest, secret: str, public_urls: Sequence[str], now: float) -> Taught:
    """What was found, with the secret as it is, else in another form. `public_urls` are spellings of our address, `now`
    is the time where the callback tells none."""
    taught = _learned(request, secret, public_urls, now)
    for words, text in () if taught.found else _otherwise(request, secret):
        again = _learned(request, text, public_urls, now)
        if again.found:
            return replace(again, notes=(words, *again.notes))
    return taught


def _otherwise(request: RawRequest, secret: str) -> Iterator[tuple[str, str]]:
    bare = secret.strip().strip("\"'`")
    if bare not in ("", secret):
        yield "the secret fits without the blanks or quotes around it", bare
    for value in request.header_all("authorization"):
        pair = basic_pair(value.encode("latin-1", "replace")).decode("utf-8", "replace")
        if pair.partition(":")[2] == secret:
            yield "the secret is to be written user:password, with the user that the sender names", pair


def _learned(request: RawRequest, secret: str, public_urls: Sequence[str], now: float) -> Taught:
    providers = [(name, one) for name in PROVIDERS.names() for one in tried(name, secret, public_urls)]
    alike: tuple[str, ...] = ()
    for words, changed in (("", request), *variants(request)):
        signs = _recognised(providers, changed, now)
        alike = alike or tuple(signs)
        if names := tuple(name for name, understood in signs.items() if understood):
            return Taught(providers=names, notes=_body_note(words))
    return replace(_taught(learn(request, secret, public_urls, now)), alike=alike)


def _taught(lesson: Lesson) -> Taught:
    one = lesson.found
    if one is None:
        return Taught(clues=lesson.clues, trials=lesson.trials, bounded=lesson.bounded)
    uses_url = "{url}" in one.settings.message or "{base}" in one.settings.message
    address = (f'[service] public_url = "{one.public_url}"',) if uses_url and one.public_url else ()
    return Taught(
        verify=table(one),
        known=one.known,
        moment=one.moment,
        tolerance=one.settings.tolerance,
        notes=(*_body_note(lesson.body), *address),
        warnings=tuple(warnings(one.settings)),
    )


def _body_note(words: str) -> tuple[str, ...]:
    return (f"it fits with {words}: whatever captured it changed the body",) if words else ()


# --- providers ----------------------------------------------------------------------------------------------------


def _recognised(providers: Sequence[tuple[str, Provider]], request: RawRequest, now: float) -> dict[str, bool]:
    """Those for which the callback is genuine, at a time that it says itself or now; and whether they make sense of it,
    for many senders use the same header."""
    told = moments(request, now)
    return {name: _understands(one, request) for name, one in providers if _takes(one.scheme(), request, told)}


def tried(name: str, secret: str, public_urls: Sequence[str]) -> Iterator[Provider]:
    """The provider with that secret, for each spelling of our address; none that verifies nothing, or cannot use it."""
    for public_url in public_urls or ("",) if name != _DESCRIBED else ():
        try:
            kind: Any = PROVIDERS.load(name)
            provider: Provider = kind("learn", _settings(kind.Settings, secret), public_url)
            scheme = provider.scheme()
        except (ConfigError, ValueError):
            continue
        if scheme.signs and not scheme.needs_proxy:
            yield provider


def _understands(provider: Provider, request: RawRequest) -> bool:
    if provider.challenge(request) is not None:
        return True
    try:
        return bool(provider.parse(request))
    except Ignored:
        return True
    except (ValueError, Permanent):
        return False


def _takes(scheme: Scheme, request: RawRequest, told: Sequence[float]) -> bool:
    for moment in told:
        try:
            scheme.verify(request, moment)
        except NotGenuine as refusal:
            if refusal.reason != "stale":
                return False
        else:
            return True
    return False


def _settings(kind: type, secret: str) -> Any:
    """Settings with that secret. ValueError where what stands in for the others is not taken."""
    secrets = {"secrets": (Secret(secret),)}
    try:
        return kind(**{**_needed(kind), **secrets})
    except ValueError:  # one of several optional settings has to be there
        return kind(**{**_needed(kind, optional=True), **secrets})


def _needed(kind: type, *, optional: bool = False) -> dict[str, Any]:
    """Values for the settings that have no default, or may be None as well."""
    hints = typing.get_type_hints(kind)
    return {
        field.name: _filled(hints[field.name], optional=optional)
        for field in dataclasses.fields(kind)
        if (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)
        or (optional and field.default in (None, ""))
    }


def _filled(hint: Any, *, optional: bool) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint in _FILLED:
        return _FILLED[hint]
    if origin is Literal:
        return args[0]
    if origin is tuple:
        return (_filled(args[0], optional=optional),)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint(**_needed(hint, optional=optional))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {}
    return _filled(args[0], optional=optional) if args else None
