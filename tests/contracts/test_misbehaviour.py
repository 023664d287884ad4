"""Every provider against its simulator with every misbehaviour, on the whole way: each ends as the table promises."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import START, Clock
from tests.contracts.way import EVER, Switch, Way
from tests.kinds import is_described, provider_kind, simulator_kind, with_stores
from webhook_svc.core.errors import Problem
from webhook_svc.core.settings import build
from webhook_svc.core.types import RawRequest
from webhook_svc.simulators import SIMULATORS
from webhook_svc.simulators.described import DescribedSimulator
from webhook_svc.simulators.mark import MARK
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import event, metadata

NAMES = SIMULATORS.names()
ALL_PARTS = ["document", "certificate", "audit"]
DELIVERED, DEAD, HELD = "delivered", "dead", "held"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """`waits` is the seconds from the first look to the next, None where the first look decides. `says` is what the
    sentence about the trouble holds, "" where there is nothing to say. `ends` is how it is in the end."""

    waits: float | None = None
    says: str = ""
    ends: str


SOON = 0.5
"""The first delay of the schedule, where the provider names none."""
TOLD = 1.0
"""The `Retry-After` of the simulators."""

NOT_WHOLE = "cut off|fewer bytes came than were announced|SHA-256"
NO_FILE = "do not begin like one|not a file|not the document|JSON|HTML|no PDF"
NOT_READY = (
    "not (finished|ready|there)|expected value at /|has nothing at /|lists nothing at|not call the document signed"
)
PROMISES: dict[tuple[str, int], Promise] = {
    # the file
    ("truncated", 1): Promise(waits=SOON, says=NOT_WHOLE, ends=DELIVERED),
    ("truncated", EVER): Promise(waits=SOON, says=NOT_WHOLE, ends=HELD),
    ("short_of_length", 1): Promise(waits=SOON, says="fewer bytes came than were announced", ends=DELIVERED),
    ("short_of_length", EVER): Promise(waits=SOON, says="fewer bytes came than were announced", ends=DEAD),
    ("reset", 1): Promise(waits=SOON, says="connection was cut|fewer bytes", ends=DELIVERED),
    ("reset", EVER): Promise(waits=SOON, says="connection was cut|fewer bytes", ends=DEAD),
    ("trickle", 1): Promise(ends=DELIVERED),
    ("empty_file", 1): Promise(waits=SOON, says="file is empty", ends=DELIVERED),
    ("empty_file", EVER): Promise(waits=SOON, says="file is empty", ends=HELD),
    ("html_file", 1): Promise(waits=SOON, says=NO_FILE, ends=DELIVERED),
    ("html_file", EVER): Promise(waits=SOON, says=NO_FILE, ends=HELD),
    ("json_file", 1): Promise(waits=SOON, says=NO_FILE, ends=DELIVERED),
    ("json_file", EVER): Promise(waits=SOON, says=NO_FILE, ends=HELD),
    ("private_redirect", 1): Promise(says="address", ends=DEAD),
    ("private_redirect", EVER): Promise(says="address", ends=DEAD),
    ("expired_link", 1): Promise(ends=DELIVERED),
    ("expired_link", EVER): Promise(waits=SOON, says="link answered 403", ends=DEAD),
    # the API
    ("rate_limited", 1): Promise(waits=TOLD, says="answered 429", ends=DELIVERED),
    ("rate_limited", EVER): Promise(waits=TOLD, says="answered 429", ends=DEAD),
    ("rate_limited_silently", 1): Promise(waits=SOON, says="answered 429", ends=DELIVERED),
    ("rate_limited_silently", EVER): Promise(waits=SOON, says="answered 429", ends=DEAD),
    ("server_error", 1): Promise(waits=SOON, says="answered 500", ends=DELIVERED),
    ("server_error", 5): Promise(waits=SOON, says="answered 500", ends=DELIVERED),
    ("server_error", EVER): Promise(waits=SOON, says="answered 500", ends=DEAD),
    ("unavailable", 1): Promise(waits=TOLD, says="answered 503", ends=DELIVERED),
    ("unavailable", EVER): Promise(waits=TOLD, says="answered 503", ends=DEAD),
    ("html_page", 1): Promise(waits=SOON, says="not JSON", ends=DELIVERED),
    ("html_page", EVER): Promise(waits=SOON, says="not JSON", ends=DEAD),
    ("not_ready", 1): Promise(waits=SOON, says=NOT_READY, ends=DELIVERED),
    ("not_ready", 4): Promise(waits=SOON, says=NOT_READY, ends=DELIVERED),
    ("not_ready", EVER): Promise(waits=SOON, says=NOT_READY, ends=DEAD),
    ("not_found", 1): Promise(waits=SOON, says="answered 404", ends=DELIVERED),
    ("not_found", 2): Promise(waits=SOON, says="answered 404", ends=DELIVERED),
    ("not_found", EVER): Promise(waits=SOON, says="answered 404", ends=DEAD),
    ("hostile_name", 1): Promise(ends=DELIVERED),
    ("token_expired", 1): Promise(ends=DELIVERED),
    ("token_down", 1): Promise(waits=SOON, says="login", ends=DELIVERED),
    ("token_down", EVER): Promise(waits=SOON, says="login", ends=DEAD),
    # the callbacks
    ("duplicate", 2): Promise(ends=DELIVERED),
    ("reorder", 1): Promise(ends=DELIVERED),
    ("rotated_secret", 2): Promise(ends=DELIVERED),
}
"""(misbehaviour, how often) → what becomes of it, at every provider that is not named in OTHERWISE."""

OTHERWISE: dict[str, dict[tuple[str, int], Promise]] = {
    "docusign": {
        # The same envelope is asked for every 20 minutes at most; then the tests' schedule gives up.
        ("not_ready", 1): Promise(waits=1200.0, says=NOT_READY, ends=DELIVERED),
        ("not_ready", 4): Promise(waits=1200.0, says=NOT_READY, ends=DEAD),
        ("not_ready", EVER): Promise(waits=1200.0, says=NOT_READY, ends=DEAD),
    },
    "esignon": {
        ("not_found", 1): Promise(waits=SOON, says="finds no workflow", ends=DELIVERED),
        ("not_found", 2): Promise(waits=SOON, says="finds no workflow", ends=DELIVERED),
        ("not_found", EVER): Promise(waits=SOON, says="finds no workflow", ends=DEAD),
    },
    "generic": {
        ("expired_link", 1): Promise(waits=SOON, says="link answered 403", ends=DELIVERED),
    },
    "indexhealth": {
        ("not_ready", 1): Promise(waits=SOON, says="answered 437", ends=DELIVERED),
        ("not_ready", 4): Promise(waits=SOON, says="answered 437", ends=DEAD),
        ("not_ready", EVER): Promise(waits=SOON, says="answered 437", ends=DEAD),
        ("not_found", 1): Promise(waits=SOON, says="answered 437", ends=DELIVERED),
        ("not_found", 2): Promise(waits=SOON, says="answered 437", ends=DELIVERED),
        ("not_found", EVER): Promise(waits=SOON, says="answered 437", ends=DEAD),
    },
}
"""Where a provider's documentation makes something else of it."""

