"""Other bytes of a document that was forwarded: announced, a version beside the first; else a question to a person."""

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.way import Switch, Way
from tests.flow.world import Bucket
from tests.guard import secret
from webhook_svc.core.asking import ReplayOrder
from webhook_svc.core.types import RawRequest
from webhook_svc.simulators.generic import GenericSimulator
from webhook_svc.simulators.serve import serve
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import delivery, signing

_AMENDED = {**GenericSimulator().source("")["event"], "changed": ["contract.amended"]}
ANNOUNCING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "generic": ("contract.completed", "contract.amended", {"event": _AMENDED}),
    "indexhealth": ("document.ready", "document.changed", {}),
}
NOTHING: tuple[str, str, dict[str, Any]] = ("", "", {})
"""A type that says ready, one that says that the bytes may be others now, and keys of the source for that."""


class Warehouse:
    """A bucket behind a door that can be shut, and that counts what is written, by path."""

    def __init__(self, name: str) -> None:
        self.bucket = Bucket(name)
        self.written: Counter[str] = Counter()
        self.shut = False

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self.shut:
            start("503 Service Unavailable", [("Content-Length", "0")])
            return []

        def count(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            self.written[environ["PATH_INFO"]] += environ["REQUEST_METHOD"] == "PUT" and status.startswith("2")
            return start(status, headers, *rest)

        return self.bucket(environ, count)

    def documents(self) -> dict[str, bytes]:
        return {key: content for key, content in self.bucket.objects() if "manifest" not in key}


class Here:
    """A document that goes to a folder and to a bucket."""

    def __init__(self, way: Way, warehouse: Warehouse, home: Path) -> None:
        self.way = way
        self.warehouse = warehouse
        self._vault = home / "vault"
        self._numbers = itertools.count(1)

    def finish(self) -> bytes:
        """It is signed and forwarded, as far as the places take it; its bytes."""
        assert {200} == set(self.way.finish())
        self.way.work()
        return self.way.document()

    def tell(self, kind: str) -> None:
        """A callback of that type arrives, and a worker does what follows."""
        number = f"later-{next(self._numbers)}"
        said = {"id": number, "type": kind, "document_id": "d-1", "data": {"contract_id": "d-1", "title": "Deed"}}
        body = json.dumps({**said, "time": int(self.way.clock())}).encode()
        headers = (("content-type", "application/json"), ("x-signature", self.way.simulator.timed_signature(body)))
        assert 200 == self.way.receive(RawRequest(headers=headers, body=body))
        self.way.rest()

    def seal_again(self) -> bytes:
        """The provider seals the document once more and tells of it as it did before; its bytes."""
        callbacks = self.way.simulator.finish("d-1")
        signed = self.way.simulator.signed["d-1"]
        self.way.simulator.signed["d-1"] = dataclasses.replace(signed, signed="Sealed without keys")
        for callback in callbacks:
            assert 200 == self.way.receive(callback)
        self.way.rest()
        return self.way.document()

    def amend(self, title: str = "Amended") -> bytes:
        """The provider has other bytes from now on; these."""
        self.way.simulator.sign("d-1", title, 0)
        return self.way.document()

    def lose_the_copies(self) -> None:
        shutil.rmtree(self._vault / "sha256")

    def release(self) -> None:
        ids = tuple(str(letter["id"]) for letter in self.way.dead() if letter["id"].startswith("sgn_"))
        assert {True} == {done.ok for done in self.way.store.replay(ReplayOrder(ids=ids, release=True))}
        self.way.rest()

    def folder(self) -> dict[str, bytes]:
        return self.way.files()

    def states(self) -> list[tuple[str, int, str]]:
        """(sink, version, state) of every delivery."""
        return sorted((one["sink"], one["version"], one["state"]) for one in self.way.rows(delivery))

    def signing(self) -> Mapping[str, Any]:
        (row,) = self.way.rows(signing)
        return row


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with closing(Switch()) as one:
        yield one


@pytest.fixture
def here(store: SqlStore, clock: Any, switch: Switch, tmp_path: Path) -> Iterator[Callable[[str], Here]]:
    with ExitStack() as stack:
        warehouse = Warehouse("acme-" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12])
        served = stack.enter_context(serve(warehouse))
        target = {
            "kind": "s3", "bucket": warehouse.bucket.name, "endpoint": served.url,
            "access_key_id": secret("AKIDEXAMPLE"), "secret_access_key": secret("wJalrXUtnFEMI"),
            "name": "{document}/{filename}",
        }  # fmt: skip

        def make(name: str) -> Here:
            way = Way(
                name, tmp_path, store, clock, switch, targets={"bucket": target}, **ANNOUNCING.get(name, NOTHING)[2]
            )
            return Here(stack.enter_context(closing(way)), warehouse, tmp_path)

        yield make


def assert_beside(first: bytes, second: bytes, files: dict[str, bytes]) -> None:
    """Both versions stand there, each under a name of its own."""
    names = {content: path for path, content in files.items()}
    assert (2, {first, second}) == (len(files), set(names))
    assert (False, True) == tuple(".v2." in names[content] for content in (first, second))


