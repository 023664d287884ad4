"""Tables become Settings, and everything that is wrong is collected."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.errors import Problem
from webhook_svc.core.settings import (
    Expanded,
    Secret,
    Url,
    build,
    fields_of,
    host_of,
    hosts_in,
    problems_in,
    setting,
    suggestion,
    too_short,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int = setting("how large", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    text: str = setting("a text")
    number: int = setting("a number", 1)
    ratio: float = setting("a ratio", 0.5)
    flag: bool = setting("a flag", False)
    secret: Secret | None = setting("a secret", None)
    secrets: tuple[Secret, ...] = setting("secrets", ())
    address: Url | None = setting("an address", None)
    choice: Literal["red", "green"] = setting("a choice", "red")
    names: tuple[str, ...] = setting("names", ())
    table: Mapping[str, str] = setting("a table", factory=dict)
    inner: Inner = setting("nested", factory=Inner)
    free: Any = setting("anything", None)
    from_: str = setting("a key that is a word of Python", "")

    def __post_init__(self) -> None:
        if self.number > 100:
            raise ValueError("number up to 100")


def judged(**table: Any) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    built = build(Everything, {"text": "x", **table}, "file: here", problems)
    return built, [str(problem) for problem in problems]


def test_every_kind_of_field_is_taken_as_written() -> None:
    built, problems = judged(
        number=7,
        ratio=2,
        flag=True,
        secret="s",
        secrets=["a", "b"],
        address="https://api.example",
        choice="green",
        names=["x"],
        table={"k": "v"},
        inner={"size": 3},
        free={"deep": [1]},
        **{"from": "me"},
    )
    assert [] == problems
    assert (7, 2.0, True, "green", ("x",), {"k": "v"}, Inner(size=3), {"deep": [1]}, "me") == (
        built.number,
        built.ratio,
        built.flag,
        built.choice,
        built.names,
        dict(built.table),
        built.inner,
        built.free,
        built.from_,
    )
    assert ("s", ("a", "b")) == (built.secret.reveal(), tuple(secret.reveal() for secret in built.secrets))


def test_all_problems_are_reported_at_once() -> None:
    _, problems = judged(number="7", nmaes=["x"], choice="gren", inner={"size": "big"}, names=["x", 1])
    assert [
        "file: here.nmaes: found an unknown key, expected 'names' (did you mean that?)",
        "file: here.number: found the text '7', expected a whole number",
        "file: here.choice: found the text 'gren', expected one of: red, green (did you mean 'green'?)",
        "file: here.names[1]: found 1, expected text",
        "file: here.inner.size: found the text 'big', expected a whole number",
    ] == problems


def test_a_required_key_that_is_missing_is_a_problem() -> None:
    problems: list[Problem] = []
    assert build(Everything, {}, "file: here", problems) is None
    assert [Problem(where="file: here.text", found="nothing", expected="text")] == problems


def test_keys_that_were_taken_out_before_are_offered_too() -> None:
    problems: list[Problem] = []
    build(Everything, {"text": "x", "snks": []}, "file: here", problems, also=["sinks"])
    assert ["'sinks' (did you mean that?)"] == [problem.expected for problem in problems]


def test_an_impossible_combination_is_a_problem_of_the_table() -> None:
    assert (None, ["file: here: found settings that do not work, expected number up to 100"]) == judged(number=101)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("number", " 7 ", 7),
        ("ratio", "0.25", 0.25),
        ("flag", "Yes", True),
        ("flag", "off", False),
        ("names", "a, b ,,c", ("a", "b", "c")),
        ("choice", "green", "green"),
    ],
)
def test_a_value_that_came_out_of_the_environment_takes_the_type_of_its_field(key: str, text: str, value: Any) -> None:
    built, problems = judged(**{key: Expanded(text)})
    assert ([], value) == (problems, getattr(built, key))


@pytest.mark.parametrize(
    ("key", "text"), [("number", "seven"), ("number", "1.5"), ("flag", "perhaps"), ("ratio", "wide")]
)
def test_a_value_out_of_the_environment_that_does_not_fit_is_not_shown(key: str, text: str) -> None:
    _, problems = judged(**{key: Expanded(text)})
    assert [True] == ["found a text" in problem and text not in problem for problem in problems]


@pytest.mark.parametrize("key", ["number", "secret", "secrets", "address", "inner", "table"])
def test_an_optional_field_that_expanded_to_nothing_counts_as_not_given(key: str) -> None:
    built, problems = judged(**{key: Expanded("")})
    assert ([], getattr(Everything(text="x"), key)) == (problems, getattr(built, key))


def test_one_empty_secret_of_a_rotation_counts_as_not_given() -> None:
    built, problems = judged(secrets=[Expanded("new"), Expanded("")])
    assert ([], (Secret("new"),)) == (problems, built.secrets)


@pytest.mark.parametrize("secrets", [[Expanded("")], Expanded(" , ")])
def test_a_list_of_nothing_but_empty_secrets_is_refused(secrets: Any) -> None:
    assert ["file: here.secrets: found only empty secrets, expected at least one secret"] == judged(secrets=secrets)[1]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_secret_is_refused(text: str) -> None:
    assert ["file: here.secret: found an empty secret, expected a secret"] == judged(secret=text)[1]


@pytest.mark.parametrize(("key", "value"), [("secret", 4711), ("secrets", "hunter2"), ("secrets", [4711])])
def test_what_stands_in_the_place_of_a_secret_is_never_shown(key: str, value: Any) -> None:
    _, problems = judged(**{key: value})
    assert [False] == ["4711" in problem or "hunter2" in problem for problem in problems]


@pytest.mark.parametrize("address", ["ftp://x", "https://", "api.example", "https://[::1", "http://x:99999999", 3])
def test_an_address_that_is_none_is_refused(address: Any) -> None:
    assert 1 == len(judged(address=address)[1])


def test_true_is_not_a_number_and_one_is_not_true() -> None:
    assert 3 == len(judged(number=True, ratio=True, flag=1)[1])


def test_a_problem_in_the_place_of_a_value_is_reported_once_where_it_is_used() -> None:
    problem = Problem(where="w", found="f", expected="e")
    for key, value in (("number", problem), ("names", [problem]), ("free", {"deep": [problem]}), ("inner", problem)):
        assert (None, [str(problem)]) == judged(**{key: value})
    assert [problem] == list(problems_in({"a": ["x", {"b": problem}], "c": 1}))


def test_a_secret_prints_as_stars_everywhere() -> None:
    secret = Secret("hunter2")
    assert {"***"} == {str(secret), repr(secret), f"{secret}", f"{secret:>9}", "%s" % secret}  # noqa: UP031 - one of the ways
    assert "hunter2" not in repr(Everything(text="x", secret=secret, secrets=(secret,)))


def test_secrets_are_equal_by_their_text_and_are_not_pickled() -> None:
    assert {Secret("a")} == {Secret("a"), Secret("a")}
    assert Secret("a") != "a"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("a"))


def test_hosts_are_found_in_every_corner_of_settings() -> None:
    @dataclass(frozen=True)
    class Corners:
        one: Url
        many: tuple[Url, ...]
        table: Mapping[str, Url]
        text: str = "https://not-declared.example"

    corners = Corners(Url("https://A.example/x"), (Url("http://b.example"),), {"k": Url("https://c.example:8443")})
    assert {"https://a.example:443", "http://b.example:80", "https://c.example:8443"} == hosts_in(corners)


def test_a_host_is_written_with_its_port_and_without_its_login() -> None:
    assert "https://api.example:443" == host_of("https://user:pw@API.example/path")
    with pytest.raises(ValueError, match="no host"):
        host_of("https:///path")


def test_a_host_beyond_ascii_is_refused_because_its_xn_form_is_asked() -> None:
    @dataclass(frozen=True)
    class Addressed:
        address: Url

    problems: list[Problem] = []
    assert None is build(Addressed, {"address": "https://münchen.example"}, "x", problems)
    assert ["an address whose host is written in ASCII, as in the DNS: xn--…"] == [one.expected for one in problems]
    assert "https://xn--mnchen-3ya.example:443" == host_of("https://xn--mnchen-3ya.example")


def test_fields_are_described_for_people() -> None:
    described = {name: rest for name, *rest in fields_of(Everything)}
    assert ["text", "required", "a text"] == described["text"]
    assert ["a list of a secret", "()", "secrets"] == described["secrets"]
    assert ["one of: red, green", "'red'", "a choice"] == described["choice"]
    assert "from" in described


def test_a_name_like_no_other_is_answered_with_all_of_them() -> None:
    assert "one of: folder, s3" == suggestion("zzz", ["s3", "folder"])
    assert "one of: none" == suggestion("zzz", [])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_no_value_at_all_escapes_as_an_exception(value: Any) -> None:
    for key in ("number", "secret", "address", "choice", "names", "table", "inner"):
        built, problems = judged(**{key: value})
        assert (built is None) == bool(problems)


def test_secrets_that_could_be_guessed_are_warned_of_without_being_told() -> None:
    assert [] == too_short([Secret("x" * 16)])
    [warning] = too_short([Secret("x" * 16), Secret("hunter2")])
    assert "hunter2" not in warning
