"""Mail through Amazon SES, over HTTPS: the whole message in one signed request."""

import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..core.errors import Retryable, WebhookError
from ..core.outgoing import Answer, Request, Upload
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, host_of, setting
from ..core.types import Delivery, Receipt
from ..files import CHUNK
from ..signing.outgoing.aws4 import NOTHING, Aws4Key, sign
from .mail.letter import Letter, LetterSettings
from .mail.mailing import PROOF, Mailing, Taken, check_recipients, post, said_in
from .mail.mime import compose
from .shared.answers import failure
from .shared.pieces import in_base64, joined

_MOST: Final = 40_000_000
"""Bytes of a message (https://docs.aws.amazon.com/ses/latest/dg/quotas.html, read 22 Nov 2026)."""
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{0,64}")
_MAY_PASS: Final = frozenset(
    {"LimitExceededException", "MailFromDomainNotVerifiedException", "SendingPausedException", "Throttling"}
)
"""Errors with status 400 that end (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SesSettings(LetterSettings):
    access_key_id: Secret = setting("Usually ${AWS_ACCESS_KEY_ID}.")
    secret_access_key: Secret = setting("Usually ${AWS_SECRET_ACCESS_KEY}.")
    session_token: Secret | None = setting("Of temporary credentials.", None)
    region: str = setting("The region in which the sender is verified.", "us-east-1")
    configuration_set: str = setting("The configuration set that the mails are sent with, empty for the default.", "")
    endpoint: Url | None = setting("Another address than the region's own.", None)

    def __post_init__(self) -> None:
        LetterSettings.__post_init__(self)  # `super()` does not find its class where slots made another
        check_recipients(self, 50)
        if not _REGION.fullmatch(self.region):
            raise ValueError("a region such as eu-central-1")
        if not _NAME.fullmatch(self.configuration_set):
            raise ValueError("one word as configuration_set")

    def address(self) -> str:
        """Without a slash at its end."""
        return (self.endpoint or f"https://email.{self.region}.amazonaws.com").rstrip("/") + "/v2/email"


class Ses(Sink):
    """Sends the message that a mail server would be given, and keeps the id that Amazon gives it."""

    Settings = SesSettings
    settings: SesSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = PROOF
    guide: ClassVar[str] = """\
One request carries the whole message to all recipients. It is streamed: a few MB of memory, however large the files,
which are read twice, since Amazon wants the hash of a request before it. Above `attach_limit`, or where the message
would be larger than Amazon takes, a notice names the files, their SHA-256 and where they are (`location`).

**Permissions:** the least that works, for the sender `contracts@acme.example`; `ses:GetAccount` is for `check` alone:

```json
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["ses:SendEmail", "ses:SendRawEmail"], "Resource": "*",
   "Condition": {"StringEquals": {"ses:FromAddress": "contracts@acme.example"}}},
  {"Effect": "Allow", "Action": "ses:GetAccount", "Resource": "*"}]}
```

The sender, or its domain, has to be a verified identity in `region`; in the sandbox every recipient too.

**Retry:** Amazon knows no repeat. What was accepted is remembered and not sent again. Where the answer to a whole
request never came, or was an error of Amazon's own, it is sent again and counted (`repeats` in the receipt). Amazon
sets a `Message-ID` of its own, so that mailboxes do not fold the two; the text names the delivery.

**Limits:** 40 MB for a message, which is about 29 MB of files; 50 recipients. The account's rate and daily quota are
waited for. Amazon accepts the mail for all recipients or none, and tells of bounces and of suppressed addresses by its
own events alone.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._address = self.settings.address()
        self._mailing = Mailing(self.settings, http, clock, most=_MOST)
        self._key = Aws4Key(
            access_key_id=self.settings.access_key_id,
            secret_access_key=self.settings.secret_access_key,
            session_token=self.settings.session_token,
            region=self.settings.region,
            service="ses",
        )

    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self._address)})

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        return self._mailing.send(delivery, progress, request=self._request, taken=_taken, refused=_refused)

    def check(self) -> str:
        request = Request(url=f"{self._address}/account")
        answer = self.http.call(sign(request, self._key, NOTHING, self._clock()))
        if not answer.ok:
            raise _refused(answer)
        account = said_in(answer)
        if account.get("SendingEnabled") is False:
            raise Retryable("Amazon has paused the sending of this account")
        sandbox = "" if account.get("ProductionAccessEnabled", True) else ", to verified recipients alone (sandbox)"
        return f"Amazon SES in {self.settings.region} takes our credentials and sends mail{sandbox}"

    def _request(self, letter: Letter) -> Request:
        message = compose(letter)
        named = {"ToAddresses": letter.to, "CcAddresses": letter.cc, "BccAddresses": letter.bcc}
        head: dict[str, Any] = {
            "FromEmailAddress": letter.sender.addr_spec,
            "Destination": {name: [one.addr_spec for one in some] for name, some in named.items()},
        }
        if self.settings.configuration_set:
            head["ConfigurationSetName"] = self.settings.configuration_set
        raw = in_base64(Upload(open=message.open, size=message.size))
        body = joined(json.dumps(head).encode()[:-1] + b', "Content": {"Raw": {"Data": "', raw, b'"}}}')
        return sign(post(f"{self._address}/outbound-emails", body, {}), self._key, _sha256(body), self._clock())


def _sha256(body: Upload) -> str:
    found = hashlib.sha256()
    with body.open() as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _taken(answer: Answer) -> Taken:
    return Taken(id=str(said_in(answer).get("MessageId", "")))


def _refused(answer: Answer) -> WebhookError:
    code = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    if code in _MAY_PASS:
        return Retryable(f"Amazon SES: the answer was {answer.status} {code}", after=answer.retry_after())
    return failure("Amazon SES", answer, code)