def assert_never_written_over(here: Here) -> None:
    assert {1} == set((+here.warehouse.written).values())


@pytest.mark.parametrize("name", ANNOUNCING)
def test_an_announced_change_is_a_version_beside_the_first_in_folder_and_bucket(
    here: Callable[[str], Here], name: str
) -> None:
    now = here(name)
    first, second = now.finish(), now.amend()
    now.tell(ANNOUNCING[name][1])
    assert_beside(first, second, now.folder())
    assert_beside(first, second, now.warehouse.documents())
    assert_never_written_over(now)
    assert [(sink, n, "delivered") for sink in ("archive", "bucket") for n in (1, 2)] == now.states()


def test_a_document_that_scrive_seals_again_weeks_later_is_a_version_beside_the_first(
    here: Callable[[str], Here],
) -> None:
    """Both sealings are told with the same status, and callbacks may come more often than anything changes."""
    now = here("scrive")
    first = now.finish()
    for minutes in (1, 2):
        now.way.clock.advance(60.0 * minutes)
        assert {200} == set(now.way.finish())
        now.way.rest()
    assert ([first], 1) == (list(now.folder().values()), now.signing()["version"])
    now.way.clock.advance(40 * 86_400.0)
    second = now.seal_again()
    assert_beside(first, second, now.folder())
    assert_beside(first, second, now.warehouse.documents())
    assert_never_written_over(now)
    assert 1 == len({path.rpartition("/")[0] for path in now.folder()})


@pytest.mark.parametrize("name", ANNOUNCING)
def test_an_announced_change_that_changed_nothing_sends_nothing(here: Callable[[str], Here], name: str) -> None:
    now = here(name)
    first = now.finish()
    now.tell(ANNOUNCING[name][1])
    now.tell(ANNOUNCING[name][1])
    assert ([first], [first]) == (list(now.folder().values()), list(now.warehouse.documents().values()))
    assert ([("archive", 1, "delivered"), ("bucket", 1, "delivered")], 1) == (now.states(), now.signing()["version"])


@pytest.mark.parametrize("name", ANNOUNCING)
def test_another_event_that_announces_no_change_makes_no_version(here: Callable[[str], Here], name: str) -> None:
    now = here(name)
    first = now.finish()
    now.amend()
    now.tell(ANNOUNCING[name][0])
    assert ([first], "complete") == (list(now.folder().values()), now.signing()["state"])


def held(here: Callable[[str], Here], name: str) -> tuple[Here, bytes, bytes]:
    """The bucket was away; when it is back our copy is lost, and the provider has other bytes."""
    now = here(name)
    now.warehouse.shut = True
    first = now.finish()
    second = now.amend()
    now.lose_the_copies()
    now.warehouse.shut = False
    now.way.rest()
    return now, first, second


@pytest.mark.parametrize("name", ANNOUNCING)
def test_other_bytes_that_nobody_announced_are_held_for_a_person(here: Callable[[str], Here], name: str) -> None:
    now, first, _ = held(here, name)
    assert [("archive", 1, "delivered"), ("bucket", 1, "held")] == now.states()
    assert ([first], {}) == (list(now.folder().values()), now.warehouse.documents())
    assert {"held"} == {letter["state"] for letter in now.way.dead()}
    assert any("other bytes" in letter["reason"] for letter in now.way.dead())


@pytest.mark.parametrize("name", ANNOUNCING)
def test_released_other_bytes_are_a_version_beside_the_first(here: Callable[[str], Here], name: str) -> None:
    now, first, second = held(here, name)
    now.release()
    assert_beside(first, second, now.folder())
    assert [second] == list(now.warehouse.documents().values())
    assert_never_written_over(now)
    assert [
        ("archive", 1, "delivered"),
        ("archive", 2, "delivered"),
        ("bucket", 1, "dead"),
        ("bucket", 2, "delivered"),
    ] == now.states()
    assert any("version 2 replaced" in letter["reason"] for letter in now.way.dead())


def test_a_change_that_is_announced_while_the_signing_is_held_goes_out_when_it_is_released(
    here: Callable[[str], Here],
) -> None:
    now, first, _ = held(here, "generic")
    third = now.amend("Amended once more")
    now.tell("contract.amended")
    assert ("held", [first]) == (now.signing()["state"], list(now.folder().values()))
    now.release()
    assert_beside(first, third, now.folder())


def test_a_release_brings_what_was_fetched_first_where_the_provider_serves_it_again(
    here: Callable[[str], Here],
) -> None:
    now, first, _ = held(here, "generic")
    now.amend("Contract d-1")
    assert first == now.way.document()
    now.release()
    assert ([first], [first]) == (list(now.folder().values()), list(now.warehouse.documents().values()))
    assert [("archive", 1, "delivered"), ("bucket", 1, "delivered")] == now.states()
