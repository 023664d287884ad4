"""A provider's steps run to their end: requests answered, documents streamed into the vault and checked."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Final, TypeVar, cast

import structlog

from ..core.errors import DocumentCheckFailed, Held, NotReady, Permanent, RenewToken, Retryable
from ..core.names import disposition_name
from ..core.outgoing import AlsoRound, Answer, Call, Inline, Lacking, Listed, Login, More, Save, Token, Warn
from ..core.ports import Clock, Http, Provider, Step, Vault
from ..core.tokens import Tokens
from ..core.types import DOCUMENT, Artifact, DocumentRef, Part
from ..core.work import Haul, Listing
from .check import Check
from .naming import part_name

T = TypeVar("T")

MAX_STEPS: Final = 1000
MAX_LIST_STEPS: Final = 1_000_000
MAX_LOGIN_STEPS: Final = 10

_WHOLE: Final = (200, 201, 203)
_NOT_YET: Final = (202, 204)


class Fetcher:
    """core.ports.Fetcher: between two runs it keeps the sources' tokens and nothing else; threads may share it."""

    def __init__(self, vault: Vault, *, max_document: int = 2 * 1024**3, monotonic: Clock = time.monotonic) -> None:
        self._vault = vault
        self._max_document = max_document
        self._tokens = Tokens(monotonic)

    def fetch(self, provider: Provider, http: Http, ref: DocumentRef, *, check: bool = True) -> Haul:
        def run(asking: _Asking) -> Haul:
            saving = _Saving(self._vault, asking, ref, check, self._max_document)
            _drive(provider.steps(ref), saving.act, MAX_STEPS)
            return saving.haul()

        return self._renewing(run, provider, http)

    def listed(self, provider: Provider, http: Http, since: float) -> Listing:
        def run(asking: _Asking) -> Listing:
            rows: dict[tuple[str, str], Listed] = {}  # a list that overlaps itself names a signing twice

            def act(step: Step) -> Answer | None:
                if isinstance(step, Listed):
                    rows[step.ref.id, step.ref.round] = step
                    return None
                return asking.act(step)

            _drive(provider.completed_since(since), act, MAX_LIST_STEPS)
            return Listing(rows=tuple(rows.values()), warnings=tuple(asking.warnings))

        return self._renewing(run, provider, http)

    def _renewing(self, run: "Callable[[_Asking], T]", provider: Provider, http: Http) -> T:
        """A token that was refused is renewed once, and the steps run again from their start."""
        asking = _Asking(provider, http, self._tokens)
        try:
            return run(asking)
        except RenewToken:
            self._tokens.drop(provider.source, asking.token)
        try:
            return run(_Asking(provider, http, self._tokens))
        except RenewToken as refused:
            raise refused.otherwise from refused


def _drive(steps: Generator[Step, Answer, T], act: Callable[[Step], Answer | None], most: int) -> T:
    """Errors of `act` are not thrown into the generator: their class decides, not the provider."""
    answer: Answer | None = None
    with closing(steps):
        for _ in range(most):
            try:
                step = steps.send(cast(Answer, answer))
            except StopIteration as end:
                return cast(T, end.value)
            answer = act(step)
    raise Permanent(f"the provider's steps do not end: stopped after {most}")


class _Asking:
    """The steps that every flow may take: requests, logins, warnings."""

    def __init__(self, provider: Provider, http: Http, tokens: Tokens) -> None:
        self.http = http
        self.warnings: list[str] = []
        self.token = ""
        self._provider = provider
        self._tokens = tokens

    def act(self, step: Step) -> Answer | None:
        match step:
            case Call(request=request, optional=optional):
                try:
                    return self.http.call(request)
                except (NotReady, Retryable, Permanent) as error:
                    return _no_answer(error, optional)
            case Login():
                return Answer(status=200, body=self._login().encode())
            case Warn(message=message):
                structlog.get_logger().warning("provider.warning", source=self._provider.source, detail=message)
                self.warnings.append(message)
                return None
        raise Permanent(f"{self._provider.source}: {type(step).__name__} steps do not belong here")

    def _login(self) -> str:
        def login() -> Token:
            return _drive(self._provider.login(), self._without_login, MAX_LOGIN_STEPS)

        self.token = self._tokens.get(self._provider.source, login)
        return self.token

    def _without_login(self, step: Step) -> Answer | None:
        if isinstance(step, Login):
            raise Permanent(f"{self._provider.source}: a login that needs a login")
        return self.act(step)


