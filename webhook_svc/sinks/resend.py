"""Mail through Resend, over HTTPS: the files within the JSON; a repeat within a day does nothing."""

import re
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from ..core.errors import Conflict, Retryable, WebhookError
from ..core.outgoing import Answer, Request
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, setting
from ..core.types import Delivery, Receipt
from .mail.letter import Attachment, Letter, LetterSettings
from .mail.mailing import PROOF, Mailing, Taken, check_recipients, header_value, in_json, post, said_in
from .shared.answers import failure
from .shared.once import unsure

_MOST: Final = 40_000_000
"""Bytes of a mail (https://resend.com/docs/api-reference/emails/send-email, read 22 Nov 2026)."""
_KEYS_LAST: Final = 23 * 3600.0
"""Seconds: they say 24 hours (https://resend.com/docs/dashboard/emails/idempotency-keys, read 22 Nov 2026)."""
_NAME: Final = re.compile(r"[a-z_]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendSettings(LetterSettings):
    api_key: Secret = setting("An API key with sending access.")
    endpoint: Url = setting("The address.", Url("https://api.resend.com"))

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        check_recipients(self, 50)


class Resend(Sink):
    """Sends the mail in its parts, the files as Base64 within the JSON, under the delivery's own key."""

    Settings = ResendSettings
    settings: ResendSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = PROOF
    guide: ClassVar[str] = """\
One request carries the mail to all recipients. It is streamed: a few MB of memory, however large the files. Above
`attach_limit`, or where the mail would be larger than Resend takes, a notice names the files, their SHA-256 and where
they are (`location`).

**Permissions:** an API key with *Sending access*, for the sender's domain alone. `check` asks for the domains: a key
that may only send is told so, which is enough.

**Retry:** harmless for a day: the delivery's id is the `Idempotency-Key`, and Resend answers a repeat without sending
again. Later it knows no repeat. What was accepted is remembered and not sent again; a mail whose answer never came and
that is tried again after a day may come twice, and is counted (`repeats` in the receipt). Where the settings of the
mail were changed in between, Resend refuses the repeat and the delivery is held for a person's decision.

**Limits:** 40 MB for a mail, which is about 29 MB of files. 50 recipients, two requests a second unless Resend grants
more. It sets a `Message-ID` of its own, and tells of bounces and of suppressed addresses by its own events alone.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._address = self.settings.endpoint.rstrip("/")
        self._auth = {"Authorization": f"Bearer {self.settings.api_key.reveal()}"}
        self._mailing = Mailing(self.settings, http, clock, most=_MOST, keys_last=_KEYS_LAST)

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        request = partial(self._request, delivery.id)
        return self._mailing.send(
            delivery, progress, request=request, taken=_taken, refused=_refused, doubtful=_doubtful
        )

    def check(self) -> str:
        request = Request(url=f"{self._address}/domains", headers={"Accept": "application/json"}, auth=self._auth)
        answer = self.http.call(request)
        if answer.status == 401 and _word(answer) == "restricted_api_key":
            return "Resend takes our key, which may only send"
        if not answer.ok:
            raise _refused(answer)
        domain = self._mailing.sender.domain
        if domain not in _verified(answer):
            raise Retryable(f"Resend takes our key, but the domain {domain} is not verified there")
        return f"Resend takes our key and mails from {domain}"

    def _request(self, key: str, letter: Letter) -> Request:
        body = in_json(_head(letter), "attachments", map(_file, letter.attachments))
        return post(f"{self._address}/emails", body, self._auth, **{"Idempotency-Key": key})


def _head(letter: Letter) -> dict[str, Any]:
    people = {"to": letter.to, "cc": letter.cc, "bcc": letter.bcc, "reply_to": letter.reply_to}
    return {
        "from": str(letter.sender),
        **{name: [str(one) for one in some] for name, some in people.items() if some},
        "subject": letter.subject,
        "text": letter.text,
        **({"html": letter.html} if letter.html else {}),
        "headers": {name: header_value(value) for name, value in letter.headers.items()},
    }


def _file(one: Attachment) -> tuple[dict[str, str], str, Attachment]:
    return {"filename": one.name, "content_type": one.content_type}, "content", one


def _taken(answer: Answer) -> Taken:
    return Taken(id=str(said_in(answer).get("id", "")))


def _refused(answer: Answer) -> WebhookError:
    word = _word(answer)
    if word == "invalid_idempotent_request":
        return Conflict("Resend has another mail under the key of this delivery: its settings were changed since")
    return failure("Resend", answer, word)


def _doubtful(answer: Answer) -> bool:
    """An earlier request under the delivery's key may be at work on it still."""
    return unsure(answer) or _word(answer) == "concurrent_idempotent_requests"


def _word(answer: Answer) -> str:
    """Their name for what went wrong (https://resend.com/docs/api-reference/errors, read 22 Nov 2026)."""
    found = said_in(answer).get("name")
    return found if isinstance(found, str) and _NAME.fullmatch(found) else ""


def _verified(answer: Answer) -> set[str]:
    domains = said_in(answer).get("data")
    known = [one for one in domains if isinstance(one, dict)] if isinstance(domains, list) else []
    return {str(one.get("name")) for one in known if one.get("status") == "verified"}
