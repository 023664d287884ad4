"""DocuSign as it looks from outside: signed messages, the JWT grant, envelopes with their documents, the list."""

import hmac
import itertools
import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache, partial
from typing import Any, ClassVar, Final, Literal
from uuid import NAMESPACE_OID, uuid5
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Response, jsonify, request

from ..core.ports import Simulator
from ..core.types import RawRequest
from .account import Account, Signed, made_up, said
from .quirks import API_QUIRKS, CALLBACK_QUIRKS, FILE_QUIRKS, LIST_QUIRKS, ROTATION_QUIRKS, TOKEN_QUIRKS

Shape = Literal["json", "xml"]

_USER: Final = "861d2a78-7e55-42a1-ba7f-7501cc1a0d28"
_ACCOUNT: Final = "b123a4e6-094f-43aa-b2d9-30076d0af3c7"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PACIFIC: Final = -8
_PRIMES: Final = (
    "f4ecc026d94c3beca4ca880cdf2d4cce3615def5c30ed84895d38a0ae01817d0",
    "9ada6fbbb61016b2a5e922e29bb41453df1ade06787d3d15f5c181f16e12016d",
    "cf95e055fde937a1f22a8fcacfde8834d5829a15436653b9014c2bd3d3de382f",
    "2dd7613c4140b2e6dacecf6f2382106162c658ebbaa564f3435bef4f40e50499",
)
_CODES: Final = {
    400: "INVALID_REQUEST_PARAMETER",
    401: "AUTHORIZATION_INVALID_TOKEN",
    404: "ENVELOPE_DOES_NOT_EXIST",
    429: "BURST_APIINVOCATION_LIMIT_EXCEEDED",
}


@cache
def rsa_key() -> RSAPrivateKey:
    """The key of every simulated app, the same every time. It guards nothing; a longer one takes longer to check."""
    p, q = int(_PRIMES[0] + _PRIMES[1], 16), int(_PRIMES[2] + _PRIMES[3], 16)
    exponent, totient = 65537, (p - 1) * (q - 1)
    secret = pow(exponent, -1, totient)
    public = RSAPublicNumbers(exponent, p * q)
    rest = {"dmp1": secret % (p - 1), "dmq1": secret % (q - 1), "iqmp": pow(q, -1, p)}
    return RSAPrivateNumbers(p=p, q=q, d=secret, public_numbers=public, **rest).private_key()


def private_key() -> str:
    """It as PEM in one line, the way an environment variable likes it."""
    pem = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return pem.replace("\n", "\\n")


