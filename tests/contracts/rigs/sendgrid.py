"""Twilio SendGrid's v3/mail/send, as its documentation says it refuses.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send, .../mail-send/errors, .../mail-send/limitations
and https://www.twilio.com/docs/sendgrid/for-developers/sending-email/sandbox-mode; read 22 Nov 2026.
"""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from .base import SECRETS
from .outbox import Mail, MailRig, Outbox, addresses, decoded, distinct, verified
from .servers import Servers
from .standin import TALKATIVE, Refusal, json_of, must, only, reply

LARGEST = 30_000_000
_HEAD = {"personalizations", "from", "reply_to_list", "subject", "content", "headers", "attachments", "mail_settings"}
_RESERVED = re.compile(
    r"x-sg-id|x-sg-eid|received|dkim-signature|content-type|content-transfer-encoding|to|from|subject|reply-to|cc|bcc",
    re.I,
)


class SendGrid(Outbox):
    routes = (("POST", "/v3/mail/send", "send"),)

    def refused(self, refusal: Refusal) -> Response:
        errors = [{"message": TALKATIVE, "field": refusal.code, "help": None}]
        return reply({"errors": errors}, refusal.status)

    def send(self, request: Request) -> Response:
        must(request.headers.get("Authorization") == f"Bearer {SECRETS[0]}", 401, "")
        must(request.headers.get("Accept") == "application/json", 406, "")
        must(len(request.get_data()) < LARGEST, 413, "")
        wanted = json_of(request)
        only(wanted, _HEAD, 400, "unknown")
        sandbox = wanted.get("mail_settings", {}).get("sandbox_mode", {}).get("enable", False)
        must(sandbox in (True, False), 400, "mail_settings.sandbox_mode.enable")
        mail = self._mail(wanted)
        if sandbox:
            return Response(status=200)
        self.mails.append(mail)
        return Response(status=202, headers={"X-Message-Id": f"sg-{len(self.mails)}"})

    def _mail(self, wanted: dict[str, Any]) -> Mail:
        sender = _people([wanted["from"]], "from")[0]
        must(str(wanted["from"].get("name", "")).isascii(), 400, "from.name")
        verified(sender, 403, "from")
        must(wanted.get("subject"), 400, "subject")
        headers = wanted.get("headers", {})
        must(all(isinstance(one, str) and one.isascii() for one in headers.values()), 400, "headers")
        must(not any(_RESERVED.fullmatch(name) for name in headers), 400, "headers")
        if "reply_to_list" in wanted:
            headers = {**headers, "Reply-To": ", ".join(_people(wanted["reply_to_list"], "reply_to_list"))}
        return Mail(
            recipients=[one for one in _recipients(wanted) if one not in self.suppressed],
            subject=wanted["subject"],
            files=dict(map(_file, _some(wanted, "attachments"))),
            headers={name.lower(): value for name, value in headers.items()},
            **_texts(wanted["content"]),
        )


def _some(wanted: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """What may be left out, but not be empty."""
    found = wanted.get(key, [])
    must(isinstance(found, list) and (found or key not in wanted), 400, key)
    return list(found)


def _recipients(wanted: dict[str, Any]) -> list[str]:
    (one,) = wanted["personalizations"]
    only(one, {"to", "cc", "bcc"}, 400, "personalizations")
    must("to" in one, 400, "personalizations.to")
    found = [person for key in one for person in _people(_some(one, key), f"personalizations.{key}")]
    distinct(found, 1000, 400, "personalizations")
    return found


def _people(some: list[dict[str, str]], field: str) -> list[str]:
    for one in some:
        only(one, {"email", "name"}, 400, field)
        must("name" not in one or (one["name"] and not set(one["name"]) & {",", ";"}), 400, f"{field}.name")
    return addresses([one.get("email") for one in some], 400, f"{field}.email")


def _texts(content: list[dict[str, str]]) -> dict[str, Any]:
    must(content and all(set(one) == {"type", "value"} and one["value"] for one in content), 400, "content")
    kinds = [one["type"] for one in content]
    must(kinds in (["text/plain"], ["text/plain", "text/html"], ["text/html"]), 400, "content.type")
    names = {"text/plain": "text", "text/html": "html"}
    return {names[one["type"]]: one["value"] for one in content}


def _file(one: dict[str, str]) -> tuple[str, bytes]:
    only(one, {"content", "type", "filename", "disposition"}, 400, "attachments")
    must(one.get("filename"), 400, "attachments.filename")
    must(not set(one.get("type", "")) & {";", "\r", "\n"}, 400, "attachments.type")
    return one["filename"], decoded(one.get("content"), 400, "attachments.content")


class SendGridRig(MailRig):
    kind = "sendgrid"
    limit = 21_000_000

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.begin(start, SendGrid(), {"api_key": SECRETS[0]}, {"api_key": f"{SECRETS[0]}-wrong"})
