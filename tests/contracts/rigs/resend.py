"""Resend's emails, as its documentation says it refuses.

https://resend.com/docs/api-reference/emails/send-email, https://resend.com/docs/api-reference/errors,
https://resend.com/docs/dashboard/emails/idempotency-keys and https://resend.com/docs/api-reference/domains/list-domains;
read 22 Nov 2026.
"""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from .base import SECRETS
from .outbox import SENDER, Mail, MailRig, Outbox, addresses, decoded, distinct, verified
from .servers import Servers
from .standin import TALKATIVE, Refusal, json_of, must, only, reply

LARGEST = 40_000_000
_HEAD = {"from", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments"}


class Resend(Outbox):
    routes = (("POST", "/emails", "send"), ("GET", "/domains", "domains"))

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, tuple[str, str]] = {}
        """Idempotency key → hash of the request's body, and the id that it was answered with."""
        self.under_way: set[str] = set()
        """Keys of requests that are still worked on."""
        self.may_only_send = False
        self.status = "verified"

    def refused(self, refusal: Refusal) -> Response:
        said = {"statusCode": refusal.status, "name": refusal.code, "message": TALKATIVE}
        return reply(said, refusal.status)

    def domains(self, request: Request) -> Response:
        _check_key(request)
        must(not self.may_only_send, 401, "restricted_api_key")
        return reply({"object": "list", "data": [{"name": SENDER.rpartition("@")[2], "status": self.status}]})

    def send(self, request: Request) -> Response:
        _check_key(request)
        key = request.headers.get("Idempotency-Key", "")
        must(0 < len(key) <= 256, 400, "invalid_idempotency_key")
        must(key not in self.under_way, 409, "concurrent_idempotent_requests")
        body = hashlib.sha256(request.get_data()).hexdigest()
        known = self.sent.get(key)
        must(known is None or known[0] == body, 409, "invalid_idempotent_request")
        if known is None:
            must(len(request.get_data()) <= LARGEST, 413, "validation_error")
            self.mails.append(self._mail(json_of(request)))
            self.sent[key] = (body, f"re-{len(self.mails)}")
        return reply({"id": self.sent[key][1]})

    def _mail(self, wanted: dict[str, Any]) -> Mail:
        only(wanted, _HEAD, 422, "validation_error")
        (sender,) = addresses([wanted.get("from")], 422, "invalid_from_address")
        verified(sender, 403, "validation_error")
        recipients = [
            one for key in ("to", "cc", "bcc") for one in addresses(wanted.get(key, []), 422, "validation_error")
        ]
        must(wanted.get("to"), 422, "missing_required_field")
        distinct(recipients, 50, 422, "validation_error")
        must(wanted.get("subject"), 422, "missing_required_field")
        must(wanted.get("text") or wanted.get("html"), 422, "missing_required_field")
        headers = wanted.get("headers", {})
        must(all(isinstance(one, str) and one.isascii() for one in headers.values()), 422, "validation_error")
        if "reply_to" in wanted:
            headers = {**headers, "Reply-To": ", ".join(addresses(wanted["reply_to"], 422, "validation_error"))}
        return Mail(
            recipients=[one for one in recipients if one not in self.suppressed],
            subject=wanted["subject"],
            text=wanted.get("text", ""),
            html=wanted.get("html", ""),
            files=dict(map(_file, wanted.get("attachments", []))),
            headers={name.lower(): value for name, value in headers.items()},
        )


def _check_key(request: Request) -> None:
    given = request.headers.get("Authorization", "")
    must(given, 401, "missing_api_key")
    must(given == f"Bearer {SECRETS[0]}", 403, "invalid_api_key")
    must(request.headers.get("User-Agent"), 403, "validation_error")


def _file(one: dict[str, str]) -> tuple[str, bytes]:
    only(one, {"filename", "content", "content_type"}, 422, "invalid_attachment")
    must(one.get("filename"), 422, "invalid_attachment")
    return one["filename"], decoded(one.get("content"), 422, "invalid_attachment")


class ResendRig(MailRig):
    kind = "resend"
    limit = 28_000_000

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.begin(start, Resend(), {"api_key": SECRETS[0]}, {"api_key": f"{SECRETS[0]}-wrong"})
