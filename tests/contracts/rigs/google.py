"""A Google service account, and the endpoint that gives out tokens for it, as Google's documentation says they refuse.

https://developers.google.com/identity/protocols/oauth2/service-account (read 2026-11-22).
"""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Collection
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from werkzeug.wrappers import Request, Response

from tests.guard import secret

from .standin import TALKATIVE, must, only, reply

EMAIL = "webhook-svc@acme.iam.gserviceaccount.com"
KEY_ID = "key-1"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def private_key() -> RSAPrivateKey:
    return generate_private_key(65537, 1024)  # noqa: S505 - a long one takes long to check, at every use


def service_account_key(token_uri: str = "https://oauth2.googleapis.com/token", **changes: Any) -> str:
    """The JSON file that Google's console hands out."""
    pem = private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": KEY_ID,
            "private_key": pem,
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": token_uri,
            **changes,
        }
    )


class Login:
    """One account, one scope, and the tokens that were given out and hold."""

    def __init__(self, scope: str, subjects: Collection[str] = ()) -> None:
        """`subjects` are the people on whose behalf the account may act."""
        self.scope = scope
        self.subjects = subjects
        self.count = 0
        self.given: set[str] = set()

    def knows(self, request: Request) -> bool:
        """Whether the request carries a token that holds."""
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.given

    def answer(self, request: Request) -> Response:
        """A new token for a JWT that is signed by the account, fresh, and made for this address."""
        only(request.form, {"grant_type", "assertion"})
        must(request.form.get("grant_type") == GRANT, 400, "unsupported_grant_type")
        claims = self._claims(request.form["assertion"])
        if claims is None or claims["aud"] != request.base_url or claims["iss"] != EMAIL:
            return reply({"error": "invalid_grant", "error_description": TALKATIVE}, 400)
        if claims["scope"] != self.scope:
            return reply({"error": "invalid_scope", "error_description": TALKATIVE}, 400)
        if "sub" in claims and claims["sub"] not in self.subjects:
            return reply({"error": "unauthorized_client", "error_description": TALKATIVE}, 401)
        self.count += 1
        token = secret(f"google-token-{self.count}")
        self.given.add(token)
        return reply({"access_token": token, "token_type": "Bearer", "expires_in": 3599})

    def _claims(self, assertion: str) -> dict[str, Any] | None:
        signed, _, signature = assertion.rpartition(".")
        head, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        try:
            private_key().public_key().verify(_decoded(signature), signed.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return None
        known = head == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        fresh = abs(claims["iat"] - time.time()) < 300 and 0 < claims["exp"] - claims["iat"] <= 3600
        return dict(claims) if known and fresh else None


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
