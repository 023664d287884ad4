"""Addresses of calls, links that expire, and what the file behind one is called."""

from collections.abc import Callable
from math import inf
from typing import Any, Final
from urllib.parse import urlencode

from .errors import Retryable
from .flow import beside_document, segment, server_time
from .moment import moment
from .outgoing import Answer, Lacking, Request, Save
from .ports import Flow
from .types import DOCUMENT, DocumentRef

_STALE: Final = (403, 404, 410)


def address(base: str, /, *path: str, **query: str) -> str:
    """The address of a call; foreign ids may stand in the path."""
    url = "/".join((base.rstrip("/"), *map(segment, path)))
    return f"{url}?{urlencode(query, errors='backslashreplace')}" if query else url


def save_link(
    link: str, again: Callable[[], Flow[str]], part: str, name: str, *, optional: bool = False, **announced: Any
) -> Flow[Answer]:
    """The answer to the download. A link that no longer opens is asked for anew, once. Links carry no credentials.

    `announced` is what else a `Save` takes: sha256, content_type, unless.
    """
    answer = yield Save(request=Request(url=link), part=part, name=name, optional=optional, **announced)
    if answer.status in _STALE:
        link = yield from again()
        answer = yield Save(request=Request(url=link), part=part, name=name, optional=optional, **announced)
    return answer


def save_document(ask: Callable[[], Flow[str]], name: str, *, link: str = "", **announced: Any) -> Flow[Answer]:
    """Saves the document behind `link`, or behind the one that `ask` brings; Retryable where it does not open."""
    answer = yield from save_link(link or (yield from ask()), ask, DOCUMENT, name, **announced)
    if not answer.ok:
        raise Retryable(f"the document's link answered {answer.status}", after=answer.retry_after())
    return answer


def save_beside(ref: DocumentRef, part: str, link: str, again: Callable[[], Flow[str]], name: str) -> Flow[None]:
    """Saves another part than the document; it is lacking where its link does not open."""
    answer = yield from save_link(link, again, part, name, optional=beside_document(ref))
    if not answer.ok:
        yield Lacking(part=part, reason=f"its link answered {answer.status}")


def seconds_left(answer: Answer, until: Any) -> float:
    """How long a link lasts by the clock of the server that made it; endless where either time is missing."""
    end, now = moment(until), server_time(answer)
    return inf if end is None or now is None else end - now


def pdf_name(title: str) -> str:
    return f"{title.removesuffix('.pdf') or 'document'}.pdf"
