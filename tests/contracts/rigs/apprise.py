"""A receiver of what Apprise posts to an address `json://user:password@host/path`.

https://appriseit.com/services/json/, read on 2026-11-22. The library is the real one.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apprise
from werkzeug.wrappers import Request, Response

from webhook_svc.core.ports import Sink

from .base import SECRETS, Bundle, Rig, make_sink
from .front import before
from .servers import Servers, served
from .standin import TALKATIVE, Refusal, StandIn, must
from .teams import TEXT, notice_of


class Receiver(StandIn):
    routes = (("POST", f"/notify/{SECRETS[1]}", "posted"),)

    def __init__(self) -> None:
        self.notices: list[dict[str, Any]] = []

    def refused(self, refusal: Refusal) -> Response:
        return Response(TALKATIVE, refusal.status)

    def posted(self, request: Request) -> Response:
        basic = request.authorization
        must(basic and (basic.username, basic.password) == ("bot", SECRETS[0]), 401, "unauthorized")
        must(request.mimetype == "application/json", 415, "unsupported")
        notice = json.loads(request.get_data())
        must(notice["version"] == "1.0" and notice["attachments"] == [] and notice["message"], 400, "bad request")
        self.notices.append(notice)
        return Response("", 204)


@contextmanager
def plugins() -> Iterator[None]:
    """One of the modules that the library loads at its first address imports a module that Python will drop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        apprise.Apprise().add("json://127.0.0.1")
    yield


class AppriseRig(Rig):
    behind = "stand-in"
    real = False

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        servers.get("the plugins of Apprise", plugins)
        self.receiver = Receiver()
        self.front = start.enter_context(before(start.enter_context(served(self.receiver))))
        self.sink = self.make()
        self.broken = make_sink("apprise", {"url": f"nosuch://{SECRETS[0]}@127.0.0.1/{SECRETS[1]}"})

    def make(self, *, password: str = SECRETS[0], **changes: Any) -> Sink:
        address = self.front.address.removeprefix("http://")
        url = f"json://bot:{password}@{address}/notify/{SECRETS[1]}"
        return make_sink("apprise", {"url": url, "text": TEXT, **changes})

    def visible(self) -> dict[str, bytes]:
        return {f"notice {number}": one["message"].encode() for number, one in enumerate(self.receiver.notices)}

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        return {"notice 0": notice_of(bundle).encode()}
