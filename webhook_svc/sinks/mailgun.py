"""Mail through Mailgun, over HTTPS: the whole message as a file in a form."""

import re
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from ..core.errors import Unlikely, WebhookError
from ..core.ids import digest
from ..core.outgoing import Answer, Request, Upload
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, host_of, setting
from ..core.types import Delivery, Receipt
from .mail.letter import Letter, LetterSettings
from .mail.mailing import PROOF, Mailing, Taken, check_recipients, said_in
from .mail.mime import compose
from .shared.answers import failure
from .shared.pieces import Entry, form

_MOST: Final = 25_000_000
"""Bytes of a message (https://documentation.mailgun.com/en/latest/api-sending.html, read 22 Nov 2026)."""
_ADDRESSES: Final = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
_DOMAIN: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailgunSettings(LetterSettings):
    api_key: Secret = setting("A sending key of the domain.")
    domain: str = setting("The sending domain, as Mailgun knows it.")
    region: Literal["us", "eu"] = setting("Where that domain was made.", "us")
    endpoint: Url | None = setting("Another address than the region's own.", None)

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        check_recipients(self, 100)
        if not _DOMAIN.fullmatch(self.domain) or set(self.domain) == {"."}:
            raise ValueError("a domain such as mg.acme.example")

    def address(self) -> str:
        base = (self.endpoint or _ADDRESSES[self.region]).rstrip("/")
        return f"{base}/v3/{self.domain}/messages.mime"


class Mailgun(Sink):
    """Sends the message that a mail server would be given; it keeps its `Message-ID`."""

    Settings = MailgunSettings
    settings: MailgunSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = PROOF
    guide: ClassVar[str] = """\
One request carries the whole message to all recipients. It is streamed: a few MB of memory, however large the files.
Above `attach_limit`, or where the message would be larger than Mailgun takes, a notice names the files, their SHA-256
and where they are (`location`).

**Permissions:** a *sending key* of the domain, which can send and nothing else. `check` asks with it for a mail
without recipients in test mode, which is refused once the key is accepted.

**Retry:** Mailgun knows no repeat. What was accepted is remembered and not sent again. Where the answer to a whole
request never came, or was an error of Mailgun's own, it is sent again with the same `Message-ID`, which most mailboxes
fold into one, and counted (`repeats` in the receipt).

**Limits:** 25 MB for a message, which is about 18 MB of files. 100 recipients. Mailgun tells of bounces and of
suppressed addresses by its own events alone. A domain of the EU is not known in the US: set `region`.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._address = self.settings.address()
        self._mailing = Mailing(self.settings, http, clock, most=_MOST)

    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self._address)})

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        return self._mailing.send(delivery, progress, request=self._request, taken=_taken, refused=_refused)

    def check(self) -> str:
        answer = self.http.call(self._form("check", [Entry(name="o:testmode", content=b"yes")]))
        if not answer.ok and answer.status != 400:
            raise _refused(answer)
        return f"Mailgun takes our key for {self.settings.domain}"

    def _request(self, letter: Letter) -> Request:
        message = compose(letter)
        recipients = (*letter.to, *letter.cc, *letter.bcc)
        entries = [Entry(name="to", content=one.addr_spec.encode()) for one in recipients]
        whole = Upload(open=message.open, size=message.size)
        mime = Entry(name="message", content=whole, filename="message.eml", content_type="message/rfc822")
        return self._form(letter.message_id, [*entries, mime])

    def _form(self, what: str, entries: list[Entry]) -> Request:
        boundary = digest("form", what).hex()[:48]
        key = b64encode(f"api:{self.settings.api_key.reveal()}".encode()).decode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": "application/json"}
        auth = {"Authorization": f"Basic {key}"}
        return Request(method="POST", url=self._address, headers=headers, auth=auth, body=form(boundary, entries))


def _taken(answer: Answer) -> Taken:
    return Taken(id=str(said_in(answer).get("id", "")))


def _refused(answer: Answer) -> WebhookError:
    if answer.status == 404:
        return Unlikely("Mailgun: the answer was 404: the domain is not known in this region, or not yet")
    return failure("Mailgun", answer)
