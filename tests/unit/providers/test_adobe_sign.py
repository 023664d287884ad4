"""Adobe Acrobat Sign asks for its client id back: on every GET, and on every POST that is on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tests.guard import secret
from webhook_svc import wiring
from webhook_svc.core.errors import NotGenuine, StoreUnavailable, UnknownSource, WrongMethod
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.store import Store
from webhook_svc.core.types import RawRequest
from webhook_svc.core.work import Accepted, NewEvent
from webhook_svc.pipeline.ingest import Answered, Ingest, IngestLimits

TOKEN, KEY, CLIENT = secret("url-token"), secret("integration-key"), "UB7E5BXCXY"
CONFIGURATION = f"""
[sources.contracts]
provider = "adobe-sign"
tokens = ["{TOKEN}"]
secrets = ["{CLIENT}", "CBJCHBCAABAA0001"]
api_key = "{KEY}"
api_base = "https://api.na1.adobesign.com/api/rest/v6"
"""
STRANGERS = ["stranger", "", CLIENT.lower(), f"{CLIENT},CBJCHBCAABAA0001", f"{CLIENT} ", "x" * 70_000, "\xff"]


@dataclass
class Disk:
    """A store whose commit happens when it is waited for."""

    away: bool = False
    events: list[NewEvent] = field(default_factory=list)

    def accepting(self, event: NewEvent, _timeout: float) -> Any:
        return Commit(self, event)

    def refusing(self, *_: Any) -> Any:
        return Commit(Disk(), cast(Any, None))


@dataclass
class Commit:
    disk: Disk
    event: NewEvent

    def wait(self) -> Accepted | None:
        if self.disk.away:
            raise StoreUnavailable
        self.disk.events.append(self.event)
        return Accepted(event_id=self.event.id, new=True) if self.event else None


@pytest.fixture(scope="module")
def sources() -> Any:
    return wiring.service(wiring.configured({"WEBHOOK_SVC_CONFIG_TOML": CONFIGURATION})).parties.sources


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def ingest(sources: Any, disk: Disk, clock: Callable[[], float]) -> Ingest:
    return Ingest(sources, cast(Store, disk), clock, IngestLimits())


def asked(ingest: Ingest, *clients: str, method: str = "GET", body: bytes = b"") -> Any:
    """What Adobe is told, or what waits for the commit."""
    headers = tuple(("x-adobesign-clientid", client) for client in clients)
    request = RawRequest(method=method, path=f"/hooks/contracts/{TOKEN}", headers=headers, body=body)
    return ingest.begin(ingest.find("contracts", TOKEN), request, "192.0.2.1")


def test_a_known_client_gets_its_id_back_in_a_header_and_in_json_and_nothing_is_kept(
    ingest: Ingest, disk: Disk
) -> None:
    reply = asked(ingest, CLIENT).reply
    assert (200, {"xAdobeSignClientId": CLIENT}) == (reply.status, json.loads(reply.body))
    assert ("application/json", (("X-AdobeSign-ClientId", CLIENT),)) == (reply.content_type, reply.headers)
    assert [] == disk.events


@pytest.mark.parametrize("clients", [[], [CLIENT, CLIENT], *([one] for one in STRANGERS)])
def test_a_stranger_gets_no_2xx(ingest: Ingest, disk: Disk, clients: list[str]) -> None:
    with pytest.raises((NotGenuine, WrongMethod)):
        asked(ingest, *clients)()
    with pytest.raises(NotGenuine):
        asked(ingest, *clients, method="POST")()
    assert [] == disk.events


@pytest.mark.parametrize("token", ["", "guessed", CLIENT])
def test_a_client_id_without_the_token_of_the_url_is_worth_nothing(ingest: Ingest, token: str) -> None:
    with pytest.raises(UnknownSource):
        ingest.find("contracts", token)


def test_a_callback_is_answered_with_the_id_after_it_is_on_disk(ingest: Ingest, disk: Disk) -> None:
    waiting = asked(ingest, CLIENT, method="POST")
    assert [] == disk.events
    assert not isinstance(waiting, Answered)
    reply = waiting().reply
    assert 1 == len(disk.events)
    assert (200, ("X-AdobeSign-ClientId", CLIENT)) == (reply.status, reply.headers[0])


def test_a_callback_that_cannot_be_kept_is_not_answered_with_the_id(ingest: Ingest, disk: Disk) -> None:
    disk.away = True
    with pytest.raises(StoreUnavailable):
        asked(ingest, CLIENT, method="POST")()


def test_a_callback_of_10_mb_with_the_document_in_it_is_taken_and_keeps_no_client_id(
    ingest: Ingest, disk: Disk
) -> None:
    said = {"event": "AGREEMENT_WORKFLOW_COMPLETED", "webhookNotificationId": "n-1", "agreement": {"id": "a-1"}}
    empty = {**said, "signedDocumentInfo": {"document": ""}}
    room = 10 * 1024**2 - len(json.dumps(empty))
    body = json.dumps({**said, "signedDocumentInfo": {"document": "A" * room}}).encode()
    assert 10 * 1024**2 == len(body)
    assert 200 == asked(ingest, CLIENT, method="POST", body=body)().reply.status
    [event] = disk.events
    assert ("n-1", body) == (event.delivery_id, event.request.body)
    assert (("x-adobesign-clientid", fingerprint(CLIENT)),) == event.request.headers
