"""Tokens of Google's service accounts: https://developers.google.com/identity/protocols/oauth2/service-account
(read 2026-11-22)."""

import json
from collections.abc import Mapping
from typing import Any, Final

from ..core.errors import Permanent
from ..core.outgoing import Token
from ..core.ports import Http
from ..core.settings import Secret
from ..signing.jwt import signed
from .bearer import by_form

_LASTS: Final = 3600
_JSON_KEY: Final = "the JSON key of a service account as credentials"


def check_key(key: Secret) -> None:
    """ValueError, without a word of it, where it is not a service account's key file."""
    _read(key)


def by_service_account(http: Http, url: str, key: Secret, scope: str, now: float, subject: str = "") -> Token:
    """A token for `scope`; with a `subject` that of this person, on whose behalf the account may act.

    `url` is the token endpoint. Permanent where the private key is none.
    """
    account = _read(key)
    claims = {"iss": account["client_email"], "scope": scope, "aud": url, "iat": int(now), "exp": int(now) + _LASTS}
    try:
        assertion = signed(claims | ({"sub": subject} if subject else {}), Secret(account["private_key"]))
    except ValueError as error:
        raise Permanent(f"logging in: the credentials hold no key that can be used, but {error} is needed") from None
    return by_form(http, url, {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion})


def _read(key: Secret) -> Mapping[str, Any]:
    try:
        found = json.loads(key.reveal())
    except ValueError:
        raise ValueError(_JSON_KEY) from None
    names = ("client_email", "private_key")
    if not isinstance(found, Mapping) or not all(isinstance(found.get(name), str) for name in names):
        raise ValueError(_JSON_KEY)
    return found
