"""From one captured callback and its secret to the settings that verify it.

First what is known by name, then a search: every text that could be a signature, against every guess at what was
signed, with the secret read in every way; last, the secret itself. What is found was run as it will run in service.

The bound: `MOST_HASHED` bytes of bodies over 100 KB and as many of all else, where one trial counts for at least 2 KB.
So a body of 10 MB has some forty combinations of guess and key tried, a small one 200 000. A twentieth of that is spent
on each way in which the body may have been changed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, islice, product
from typing import Any, Final, get_args

from ...core.errors import NotGenuine
from ...core.settings import Secret
from ...core.types import RawRequest
from ..explaining import message_signatures as explain_9421
from ..presets import PRESETS
from ..rfc9421.message_signatures import ALGORITHMS, INPUT
from ..settings import Algorithm
from ..trying.rewritten import bodies
from ..trying.trial import Budget, Key, could_be, keys
from ..verify import Verifier, VerifySettings
from .clues import Clue, Value, evidence, sent, times
from .families import families
from .guesses import Guess, guesses

MOST_HASHED: Final = 400_000_000
TOLERANCE: Final = 300
"""Seconds, where a callback says when it was signed: what most senders' own libraries allow."""

_LINE_BREAKS: Final = 5
"""So many of the changes of a body are those of line breaks."""
_LARGEST_CHANGED: Final = 1_000_000

