"""What a sender is told while we are in trouble: a full disk asks it to come again, a backlog asks nothing of it."""

import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from werkzeug.test import Client, TestResponse

from webhook_svc import wiring
from webhook_svc.store.sql import SqlStore

BACKLOG = 100_000
_WAITING = sa.text(
    "INSERT INTO job (id, lane, stage, ref, state, run_at, created)"
    " WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :many)"
    " SELECT 'job_' || n, 'source:anybody', 'parse', 'evt_' || n, 'waiting', 0, 0 FROM numbers"
)


class Hook:
    """The web side of a service without a worker."""

    def __init__(self, store: SqlStore, client: Client) -> None:
        self.store = store
        self._client = client
        self._numbers = itertools.count()

    def body(self) -> bytes:
        """Of a callback that nobody sent before."""
        return json.dumps({"id": next(self._numbers), "type": "done", "padding": "x" * 50_000}).encode()

    def post(self, body: bytes) -> TestResponse:
        return self._client.post("/hooks/anybody", data=body)


@pytest.fixture
def hook(store_url: str, tmp_path: Path) -> Iterator[Hook]:
    configuration = f"""
[store]
url = "{store_url}"
[vault]
path = "{tmp_path}/vault"
[sources.anybody]
provider = "generic"
sinks = []
[sources.anybody.verify]
alg = "none"
[sources.anybody.event]
id = "/id"
type = "/type"
ready = ["done"]
document = "/id"
[[sources.anybody.download]]
get = "https://contracts.acme.example/{{document}}"
save = "document"
"""
    made = wiring.service(wiring.configured({"WEBHOOK_SVC_CONFIG_TOML": configuration}))
    with closing(made):
        yield Hook(made.store, Client(made.app()))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_database_without_room_asks_the_sender_to_come_again_and_takes_everything_once_there_is_room(
    hook: Hook,
) -> None:
    first = hook.body()
    assert 200 == hook.post(first).status_code
    limit(hook.store, pages(hook.store))
    bodies = [hook.body() for _ in range(10)]
    answers = [hook.post(body) for body in bodies]
    assert {(503, "10")} == {(answer.status_code, answer.headers.get("Retry-After")) for answer in answers[5:]}
    assert {200, 503} >= {answer.status_code for answer in answers}
    limit(hook.store, 2**30)
    assert {200} == {hook.post(body).status_code for body in (first, *bodies)}


def test_a_backlog_refuses_nobody(hook: Hook) -> None:
    with hook.store.database.lock(), hook.store.database.write() as tx:
        tx.connection.execute(_WAITING, {"many": BACKLOG})
    assert [200] * 5 == [hook.post(hook.body()).status_code for _ in range(5)]
    assert 10_000 <= hook.store.lanes()["source:anybody"]


def pages(store: SqlStore) -> int:
    with store.database.reader.connect() as connection:
        return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())


def limit(store: SqlStore, pages: int) -> None:
    """The database grows to so many pages and no further: for SQLite a disk that is full."""
    with store.database.write() as tx:
        tx.driver.execute(f"PRAGMA max_page_count = {pages}")
