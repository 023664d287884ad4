"""Following links that expire, and what the file behind one is called."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from math import inf
from typing import Any, Final

from .moment import moment
from .ports import Flow
from .types import Answer, Request, Save

_STALE: Final = (403, 404, 410)


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


def seconds_left(answer: Answer, until: Any) -> float:
    """How long a link lasts by the clock of the server that made it; endless where either time is missing."""
    end = moment(until)
    try:
        return inf if end is None else end - parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return inf


def pdf_name(title: str) -> str:
    return f"{title.removesuffix('.pdf') or 'document'}.pdf"
