"""Download steps that are declared: judged when they are read, run as a flow."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..core.errors import Ignored, NotReady, Permanent, WebhookError
from ..core.flow import beside_document, forgiving, token
from ..core.links import pdf_name
from ..core.outgoing import Answer, Call, Lacking, Save
from ..core.ports import Flow
from ..core.settings import setting
from ..core.types import DOCUMENT, DocumentRef, as_text, at_path
from .asked import TOKEN, Asked, check_asked, failed, filled, request_of, trusted_host

OF_THE_DOCUMENT: Final = ("document", "round", "name", "source")
"""Names that every template may use beside the configured values."""

_PDF = "application/pdf"
_MOST_ITEMS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadStep(Asked):
    """One request: it takes values out of the answer for the steps after it, or saves the answer as a part.

    With `each` the answer holds a list: what is taken is taken of each of its elements, and the later steps that use
    it are run for each.
    """

    each: str = setting("path of a list in the answer; `/` where the answer is the list", "")
    only: Mapping[str, Any] = setting("values that an element of the list has; the others are left out", factory=dict)
    take: Mapping[str, str] = setting(
        "names for values of the answer: link = '/data/url'; the first that is there: '/title | /id'", factory=dict
    )
    expect: Mapping[str, Any] = setting(
        "values that the answer has once the file is ready; a list: one of them", factory=dict
    )
    ended: Mapping[str, Any] = setting(
        "values that the answer has where the signing ended without a document; a list: one of them", factory=dict
    )
    wait: float | None = setting("seconds until it is asked again while the file is not ready", None)
    not_ready: tuple[int, ...] = setting("statuses that mean the file is not ready yet", ())
    save: str = setting("the part that the answer is: document, certificate or audit", "")
    name: str = setting("file name, of a PDF also without its ending; unset: the document's name", "")
    content_type: str = setting("what is announced; of a PDF beginning and end are checked", _PDF)
    sha256: str = setting("the hash that the sender names, in hex, as a template", "")
    optional: bool = setting("the rest goes on without this part where it cannot be fetched", False)

    def __post_init__(self) -> None:
        Asked.__post_init__(self)
        if bool(self.save) == self.asks:
            raise ValueError("a step either saves a part or takes and expects values of the answer")
        if not self.save and (self.name or self.sha256 or self.optional):
            raise ValueError("name, sha256 and optional with save only")
        if self.save == DOCUMENT and self.optional:
            raise ValueError("a document that is not optional")
        if bool(self.each) > bool(self.take) or bool(self.only) > bool(self.each):
            raise ValueError("each with take, and only with each")

    @property
    def asks(self) -> bool:
        return bool(self.take or self.expect or self.ended)

    def more_texts(self) -> Iterator[str]:
        yield from (self.name, self.sha256)


def lists_of(steps: Sequence[DownloadStep]) -> dict[str, tuple[int, ...]]:
    """Of each name that differs from element to element the steps that walk the lists it comes from, the outer first.
    ValueError where a step uses values of two lists that have nothing to do with each other."""
    found: dict[str, tuple[int, ...]] = {}
    for number, step in enumerate(steps):
        walked = max((found[name] for name in step.names if name in found), key=len, default=())
        for name in sorted(step.names & found.keys()):
            if found[name] != walked[: len(found[name])]:
                raise ValueError(f"download step {number + 1} without {{{name}}}: its list is another than the others'")
        own = (*walked, number) if step.each else walked
        if own:
            found.update(dict.fromkeys(step.take, own))
    return found


def check_steps(steps: Sequence[DownloadStep], values: Iterable[str], given: Iterable[str]) -> None:
    """ValueError where the steps cannot work together. `values` are the operator's, `given` are known beside them."""
    own, known = set(values), {*OF_THE_DOCUMENT, *values, *given}
    if DOCUMENT not in (saved := [step.save for step in steps if step.save]) or len(set(saved)) < len(saved):
        raise ValueError('download steps of which one has save = "document", and no two the same part')
    if steps[-1].take:
        raise ValueError("a last download step that saves: what it takes is never used")
    for number, step in enumerate(steps, 1):
        check_asked(step, own, known, f"download step {number}")
        if taken := sorted(known & set(step.take)):
            raise ValueError(f"another name for {taken[0]!r}, which download step {number} takes: it has a value")
        known |= set(step.take)
    lists_of(steps)


def trusted_hosts(asked: Iterable[Asked], values: Mapping[str, str]) -> frozenset[str]:
    """The origin of every address that the operator wrote: they receive credentials. ValueError where one is none."""
    return frozenset(host for one in asked if (host := trusted_host(one, values)))