def _no_answer(error: NotReady | Retryable | Permanent, optional: bool) -> Answer:
    """The trouble of an optional step goes back to the steps, but never a decision that waits for a person."""
    if not optional or isinstance(error, Held):
        raise error
    return Answer(status=0, body=str(error).encode(errors="backslashreplace"))


class _Saving:
    """What one run of the download steps has brought so far."""

    def __init__(self, vault: Vault, asking: _Asking, ref: DocumentRef, check: bool, limit: int) -> None:
        self._vault = vault
        self._asking = asking
        self._ref = ref
        self._check = check
        self._limit = limit
        self.parts: list[Part] = []
        self.lacking: dict[str, Lacking] = {}
        self.more: list[DocumentRef] = []
        self.also: list[str] = []

    def haul(self) -> Haul:
        return Haul(
            parts=tuple(self.parts),
            lacking=tuple(self.lacking.values()),
            more=tuple(self.more),
            also=tuple(self.also),
            warnings=tuple(self._asking.warnings),
        )

    def act(self, step: Step) -> Answer | None:
        match step:
            case Save():
                return self._tried(step)
            case Inline():
                self._keep_inline(step)
            case Lacking():
                self.lacking.setdefault(step.part, step)
                self.parts = [part for part in self.parts if part.kind != step.part or part.kind == DOCUMENT]
            case More(ref=ref):
                self.more.append(ref)
            case AlsoRound(round=name):
                self.also.append(name)
            case _:
                return self._asking.act(step)
        return None

    def _tried(self, step: Save) -> Answer:
        try:
            return self._save(step)
        except (NotReady, Retryable, Permanent) as error:
            answer = _no_answer(error, step.optional)
            self.lacking.setdefault(step.part, Lacking(part=step.part, reason=str(error)))
            return answer

    def _save(self, step: Save) -> Answer:
        """2xx bodies stream through hash and check into the vault; any other answer goes back as it is."""
        check = Check(step.content_type, step.sha256) if self._check else Check()
        with self._vault.writer() as writer:

            def into(chunk: bytes) -> None:
                check.update(chunk)
                writer.write(chunk)

            answer = self._asking.http.save(step.request, into, limit=self._limit, unless=step.unless)
            if not answer.ok or answer.content_type in step.unless:
                return answer
            _refuse_what_is_no_file(answer, step.wait)
            check.finish()
            artifact = writer.commit()
        kind = step.content_type or answer.content_type
        sent_name = disposition_name(answer.headers.get("content-disposition", ""))
        self._add(step.part, artifact, step.name or sent_name, kind)
        return replace(answer, body=b"", sha256=artifact.sha256, size=artifact.size)

    def _keep_inline(self, step: Inline) -> None:
        check = Check(step.content_type if self._check else "")
        check.update(step.content)
        check.finish()
        with self._vault.writer() as writer:
            writer.write(step.content)
            artifact = writer.commit()
        self._add(step.part, artifact, step.name, step.content_type)

    def _add(self, part: str, artifact: Artifact, name: str, content_type: str) -> None:
        kind = content_type or "application/octet-stream"
        wanted = name or (self._ref.name if part == DOCUMENT else "") or part
        taken = {one.name.casefold() for one in self.parts}
        self.lacking.pop(part, None)
        self.parts.append(
            Part(
                kind=part,
                name=part_name(wanted, kind, taken),
                sha256=artifact.sha256,
                size=artifact.size,
                content_type=kind,
            )
        )


def _refuse_what_is_no_file(answer: Answer, wait: float | None) -> None:
    """A 2xx may still say "later" or bring a piece: neither may pass for the document."""
    if answer.status in _NOT_YET:
        after = answer.retry_after()
        late = f"the provider answered {answer.status}: the file is not there yet"
        raise NotReady(late, after=wait if after is None else after)
    if answer.status not in _WHOLE:
        raise DocumentCheckFailed(f"the provider answered {answer.status}: not a whole file")
