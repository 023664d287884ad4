"""Real processes meet one trouble each, and nothing is lost, nothing is there twice."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.flow.processes import until
from tests.flow.trouble import meanwhile
from tests.flow.trouble.disk import unavailable
from tests.flow.trouble.mail import Quirk
from tests.flow.trouble.postgres import postgres_programs
from tests.flow.trouble.proxy import Absent, Broken, Hang, Mode, Slow
from tests.flow.trouble.s3 import Lie
from tests.flow.trouble.scene import Scene

ONE_STORE = pytest.mark.parametrize("scene", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize("scene", ["postgres"], indirect=True)
WITH_DISKS = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One for all tests of a store: each signs documents of its own, and all must be right after each."""
    if request.param == "postgres" and postgres_programs() is None:
        pytest.skip("Postgres is not installed")
    with ExitStack() as stack:
        yield Scene(request.param, tmp_path_factory.mktemp("trouble"), stack)


# --- what a bucket answers ------------------------------------------------------------------------------------------


@ONE_STORE
@pytest.mark.parametrize("lie", list(Lie))
def test_an_object_is_written_once_whatever_the_bucket_says_of_it(scene: Scene, lie: Lie) -> None:
    trouble, document = scene.door.trouble(lie, number=2), f"lie-{lie.name}"
    with meanwhile(trouble):
        assert {200: 2} == scene.sign(document)

        assert [] == scene.wrong()
    assert 2 == trouble.happened
    assert 3 == len(scene.receipt(document, "bucket")["details"]["paths"])


# --- what a mail server does ----------------------------------------------------------------------------------------


@ONE_STORE
def test_a_mail_whose_arrival_was_never_told_comes_again_under_its_id_and_is_counted(scene: Scene) -> None:
    trouble = scene.quirks.trouble(Quirk.LOST_AFTER_DATA, number=1)
    with meanwhile(trouble):
        scene.sign("unsure")

        assert [] == scene.wrong()
    files = scene.tally.promises["contracts/unsure"].files
    assert 1 == len({letter.id for letter in scene.world.letters() if letter.files == files})
    assert 2 == sum(letter.files == files for letter in scene.world.letters())
    assert (1, 1) == (trouble.happened, scene.receipt("unsure", "legal")["details"]["repeats"])


@ONE_STORE
@pytest.mark.parametrize("quirk", [Quirk.BUSY, Quirk.PUT_OFF])
def test_a_mail_that_was_put_off_comes_once(scene: Scene, quirk: Quirk) -> None:
    trouble = scene.quirks.trouble(quirk, number=2)
    with meanwhile(trouble):
        scene.sign(f"mail-{quirk.name}")

        assert [] == scene.wrong()
    assert 2 == trouble.happened


# --- what connections do --------------------------------------------------------------------------------------------


@ONE_STORE
@pytest.mark.parametrize(
    ("wire", "mode"),
    [
        ("contracts", Absent()),
        ("contracts", Hang()),
        ("contracts", Broken(after=20_000)),
        ("bucket", Hang()),
        ("bucket", Broken(after=0)),
        ("mailbox", Absent()),
    ],
)
def test_a_connection_that_fails_costs_a_document_nothing_but_time(scene: Scene, wire: str, mode: Mode) -> None:
    trouble, failed = scene.wires[wire].trouble(mode), scene.attempts("again")
    with meanwhile(trouble):
        scene.sign(f"{wire}-{trouble.name}", size=50_000)
        until(lambda: scene.attempts("again") > failed, "a try that fails")

    assert [] == scene.wrong()
    assert 1 <= trouble.happened


# --- what becomes of the database -----------------------------------------------------------------------------------


@ON_POSTGRES
@pytest.mark.parametrize("way", ["killed", "absence"])
def test_what_was_acknowledged_survives_the_database(scene: Scene, way: str) -> None:
    assert scene.postgres is not None
    trouble = scene.postgres.killed() if way == "killed" else scene.postgres.absence()
    scene.sign(*(f"before-{way}-{number}" for number in range(5)))
    with meanwhile(trouble):
        assert {503: 4} == scene.sign(*(f"during-{way}-{number}" for number in range(2)))
    scene.sign_patiently(f"after-{way}")

    assert [] == scene.wrong()


@WITH_DISKS
def test_a_full_disk_of_the_database_refuses_callbacks_until_there_is_room(scene: Scene) -> None:
    assert scene.disk is not None
    numbers = iter(range(10_000))
    with meanwhile(scene.disk.full()):
        until(lambda: scene.sign(f"full-{next(numbers)}")[503] > 0, "the store to find no room")
    if scene.postgres is not None:
        scene.postgres.start()
    scene.sign_patiently("room-again")

    assert [] == scene.wrong()


# --- what becomes of the vault --------------------------------------------------------------------------------------


@ONE_STORE
@WITH_DISKS
def test_a_document_that_finds_no_room_in_the_vault_is_fetched_again(scene: Scene) -> None:
    assert scene.vault is not None
    failed = scene.attempts("again")
    with meanwhile(scene.vault.full()):
        assert {200: 2} == scene.sign("no-room")
        until(lambda: scene.attempts("again") > failed, "a fetch that finds no room")

    assert [] == scene.wrong()
    assert "vault: No space left on device" in scene.logs()


# --- clocks and generations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_worker_whose_clock_jumps_takes_nobodys_work_and_delays_none(scene: Scene, seconds: float) -> None:
    expired, late = scene.attempts("expired"), scene.attempts("late")
    jump, refusals = scene.clocks[-1].jump(seconds), scene.door.trouble(Lie.SLOW_DOWN, number=4)
    with meanwhile(jump), meanwhile(refusals):
        scene.sign(*(f"jump-{seconds:g}-{number}" for number in range(5)))
        assert [] == scene.wrong()
    scene.sign(f"back-{seconds:g}")

    assert [] == scene.wrong()
    assert (expired, late) == (scene.attempts("expired"), scene.attempts("late"))
    assert 4 == refusals.happened


def test_a_long_download_is_given_back_at_no_cost_by_those_who_are_told_to_go(scene: Scene) -> None:
    slow, rolling = scene.wires["contracts"].trouble(Slow(rate=20_000)), scene.crew.rolling()
    expired, failed = scene.attempts("expired"), scene.attempts("again")
    with meanwhile(slow):
        scene.sign("long", size=300_000)
        until(lambda: slow.happened > 1, "the download to begin")
        with meanwhile(rolling):
            pass

    assert [] == scene.wrong()
    assert [0, 0] == scene.crew.exits[-2:]
    assert 1 == scene.logs().count('"unfinished": 1')
    assert (expired, failed) == (scene.attempts("expired"), scene.attempts("again"))