def run(steps: Sequence[DownloadStep], ref: DocumentRef, source: str, values: Mapping[str, str]) -> Flow[None]:
    """The requests of the steps that the wanted parts need. What the operator configured wins over what a callback
    says. Trouble of steps that only optional parts need makes these parts lacking."""
    own = {"document": ref.id, "round": ref.round, "name": ref.name, "source": source}
    course = _Run(known={**ref.hints, **values, **own}, values=values, lists=lists_of(steps))
    if any(TOKEN in step.names for step in steps):
        course.known[TOKEN] = yield from token()
    serves = _serves(steps)
    for number, step in enumerate(steps):
        parts = [part for part in serves[number] if part in ref.parts and part not in course.lacking]
        if step.save and parts:
            yield from course.save(step, optional=step.optional and beside_document(ref))
        elif parts:
            yield from course.ask_for(ref, step, parts, _spare(steps, number, parts, serves))


def _serves(steps: Sequence[DownloadStep]) -> list[list[str]]:
    """Of each step the parts that need it: its own, or those that use what it takes; all where nobody uses anything."""
    found: list[list[str]] = [[] for _ in steps]
    for number in reversed(range(len(steps))):
        step = steps[number]
        parts = _users(steps, number, set(step.take), found)
        if step.save:
            found[number] = [step.save]
        elif not parts:
            found[number] = [one.save for one in steps if one.save]
        else:
            found[number] = [DOCUMENT, *parts] if step.expect or step.ended else parts
    return found


def _users(steps: Sequence[DownloadStep], number: int, names: set[str], serves: Sequence[Sequence[str]]) -> list[str]:
    users = [later for later in range(number + 1, len(steps)) if steps[later].names & names]
    return list(dict.fromkeys(part for later in users for part in serves[later]))


def _spare(
    steps: Sequence[DownloadStep], number: int, wanted: Sequence[str], serves: Sequence[Sequence[str]]
) -> dict[str, list[str]]:
    """The names that may be missing, with the parts that use them: those that the document does not need, or where it
    is not wanted, no wanted part."""
    needed = {DOCUMENT} if DOCUMENT in wanted else set(wanted)
    users = {name: _users(steps, number, {name}, serves) for name in steps[number].take}
    return {name: parts for name, parts in users.items() if parts and needed.isdisjoint(parts)}


