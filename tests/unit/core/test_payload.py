"""Foreign JSON, in which every value may be missing or of another type."""

from typing import Any

import pytest

from webhook_svc.core.errors import Permanent
from webhook_svc.core.payload import (
    first_text,
    moment_at,
    object_of,
    objects,
    text_at,
    texts_at,
    told_id,
    unambiguous,
    whole,
)
from webhook_svc.core.types import RawRequest

FOREIGN: list[object] = [None, True, 7, 2.5, "text", [], {}, [[]], [{"a": 1}]]


@pytest.mark.parametrize("body", [b"", b"null", b"1", b'"text"', b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        object_of(RawRequest(body=body))


def test_the_object_of_a_body_is_read() -> None:
    assert {"a": [1]} == object_of(RawRequest(body=b'{"a": [1]}'))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": 1, "a": 2, "b": 3}', {"a": None, "b": 3}),
        (b'{"a": 1, "a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2, "a": 1}', {"a": None}),
        (b'{"o": {"a": "x", "a": "y"}}', {"o": {"a": None}}),
    ],
)
def test_a_key_that_stands_twice_with_different_values_says_nothing(body: bytes, found: Any) -> None:
    assert found == object_of(RawRequest(body=body), unambiguous)


def test_nesting_without_end_is_a_value_error_however_objects_are_made() -> None:
    with pytest.raises(ValueError):
        object_of(RawRequest(body=b'{"a":' * 100_000), unambiguous)


@pytest.mark.parametrize(
    ("paths", "text"), [(["a"], "1"), (["x", "b.c"], "two"), (["b.c", "a"], "two"), (["x", "y"], ""), ([], "")]
)
def test_the_first_path_that_leads_somewhere_is_the_text(paths: list[str], text: str) -> None:
    assert text == first_text({"a": 1, "b": {"c": "two"}, "x": None}, *paths)


@pytest.mark.parametrize(
    ("paths", "time"), [(["a"], 1.0), (["x", "b.c"], 86_400.0), (["b", "a"], 1.0), (["x", "y"], None), ([], None)]
)
def test_the_first_path_that_leads_to_a_time_is_the_time(paths: list[str], time: float | None) -> None:
    assert time == moment_at({"a": 1, "b": {"c": "1970-01-02T00:00:00Z"}, "x": None, "y": "soon"}, *paths)


@pytest.mark.parametrize("value", [True, [], {}, ["text"]])
def test_what_is_no_scalar_is_not_understood(value: Any) -> None:
    with pytest.raises(Permanent):
        first_text({"a": value}, "a")


@pytest.mark.parametrize(
    ("body", "told"),
    [(b'{"id": "e1"}', "e1"), (b'{"id": 7}', "7"), (b"{}", ""), (b"not json", ""), (b'{"id": []}', ""), (b"[1]", "")],
)
def test_an_id_is_told_or_nothing_is(body: bytes, told: str) -> None:
    assert told == told_id(RawRequest(body=body), "id")


@pytest.mark.parametrize("value", FOREIGN)
def test_of_foreign_values_only_text_is_text(value: Any) -> None:
    assert [value if value == "text" else ""] * 2 == [text_at({"a": value}, "a"), text_at([value], "0")]


@pytest.mark.parametrize("value", FOREIGN)
def test_of_foreign_values_only_a_whole_number_is_one(value: Any) -> None:
    assert (7 if value == 7 else None) == whole(value)


@pytest.mark.parametrize("value", FOREIGN)
def test_what_is_no_list_has_no_objects(value: Any) -> None:
    assert ([{"a": 1}] if value == [{"a": 1}] else []) == objects(value)


def test_only_the_objects_of_a_list_count() -> None:
    assert [{"a": 1}, {}] == objects([{"a": 1}, None, "text", {}, [{}]])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a", ("1",)),
        ("/signers/*/email", ("e@x", "b@x")),
        ("/tags", ("red", "2")),
        ("/tags/*", ("red", "2")),
        ("/groups/*/names/*", ("u", "v", "w")),
        ("/signers", ("odd",)),
        ("/nothing/*/email", ()),
        ("/a/*", ()),
        ("/yes", ()),
    ],
)
def test_a_star_stands_for_all_of_a_list(path: str, found: tuple[str, ...]) -> None:
    body = {
        "a": 1,
        "yes": True,
        "signers": [{"email": "e@x"}, {"email": None}, "odd", {"email": "b@x"}],
        "tags": ["red", 2, {"deep": 1}],
        "groups": [{"names": ["u", "v"]}, {"names": ["w"]}],
    }

    assert found == texts_at(body, path)


def test_no_more_texts_are_taken_than_are_wanted() -> None:
    body = {"signers": [{"email": str(number)} for number in range(300)], "tags": list(range(300))}
    assert ("0", "1", "2") == texts_at(body, "/signers/*/email", 3)
    assert ("0", "1") == texts_at(body, "/tags", most=2)
    assert 100 == len(texts_at(body, "/tags/*"))


class Endless(list[Any]):
    """A list that never ends, for who goes on looking."""

    def __init__(self, one: Any) -> None:
        self.one = one
        self.given = 0

    def __iter__(self) -> Any:
        while True:
            self.given += 1
            yield self.one


@pytest.mark.parametrize(
    ("path", "one"), [("/s/*/email", {}), ("/s", None), ("/s/*", []), ("/s/*/x/*", {"x": []}), ("/s/*/x/*/y", 1)]
)
def test_of_a_huge_list_only_the_beginning_is_looked_at(path: str, one: Any) -> None:
    huge = Endless(one)
    assert () == texts_at({"s": huge}, path)
    assert huge.given <= 20_001
