"""The flows beside the download: a login that is described, and a list of completed signings."""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import Any
from urllib.parse import parse_qs, urlencode

from ..core.errors import Permanent, Retryable
from ..core.flow import token
from ..core.lists import Page, newest_first
from ..core.moment import moment
from ..core.outgoing import Call, Listed, Token
from ..core.payload import texts_at
from ..core.ports import Clock, Flow
from ..core.types import DocumentRef, as_text, at_path
from .asked import TOKEN, failed, request_of
from .description import ListCall, LoginCall
from .steps import fits

_SHORTEST = 60.0
_ERROR = re.compile(r"[a-z_]{3,40}")
_PASSING = ("server_error", "slow_down", "temporarily_unavailable")


def log_in(
    asked: LoginCall,
    values: Mapping[str, str],
    clock: Clock = time.time,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Flow[Token]:
    """The token that the login's answer holds. Permanent where the credentials are refused."""
    digested = _digested(values[asked.wsse], clock(), random(20)) if asked.wsse else {}
    answer = yield Call(request=request_of(asked, {**values, **digested}, values))
    if answer.status in (400, 401, 403):
        raise Permanent(f"the sender's login answered {answer.status}: the credentials are not accepted")
    if not answer.ok:
        raise failed(asked, answer, values, "the sender's login")
    found = answer.json()
    text = at_path(found, asked.token)
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text.strip():
        raise _tokenless(found, asked)
    lasts = at_path(found, asked.lasts) if asked.lasts else None
    if isinstance(lasts, int | float) and not isinstance(lasts, bool) and 0 < lasts < inf:
        return Token(text=text, lasts=max(lasts * 0.9, _SHORTEST))
    return Token(text=text)


def _digested(secret: str, now: float, nonce: bytes) -> dict[str, str]:
    """The digest of a WS-Security UsernameToken, and what it was made of: it proves the secret without telling it.

    https://docs.oasis-open.org/wss/v1.1/wss-v1.1-spec-os-UsernameTokenProfile.pdf (2026-11)
    """
    created = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha1(nonce + created.encode() + secret.encode(), usedforsecurity=False).digest()
    return {
        "nonce": base64.b64encode(nonce).decode(),
        "created": created,
        "digest": base64.b64encode(digest).decode(),
    }


def _tokenless(found: Any, asked: LoginCall) -> Permanent | Retryable:
    """Some senders refuse with status 200 and a word of RFC 6749, 5.2."""
    word = at_path(found, "/error")
    if isinstance(word, str) and _ERROR.fullmatch(word) and word not in _PASSING:
        return Permanent(f"the sender's login says {word}")
    return Retryable(f"the sender's login brought no token at {asked.token}")


def completed(asked: ListCall, since: float, source: str, values: Mapping[str, str]) -> Flow[None]:
    """A `Listed` step for each signing of the list that was completed since then."""
    known = {**values, "source": source, "since": str(since)}
    if TOKEN in asked.names:
        known[TOKEN] = yield from token()
    yield from newest_first(_Pages(asked, known, values, since).page, since if asked.newest_first else -inf)


class _Pages:
    """Pages one after the other; where the list has a cursor, it is taken from one to the next."""

    def __init__(self, asked: ListCall, known: Mapping[str, str], values: Mapping[str, str], since: float) -> None:
        self._asked = asked
        self._known = known
        self._values = values
        self._since = since
        self._filtered = "since" in asked.names
        self._cursor = ""
        self._seen = 0

    def page(self, number: int) -> Flow[Page]:
        asked, index = self._asked, number - 1
        cursor = self._cursor if number > 1 else str(asked.start) if "cursor" in asked.names else ""
        self._seen = self._seen if index else 0
        places = {"page": str(asked.first + index), "offset": str(asked.start + self._seen), "cursor": cursor}
        query = urlencode({asked.cursor_as: cursor}) if cursor and asked.cursor_as else ""
        answer = yield Call(request=request_of(asked, {**self._known, **places}, self._values, query))
        if not answer.ok:
            raise failed(asked, answer, self._values)
        found = answer.json()
        listed = found if asked.rows == "/" else at_path(found, asked.rows)
        if not isinstance(listed, list):
            raise Retryable(f"the list's answer has no list at {asked.rows}")
        self._seen += len(listed)
        rows = [row for row in self._rows(listed) if self._is_new(row)]
        return Page(rows=rows, total=self._counted(found, asked.total), pages=self._pages(found, number, listed))

    def _rows(self, listed: list[Any]) -> list[Listed]:
        """Permanent where rows are there and none has an id: then the path is wrong."""
        asked = self._asked
        fitting = [row for row in listed if all(fits(at_path(row, path), one) for path, one in asked.only.items())]
        found = [row for row in map(self._row, fitting) if row.ref.id]
        if fitting and not found:
            raise Permanent(f"no row of the list has an id at {asked.document}")
        if found and not self._filtered and not any(row.completed for row in found):
            raise Permanent(f"no row of the list has a time at {asked.completed}")
        return found

    def _row(self, row: Any) -> Listed:
        asked, text = self._asked, partial(_text, row)
        at, hints = _latest(row, asked.completed), {name: text(path) for name, path in asked.take.items()}
        document, round_, name = text(asked.document), text(asked.round), text(asked.name)
        return Listed(ref=DocumentRef(id=document, round=round_, name=name, completed=at, hints=hints), completed=at)

    def _is_new(self, row: Listed) -> bool:
        """Of a list in another order the old ones are left out here; a sorted one ends at the first of them. One that
        tells no time may be years old, unless the sender was asked for new ones alone."""
        if row.completed is None:
            return self._filtered
        return self._asked.newest_first or row.completed >= self._since

    def _counted(self, found: Any, path: str) -> Any:
        return at_path(found, path) if path else None

    def _pages(self, found: Any, number: int, listed: list[Any]) -> int | None:
        """The last page's number; of a list that tells no number, once its end was seen."""
        asked = self._asked
        if asked.cursor:
            before = self._cursor if number > 1 else ""
            self._cursor = _cursor(asked, at_path(found, asked.cursor))
            return number if self._cursor in ("", before) else number + 1
        pages = _text(found, asked.pages)
        if pages.isascii() and pages.isdigit() and len(pages) < 10:
            return int(pages)
        return number + 1 if listed else number


def _cursor(asked: ListCall, value: Any) -> str:
    """Of an address only the cursor in it is taken: which host is asked, the operator alone says."""
    text = "" if value is None or value is False else as_text(value)
    if not text.startswith(("https://", "http://")) or not asked.cursor_as:
        return text
    found = parse_qs(text.partition("#")[0].partition("?")[2]).get(asked.cursor_as)
    if not found:
        raise Permanent(f"the address of the list's next page has no parameter {asked.cursor_as}")
    return found[0]


def _latest(row: Any, path: str) -> float | None:
    if "/*" not in path:
        return moment(at_path(row, path)) if path else None
    return max((at for text in texts_at(row, path) if (at := moment(text)) is not None), default=None)


def _text(row: Any, path: str) -> str:
    """A list's row that holds something else in its place is none of ours."""
    value = at_path(row, path) if path else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
