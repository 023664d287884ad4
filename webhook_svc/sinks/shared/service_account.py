"""The key of a Google service account, and the login that it vouches for.

https://developers.google.com/identity/protocols/oauth2/service-account (read 2026-11-22).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from ...core.outgoing import Token
from ...core.ports import Http
from ...core.settings import Secret, host_of
from ...signing.outgoing.jwt import signed
from .bearer import by_form

LASTS: Final = 3600
"""Seconds for which one may vouch for oneself; more is refused."""

_HOME: Final = "https://oauth2.googleapis.com/token"
_WANTED: Final = "a service account's key: the whole text of its JSON file"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    email: str
    key_id: str
    private_key: Secret
    token_uri: str

    @classmethod
    def read(cls, key: Secret) -> Self:
        """ValueError, without a word of it, where it is none."""
        try:
            said = json.loads(key.reveal())
        except ValueError:
            raise ValueError(_WANTED) from None
        if not isinstance(said, Mapping) or said.get("type") != "service_account":
            raise ValueError(_WANTED)
        return cls(
            email=_text(said, "client_email"),
            key_id=_text(said, "private_key_id"),
            private_key=Secret(_text(said, "private_key")),
            token_uri=_text(said, "token_uri", _HOME),
        )

    def check(self) -> None:
        """ValueError where nothing can be signed with it, or its token_uri is no address."""
        signed({}, self.private_key)
        host_of(self.token_uri)

    @property
    def host(self) -> str:
        """The origin that gives out tokens. It stands in the key, so it is trusted as the key is."""
        return host_of(self.token_uri)

    def log_in(self, http: Http, scope: str, now: float, **more: str) -> Token:
        """A token for these scopes (a space between two). `more` are further claims, such as `sub`."""
        stamp = int(now)
        claims = {"iss": self.email, "scope": scope, "aud": self.token_uri, "iat": stamp, "exp": stamp + LASTS, **more}
        assertion = signed(claims, self.private_key, {"kid": self.key_id})
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return by_form(http, self.token_uri, form)


def _text(said: Mapping[str, Any], name: str, default: str | None = None) -> str:
    found = said.get(name, default)
    if not isinstance(found, str) or not found:
        raise ValueError(f"{_WANTED}, with its {name}")
    return found