_LARGE: Final = 100_000
_MOST_MOMENTS: Final = 20
_NOT_BY_NAME: Final = ("client-certificate", "rfc9421")
"""Presets whose settings depend on more than a secret."""
_BASE: Final = {"message": "{base}", "encoding": "base64", "signature": "header:signature"}
_SEARCHED: Final = tuple(alg for alg in get_args(Algorithm) if alg not in ("equal", "client-certificate", "none"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Settings that verify the callback at `moment`, which is what it says itself, else the time it is judged at.

    `known` is what they are called, "" where they were searched for; `public_url` how the sender writes our address.
    """

    settings: VerifySettings
    moment: float
    known: str = ""
    public_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What came of it. `found` is None where nothing fits. `body` tells what has to be different for it, "" = nothing.

    `clues` texts could have been signatures, and `trials` combinations of message and key were tried, which are not all
    that there are where `bounded`.
    """

    found: Learned | None
    body: str = ""
    clues: int = 0
    trials: int = 0
    bounded: bool = False


def learn(request: RawRequest, secret: str, public_urls: Sequence[str], now: float) -> Lesson:
    """The settings under which the callback is genuine. `public_urls` are the addresses that its sender may have
    signed, `now` is the time where the callback tells none. Never raises for bad input."""
    lesson = _lesson(request, secret, public_urls, now, MOST_HASHED)
    for words, changed in () if lesson.found else variants(request):
        other = _lesson(changed, secret, public_urls, now, MOST_HASHED // 20)
        if other.found:
            return replace(other, body=words)
        lesson = replace(lesson, trials=lesson.trials + other.trials)
    return lesson


def variants(request: RawRequest) -> Iterator[tuple[str, RawRequest]]:
    """(what is different, the callback) for the changes that befall a body on its way into a file: of a small body all,
    up to 1 MB those of line breaks, of a larger one none."""
    size = len(request.body)
    most = None if size <= _LARGE else 1 + _LINE_BREAKS
    for words, body in islice(bodies(request.body), 1, most) if size <= _LARGEST_CHANGED else ():
        if (made := body()) is not None:
            yield words, replace(request, body=made)


def _lesson(request: RawRequest, secret: str, public_urls: Sequence[str], now: float, most: int) -> Lesson:
    asked = _Asked(request=request, secret=secret, public_urls=tuple(public_urls) or ("",), now=now)
    clues, values = evidence(request)
    search = _Search(asked, clues, values, most)
    every = chain(_known(asked), _message_signatures(asked), search.run(), _sent(asked))
    learned = next(every, None)
    return Lesson(found=learned, clues=len(clues), trials=search.trials, bounded=search.bounded)


def moments(request: RawRequest, now: float) -> list[float]:
    """The times at which a callback may be judged: those that it says itself, then now."""
    told = (*explain_9421.moments(request)[:_MOST_MOMENTS], *islice(times(request), _MOST_MOMENTS))
    return [*map(float, dict.fromkeys(told)), now]


def table(learned: Learned) -> dict[str, Any]:
    """What `[sources.NAME.verify]` has to say: the name of a preset, or all that is not at its default."""
    if learned.known in PRESETS:
        return {"preset": learned.known}
    given = ((field, getattr(learned.settings, field.name)) for field in fields(VerifySettings))
    return {field.name: value for field, value in given if value and value != field.default}


def warnings(settings: VerifySettings) -> Iterator[str]:
    """What these settings leave open."""
    if settings.alg == "equal":
        yield "nothing is signed: whoever sees the secret once can send anything, so the sender's API must be asked"
        return
    if "{body}" not in settings.message and "content-digest" not in settings.covers:
        yield "the body is not signed: what it says can be changed on the way, so the sender's API must be asked"
    if settings.tolerance is None:
        yield "no time is signed: a callback that somebody captured verifies for ever"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    request: RawRequest
    secret: str
    public_urls: tuple[str, ...]
    now: float

    def learned(self, settings: VerifySettings | None, moment: float | None, known: str = "") -> Learned | None:
        """What is learned if the settings verify the callback as they will in service; None: nothing."""
        at = self.now if moment is None else moment
        if settings is None:
            return None
        for public_url in self.public_urls:
            try:
                Verifier(settings, [Secret(self.secret)], public_url).verify(self.request, at)
            except (NotGenuine, ValueError):
                continue
            return Learned(settings=settings, moment=at, known=known, public_url=public_url)
        return None


def _known(asked: _Asked) -> Iterator[Learned]:
    """Presets and families, each at the times that the callback says."""
    named = [(name, VerifySettings(preset=name)) for name in PRESETS if name not in _NOT_BY_NAME]
    told = moments(asked.request, asked.now)
    for (name, settings), moment in product((*named, *families()), told):
        if learned := asked.learned(settings, moment, name):
            yield learned


def _message_signatures(asked: _Asked) -> Iterator[Learned]:
    """RFC 9421: the callback itself says what is signed."""
    told = [*map(float, explain_9421.moments(asked.request)), None]
    for key in keys(asked.secret, ALGORITHMS) if asked.request.header_all(INPUT) else ():
        for covers, moment in product((("content-digest",), ()), told):
            of_the_key = {"alg": key.alg, "key": key.kind, "tolerance": None if moment is None else TOLERANCE}
            if learned := asked.learned(_settings({**_BASE, **of_the_key, "covers": covers}), moment):
                yield learned


def _sent(asked: _Asked) -> Iterator[Learned]:
    for place, wanted, view in sent(asked.request, asked.secret):
        sends = {"alg": "equal", "signature": place, "pattern": wanted, "body_view": view}
        if learned := asked.learned(_settings(sends), None):
            yield learned


def _settings(written: Mapping[str, object]) -> VerifySettings | None:
    try:
        return VerifySettings(**written)  # type: ignore[arg-type]  # judged by itself: ValueError
    except ValueError:
        return None


class _Search:
    """Every guess with every key against every clue, until one holds or the work is done."""

    def __init__(self, asked: _Asked, clues: Sequence[Clue], values: Sequence[Value], most: int) -> None:
        self._asked = asked
        self._clues: dict[bytes, list[Clue]] = defaultdict(list)
        for clue in clues:
            self._clues[clue.raw].append(clue)
        sizes = {len(raw) for raw in self._clues}
        fit = [alg for alg in _SEARCHED if any(could_be(alg, size) for size in sizes)]
        self._keys = list(keys(asked.secret, fit))
        self._budgets = {True: Budget(most), False: Budget(most)}
        self._values = values
        self.bounded = self._done = False

    @property
    def trials(self) -> int:
        return sum(budget.trials for budget in self._budgets.values())

    def run(self) -> Iterator[Learned]:
        asked = self._asked
        for guess in guesses(asked.request, self._values, asked.public_urls) if self._keys else ():
            if self._done:
                return
            for key, clue in self._hits(guess):
                moment = None if guess.moment is None else float(guess.moment)
                if learned := asked.learned(_described(guess, key, clue), moment):
                    yield learned

    def _hits(self, guess: Guess) -> Iterator[tuple[Key, Clue]]:
        size, message = guess.size, None
        budget = self._budgets[size > _LARGE]
        for key in self._keys:
            fit = [] if key.sign else [raw for raw in self._clues if could_be(key.alg, len(raw))]
            if not budget.allows(key, size, len(fit)):
                self.bounded = True
                self._done = self._done or size <= _LARGE
                continue
            message = b"".join(guess.pieces) if message is None else message
            made = [key.sign(message)] if key.sign else [raw for raw in fit if key.check(message, [raw])]
            yield from ((key, clue) for raw in made for clue in self._clues.get(raw, ()))


def _described(guess: Guess, key: Key, clue: Clue) -> VerifySettings | None:
    if clue.signature.startswith("json:") and guess.view not in (None, clue.view):
        return None
    return _settings(
        {
            "alg": key.alg,
            "key": key.kind,
            "message": guess.message,
            "encoding": clue.encoding,
            "signature": clue.signature,
            "pattern": clue.pattern,
            "vars": guess.vars,
            "tolerance": None if guess.moment is None else TOLERANCE,
            "body_view": clue.view or guess.view or "",
        }
    )
