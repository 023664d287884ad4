"""Bytes, callbacks and attempts are long gone; what was done is remembered, so that nothing is sent a second time."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import START
from tests.contracts.way import Switch, Way
from tests.kinds import can_list, with_stores
from webhook_svc.core.asking import ReplayOrder
from webhook_svc.core.types import RawRequest
from webhook_svc.download.fetch import Fetcher
from webhook_svc.pipeline.reconcile import Reconcile
from webhook_svc.pipeline.sweep import Sweep
from webhook_svc.simulators import SIMULATORS
from webhook_svc.store.sql import Retention, SqlStore
from webhook_svc.store.tables import attempt, delivery, payload, signing
from webhook_svc.vault.local import LocalVault

NAMES = SIMULATORS.names()
LISTED = [name for name in NAMES if can_list(name)]
YEARS, MINUTES = 400 * 86400.0, 200.0
"""How old everything is when it goes: far beyond every retention, or well within the time that a signature holds."""
ROUNDS_OF_ONE_PURGE = 3


class Past:
    """A source of which one signing was delivered and has nothing left but what is remembered."""

    def __init__(self, way: Way, switch: Switch, home: Path) -> None:
        self.way = way
        self.asked: list[str] = []
        self.sent: list[Callable[[], RawRequest]] = []
        self.vault = LocalVault(home / "vault")
        self._vault_folder = home / "vault" / "sha256"
        way.simulator.sent = self._recorded(way.simulator.sent)
        switch.plug(self._counted(way.simulator.wsgi()), way.clock)
        self.callbacks = way.simulator.finish("d-1")
        for callback in self.callbacks:
            assert 200 == way.receive(callback)
        way.rest()
        assert (["delivered"], [way.document()]) == (way.deliveries(), list(way.files().values()))

    def purge(self, seconds: float) -> None:
        """So many seconds go by, and the sweep of a worker takes what it may."""
        for path in self._objects():
            os.utime(path, (self.way.clock(), self.way.clock()))
        self.way.clock.advance(seconds)
        sweep = Sweep(store=self.way.store, vault=self.vault, worker="sweeper", keep=seconds / 2)
        for _ in range(ROUNDS_OF_ONE_PURGE):
            sweep.sweep()
        sweep.clean()
        assert ([], [], []) == (self.way.rows(payload), self.way.rows(attempt), list(self._objects()))
        self._before = self._stands()
        self.asked.clear()

    def hears(self, callbacks: Iterable[RawRequest]) -> set[int]:
        """They arrive, a worker does what follows, a minute later too; the statuses."""
        answers = {self.way.receive(callback) for callback in callbacks}
        self.way.rest()
        self.way.clock.advance(61)
        self.way.rest()
        return answers

    def assert_nothing_was_sent_again(self) -> None:
        assert (self._before, ["delivered"], []) == (self._stands(), self.way.deliveries(), self.way.dead())
        assert [1] == [row["version"] for row in self.way.rows(signing) if row["version"]]

    def replay(self, some_id: str) -> None:
        (done,) = self.way.store.replay(ReplayOrder(ids=(some_id,), again=True, reason="lost at the archive"))
        assert done.ok, done
        self.way.rest()

    def served_otherwise(self) -> bytes:
        """From now on the provider has other bytes for the document; these."""
        self.way.simulator.sign("d-1", "Another deed", 0)
        return self.way.document()

    def the_signing(self) -> dict[str, Any]:
        (row,) = (row for row in self.way.rows(signing) if row["version"])
        return dict(row)

    def the_delivery(self) -> str:
        (row,) = self.way.rows(delivery)
        return str(row["id"])

    def _stands(self) -> dict[str, tuple[int, int]]:
        """Everything in the folder as the disk has it: a file that was written again would be another one."""
        files = (path for path in self.way.archive.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    def _objects(self) -> Iterator[Path]:
        return (path for path in self._vault_folder.rglob("*") if path.is_file())

    def _recorded(self, sent: Callable[..., Any]) -> Callable[..., Any]:
        def recording(callbacks: Iterable[Callable[[], RawRequest]]) -> Any:
            self.sent = list(callbacks)
            return sent(self.sent)

        return recording

    def _counted(self, app: Callable[..., Any]) -> Callable[..., Any]:
        def counting(environ: dict[str, Any], start: Any) -> Any:
            self.asked.append(environ["PATH_INFO"])
            return app(environ, start)

        return counting


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with closing(Switch()) as one:
        yield one


@pytest.fixture
def past(store_url: str, clock: Any, switch: Switch, tmp_path: Path) -> Iterator[Callable[..., Past]]:
    """The past of a source at that provider, so many seconds ago."""
    with ExitStack() as stack:

        def make(name: str, ago: float = YEARS, **more: Any) -> Past:
            keep = Retention(payloads=ago / 2, attempts=ago / 2)
            store = stack.enter_context(closing(SqlStore(store_url, clock=clock, retention=keep)))
            way = stack.enter_context(closing(Way(name, tmp_path, store, clock, switch, **more)))
            made = Past(way, switch, tmp_path)
            made.purge(ago)
            return made

        yield make


# --- callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("store_url", "name"), with_stores(NAMES), indirect=["store_url"])
def test_a_callback_that_comes_again_after_the_purge_asks_for_nothing_and_sends_nothing(
    past: Callable[..., Past], name: str
) -> None:
    """First as somebody captured it while its signature still holds, then as the provider repeats it: signed anew."""
    here = past(name, MINUTES)
    assert {200} == here.hears(here.callbacks) == here.hears(make() for make in here.sent)
    here.purge(YEARS)
    assert {200, 401} >= here.hears(here.callbacks)
    assert {200} == here.hears(make() for make in here.sent)
    here.assert_nothing_was_sent_again()
    assert [] == here.asked


def test_another_event_about_a_signing_that_was_delivered_long_ago_asks_the_provider_for_nothing(
    past: Callable[..., Past],
) -> None:
    here = past("generic")
    fresh = here.way.simulator._payload("contract.completed", "d-1")
    assert {200} == here.hears([here.way.simulator._callback(fresh)])
    here.assert_nothing_was_sent_again()
    assert [] == here.asked


# --- the provider's list ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("store_url", "name"), with_stores(LISTED), indirect=["store_url"])
def test_a_list_that_reaches_back_before_the_purge_sends_nothing_again(past: Callable[..., Past], name: str) -> None:
    here = past(name)
    vault, way = here.vault, here.way
    look = Reconcile(store=way.store, parties=way.made.parties, fetcher=Fetcher(vault), worker="w", hold=60.0)
    looked = look.now("contracts", START - 86400)
    way.rest()
    assert ("", True, ()) == (looked.error, looked.listed > 0, looked.new)
    here.assert_nothing_was_sent_again()


# --- a person's decision ----------------------------------------------------------------------------------------------


def test_a_delivery_that_is_repeated_after_the_purge_finds_its_files_and_writes_none(
    past: Callable[..., Past],
) -> None:
    here = past("generic")
    here.replay(here.the_delivery())
    here.assert_nothing_was_sent_again()


@pytest.mark.parametrize("name", ["generic", "okdokument"])
def test_what_was_lost_at_the_sink_is_fetched_anew_and_compared_with_the_recorded_hash(
    past: Callable[..., Past], name: str
) -> None:
    here = past(name)
    before = here.way.files(), here.way.manifests()
    shutil.rmtree(here.way.archive)
    here.replay(here.the_delivery())
    assert (before, ["delivered"], 1) == (
        (here.way.files(), here.way.manifests()), here.way.deliveries(), here.the_signing()["version"]
    )  # fmt: skip
    assert here.asked


def test_what_was_lost_at_the_sink_is_held_where_the_provider_now_has_other_bytes(past: Callable[..., Past]) -> None:
    here = past("generic")
    here.served_otherwise()
    shutil.rmtree(here.way.archive)
    here.replay(here.the_delivery())
    assert {"held"} == {letter["state"] for letter in here.way.dead()} == set(here.way.deliveries())
    assert any("other bytes" in letter["reason"] for letter in here.way.dead())
    assert {} == here.way.files()


def test_a_signing_that_is_repeated_after_the_purge_sends_nothing_where_its_bytes_are_those_recorded(
    past: Callable[..., Past],
) -> None:
    here = past("generic")
    here.replay(here.the_signing()["id"])
    here.assert_nothing_was_sent_again()
    assert here.asked


def test_other_bytes_of_a_signing_that_is_repeated_after_the_purge_are_a_version_beside_the_first(
    past: Callable[..., Past],
) -> None:
    here = past("generic")
    first, served = here.way.files(), here.served_otherwise()
    here.replay(here.the_signing()["id"])
    assert (["delivered"] * 2, 2) == (here.way.deliveries(), here.the_signing()["version"])
    assert [served] == [content for path, content in here.way.files().items() if path not in first]
    assert first.items() <= here.way.files().items()
