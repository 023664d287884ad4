"""A notice in Microsoft Teams: an Adaptive Card, posted to the address of a workflow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote

from ..core.errors import Retryable, WebhookError
from ..core.outgoing import Answer, Request
from ..core.ports import Progress, Sink
from ..core.settings import Secret, setting
from ..core.types import Delivery, Receipt, at_path
from .shared.answers import failure
from .shared.hook import JSON, asked, host, message, origin
from .shared.notice import TEXT, judged, words
from .shared.once import Once, unsure
from .shared.wording import filled, judge, one_line, values

_LONGEST: Final = 3000
_MOST_LINES: Final = 60
_LONGEST_LINK: Final = 2000
"""Together they keep a card below the 28 KB that Teams takes."""
_RETIRED: Final = re.compile(r"https?://(?:outlook\.office(?:365)?\.com|[^/]*\.webhook\.office\.com)[:/]")
_WORD: Final = re.compile(r"[A-Za-z]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamsSettings:
    url: Secret = setting("The address that a workflow shows: When a Teams webhook request is received. A secret.")
    text: str = setting("Template of the notice, its first line in bold; {files} lists the files.", TEXT)
    link: str = setting("Template of the address that a button opens, such as your archive's; empty: no button.", "")

    def __post_init__(self) -> None:
        if _RETIRED.match(origin(self.url)):
            raise ValueError("the address of a workflow: those of Office 365 connectors are retired")
        judged(self.text)
        judge(self.link)
        if self.link and not self.link.startswith(("https://", "http://")):
            raise ValueError("a link that begins with https://")


class Teams(Sink):
    """Tells a channel or chat of a delivery; the files stay where they are."""

    Settings = TeamsSettings
    settings: TeamsSettings
    create_only: ClassVar[bool] = False
    carries_files: ClassVar[bool] = False
    proof: ClassVar[str] = "accepted by the workflow"
    guide: ClassVar[str] = """\
In Teams, open the channel's or chat's Workflows, choose the template that posts when a webhook request is received, and
copy its address. The card is plain text, so that nobody's document title becomes a link or calls anybody; what is worth
a click is the button that `link` makes: `link = "https://archive.acme.example/{document}"`.

**Permissions:** none but the address: whoever knows it may post, so it is treated as a secret. The workflow belongs to
a person; give it a second owner, for it ends with the account of its last. Addresses of Office 365 connectors
(webhook.office.com) are refused: they are retired.

**Retry:** Teams knows no key that would make a repeat harmless. What was accepted is remembered and not sent again.
Where an answer was lost the notice is sent again, for to be told twice is better than never, and the receipt counts it
(`repeats`). 401 and 403 are tried again like an outage.

**Limits:** 28 KB a card: the text ends after 3000 characters or 60 lines. The workflow says yes (202) before it posts:
its run history shows what became of a card. `check` asks with OPTIONS, which posts nothing: whether the address is
still valid only a notice shows.
"""

    def hosts(self) -> frozenset[str]:
        return frozenset({origin(self.settings.url)})

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        once = Once(delivery, progress)
        found = once.known is not None
        if not found:
            body = message(self._message(delivery), once.begin)
            answer = self.http.call(
                Request(method="POST", url=self.settings.url.reveal().strip(), headers=JSON, body=body)
            )
            if not _accepted(answer):
                if not unsure(answer):
                    once.refused()
                raise _failure(answer)
            once.done()
        details = {"repeats": once.repeats}
        return Receipt(location=host(self.settings.url), proof=self.proof, found=found, details=details)

    def check(self) -> str:
        return asked(self.http, self.settings.url)

    def _message(self, delivery: Delivery) -> Mapping[str, Any]:
        """https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using, and
        https://adaptivecards.io/explorer/, 22 Nov 2026"""
        lines = filter(str.strip, words(self.settings.text, delivery, _LONGEST).split("\n"))
        first, *more = list(lines)[:_MOST_LINES]
        card: dict[str, Any] = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [_line(first, weight="Bolder"), *map(_line, more)],
        }
        known = values(delivery)
        link = filled(
            self.settings.link, delivery, {name: quote(value, safe="") for name, value in known.items()}, quote
        )
        if 0 < len(link) <= _LONGEST_LINK:
            card["actions"] = [{"type": "Action.OpenUrl", "title": one_line(known["title"], 60), "url": link}]
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        return {"type": "message", "attachments": [attachment]}


def _line(text: str, **more: str) -> Mapping[str, Any]:
    """A TextBlock would read it as Markdown."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **more}]}


def _accepted(answer: Answer) -> bool:
    """202, or what a workflow with an answer of its own says; a page of HTML is no workflow's."""
    return answer.ok and answer.content_type != "text/html"


def _failure(answer: Answer) -> WebhookError:
    if answer.ok:
        return Retryable("posting: what answered is no workflow")
    try:
        word = at_path(answer.json(), "error.code")
    except Retryable:
        word = ""
    return failure("posting", answer, word if isinstance(word, str) and _WORD.fullmatch(word) else "")