class DocusignSimulator(Account, Simulator):
    """One account, one app, one user. Without arguments its secrets are made up; `source` tells them.

    `shape` is that of its messages; `keys` is how many Connect keys are active, and so how many signatures each message
    carries, ours the last. `consented` is whether the user has agreed to what the app does.
    """

    provider = "docusign"
    quirks = (
        *CALLBACK_QUIRKS,
        *ROTATION_QUIRKS,
        *FILE_QUIRKS,
        *API_QUIRKS,
        *TOKEN_QUIRKS,
        *LIST_QUIRKS,
    )
    token_life: ClassVar[float] = 3600.0

    def __init__(self, *, shape: Shape = "json", keys: int = 1, **given: Any) -> None:
        super().__init__(**given)
        self.shape = shape
        self.keys = keys
        self.consented = True
        self.integration_key = str(uuid5(NAMESPACE_OID, self.api_key))
        self._tokens: dict[str, float] = {}

    def source(self, api_base: str) -> dict[str, Any]:
        return {
            "provider": "docusign",
            "secrets": [self.secret],
            "base_uri": api_base,
            "auth_server": api_base,
            "integration_key": self.integration_key,
            "user_id": _USER,
            "private_key": private_key(),
        }

    # --- messages -------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        """The last recipient signs, which completes the envelope."""
        signed = self.sign(document, title, size)
        make, events = (
            (self._json, ("recipient-completed", "envelope-completed"))
            if self.shape == "json"
            else (self._xml, ("Delivered", "Completed"))
        )
        return self.sent(partial(self._message, partial(make, signed, event), itertools.count()) for event in events)

    def _json(self, signed: Signed, event: str, retries: int) -> bytes:
        data = {"accountId": _ACCOUNT, "userId": _USER, "envelopeId": signed.id}
        if event.startswith("recipient-"):
            data["recipientId"] = "1"
        payload = {
            "event": event,
            "apiVersion": "v2.1",
            "uri": f"/restapi/v2.1/accounts/{_ACCOUNT}/envelopes/{signed.id}",
            "retryCount": retries,
            "configurationId": 10012345,
            "generatedDateTime": _iso(signed.finished),
            "data": data,
        }
        return json.dumps(payload, separators=(",", ":")).encode()

    def _xml(self, signed: Signed, status: str, retries: int) -> bytes:  # noqa: ARG002  XML does not count them
        zone = timezone(timedelta(hours=_PACIFIC))
        local = datetime.fromtimestamp(signed.finished, zone).replace(tzinfo=None).isoformat()
        subject = escape("".join(character for character in signed.title if character.isprintable()))
        completed = f"<Completed>{local}</Completed>" if status == "Completed" else ""
        text = (
            '<?xml version="1.0" encoding="utf-8"?>'
            '<DocuSignEnvelopeInformation xmlns="http://www.docusign.net/API/3.0"><EnvelopeStatus>'
            "<RecipientStatuses><RecipientStatus><Type>Signer</Type><Status>Completed</Status></RecipientStatus>"
            f"</RecipientStatuses><TimeGenerated>{local}</TimeGenerated><EnvelopeID>{escape(signed.id)}</EnvelopeID>"
            f"<Subject>{subject}</Subject><Status>{status}</Status>{completed}</EnvelopeStatus>"
            f"<TimeZone>Pacific Standard Time</TimeZone><TimeZoneOffset>{_PACIFIC}</TimeZoneOffset>"
            "</DocuSignEnvelopeInformation>"
        )
        return text.encode()

    def _message(self, make: Callable[[int], bytes], retries: Iterator[int]) -> RawRequest:
        body = make(next(retries))
        kind = "application/json" if self.shape == "json" else "text/xml; charset=utf-8"
        return RawRequest(headers=(("content-type", kind), *self._signatures(body)), body=body)

    def _signatures(self, body: bytes) -> Iterator[tuple[str, str]]:
        """One for each active key: those of others, then ours; while it changes, the next one before it."""
        active = [made_up(44) for _ in range(self.keys - 1)]
        active += [self.next_secret] if self.shown.take("rotated_secret") else []
        active.append("somebody else's" if self.shown.take("wrong_signature") else self.secret)
        yield "x-authorization-digest", "HMACSHA256"
        for number, key in enumerate(active, 1):
            digest = hmac.digest(key.encode(), body, "sha256")
            yield f"x-docusign-signature-{number}", b64encode(digest).decode()

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        envelopes = f"/restapi/v2.1/accounts/{_ACCOUNT}/envelopes"
        return self.app(
            self._guard,
            {
                "POST /oauth/token": self._login,
                "GET /oauth/userinfo": self._userinfo,
                f"GET {envelopes}": self._list,
                f"GET {envelopes}/<path:document>/documents/combined": self._combined,
                f"GET {envelopes}/<path:document>/documents/certificate": self._certificate,
                f"GET {envelopes}/<path:document>": self._envelope,
            },
        )

    def _guard(self) -> Response | None:
        """Trouble is that of the API; at the server that gives out tokens there is trouble of its own."""
        if request.path == "/oauth/token":
            return None
        if request.path != "/oauth/userinfo" and self.shown.take("token_expired"):
            self._tokens.clear()
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self.clock() >= self._tokens.get(token, 0.0):
            return _error(401)
        return None if request.path == "/oauth/userinfo" else self.trouble(self._trouble)

    def _trouble(self, status: int, after: float | None) -> Response:
        """A pause is told as the time of its end where a limit is reached."""
        if status != 429 or after is None:
            return _error(status, after)
        answer = _error(status)
        answer.headers["X-RateLimit-Reset"] = str(int(self.clock() + after))
        return answer

    def _login(self) -> Response:
        if self.shown.take("token_down"):
            return said(503, error="temporarily_unavailable")
        if request.form.get("grant_type") != _GRANT:
            return said(400, error="unsupported_grant_type")
        if trouble := self._why_refused(request.form.get("assertion", "")):
            return said(400, error="invalid_grant", error_description=trouble)
        if not self.consented:
            return said(400, error="consent_required")
        token = made_up(64)
        self._tokens[token] = self.clock() + self.token_life
        return said(200, access_token=token, expires_in=int(self.token_life), scope="signature")

    def _why_refused(self, assertion: str) -> str:
        """What is wrong with it, "" where nothing is."""
        claims = _vouched(assertion)
        if claims is None:
            return "no_valid_keys_or_signatures"
        if claims.get("iss") != self.integration_key:
            return "issuer_not_found"
        if claims.get("sub") != _USER:
            return "user_not_found"
        if claims.get("aud") != request.host or set(claims.get("scope", "").split()) != {"signature", "impersonation"}:
            return "invalid_audience_or_scope"
        return "" if 0 < claims.get("exp", 0) - claims.get("iat", 0) <= 3600 else "expired"

    def _userinfo(self) -> Response:
        base = request.host_url.rstrip("/")
        other = {"account_id": made_up(32), "is_default": False, "account_name": "Other", "base_uri": base}
        mine = {"account_id": _ACCOUNT, "is_default": True, "account_name": "Acme", "base_uri": base}
        return jsonify(sub=_USER, name="Jo Doe", email="jo@acme.example", accounts=[other, mine])

    def _envelope(self, document: str) -> Response:
        signed = self._found(document)
        found = _described(signed)
        if self.shown.take("not_ready"):
            found |= {"status": "sent", "completedDateTime": None}
        return jsonify(found)

    def _combined(self, document: str) -> Response:
        self._found(document)
        if request.args.get("certificate") not in ("true", "false"):
            return _error(400)
        return self.shown.file(self.document_bytes(document))

    def _certificate(self, document: str) -> Response:
        self._found(document)
        return self.shown.file(self.document_bytes(document, "certificate"))

    def _list(self) -> Response:
        asked = request.args
        sorted_so = (asked.get("status"), asked.get("order_by"), asked.get("order")) == (
            "completed",
            "completed",
            "desc",
        )
        if not asked.get("from_date") or not sorted_so:
            return _error(400)
        size, start = int(asked.get("count", "100")), int(asked.get("start_position", "0"))
        newest, total = self.listed(start // size + 1, size)
        counts = {"resultSetSize": len(newest), "totalSetSize": total, "startPosition": start}
        return jsonify(envelopes=list(map(_described, newest)), **{key: str(value) for key, value in counts.items()})

    def _found(self, document: str) -> Signed:
        return self.found(document, lambda: _error(404))


def _described(signed: Signed) -> dict[str, Any]:
    ended = _iso(signed.finished)
    about = {"envelopeId": signed.id, "status": "completed", "emailSubject": signed.title}
    return {**about, "completedDateTime": ended, "statusChangedDateTime": ended}


def _vouched(assertion: str) -> Mapping[str, Any] | None:
    """The claims of an assertion that the app's key signed; None of every other."""
    try:
        head, claims, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in assertion.split("."))
        text = assertion.rpartition(".")[0].encode()
        rsa_key().public_key().verify(signature, text, PKCS1v15(), SHA256())
        found: Mapping[str, Any] = json.loads(claims)
        return found if json.loads(head) == {"alg": "RS256", "typ": "JWT"} else None
    except (ValueError, InvalidSignature):
        return None


def _error(status: int, after: float | None = None) -> Response:
    return said(status, after, errorCode=_CODES.get(status, "UNSPECIFIED_ERROR"), message="made on demand")


def _iso(seconds: float) -> str:
    """With seven digits of a second, as DocuSign writes them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
