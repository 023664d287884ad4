"""Postmark's email API, as its documentation says it refuses.

https://postmarkapp.com/developer/api/email-api, https://postmarkapp.com/developer/api/overview#error-codes,
https://postmarkapp.com/developer/api/server-api and
https://postmarkapp.com/support/article/1056-what-are-the-attachment-and-email-size-limits; read 22 Nov 2026.
The words of a mail that leaves some recipients out are those that Postmark's own library looks for:
https://rubydoc.info/gems/postmark/Postmark/InactiveRecipientError.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from .base import SECRETS
from .outbox import Mail, MailRig, Outbox, addresses, decoded, distinct, verified
from .servers import Servers
from .standin import TALKATIVE, Refusal, json_of, must, only, reply

LARGEST = 10_000_000
_BODY = 5_000_000
_HEAD = {
    *("From", "To", "Cc", "Bcc", "ReplyTo", "Subject", "TextBody", "HtmlBody"),
    *("Headers", "Attachments", "MessageStream"),
}
_FORBIDDEN = (".vbs", ".exe", ".bin", ".bat", ".chm", ".com", ".cpl", ".crt", ".hlp", ".hta", ".inf", ".js", ".jar")


class Postmark(Outbox):
    routes = (("POST", "/email", "send"), ("GET", "/server", "server"))

    def __init__(self) -> None:
        super().__init__()
        self.delivers = "Live"

    def refused(self, refusal: Refusal) -> Response:
        code = int(refusal.code) if refusal.code.isdigit() else 402  # no JSON
        return reply({"ErrorCode": code, "Message": TALKATIVE}, refusal.status)

    def server(self, request: Request) -> Response:
        _check_token(request)
        return reply({"Name": "contracts", "DeliveryType": self.delivers})

    def send(self, request: Request) -> Response:
        _check_token(request)
        must(request.headers.get("Accept") == "application/json", 422, "409")
        must(len(request.get_data()) <= LARGEST, 413, "300")
        mail = self._mail(json_of(request))
        inactive = [one for one in mail.recipients if one in self.suppressed]
        mail.recipients = [one for one in mail.recipients if one not in self.suppressed]
        must(mail.recipients, 422, "406")
        self.mails.append(mail)
        left_out = f"Message OK, but will not deliver to these inactive addresses: {', '.join(inactive)}."
        said = {"ErrorCode": 0, "Message": left_out if inactive else "OK", "MessageID": f"pm-{len(self.mails)}"}
        return reply({"To": ", ".join(mail.recipients), "SubmittedAt": "2026-11-22T12:00:00Z", **said})

    def _mail(self, wanted: dict[str, Any]) -> Mail:
        only(wanted, _HEAD, 422, "300")
        must(wanted.get("MessageStream", "outbound") == "outbound", 422, "1235")
        (sender,) = addresses([wanted.get("From")], 422, "300")
        verified(sender, 422, "400")
        recipients = [
            one for key in ("To", "Cc", "Bcc") if key in wanted for one in addresses([wanted[key]], 422, "300")
        ]
        must(wanted.get("To"), 422, "300")
        distinct(recipients, 50, 422, "300")
        texts = [wanted.get("TextBody", ""), wanted.get("HtmlBody", "")]
        must(any(texts) and all(len(one.encode()) <= _BODY for one in texts), 422, "300")
        headers = {_header(one): one["Value"] for one in wanted.get("Headers", [])}
        if "ReplyTo" in wanted:
            headers["reply-to"] = ", ".join(addresses([wanted["ReplyTo"]], 422, "300"))
        return Mail(
            recipients=recipients,
            subject=wanted["Subject"],
            text=texts[0],
            html=texts[1],
            files=dict(map(_file, wanted.get("Attachments", []))),
            headers=headers,
        )


def _check_token(request: Request) -> None:
    must(request.headers.get("X-Postmark-Server-Token") == SECRETS[0], 401, "10")


def _header(one: dict[str, str]) -> str:
    must(set(one) == {"Name", "Value"} and one["Value"].isascii(), 422, "300")
    return one["Name"].lower()


def _file(one: dict[str, str]) -> tuple[str, bytes]:
    must(set(one) == {"Name", "Content", "ContentType"} and one["Name"], 422, "300")
    must(not one["Name"].lower().endswith(_FORBIDDEN), 422, "411")
    return one["Name"], decoded(one["Content"], 422, "300")


class PostmarkRig(MailRig):
    kind = "postmark"
    limit = 7_200_000

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.begin(start, Postmark(), {"server_token": SECRETS[0]}, {"server_token": f"{SECRETS[0]}-wrong"})
