"""A provider's steps run to their end: requests answered, documents streamed into the vault and checked."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Final, cast

from ..core.errors import DocumentCheckFailed, Held, NotReady, Permanent, RenewToken, Retryable
from ..core.names import disposition_name
from ..core.ports import Http, Provider, Step, Steps, Vault
from ..core.types import DOCUMENT, Answer, Artifact, Call, DocumentRef, Inline, Lacking, Listed, More, Part, Save
from ..core.work import Haul
from .check import Check
from .naming import part_name

MAX_STEPS: Final = 100
MAX_LIST_STEPS: Final = 10_000

_WHOLE: Final = (200, 201, 203)
_NOT_YET: Final = (202, 204)


class Fetcher:
    """core.ports.Fetcher: keeps nothing between two runs, so threads may share it."""

    def __init__(self, vault: Vault, *, max_document: int = 2 * 1024**3) -> None:
        self._vault = vault
        self._max_document = max_document

    def fetch(self, provider: Provider, http: Http, ref: DocumentRef, *, check: bool = True) -> Haul:
        """A token that was refused is renewed once: the steps run again from their start."""
        try:
            return self._run(provider, http, ref, check)
        except RenewToken:
            pass
        try:
            return self._run(provider, http, ref, check)
        except RenewToken as error:
            raise Retryable(f"{provider.source}: the renewed token was refused too") from error

    def _run(self, provider: Provider, http: Http, ref: DocumentRef, check: bool) -> Haul:
        run = _Run(self._vault, http, ref, check, self._max_document)
        _drive(provider.steps(ref), run.act, MAX_STEPS)
        return Haul(parts=tuple(run.parts), lacking=tuple(run.lacking.values()), more=tuple(run.more))


def listed(provider: Provider, http: Http, since: float) -> list[Listed]:
    """What the provider says was completed since then."""
    found: list[Listed] = []

    def act(step: Step) -> Answer | None:
        if isinstance(step, Listed):
            found.append(step)
            return None
        if isinstance(step, Call):
            return http.call(step.request)
        raise Permanent(f"{provider.source}: a list has no {type(step).__name__} step")

    _drive(provider.completed_since(since), act, MAX_LIST_STEPS)
    return found


def _drive(steps: Steps, act: Callable[[Step], Answer | None], most: int) -> None:
    """Errors of `act` are not thrown into the generator: their class decides, not the provider."""
    answer: Answer | None = None
    with closing(steps):
        for _ in range(most):
            try:
                step = steps.send(cast(Answer, answer))
            except StopIteration:
                return
            answer = act(step)
    raise Permanent(f"the provider's steps do not end: stopped after {most}")


class _Run:
    """What one run of the steps has brought so far."""

    def __init__(self, vault: Vault, http: Http, ref: DocumentRef, check: bool, limit: int) -> None:
        self._vault = vault
        self._http = http
        self._ref = ref
        self._check = check
        self._limit = limit
        self.parts: list[Part] = []
        self.lacking: dict[str, Lacking] = {}
        self.more: list[DocumentRef] = []

    def act(self, step: Step) -> Answer | None:
        match step:
            case Call() | Save():
                return self._asked(step)
            case Inline():
                self._keep_inline(step)
            case Lacking():
                self.lacking.setdefault(step.part, step)
            case More(ref=ref):
                self.more.append(ref)
            case Listed():
                raise Permanent("a Listed step does not belong into a download")
        return None

    def _asked(self, step: Call | Save) -> Answer:
        """The trouble of an optional step goes back to the steps, but never a decision that waits for a person."""
        try:
            return self._http.call(step.request) if isinstance(step, Call) else self._save(step)
        except (NotReady, Retryable, Permanent) as error:
            if not step.optional or isinstance(error, Held):
                raise
            if isinstance(step, Save):
                self.lacking.setdefault(step.part, Lacking(part=step.part, reason=str(error)))
            return Answer(status=0, body=str(error).encode(errors="backslashreplace"))

    def _save(self, step: Save) -> Answer:
        """2xx bodies stream through hash and check into the vault; any other answer goes back as it is."""
        check = Check(step.content_type, step.sha256) if self._check else Check()
        with self._vault.writer() as writer:

            def into(chunk: bytes) -> None:
                check.update(chunk)
                writer.write(chunk)

            answer = self._http.save(step.request, into, limit=self._limit)
            if not answer.ok:
                return answer
            _refuse_what_is_no_file(answer)
            check.finish()
            artifact = writer.commit()
        kind = step.content_type or answer.headers.get("content-type", "").partition(";")[0].strip().lower()
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


def _refuse_what_is_no_file(answer: Answer) -> None:
    """A 2xx may still say "later" or bring a piece: neither may pass for the document."""
    if answer.status in _NOT_YET:
        raise NotReady(f"the provider answered {answer.status}: the file is not there yet", after=answer.retry_after())
    if answer.status not in _WHOLE:
        raise DocumentCheckFailed(f"the provider answered {answer.status}: not a whole file")
