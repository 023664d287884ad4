"""Mail through Twilio SendGrid, over HTTPS: the files within the JSON."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any, ClassVar, Final

from ..core.errors import WebhookError
from ..core.outgoing import Answer, Request
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import Delivery, Receipt, at_path
from .mail.letter import Attachment, Letter, LetterSettings
from .mail.mailing import PROOF, Mailing, Taken, check_recipients, header_value, in_json, post, said_in
from .shared.answers import failure
from .shared.pieces import joined

_MOST: Final = 30_000_000
"""Bytes of a request (https://docs.sendgrid.com/api-reference/mail-send/limitations, read 22 Nov 2026)."""
_FIELD: Final = re.compile(r"[a-z0-9_.]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendGridSettings(LetterSettings):
    api_key: Secret = setting("An API key that may send mail.")
    endpoint: Url = setting("The address; https://api.eu.sendgrid.com for the EU.", Url("https://api.sendgrid.com"))

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        check_recipients(self, 100)


class SendGrid(Sink):
    """Sends the mail in its parts, the files as Base64 within the JSON."""

    Settings = SendGridSettings
    settings: SendGridSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = PROOF
    guide: ClassVar[str] = """\
One request carries the mail to all recipients. It is streamed: a few MB of memory, however large the files. Above
`attach_limit`, or where the request would be larger than SendGrid takes, a notice names the files, their SHA-256 and
where they are (`location`).

**Permissions:** an API key with *Restricted Access* and *Mail Send* alone; the sender, or its domain, has to be
verified. `check` sends in sandbox mode: the key and the sender are looked at, and nothing is delivered.

**Retry:** SendGrid knows no repeat. What was accepted is remembered and not sent again. Where the answer to a whole
request never came, or was an error of SendGrid's own, it is sent again with the same `Message-ID`, which most mailboxes
fold into one, and counted (`repeats` in the receipt).

**Limits:** 30 MB for a request, which is about 21 MB of files. 100 recipients. A sender's name beyond ASCII is left
out, and commas and semicolons in names are, since SendGrid refuses them. It tells of bounces and of suppressed
addresses by its own events alone.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._url = self.settings.endpoint.rstrip("/") + "/v3/mail/send"
        self._auth = {"Authorization": f"Bearer {self.settings.api_key.reveal()}"}
        self._mailing = Mailing(self.settings, http, clock, most=_MOST)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        return self._mailing.send(delivery, progress, request=self._request, taken=_taken, refused=_refused)

    def check(self) -> str:
        sender = self._mailing.sender.addr_spec
        probe = {
            "personalizations": [{"to": [{"email": sender}]}],
            "from": {"email": sender},
            "subject": "check",
            "content": [{"type": "text/plain", "value": "check"}],
            "mail_settings": {"sandbox_mode": {"enable": True}},
        }
        answer = self.http.call(post(self._url, joined(json.dumps(probe).encode()), self._auth))
        if not answer.ok:
            raise _refused(answer)
        return f"SendGrid takes our key and mails from {sender}"

    def _request(self, letter: Letter) -> Request:
        return post(self._url, in_json(_head(letter), "attachments", map(_file, letter.attachments)), self._auth)


def _head(letter: Letter) -> dict[str, Any]:
    to = {"to": letter.to, "cc": letter.cc, "bcc": letter.bcc}
    texts = {"text/plain": letter.text, "text/html": letter.html}
    headers = {"Message-ID": letter.message_id, **letter.headers}
    head = {
        "personalizations": [{name: [_person(one) for one in some] for name, some in to.items() if some}],
        "from": _person(letter.sender) if letter.sender.display_name.isascii() else {"email": letter.sender.addr_spec},
        "subject": letter.subject,
        "content": [{"type": kind, "value": text} for kind, text in texts.items() if text],
        "headers": {name: header_value(value) for name, value in headers.items()},
    }
    return {**head, "reply_to_list": [_person(one) for one in letter.reply_to]} if letter.reply_to else head


def _person(one: Address) -> dict[str, str]:
    name = re.sub(r"[,;]+", " ", one.display_name).strip()
    return {"email": one.addr_spec, **({"name": name} if name else {})}


def _file(one: Attachment) -> tuple[dict[str, str], str, Attachment]:
    return {"filename": one.name, "type": one.content_type, "disposition": "attachment"}, "content", one


def _taken(answer: Answer) -> Taken:
    return Taken(id=answer.headers.get("x-message-id", ""))


def _refused(answer: Answer) -> WebhookError:
    """The field that is wrong is named; the message may repeat what it was sent."""
    return failure("SendGrid", answer, next(_fields(answer), ""))


def _fields(answer: Answer) -> Iterator[str]:
    errors = at_path(said_in(answer), "errors")
    for one in errors if isinstance(errors, list) else ():
        field = one.get("field") if isinstance(one, dict) else None
        if isinstance(field, str) and _FIELD.fullmatch(field):
            yield field