class _Run:
    """The values that are known so far. `lists` is that of `lists_of`; an element has what its outer one has."""

    def __init__(
        self, *, known: dict[str, str], values: Mapping[str, str], lists: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.known = known
        self.lacking: set[str] = set()
        self._values = values
        self._lists = lists
        self._elements: dict[str, list[dict[str, str]]] = {}

    def ask_for(
        self, ref: DocumentRef, step: DownloadStep, parts: Sequence[str], spare: Mapping[str, Sequence[str]]
    ) -> Flow[None]:
        """Trouble is that of all `parts`, of the document too where it is among them; what is missing under the names
        in `spare` is that of the parts that stand there."""
        asking = self._ask(step, spare)
        missing = (yield from asking) if DOCUMENT in parts else (yield from forgiving(ref, parts[0], asking))
        if missing is None:
            self.lacking.update(parts)
            yield from (Lacking(part=part, reason=f"it needs what {parts[0]} needs") for part in parts[1:])
            return
        for name in missing:
            for part in spare[name]:
                if part in ref.parts and part not in self.lacking:
                    self.lacking.add(part)
                    yield Lacking(part=part, reason=f"the answer has nothing at {step.take[name]} yet")

    def _ask(self, step: DownloadStep, spare: Container[str]) -> Flow[list[str]]:
        """The names that nothing was found for."""
        items: list[dict[str, str]] = []
        missing: set[str] = set()
        for known, own in self._turns(step):
            answer = yield Call(request=request_of(step, known, self._values))
            taken = [_taken(step, one, spare) for one in _elements(step, self._checked(step, answer))]
            missing |= {name for one in taken for name in step.take.keys() - one.keys()}
            if step.each:
                items += [{**own, **one} for one in taken] if own is not self.known else taken
            else:
                own.update(taken[0])
        many = items if step.each else self._list_of(step)
        if many is not None:
            self._elements.update(dict.fromkeys(step.take, many))
        if len(items) > _MOST_ITEMS:
            raise Permanent(f"the answer lists more than {_MOST_ITEMS} files")
        return sorted(missing)

    def save(self, step: DownloadStep, *, optional: bool) -> Flow[None]:
        """Of several files of an optional part all come, or none: half of them would pass for the whole."""
        lacking = ""
        for known, _ in self._turns(step):
            answer = yield Save(
                request=request_of(step, known, self._values),
                part=step.save,
                name=_file_name(step, known),
                sha256=_hash(step, known),
                content_type=step.content_type,
                optional=optional,
                wait=step.wait,
            )
            if _is_no(step, answer) and not optional:
                raise self._failed(step, answer)
            if answer.status == 0:
                lacking = lacking or answer.body.decode(errors="replace")
            elif not answer.ok:
                lacking = lacking or f"its address answered {answer.status}"
        if lacking:
            yield Lacking(part=step.save, reason=lacking)

    def _turns(self, step: DownloadStep) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
        """(all values, those that a turn may add to) of each time that the step is run."""
        many = self._list_of(step)
        if many is None:
            yield self.known, self.known
        else:
            yield from (({**self.known, **item}, item) for item in many)

    def _list_of(self, step: DownloadStep) -> list[dict[str, str]] | None:
        walked = [name for name in sorted(step.names) if name in self._elements]
        return self._elements[max(walked, key=lambda name: len(self._lists[name]))] if walked else None

    def _checked(self, step: DownloadStep, answer: Answer) -> Any:
        if _is_no(step, answer):
            raise self._failed(step, answer)
        found = answer.json()
        for path, wanted in step.ended.items():
            if fits(at_path(found, path), wanted):
                raise Ignored(f"the signing ended without a document, says {path} of the answer")
        for path, wanted in step.expect.items():
            if not fits(at_path(found, path), wanted):
                raise NotReady(f"the answer does not have the expected value at {path} yet", after=step.wait)
        return found

    def _failed(self, step: DownloadStep, answer: Answer) -> WebhookError:
        if answer.status in step.not_ready:
            after = answer.retry_after()
            return NotReady(
                f"the sender answered {answer.status}: not ready yet", after=step.wait if after is None else after
            )
        return failed(step, answer, self._values)


def _hash(step: DownloadStep, known: Mapping[str, str]) -> str | None:
    """The hash to compare; Permanent where there should be one and nobody told it."""
    told = str(filled(step.sha256, known)).strip().lower()
    if step.sha256 and not told:
        raise Permanent("the hash that the file is to be compared with was not told")
    return told or None


def _elements(step: DownloadStep, found: Any) -> list[Any]:
    """What is taken of: the answer, or the elements of its list. NotReady where nothing of it is left."""
    if not step.each:
        return [found]
    listed = found if step.each == "/" else at_path(found, step.each)
    fitting = [one for one in listed if _is_wanted(step, one)] if isinstance(listed, list) else []
    if not fitting:
        raise NotReady(f"the answer lists nothing at {step.each} yet", after=step.wait)
    return fitting


def _is_wanted(step: DownloadStep, element: Any) -> bool:
    return all(fits(at_path(element, path), wanted) for path, wanted in step.only.items())


def _is_no(step: DownloadStep, answer: Answer) -> bool:
    """A 2xx may say "not ready" as well."""
    return not answer.ok or answer.status in step.not_ready


def values_taken(step: DownloadStep, found: Any) -> dict[str, Any]:
    """What stands at the paths under `take`, None where nothing does."""
    return {name: _first_at(found, path) for name, path in step.take.items()}


def _first_at(found: Any, paths: str) -> Any:
    values = (at_path(found, path) for path in paths.split(" | "))
    return next((value for value in values if value is not None and value != ""), None)


def _taken(step: DownloadStep, found: Any, spare: Container[str]) -> dict[str, str]:
    taken = values_taken(step, found)
    if empty := [step.take[name] for name, value in taken.items() if value is None and name not in spare]:
        raise NotReady(f"the answer has nothing at {empty[0]} yet", after=step.wait)
    return {name: as_text(value) for name, value in taken.items() if value is not None}


def fits(value: Any, wanted: Any) -> bool:
    """Is it the wanted value, or one of the wanted? True is never 1 here, nor is 1 true."""
    choices = wanted if isinstance(wanted, list | tuple) else [wanted]
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in choices)


def _file_name(step: DownloadStep, known: Mapping[str, str]) -> str:
    """What the step names it, else the document's title, else the part; of a PDF with the ending that shows it."""
    title = known["name"] or DOCUMENT if step.save == DOCUMENT else step.save
    named = filled(step.name, known) or title
    return pdf_name(named) if step.content_type == _PDF else named
