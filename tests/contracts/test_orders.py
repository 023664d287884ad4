"""Orders at Telnyx on the whole way: they lead to documents, each of which is delivered once."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.way import Switch, Way
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import signing

KIND = "porting_order.status_changed"


@pytest.fixture
def way(tmp_path: Path, _sqlite_template: Path, clock: Any) -> Iterator[Way]:
    shutil.copy(_sqlite_template, tmp_path / "store.db")
    switch, store = Switch(), SqlStore(f"sqlite:///{tmp_path}/store.db", clock=clock)
    made = Way("telnyx", tmp_path, store, clock, switch)
    yield made
    made.close()
    store.close()
    switch.close()


def test_a_document_in_several_orders_is_delivered_once(way: Way) -> None:
    way.finish("loa")
    way.rest()
    for documents in (("loa", "invoice", "csr"), ("csr", "loa", "invoice"), ()):
        assert [200] == [way.receive(callback) for callback in way.simulator.complete_order(KIND, *documents)]
        way.rest()
    assert sorted(map(way.document, ("loa", "invoice", "csr"))) == sorted(way.files().values())
    assert ["delivered"] * 3 == way.deliveries()
    assert {"complete"} == {row["state"] for row in way.rows(signing)}
    assert [] == way.dead()


def test_a_document_that_is_gone_holds_none_of_the_others_back(way: Way) -> None:
    for callback in way.simulator.complete_order(KIND, "loa", "invoice", "csr"):
        way.receive(callback)
    del way.simulator.signed["loa"]
    way.rest()
    assert 2 == len(way.files())
    assert 1 == len(way.dead())
