"""The simulator of a sender that a profile describes: it signs callbacks and serves the API as the profile says."""

import hmac
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from flask import Response, request

from ..core.errors import ConfigError, NotGenuine
from ..core.ports import Simulator
from ..core.settings import Secret
from ..core.template import Template
from ..core.types import RawRequest, at_path
from ..profiles.asked import Asked, filled
from ..profiles.description import Description, ListCall, LoginCall
from ..profiles.profile import Profile, read, read_simulate
from ..profiles.simulate import Simulate
from ..profiles.steps import DownloadStep, fits, values_taken
from ..signing.verify import Verifier
from .account import Account, Signed, made_up, said
from .callbacks import Callbacks
from .filling import placed, put, typed
from .mark import MARK
from .offered import late_path, quirks_of, shows_late, shows_not_ready
from .routes import Route, route_of


class DescribedSimulator(Account, Simulator):
    """Without arguments its secrets are made up; `source` tells them."""

    profile: ClassVar[Profile]
    simulated: ClassVar[Simulate]

    def __init__(self, *, secret: str = "", api_key: str = "", **given: Any) -> None:
        first = api_key or (secret if self._secret_setting else "")
        super().__init__(secret=secret or self._written(made_up(64)), api_key=first, **given)
        self.next_secret = self._written(self.next_secret)
        self._numbers = itertools.count(1)
        self._tokens: set[str] = set()
        self._told: dict[tuple[str, str], str] = {}
        self.values = {name: self._value(name) for name in self.profile.settings}
        if self._secret_setting:
            self.secret = self.values[self._secret_setting]

    def source(self, api_base: str) -> dict[str, Any]:
        kinds = {name: one.kind for name, one in self.profile.settings.items()}
        values = {name: api_base if kinds[name] == "address" else value for name, value in self.values.items()}
        signed = self.described.verify.alg != "none" and not self._secret_setting
        return {"provider": self.profile.name, **({"secrets": [self.secret]} if signed else {}), **values}

    @property
    def described(self) -> Description:
        return self.profile.description

    @property
    def _secret_setting(self) -> str:
        return self.profile.about.secret

    def _written(self, secret: str) -> str:
        return Template.parse(self.simulated.secret).render(lambda _: secret)

    def _value(self, name: str) -> str:
        """Of the secrets the first is the API key, the others follow from it."""
        declared = self.profile.settings[name]
        if declared.kind != "secret":
            return declared.example or declared.default or f"{name}-1"
        first = next(each for each, one in self.profile.settings.items() if one.kind == "secret")
        if name == first:
            return self.api_key
        return MARK + hmac.digest(self.api_key.encode(), name.encode(), "sha256").hex()[:24]

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        signed = self.sign(document, title, size)
        kinds = (*self.simulated.before, self.simulated.kind(self.described))
        return self.sent([partial(self._callback, self._names(kind, signed)) for kind in kinds])

    def _names(self, kind: str, signed: Signed) -> dict[str, str]:
        number = next(self._numbers)
        return {
            "document": signed.id,
            "title": signed.title,
            "type": kind,
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.api_key}/{number}")),
            "number": str(number),
            **self._time(int(self.clock())),
        }

    def _time(self, at: int) -> dict[str, str]:
        return {"ts": str(at), "since": str(at), "iso": filled("{since:%Y-%m-%dT%H:%M:%SZ}", {"since": str(at)})}

    def _callback(self, names: dict[str, str]) -> RawRequest:
        names = {**names, **self._time(self.signed_at())} if self.described.verify.tolerance else names
        return Callbacks(verify=self.described.verify, simulated=self.simulated).signed(names, self._keys())

    def _keys(self) -> dict[str, str]:
        if self.shown.take("rotated_secret"):
            return {"signature": self.next_secret, "old": self.secret}
        wrong = self._written(made_up(64)) if self.shown.take("wrong_signature") else ""
        return {"signature": wrong or self.secret}

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        views = {f"{method} {rule}": self._answer for method in ("GET", "POST") for rule in ("/", "/<path:_>")}
        return self.app(lambda: None, views)

    @cached_property
    def _asking(self) -> list[DownloadStep]:
        return [step for step in self.described.download if step.asks]

    @cached_property
    def _routes(self) -> list[Route]:
        return [route for asked in self.described.asked if (route := route_of(asked, self.profile.settings))]

    def _answer(self, **_: str) -> Response:
        for route in self._routes:
            fields = route.match(request)
            if fields is not None and self._knows(fields):
                return self._refused(route.asked) or self._told_by(route.asked, fields)
        return said(404, error="no such path")

    def _knows(self, fields: Mapping[str, str]) -> bool:
        """Are the values of the settings ours, and did an answer tell those that steps take? By the latter requests are
        told apart whose addresses look alike: for a document, and for its certificate."""
        taken = {name for step in self._asking for name in step.take}
        ours = all(fields[name] == self.values[name] for name in fields.keys() & self.values)
        return ours and all((name, fields[name]) in self._told for name in fields.keys() & taken)

    def _refused(self, asked: Asked) -> Response | None:
        if isinstance(asked, LoginCall):
            return said(503, error="made on demand") if self.shown.take("token_down") else None
        if self._revoked() or not any(self._fits(asked, token) for token in self._tokens or {""}):
            return said(401, error="unauthorised")
        return self.trouble(lambda status, after: said(status, after, error="made on demand"))

    def _revoked(self) -> bool:
        if not self.shown.take("token_expired"):
            return False
        self._tokens.clear()
        return True

    def _fits(self, asked: Asked, token: str) -> bool:
        """Are the credentials those that the description sends?"""
        known = {**self.values, "token": token}
        expected = {name: filled(text, known) for name, text in asked.headers.items()}
        pairs = [(expected[name], request.headers.get(name, "")) for name in expected]
        if asked.basic:
            given = request.authorization
            pairs.append((filled(asked.basic, known), f"{given.username}:{given.password}" if given else ""))
        pairs += [(filled(text, known), request.args.get(name, "")) for name, text in asked.secret_query.items()]
        return all(hmac.compare_digest(right.encode(), given.encode()) for right, given in pairs)

    def _told_by(self, asked: Asked, fields: Mapping[str, str]) -> Response:
        match asked:
            case LoginCall():
                self._tokens.add(token := made_up(48))
                lasts = {asked.lasts: 3600} if asked.lasts else {}
                return placed({asked.token: token, **lasts})
            case ListCall():
                return self._page(asked, fields)
            case DownloadStep(save=""):
                return self._fact(asked, self._signed(fields))
            case DownloadStep():
                return self._file(asked, self._signed(fields))
        raise TypeError(f"{type(asked).__name__} is asked for nothing")

    def _signed(self, fields: Mapping[str, str]) -> Signed:
        """The signing that the request speaks of, by its id or by a value that an answer told."""
        told = [self._told[item] for item in fields.items() if item in self._told]
        document = fields.get("document") or next(iter(told), "")
        return self.found(document, partial(said, 404, error="no such document"))

    def _fact(self, step: DownloadStep, signed: Signed) -> Response:
        names = {"document": signed.id, "title": signed.title, "number": "1", **self._time(int(signed.finished))}
        answer = self._filled(step, signed, names)
        if self._is_late(step):
            put(answer, late_path(self.profile), None)
        alike = [one for one in self._asking if (one.get, one.post, one.json) == (step.get, step.post, step.json)]
        self._told.update((item, signed.id) for one in alike for item in _values_taken(one, answer))
        if self._shows_not_ready is step and self.shown.take("not_ready"):
            return self._not_ready(step, answer)
        return placed({"/": answer})

    def _filled(self, step: DownloadStep, signed: Signed, names: Mapping[str, str]) -> Any:
        links = {part: self.link(signed.id, part) for part in ("document", "certificate", "audit")}
        example = next(answer for one, answer in zip(self._asking, self.simulated.answers, strict=True) if one is step)
        return typed(example, names, lambda field: links[field.detail or "document"])

    def _not_ready(self, step: DownloadStep, answer: Any) -> Response:
        if step.not_ready:
            return Response(status=step.not_ready[0])
        path = next(iter(step.expect), "")
        if path:
            put(answer, path, "not yet")
        return placed({"/": answer if path else type(answer)()})

    def _file(self, step: DownloadStep, signed: Signed) -> Response:
        if self._is_late(step):
            return said(404, error="not yet")
        if self._shows_not_ready is step and self.shown.take("not_ready"):
            return self._not_ready(step, {})
        return self.shown.file(self.document_bytes(signed.id, step.save), step.content_type)

    def _is_late(self, step: DownloadStep) -> bool:
        return step is self._shows_late and self.shown.take("certificate_late")

    @cached_property
    def _shows_not_ready(self) -> DownloadStep | None:
        return shows_not_ready(self.profile)

    @cached_property
    def _shows_late(self) -> DownloadStep | None:
        return shows_late(self.profile)

    def _page(self, asked: ListCall, fields: Mapping[str, str]) -> Response:
        number = _page_number(asked, {"cursor": request.args.get(asked.cursor_as, ""), **fields})
        signed, total = self.listed(number, asked.size)
        last = number * asked.size >= total
        answer: dict[str, Any] = {asked.rows: [self._row(asked, one) for one in signed]}
        if asked.cursor:
            answer[asked.cursor] = None if last else str(number + asked.start)
        answer |= {asked.total: total} if asked.total else {}
        answer |= {asked.pages: -(-total // asked.size)} if asked.pages else {}
        return placed(answer)

    def _row(self, asked: ListCall, signed: Signed) -> Any:
        at = self._time(int(signed.finished))["iso"]
        row: dict[str, Any] = {}
        for path, value in ((asked.document, signed.id), (asked.name, signed.title), (asked.completed, at)):
            if path:
                put(row, path, value)
        for path, wanted in asked.only.items():
            put(row, path, wanted[0] if isinstance(wanted, list) else wanted)
        return row


# --- made of a profile ------------------------------------------------------------------------------------------------


def kind_of(path: Path, name: str = "") -> type:
    """The simulator's class: of a profile in the box, whose callbacks the file tells, or of the user's profile in the
    file. ConfigError where it does not say how callbacks look."""
    profile = read(path.parents[1] / "providers" / path.name, name) if name else read(path)
    simulated = read_simulate(path, profile.description) if name else profile.simulate
    if simulated is None:
        raise ConfigError(f"{profile.name} cannot be simulated: its profile has no [simulate]")
    members = {
        "__doc__": f"{profile.about.what}",
        "__module__": __name__,
        "provider": profile.name,
        "profile": profile,
        "simulated": simulated,
        "quirks": tuple(quirks_of(profile, simulated)),
    }
    made = type(f"Simulator_{path.stem}", (DescribedSimulator,), members)
    _try(made, profile)
    return made


def _try(made: type[DescribedSimulator], profile: Profile) -> None:
    """Some ways to sign cannot be played: that is told before anybody waits for a callback that verifies."""
    try:
        one = made()
        callback = one.finish("d-1")[-1]
        signed = (one.secret,) if profile.description.verify.alg != "none" else ()
        Verifier(profile.description.verify, [Secret(text) for text in signed], "").verify(callback, one.clock())
    except (ValueError, KeyError, NotGenuine) as error:
        raise ConfigError(
            f"{profile.name} cannot be simulated: what [simulate] makes does not verify ({error})"
        ) from error


def _page_number(asked: ListCall, fields: Mapping[str, str]) -> int:
    """Counted from 1; our own cursors are numbers of pages, counted from `start`."""
    if fields["cursor"]:
        return int(fields["cursor"]) - asked.start + 1
    if "offset" in fields:
        return (int(fields["offset"]) - asked.start) // asked.size + 1
    return int(fields.get("page", str(asked.first))) - asked.first + 1


def _values_taken(step: DownloadStep, answer: Any) -> Iterator[tuple[str, str]]:
    """What the provider may take out of the answer, by the names under which it asks with it."""
    listed = (answer if step.each == "/" else at_path(answer, step.each)) if step.each else [answer]
    for one in listed:
        if all(fits(at_path(one, path), wanted) for path, wanted in step.only.items()):
            yield from ((name, str(value)) for name, value in values_taken(step, one).items())
