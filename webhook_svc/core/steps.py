"""Download steps that are declared in the configuration: judged when they are read, run as a flow.

What a template's value may do depends on where it stands. In an address each value is one path segment; only the
operator's own base (`{api_base}` at the beginning) and an address that is nothing but `{link}` are taken whole.
Headers are sent as credentials: they reach configured hosts only. JSON that goes to a link holds nothing configured.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from .errors import NotReady, Permanent, Retryable
from .flow import Fates, failure
from .links import pdf_name
from .outgoing import Answer, Call, Lacking, Request, Save
from .ports import Flow
from .settings import host_of, setting
from .template import Field, Template, header_text, url_segment
from .types import DOCUMENT, DocumentRef, as_text, at_path

OF_THE_DOCUMENT: Final = ("document", "round", "name", "source")
"""Names that every template may use beside the configured values."""

_PDF = "application/pdf"
_HOST = re.compile(r"https?://[^/{}?#\s@]+(?=/|\Z)")
_LINK_IS_STALE = (403, 404, 410)
_FATES: Fates = {
    401: (Permanent, "the credentials are not accepted"),
    408: (Retryable, "it took too long"),
    425: (Retryable, "it is too early"),
    429: (Retryable, "the rate limit is reached"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadStep:
    """One request: it takes values out of the answer for the steps after it, or saves the answer as a part."""

    get: str = setting("the address to ask with GET", "")
    post: str = setting("the address to ask with POST", "")
    headers: Mapping[str, str] = setting("headers; sent to configured hosts only", factory=dict)
    json: Any = setting("what a POST sends, as JSON", None)
    take: Mapping[str, str] = setting("names for values of the answer: link = '/data/url'", factory=dict)
    expect: Mapping[str, Any] = setting("values that the answer has once the file is ready", factory=dict)
    not_ready: tuple[int, ...] = setting("statuses that mean the file is not ready yet", ())
    save: str = setting("the part that the answer is: document, certificate or audit", "")
    name: str = setting("file name; unset: the document's name", "")
    content_type: str = setting("what is announced; of a PDF beginning and end are checked", _PDF)
    sha256: str = setting("the hash that the sender names, in hex, as a template", "")
    optional: bool = setting("the rest goes on without this part where it cannot be fetched", False)

    def __post_init__(self) -> None:
        if bool(self.get) == bool(self.post):
            raise ValueError("exactly one of get and post")
        if self.get and self.json is not None:
            raise ValueError("json with post only")
        if bool(self.save) == bool(self.take or self.expect):
            raise ValueError("a step either saves a part or takes and expects values of the answer")
        if not self.save and (self.name or self.sha256 or self.optional):
            raise ValueError("name, sha256 and optional with save only")
        if self.save == DOCUMENT and self.optional:
            raise ValueError("a document that is not optional")
        for text in self.texts():
            Template.parse(text)

    @property
    def address(self) -> Template:
        return Template.parse(self.get or self.post)

    def texts(self) -> Iterator[str]:
        yield from (self.get, self.post, self.name, self.sha256, *self.headers.values(), *_texts_in(self.json))


def check_steps(steps: Sequence[DownloadStep], values: Iterable[str], given: Iterable[str]) -> None:
    """ValueError where the steps cannot work together. `values` are the operator's, `given` come with a callback."""
    own, known = set(values), {*OF_THE_DOCUMENT, *values, *given}
    if DOCUMENT not in (saved := [step.save for step in steps if step.save]) or len(set(saved)) < len(saved):
        raise ValueError('download steps of which one has save = "document", and no two the same part')
    if steps[-1].take:
        raise ValueError("a last download step that saves: what it takes is never used")
    for number, step in enumerate(steps, 1):
        fields = {field.name for text in step.texts() for field in Template.parse(text).fields}
        if strange := sorted(fields - known):
            raise ValueError(f"download step {number} without {{{strange[0]}}} (known: {', '.join(sorted(known))})")
        if taken := sorted(known & set(step.take)):
            raise ValueError(f"another name for {taken[0]!r}, which download step {number} takes: it has a value")
        _check_address(step.address, own, number)
        _check_json(step, own, number)
        known |= set(step.take)


def trusted_hosts(steps: Iterable[DownloadStep], values: Mapping[str, str]) -> frozenset[str]:
    """The origin of every address that the operator wrote: they receive the headers. ValueError where one is none."""
    return frozenset(_host(base) for step in steps if (base := _base(step.address, values)))


def run(steps: Iterable[DownloadStep], ref: DocumentRef, source: str, values: Mapping[str, str]) -> Flow[None]:
    """The requests of the steps whose part is wanted. What the operator configured wins over what a callback says."""
    own = {"document": ref.id, "round": ref.round, "name": ref.name, "source": source}
    known = {**ref.hints, **values, **own}
    for step in steps:
        if not step.save:
            known.update((yield from _ask(step, known, values)))
        elif step.save in ref.parts:
            yield from _save(step, known, values)


def _ask(step: DownloadStep, known: Mapping[str, str], values: Mapping[str, str]) -> Flow[dict[str, str]]:
    answer = yield Call(request=_request(step, known, values))
    if not answer.ok:
        raise _error(step, answer, values)
    found = answer.json()
    for path, wanted in step.expect.items():
        if at_path(found, path) != wanted:
            raise NotReady(f"the answer does not have the expected value at {path} yet")
    taken = {name: at_path(found, path) for name, path in step.take.items()}
    if empty := [step.take[name] for name, value in taken.items() if value is None or value == ""]:
        raise NotReady(f"the answer has nothing at {empty[0]} yet")
    return {name: as_text(value) for name, value in taken.items()}