ELSEWHERE = {
    "dropped": "only the list tells of such a signing: tests of the reconciliation",
    "list_shrinks": "tests of lists and of the reconciliation",
    "callback_failed": "only the list tells of such a signing: tests of the reconciliation",
    "hook_failing": "the list warns of it: tests of the provider",
    "hook_disabled": "the list warns of it: tests of the provider",
    "wrong_signature": "below: a callback that is not genuine",
    "late": "below: a callback that is not genuine",
    "certificate_late": "below: a certificate that is late or never comes",
}


def knows(name: str, quirk: str) -> bool:
    return quirk in simulator_kind(name).quirks


def offers(name: str) -> frozenset[str]:
    """The parts that the provider of this simulator can bring."""
    table = simulator_kind(name)().source("http://127.0.0.1:1")
    kind, problems = provider_kind(table.pop("provider")), list[Problem]()
    return kind(name, build(kind.Settings, table, name, problems)).offers()


def knowing(quirk: str) -> list[str]:
    return [name for name in NAMES if knows(name, quirk)]


THEIR_OWN = (
    *("not_ready", "not_found", "expired_link", "token_expired", "token_down", "hostile_name"),
    *("duplicate", "reorder", "rotated_secret"),
)
"""Misbehaviours whose end is up to a description as well. What becomes of the others its engine decides, and `generic`
shows it on the whole way; every described sender meets all of them in tests/contracts/test_simulator.py."""


def is_tried(name: str, quirk: str) -> bool:
    return knows(name, quirk) and (quirk in THEIR_OWN or not is_described(name))


