"""`${X}` in the strings of a configuration."""

from typing import Any

import pytest

from webhook_svc.core.errors import Problem
from webhook_svc.core.expand import expand
from webhook_svc.core.settings import Expanded


def expanded(value: Any, **variables: str) -> tuple[Any, list[Problem]]:
    problems: list[Problem] = []
    return expand(value, "file: ", variables.get, problems), problems


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${X}", "value"),
        ("a-${X}-b", "a-value-b"),
        ("${NO:-default}", "default"),
        ("${NO:-}", ""),
        ("${NO:-sqlite:///data/x.db}", "sqlite:///data/x.db"),
        ("${X:-default}", "value"),
        ("$$", "$"),
        ("$${X}", "${X}"),
        ("$$${X}", "$value"),
        ("^v1=[0-9]{2}$", "^v1=[0-9]{2}$"),
        ("costs $5", "costs $5"),
        ("${Y}", "${X}"),
    ],
)
def test_a_text_expands_once(text: str, result: str) -> None:
    assert (result, []) == expanded(text, X="value", Y="${X}")


def test_only_a_whole_value_takes_the_type_of_its_field() -> None:
    tree, _ = expanded({"whole": "${X}", "default": "${NO:-1}", "part": "a${X}", "plain": "x", "dollar": "$$"}, X="1")
    assert {"whole", "default"} == {key for key, value in tree.items() if isinstance(value, Expanded)}


def test_the_tree_keeps_its_shape_and_its_keys_are_not_expanded() -> None:
    tree = {"${X}": [1, True, 2.5, ["${X}"], {"deep": "${X}"}]}
    assert ({"${X}": [1, True, 2.5, ["v"], {"deep": "v"}]}, []) == expanded(tree, X="v")


def test_a_variable_that_is_not_set_names_file_key_and_variable() -> None:
    tree, problems = expanded({"sources": {"a": {"secrets": ["x", "${NO}"]}}})
    expected = "the environment variable NO or NO_FILE, or ${NO:-default}"
    problem = Problem(where="file: sources.a.secrets[1]", found="${NO}, which is not set", expected=expected)
    assert [problem] == problems
    assert {"sources": {"a": {"secrets": ["x", problem]}}} == tree


@pytest.mark.parametrize("text", ["${", "${1X}", "${X", "${X:default}", "${A B}", "${}", "${X:-{}}"])
def test_a_brace_that_belongs_to_nothing_is_a_problem(text: str) -> None:
    _, problems = expanded(text, X="v")
    assert ["'${' that belongs to nothing"] == [problem.found for problem in problems]


def test_what_cannot_be_read_is_a_problem_with_its_reason() -> None:
    def lookup(name: str) -> str:
        raise ValueError(f"a readable file in {name}_FILE")

    problems: list[Problem] = []
    expand({"key": "${X}"}, "file: ", lookup, problems)
    assert [Problem(where="file: key", found="${X}", expected="a readable file in X_FILE")] == problems
