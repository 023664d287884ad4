"""Mail through Postmark, over HTTPS: the files within the JSON."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any, ClassVar, Final

from ..core.errors import Permanent, Retryable, WebhookError
from ..core.outgoing import Answer, Request
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import Delivery, Receipt
from .mail.letter import Attachment, Letter, LetterSettings
from .mail.mailing import PROOF, Mailing, Taken, check_recipients, header_value, in_json, post, said_in
from .shared.answers import failure

_MOST: Final = 10_000_000
"""Bytes of a mail (https://postmarkapp.com/support/article/1056-what-are-the-attachment-and-email-size-limits, read
22 Nov 2026)."""
_STREAM: Final = re.compile(r"[a-z0-9_-]{1,100}")
_CODES: Final[Mapping[int, tuple[type[Retryable] | type[Permanent], str]]] = {
    10: (Retryable, "our token is not accepted"),
    100: (Retryable, "it is under maintenance"),
    300: (Permanent, "an address or another field is not valid"),
    400: (Retryable, "the sender is not known"),
    401: (Retryable, "the sender is not confirmed"),
    405: (Retryable, "the account may send no more"),
    406: (Permanent, "all recipients are inactive"),
    411: (Permanent, "a file of that kind may not be attached"),
    412: (Retryable, "the account is not approved yet"),
    413: (Retryable, "the account may not send"),
    429: (Retryable, "the rate limit is reached"),
    1235: (Permanent, "there is no such message stream"),
}
"""`ErrorCode` (https://postmarkapp.com/developer/api/overview#error-codes, read 22 Nov 2026): most come with status
422. What a person may put right in the account is tried again."""
_INACTIVE: Final = "inactive"
"""A mail that is taken may leave some out: the message then says so, in words that differ, and names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostmarkSettings(LetterSettings):
    server_token: Secret = setting("The API token of a Postmark server.")
    message_stream: str = setting("The message stream of that server.", "outbound")
    endpoint: Url = setting("The address.", Url("https://api.postmarkapp.com"))

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        check_recipients(self, 50)
        if not _STREAM.fullmatch(self.message_stream):
            raise ValueError("a message stream such as outbound")


class Postmark(Sink):
    """Sends the mail in its parts, the files as Base64 within the JSON."""

    Settings = PostmarkSettings
    settings: PostmarkSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = PROOF
    guide: ClassVar[str] = """\
One request carries the mail to all recipients. It is streamed: a few MB of memory, however large the files. Above
`attach_limit`, or where the mail would be larger than Postmark takes, a notice names the files, their SHA-256 and
where they are (`location`).

**Permissions:** the token of a *server* of its own, never that of the account. Postmark has no lesser one: it also
reads what that server has sent. The sender needs a confirmed signature, or a verified domain.

**Retry:** Postmark knows no repeat. What was accepted is remembered and not sent again. Where the answer to a whole
request never came, or was an error of Postmark's own, it is sent again with the same `Message-ID`, which most mailboxes
fold into one, and counted (`repeats` in the receipt). Recipients that Postmark calls inactive are given up, and named
in the dead letter; all others have the mail then, and a replay sends nothing.

**Limits:** 10 MB for a mail, which is about 7 MB of files. 50 recipients. Some kinds of file are refused (programs,
scripts).
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._address = self.settings.endpoint.rstrip("/")
        self._auth = {"X-Postmark-Server-Token": self.settings.server_token.reveal()}
        self._mailing = Mailing(self.settings, http, clock, most=_MOST)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        return self._mailing.send(delivery, progress, request=self._request, taken=self._taken, refused=_refused)

    def check(self) -> str:
        request = Request(url=f"{self._address}/server", headers={"Accept": "application/json"}, auth=self._auth)
        answer = self.http.call(request)
        if not answer.ok:
            raise _refused(answer)
        sandbox = "; it is a sandbox and delivers nothing" if said_in(answer).get("DeliveryType") == "Sandbox" else ""
        return f"Postmark takes the token of its server{sandbox}"

    def _request(self, letter: Letter) -> Request:
        head = {**_head(letter), "MessageStream": self.settings.message_stream}
        return post(f"{self._address}/email", in_json(head, "Attachments", map(_file, letter.attachments)), self._auth)

    def _taken(self, answer: Answer) -> Taken:
        said = said_in(answer)
        _, inactive, named = str(said.get("Message", "")).lower().partition(_INACTIVE)
        recipients = tuple(self.settings.recipients())
        left_out = tuple(
            one for one in recipients if re.search(rf"(?<![^\s,:;<]){re.escape(one.lower())}(?![\w@-])", named)
        )
        # Where nobody can be told out, nobody is said to have it.
        return Taken(id=str(said.get("MessageID", "")), left_out=left_out or (recipients if inactive else ()))


def _head(letter: Letter) -> dict[str, Any]:
    people = {"To": letter.to, "Cc": letter.cc, "Bcc": letter.bcc, "ReplyTo": letter.reply_to}
    # Postmark keeps a Message-ID where it is told to.
    headers = {"Message-ID": letter.message_id, "X-PM-KeepID": "true", **letter.headers}
    return {
        "From": str(letter.sender),
        **{name: _listed(some) for name, some in people.items() if some},
        "Subject": letter.subject,
        "TextBody": letter.text,
        **({"HtmlBody": letter.html} if letter.html else {}),
        "Headers": [{"Name": name, "Value": header_value(value)} for name, value in headers.items()],
    }


def _listed(some: tuple[Address, ...]) -> str:
    return ", ".join(map(str, some))


def _file(one: Attachment) -> tuple[dict[str, str], str, Attachment]:
    return {"Name": one.name, "ContentType": one.content_type}, "Content", one


def _refused(answer: Answer) -> WebhookError:
    code = said_in(answer).get("ErrorCode")
    if not isinstance(code, int) or code not in _CODES:
        return failure("Postmark", answer, str(code) if isinstance(code, int) else "")
    fate, meaning = _CODES[code]
    message = f"Postmark: the answer was {answer.status} {code}: {meaning}"
    return fate(message) if issubclass(fate, Permanent) else fate(message, after=answer.retry_after())