CASES = [(name, quirk, times) for name in NAMES for quirk, times in PROMISES if is_tried(name, quirk)]
HAS_MORE = [name for name in NAMES if offers(name) > {"document"}]
ONCE = [(name, quirk) for name, quirk, times in CASES if times == 1 and name in HAS_MORE]


@dataclass
class Ground:
    """What the cases of this module share, for making it takes longer than a case."""

    switch: Switch
    store: SqlStore
    clock: Clock


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[Ground]:
    path, clock = tmp_path_factory.mktemp("ground") / "store.db", Clock()
    shutil.copy(_sqlite_template, path)
    with ExitStack() as stack:
        switch = stack.enter_context(closing(Switch()))
        store = stack.enter_context(closing(SqlStore(f"sqlite:///{path}", clock=clock)))
        yield Ground(switch, store, clock)


@pytest.fixture
def way(tmp_path: Path, ground: Ground) -> Iterator[Callable[..., Way]]:
    """Makes the way of a provider, on SQLite. At its end nothing that it kept or said holds a secret."""
    with ExitStack() as stack:

        def make(name: str, **more: Any) -> Way:
            made = Way(name, tmp_path, ground.store, ground.clock, ground.switch, **more)
            stack.callback(empty, ground.store)
            stack.callback(made.close)
            stack.callback(check_that_it_keeps_its_secrets, made)
            return made

        yield make
    ground.clock.now = START


def empty(store: SqlStore) -> None:
    with store.database.lock(), store.database.write() as tx:
        for table in reversed(metadata.sorted_tables):
            if table.name != "lease":
                tx.connection.execute(table.delete())


def check_that_it_keeps_its_secrets(made: Way) -> None:
    assert [] == [line for line in made.stored().splitlines() if MARK in line]


@pytest.mark.parametrize("name", NAMES)
def test_every_misbehaviour_of_every_simulator_stands_in_the_table_or_is_tested_elsewhere(name: str) -> None:
    promised = {quirk for quirk, _ in PROMISES}
    assert [] == sorted(set(simulator_kind(name).quirks) - promised - ELSEWHERE.keys())


@pytest.mark.parametrize(("name", "quirk", "times"), CASES)
def test_a_misbehaviour_ends_as_promised(way: Callable[..., Way], name: str, quirk: str, times: int) -> None:
    described = issubclass(simulator_kind(name), DescribedSimulator)
    otherwise = OTHERWISE.get(name, OTHERWISE["generic"] if described else {})
    promise = otherwise.get((quirk, times), PROMISES[quirk, times])
    here = way(name)
    here.simulator.misbehave(quirk, times=times)
    assert {200} == set(here.finish())
    here.work()
    assert_first_look(here, promise)
    here.rest()
    assert_sentences(here.said(), promise.says)
    assert_end(here, promise)


def assert_first_look(here: Way, promise: Promise) -> None:
    if promise.waits is None:
        assert [] == here.waits()
    else:
        assert ([("fetch", "waiting", promise.waits)], {}) == (here.waits(), here.files())


def assert_end(here: Way, promise: Promise) -> None:
    """Delivered is whole and once; given up is nothing in the folder, and all of it once the provider behaves."""
    if promise.ends != DELIVERED:
        assert ([promise.ends], {}) == ([letter["state"] for letter in here.dead()], here.files())
        here.behave()
        here.replay()
        here.rest()
    assert ([here.document()], [DELIVERED], []) == (list(here.files().values()), here.deliveries(), here.dead())
    assert_plain_names(here)


def assert_plain_names(here: Way) -> None:
    """Nothing was written beside the folder, and its names are such as people type."""
    assert {"archive", "vault"} == {path.name for path in here.archive.parent.iterdir()}
    for path in here.files():
        assert path.isprintable()
        assert ".." not in path.split("/")


def assert_sentences(said: list[str], words: str) -> None:
    """What a person reads is a sentence on the matter: no class of an exception, no link, no secret."""
    assert bool(words) == bool(said)
    for sentence in said:
        assert re.search(words, sentence), sentence
        assert re.fullmatch(r"[ -~]{12,250}", sentence), sentence
        assert not re.search(rf"{MARK}|://|\?|[A-Z][a-z]+Error|unforeseen|Traceback|None", sentence), sentence


