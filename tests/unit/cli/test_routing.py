"""Where a callback would go, and what a sink that was added later is given."""

from typing import Any

import pytest

from webhook_svc.core.rawhttp import raw_text


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


def tree(folder: Any) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.pdf")}