def _save(step: DownloadStep, known: Mapping[str, str], values: Mapping[str, str]) -> Flow[None]:
    answer = yield Save(
        request=_request(step, known, values),
        part=step.save,
        name=_filled(step.name, known) or _usual_name(step, known["name"]),
        sha256=_filled(step.sha256, known).strip().lower() or None,
        content_type=step.content_type,
        optional=step.optional,
    )
    if answer.ok:
        return
    if not step.optional:
        raise _error(step, answer, values)
    yield Lacking(part=step.save, reason=f"its address answered {answer.status}")


def _usual_name(step: DownloadStep, title: str) -> str:
    if step.save == DOCUMENT:
        return pdf_name(title) if step.content_type == _PDF else title or DOCUMENT
    return f"{step.save}.pdf" if step.content_type == _PDF else step.save


def _error(step: DownloadStep, answer: Answer, values: Mapping[str, str]) -> Exception:
    if answer.status in step.not_ready:
        return NotReady(f"the sender answered {answer.status}: not ready yet", after=answer.retry_after())
    if answer.status in _LINK_IS_STALE and not _base(step.address, values):
        return Retryable(f"the link answered {answer.status}: a new one is asked for")
    return failure(answer, _FATES, "the sender")


def _request(step: DownloadStep, known: Mapping[str, str], values: Mapping[str, str]) -> Request:
    """Permanent where a value cannot stand where the template puts it."""

    try:
        return Request(
            method="GET" if step.get else "POST",
            url=_url(step.address, known, values),
            auth={name: _header(text, known) for name, text in step.headers.items()},
            json=_filled(step.json, known),
        )
    except ValueError as error:
        raise Permanent(f"a value of the callback or an answer does not fit: {_without_value(error)}") from None


def _url(address: Template, known: Mapping[str, str], values: Mapping[str, str]) -> str:
    if address.whole and address.whole.name not in values:
        return _link(_values(known)(address.whole))
    base = _base(address, values)
    first = address.pieces[0]
    rest = address.pieces[1:] if isinstance(first, Field) else (first[len(base) :], *address.pieces[1:])
    return base + Template(tuple(rest)).render(_values(known), url_segment)


def _base(address: Template, values: Mapping[str, str]) -> str:
    """The beginning that the operator wrote: a value, or scheme and host; "" where the address is a link."""
    first = address.pieces[0]
    if isinstance(first, Field):
        return values.get(first.name, "").rstrip("/")
    match = _HOST.match(first)
    return match.group() if match else ""


def _host(base: str) -> str:
    if not base.startswith(("https://", "http://")) or not base.isprintable() or set(base) & set("?# @"):
        raise ValueError("an http(s) address without query in the value that a download step begins with")
    return host_of(base)


def _check_address(address: Template, own: set[str], number: int) -> None:
    first, *rest = address.pieces
    if isinstance(first, Field):
        begins = first.name in own and (not rest or str(rest[0]).startswith("/"))
        fine = begins or bool(address.whole)
    else:
        fine = bool(_HOST.match(first)) and (first.count("/") > 2 or not rest)
    if not fine:
        raise ValueError(
            f"download step {number} with an address that is {{link}} alone, or begins with a configured value "
            "or https://host and goes on with /"
        )


def _check_json(step: DownloadStep, own: set[str], number: int) -> None:
    """Whoever names a link must not be sent what was configured: unlike headers, JSON goes to every host."""
    sent = {field.name for text in _texts_in(step.json) for field in Template.parse(text).fields}
    if _is_link(step, own) and (told := sorted(sent & own)):
        raise ValueError(f"download step {number} without {{{told[0]}}} in its json: a link may lead to any host")


def _is_link(step: DownloadStep, own: Container[str]) -> bool:
    return step.address.whole is not None and step.address.whole.name not in own


def _link(text: str) -> str:
    if not text.startswith(("https://", "http://")) or not text.isprintable() or " " in text:
        raise ValueError("it is not an http(s) address")
    if not urlsplit(text).hostname:
        raise ValueError("it has no host")
    return text


def _header(text: str, known: Mapping[str, str]) -> str:
    rendered = Template.parse(text).render(_values(known), header_text)
    rendered.encode("latin-1")
    return rendered.strip()


def _values(known: Mapping[str, str]) -> Callable[[Field], str]:
    def value(field: Field) -> str:
        """A name may be missing where the configuration changed after the callback was read."""
        if field.name not in known:
            raise Permanent(f"the callback was read without {field}: replay it")
        return known[field.name]

    return value


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return Template.parse(value).render(_values(known))
    if isinstance(value, Mapping):
        return {key: _filled(inner, known) for key, inner in value.items()}
    return [_filled(inner, known) for inner in value] if isinstance(value, list | tuple) else value


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(inner)


def _without_value(error: ValueError) -> str:
    """An encoding error quotes the text that it failed on, which may be a credential."""
    return "letters that a header cannot hold" if isinstance(error, UnicodeError) else str(error)
