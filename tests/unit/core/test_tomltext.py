"""A table as text that TOML reads back."""

import tomllib

import pytest

from webhook_svc.core.tomltext import table_text
from webhook_svc.simulators import SIMULATORS


@pytest.mark.parametrize(
    "table",
    [
        {"a": "x", "b": 1, "c": 1.5, "d": True, "e": ["x", "y"], "f": []},
        {"verify": {"alg": "equal", "vars": {"t s": "header:X"}}, "after": "the table"},
        {"expect": {"/status": "finished"}},
        {"download": [{"get": "{link}", "headers": {"A": "b"}}, {"get": "y"}], "z": 1},
        {"text": 'quotes " and \\ and \n and \x7f and é and 😀 and \x00'},
    ],
)
def test_what_is_written_is_read_back(table: dict[str, object]) -> None:
    assert {"sources": {"x": table}} == tomllib.loads(table_text("sources.x", table))


def test_a_dollar_is_doubled_because_the_configuration_expands_it() -> None:
    assert '[x]\na = "$${B}"' == table_text("x", {"a": "${B}"})


@pytest.mark.parametrize("name", SIMULATORS.names())
def test_the_table_of_every_simulator_is_read_back(name: str) -> None:
    table = SIMULATORS.load(name)(secret="s" * 8).source("http://127.0.0.1:9")
    assert table == tomllib.loads(table_text("t", table))["t"]
