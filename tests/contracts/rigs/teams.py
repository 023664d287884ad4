"""The address of a workflow in Teams: what it takes, and what it says to the others.

learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using; adaptivecards.io/explorer;
learn.microsoft.com/connectors/teams: "Known issues and limitations" (28 KB); a refused signature as reported in the
issue ericferon/glpi-webhook 51. Read on 2026-11-22.
"""

import hashlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from webhook_svc.core.ports import Sink

from .base import SECRETS, Bundle, Rig, make_sink
from .front import before
from .servers import Servers, served
from .standin import TALKATIVE, Refusal, StandIn, must, reply

TEXT = "{delivery}: {title}\n{files}"
LARGEST = 28 * 1024


class Workflow(StandIn):
    path = "/powerautomate/automations/direct/workflows/1/triggers/manual/paths/invoke"
    routes = (("POST", path, "posted"), ("OPTIONS", path, "asked"))

    def __init__(self) -> None:
        self.cards: list[dict[str, Any]] = []
        self.largest = 0

    def refused(self, refusal: Refusal) -> Response:
        return reply({"error": {"code": refusal.code, "message": TALKATIVE}}, refusal.status)

    def asked(self, request: Request) -> Response:
        self._signed(request)
        return Response("", 204)

    def posted(self, request: Request) -> Response:
        self._signed(request)
        must(request.mimetype == "application/json", 415, "UnsupportedMediaType")
        self.largest = max(self.largest, len(request.get_data()))
        must(len(request.get_data()) <= LARGEST, 413, "RequestEntityTooLarge")
        message = json.loads(request.get_data())
        must(message["type"] == "message", 400, "BadRequest")
        for attachment in message["attachments"]:
            must(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", 400, "BadRequest")
            _check(attachment["content"])
            self.cards.append(attachment["content"])
        return Response("", 202)

    def _signed(self, request: Request) -> None:
        must(request.args.get("sig") == SECRETS[1], 401, "DirectApiAuthorizationRequired")
        must("Authorization" not in request.headers, 400, "DirectApiRequestHasMoreThanOneAuthorization")


def _check(card: dict[str, Any]) -> None:
    must(card["type"] == "AdaptiveCard" and card["version"] in ("1.0", "1.2", "1.4"), 400, "BadRequest")
    must(card["body"], 400, "BadRequest")
    for block in card["body"]:
        must(block["type"] == "RichTextBlock" and block["inlines"], 400, "BadRequest")
        for run in block["inlines"]:
            must(run["type"] == "TextRun" and run["text"].strip(), 400, "BadRequest")
            must(run.get("weight", "Default") in ("Default", "Bolder"), 400, "BadRequest")
    for action in card.get("actions", []):
        must(action["type"] == "Action.OpenUrl" and action["title"], 400, "BadRequest")
        must(action["url"].isascii() and action["url"].startswith("https://"), 400, "BadRequest")


class TeamsRig(Rig):
    behind = "stand-in"
    real = False
    over_http = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        self.workflow = Workflow()
        self.front = start.enter_context(before(start.enter_context(served(self.workflow))))
        self.sink = self.make()
        self.broken = self.make(key=f"{SECRETS[1]}-wrong")

    def make(self, *, key: str = SECRETS[1], **changes: Any) -> Sink:
        url = f"{self.front.address}{self.workflow.path}?api-version=1&sig={key}"
        return make_sink("teams", {"url": url, "text": TEXT, **changes})

    def visible(self) -> dict[str, bytes]:
        texts = ("\n".join(block["inlines"][0]["text"] for block in card["body"]) for card in self.workflow.cards)
        return {f"notice {number}": text.encode() for number, text in enumerate(texts)}

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        return {"notice 0": notice_of(bundle).encode()}


def notice_of(bundle: Bundle) -> str:
    """What `TEXT` says of it."""
    lines = (
        f"- {path.rpartition('/')[2]} ({len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()})"
        for path, content in bundle.files.items()
    )
    return "\n".join((f"{bundle.id}: {bundle.title}", *lines))
