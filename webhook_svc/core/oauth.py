"""Tokens by OAuth 2 (RFC 6749) as steps of a provider's login: a form goes out, a token comes back."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from .errors import Permanent, Retryable
from .flow import failure, object_in, told_in
from .outgoing import Answer, Call, Request, Token
from .payload import text_at, whole
from .ports import Flow
from .types import EMPTY

_REFUSED: Final = (400, 401, 403)
_TOKEN: Final = re.compile(r"[!-~]+")
_WORD: Final = re.compile(r"[A-Za-z_]{1,60}")
_SHORTEST, _MARGIN = 1.0, 60.0


def granted(url: str, form: Mapping[str, str], sender: str, meanings: Mapping[str, str] = EMPTY) -> Flow[Token]:
    """The token that this form brings. It counts as ended a minute early, so that it does not end on its way.

    A refusal in words of the standard is Permanent; `meanings` says what a person should do about some of them.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    answer = yield Call(request=Request(method="POST", url=url, headers=headers, body=urlencode(form).encode()))
    words = [word for key in ("error", "error_description") if _WORD.fullmatch(word := told_in(answer, key))]
    if answer.status in _REFUSED and words:
        known = next((meanings[word] for word in reversed(words) if word in meanings), "")
        raise Permanent(f"{sender}'s login is refused: {' '.join(words)}" + (f". {known}" if known else ""))
    return _token_in(answer, f"{sender}'s login")


def _token_in(answer: Answer, sender: str) -> Token:
    if not answer.ok:
        raise failure(answer, {}, sender)
    found = object_in(answer, {}, sender)
    text, lasts = text_at(found, "access_token"), whole(found.get("expires_in"))
    if not _TOKEN.fullmatch(text):
        raise Retryable(f"{sender} brought no token")
    return Token(text=text, lasts=None if lasts is None else max(lasts - _MARGIN, _SHORTEST))