@pytest.mark.parametrize(("name", "quirk"), ONCE)
def test_after_a_misbehaviour_every_part_arrives_once(way: Callable[..., Way], name: str, quirk: str) -> None:
    here = way(name, parts=ALL_PARTS)
    here.simulator.misbehave(quirk)
    here.finish()
    here.rest()
    if here.dead():
        here.replay()
        here.rest()
    assert_everything_once(here)


def assert_everything_once(here: Way, document: str = "d-1") -> None:
    expected = [here.document(document, part) for part in ALL_PARTS if part in here.source.parts]
    assert (sorted(expected), []) == (sorted(here.files().values()), here.dead())
    assert {DELIVERED} == set(here.deliveries())


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", knowing("token_expired"))
def test_a_token_that_expires_in_the_middle_is_renewed_at_once(way: Callable[..., Way], name: str) -> None:
    here = way(name)
    here.finish("d-0")
    here.rest()
    here.simulator.misbehave("token_expired")
    here.finish("d-1")
    here.work()
    assert ([], []) == (here.waits(), here.said())
    assert sorted([here.document("d-0"), here.document("d-1")]) == sorted(here.files().values())


@pytest.mark.parametrize("name", knowing("token_expired"))
def test_tokens_that_are_refused_for_ever_end_as_a_dead_letter(way: Callable[..., Way], name: str) -> None:
    here = way(name)
    here.simulator.misbehave("token_expired", times=EVER)
    here.finish()
    here.rest()
    assert_sentences(here.said(), "token")
    assert_end(here, Promise(ends=DEAD))


# --- steps of a workflow ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1.0, 5_000.0])
@pytest.mark.parametrize("shape", ["v3", "unstated"])
def test_a_step_that_completes_nothing_does_not_silence_the_last_one(
    way: Callable[..., Way], shape: str, gap: float
) -> None:
    """Callbacks of eSignon that do not say whether they are the last one; those of v3 may even be the same bytes."""
    here = way("esignon")
    here.simulator.shape = shape
    here.simulator.misbehave("not_ready", times=EVER)
    first, last = here.simulator.finish("12584")
    here.receive(first)
    here.rest_until(here.clock.now + gap)
    assert ([], {}) == (here.dead(), here.files())
    here.behave()
    here.receive(first if shape == "v3" else last)
    here.rest()
    assert ([here.document("12584")], []) == (list(here.files().values()), here.dead())


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", knowing("certificate_late"))
def test_a_late_certificate_is_waited_for_and_goes_out_with_the_document(way: Callable[..., Way], name: str) -> None:
    here = way(name, parts=["document", "certificate"])
    here.simulator.misbehave("certificate_late")
    here.finish()
    here.work()
    assert ([("fetch", "waiting", SOON)], {}) == (here.waits(), here.files())
    here.rest()
    assert_everything_once(here)
    assert [[]] == missing(here)


@pytest.mark.parametrize("name", knowing("certificate_late"))
def test_a_late_certificate_follows_a_document_that_does_not_wait_for_it(way: Callable[..., Way], name: str) -> None:
    here = way(name, parts=["document", "certificate"], wait_for_parts=0)
    here.simulator.misbehave("certificate_late")
    here.finish()
    here.work()
    assert ([here.document()], [["certificate"]]) == (list(here.files().values()), missing(here))
    here.rest()
    assert_everything_once(here)
    assert [[], ["certificate"]] == sorted(missing(here))


@pytest.mark.parametrize("name", knowing("certificate_late"))
def test_a_certificate_that_never_comes_is_named_missing_beside_the_document(
    way: Callable[..., Way], name: str
) -> None:
    here = way(name, parts=["document", "certificate"], wait_for_parts=60)
    here.simulator.misbehave("certificate_late", times=EVER)
    here.finish()
    here.rest()
    assert [here.document()] == list(here.files().values())
    assert ([["certificate"]], [DELIVERED], []) == (missing(here), here.deliveries(), here.dead())


def missing(here: Way) -> list[list[str]]:
    return [json.loads(text)["missing"] for text in here.manifests()]


