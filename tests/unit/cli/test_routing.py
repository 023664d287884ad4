"""Where a callback would go, and what a sink that was added later is given."""

import json
from typing import Any
from zipfile import ZipFile

import pytest

from webhook_svc.core.rawhttp import parse_request, raw_text


@pytest.fixture
def routed(world: Any) -> Any:
    world.tables["sources.contracts"]["meta"] = {"kind": "/data/signing_request/name"}
    world.tables["sinks.legal"] = {"kind": "folder", "path": f"{world.folder}/legal", "name": "{meta.kind}/{document}"}
    return world


def test_check_says_which_sinks_an_example_would_reach_and_why(routed: Any) -> None:
    routes = '\n[[routes]]\nname = "all of them"\nsource = ["con*"]\nsinks = ["legal", "archive"]\n'
    routed.extra = routes
    done = routed.run("check", "--example", "contracts", "-", input=raw_text(routed.callback("d1")))

    assert "example: d1 goes to legal, archive (by all of them)" in done.stdout


def test_check_shows_the_routes(routed: Any) -> None:
    routed.extra = '\n[[routes]]\nsource = ["c*", "hr"]\nmeta = { kind = "L*" }\nsinks = ["legal"]\n'
    shown = " ".join(routed.run("check").stdout.split())

    assert "route 1 source is c* or hr and meta.kind is L* legal" in shown


def test_check_says_where_an_example_goes_without_a_route(routed: Any) -> None:
    done = routed.run("check", "--example", "contracts", "-", input=raw_text(routed.callback("d1")))

    assert "example: d1 goes to archive (no route fits, by its source)" in done.stdout


def test_check_refuses_an_example_for_a_source_that_is_not_there(routed: Any) -> None:
    done = routed.run("check", "--example", "nobody", "-", input=b"")

    assert 2 == done.exit_code
    assert "no source is called 'nobody' (contracts)" in done.stderr


def test_an_example_that_is_no_callback_is_told(routed: Any) -> None:
    done = routed.run("check", "--example", "contracts", "-", input=b"nonsense")

    assert 1 == done.exit_code
    assert "the example cannot be understood" in done.stderr


def test_a_sink_that_was_added_later_is_given_what_went_to_the_others(world: Any) -> None:
    world.receive(world.callback("d1"), world.callback("d2"))
    world.tables["sinks.later"] = {"kind": "folder", "path": f"{world.folder}/later", "name": "{document}/{filename}"}
    world.tables["sources.contracts"]["sinks"] = ["archive", "later"]

    assert [True, True] == [one["ok"] for one in world.json("replay", "--to", "later", "--since", "1d", "--dry-run")]
    done = world.run("replay", "--to", "later", "--since", "1d")
    world.receive()

    assert 0 == done.exit_code
    assert 2 == done.stdout.count("on to later")
    assert tree(world.folder / "archive") == tree(world.folder / "later")
    assert "nothing is lacking there" in world.run("replay", "--to", "later", "--since", "1d").stderr


def test_a_sink_that_todays_configuration_would_send_nothing_is_given_nothing(world: Any) -> None:
    world.receive(world.callback("d1"))
    world.tables["sinks.later"] = {"kind": "folder", "path": f"{world.folder}/later"}

    assert [] == world.json("replay", "--to", "later", "--since", "1d")


def test_routes_that_came_later_are_met_by_what_was_received_before_them(world: Any) -> None:
    world.receive(world.callback("d1"))
    world.tables["sources.contracts"]["meta"] = {"kind": "/type"}
    world.tables["sinks.later"] = {"kind": "folder", "path": f"{world.folder}/later", "name": "{meta.kind}/{document}"}
    world.extra = '\n[[routes]]\ntype = ["signing_request.*"]\nmeta = { kind = "signing*" }\nsinks = ["later"]\n'

    assert [True] == [one["ok"] for one in world.json("replay", "--to", "later", "--since", "1d")]
    world.receive()
    assert ["signing_request.completed"] == [path.name for path in (world.folder / "later").iterdir()]


@pytest.mark.parametrize(
    "words",
    [
        ["--to", "archive"],
        ["--to", "x", "--since", "1d"],
        ["--since", "1d", "--all-dead"],
        ["--to", "archive", "--since", "1d", "dlv_1"],
    ],
)
def test_half_an_order_is_refused(world: Any, words: list[str]) -> None:
    assert 2 == world.run("replay", *words).exit_code


def test_a_zip_with_the_callback_in_it_arrives_and_its_repeat_is_the_same(world: Any) -> None:
    world.tables["sources.contracts"]["parts"] = ["document", "callback"]
    world.tables["sinks.archive"] |= {"pack": "zip", "manifest": False}
    world.receive(world.callback("d1"))
    (path,) = (world.folder / "archive" / "d1").iterdir()
    before = path.read_bytes()
    (delivery,) = world.json("deliveries")
    again = world.run("replay", delivery["id"], "--again", "--reason", "to see whether it is the same")
    world.receive()

    assert (0, ".zip", before) == (again.exit_code, path.suffix, path.read_bytes())
    assert ["delivered"] == [one["state"] for one in world.json("deliveries")]
    with ZipFile(path) as archive:
        assert world.simulator.document_bytes("d1") in [archive.read(name) for name in archive.namelist()]
        assert parse_request(archive.read("callback.http")).json()["data"]
        assert "d1" == json.loads(archive.read("manifest.json"))["document"]


def test_what_comes_later_is_a_zip_of_its_own_beside_the_first(world: Any) -> None:
    world.tables["sources.contracts"]["wait_for_parts"] = 0
    world.tables["sinks.archive"] |= {"pack": "zip"}
    world.simulator.misbehave("certificate_late")
    world.receive(world.callback("d1", title="Deed"))
    world.receive(world.callback("d1", title="Deed"))
    folder = world.folder / "archive" / "d1"
    held = {path.name: ZipFile(path).namelist() for path in folder.glob("*.zip")}

    assert ["delivered", "delivered"] == [one["state"] for one in world.json("deliveries")]
    assert {
        "Deed.zip": ["Deed.pdf", "manifest.json"],
        "Deed.supplement-1.zip": ["certificate.pdf", "manifest.json"],
    } == held


def test_what_fits_no_route_is_held_and_goes_out_once_there_is_one(world: Any) -> None:
    world.tables["sources.contracts"]["sinks"] = []
    world.extra = '\n[[routes]]\ntitle = ["lease*"]\nsinks = ["archive"]\n'
    world.receive(world.callback("d1"))
    (held,) = world.json("dead")
    assert ("held", "it fits no route, and the source 'contracts' names no sinks") == (held["state"], held["reason"])

    world.extra = '\n[[routes]]\nsinks = ["archive"]\n'
    assert 0 == world.run("replay", held["id"], "--release").exit_code
    world.receive()

    assert [] == world.json("dead")
    assert {"d1"} == {name.partition("/")[0] for name in tree(world.folder / "archive")}
    assert [1] == [one["version"] for one in world.json("deliveries")]


def tree(folder: Any) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.pdf")}