# --- callbacks that are not what they seem ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "quirk"), [(name, quirk) for quirk in ("wrong_signature", "late") for name in knowing(quirk)]
)
def test_a_callback_that_is_not_genuine_is_refused_and_leaves_nothing(
    way: Callable[..., Way], name: str, quirk: str
) -> None:
    here = way(name)
    here.simulator.misbehave(quirk, times=EVER)
    assert {401} == set(here.finish())
    assert ([], 0) == (here.jobs(), here.kept()[0])
    here.behave()
    assert {200} == set(here.finish())
    here.rest()
    assert_end(here, Promise(ends=DELIVERED))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_callbacks_once_more_change_nothing(way: Callable[..., Way], name: str) -> None:
    here = way(name)
    callbacks = here.simulator.finish("d-1")
    for _ in range(3):
        assert {200} == {here.receive(callback) for callback in callbacks}
        here.rest()
        here.clock.advance(100)
    assert len(callbacks) == here.kept()[0]
    assert_end(here, Promise(ends=DELIVERED))


@pytest.mark.parametrize("name", NAMES)
def test_what_another_account_signed_is_refused_or_a_hint_that_brings_nothing(
    way: Callable[..., Way], name: str
) -> None:
    here = way(name)
    statuses = {here.receive(callback) for callback in here.stranger.finish("d-1")}
    if here.source.scheme.signs:
        assert ({401}, 0) == (statuses, here.kept()[0])
    here.rest()
    assert ({}, []) == (here.files(), here.deliveries())


# --- hints: what anybody may say, and only the provider's API can confirm ---------------------------------------------

UNSIGNED: dict[str, dict[str, Any]] = {
    "esignon": {"secrets": []},
    "generic": {"secrets": [], "verify": {"alg": "none"}},
    "okdokument": {"secrets": []},
    "scrive": {},
}
"""Keys that make a source of that provider one whose callbacks are hints."""

HIDING: dict[str, Callable[[Way], object]] = {
    "unknown": lambda here: here.simulator.signed.pop("d-1"),
    "not complete": lambda here: here.simulator.misbehave("not_ready", times=EVER),
}
hints = pytest.mark.parametrize("name", [name for name in NAMES if name in UNSIGNED])


@hints
@pytest.mark.parametrize("given_up", [False, True], ids=["soon", "after it was given up"])
@pytest.mark.parametrize("hide", HIDING)
def test_a_forged_hint_brings_nothing_and_the_genuine_one_of_the_same_bytes_still_works(
    way: Callable[..., Way], name: str, hide: str, given_up: bool
) -> None:
    here = way(name, **UNSIGNED[name])
    callbacks = bare(here.simulator.finish("d-1"))
    signed = dict(here.simulator.signed)
    HIDING[hide](here)
    assert {200} == {here.receive(callback) for callback in callbacks}
    here.rest() if given_up else here.work()
    assert ({}, []) == (here.files(), here.deliveries())
    assert {True} == {one["hint"] for one in here.rows(event)}
    here.simulator.signed.update(signed)
    here.behave()
    assert {200} == {here.receive(callback) for callback in callbacks}
    here.rest()
    assert len(callbacks) == here.kept()[0]
    assert_end(here, Promise(ends=DELIVERED))


@hints
def test_a_forged_hint_about_a_document_that_was_forwarded_changes_nothing(way: Callable[..., Way], name: str) -> None:
    here = way(name, **UNSIGNED[name])
    callbacks = bare(here.simulator.finish("d-1"))
    for callback in callbacks:
        here.receive(callback)
    here.rest()
    forged = [replace(callback, body=callback.body + b" ") for callback in callbacks]
    assert {200} == {here.receive(callback) for callback in forged}
    here.rest()
    assert 2 * len(callbacks) == here.kept()[0]
    assert_end(here, Promise(ends=DELIVERED))


def bare(callbacks: list[RawRequest]) -> list[RawRequest]:
    """As they come where no secret was agreed on."""
    return [replace(callback, query="") for callback in callbacks]


# --- everything at once, on both databases ----------------------------------------------------------------------------

STORM = ("duplicate", "reorder", "server_error", "truncated", "html_page", "not_ready", "rate_limited")


@pytest.mark.parametrize(("store_url", "name"), with_stores(NAMES), indirect=["store_url"])
def test_many_misbehaviours_at_once_are_worked_off_on_either_database(
    store: SqlStore, clock: Clock, ground: Ground, tmp_path: Path, name: str
) -> None:
    with closing(Way(name, tmp_path, store, clock, ground.switch)) as here:
        for quirk in STORM:
            here.simulator.misbehave(quirk)
        for number in range(5):
            assert {200} == set(here.finish(f"d-{number}"))
        here.rest()
        assert sorted(here.document(f"d-{number}") for number in range(5)) == sorted(here.files().values())
        assert ([DELIVERED] * 5, []) == (here.deliveries(), here.dead())
