"""Lists of completed signings: pages, offsets, cursors, and rows that are somebody else's."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Permanent, Problem, Retryable
from webhook_svc.core.outgoing import Answer, Call, Listed
from webhook_svc.core.settings import build
from webhook_svc.providers.generic import Generic, GenericSettings

BASE = "https://api.example.test/v1"
SINCE = 1_760_000_000.0
OLD = int(SINCE) - 9
TABLE: Mapping[str, Any] = {
    "secrets": [secret("in-house")],
    "values": {"api_base": BASE, "api_key": secret("key")},
    "verify": {"alg": "hmac-sha256", "message": "{body}", "signature": "header:X-Signature"},
    "event": {"document": "/id"},
    "download": [{"get": "{api_base}/c/{document}", "save": "document"}],
}
PAGED = {"get": "{api_base}/c?since={since:%Y-%m-%d}&page={page}", "rows": "/rows", "completed": "/at"}
ROWS = {"rows": "/rows", "completed": "/at"}
CURSOR = {"get": "{api_base}/c?n=2", "rows": "/rows", "completed": "/at", "cursor": "/next", "cursor_as": "after"}


def generic(**listed: Any) -> Generic:
    problems: list[Problem] = []
    settings = build(GenericSettings, {**TABLE, "list": listed}, "sources.x", problems)
    assert [] == problems
    return Generic("x", settings, "https://hooks.example.test")


def read(provider: Generic, *answers: str) -> tuple[list[str], list[str]]:
    """(targets that were asked, ids that were listed)"""
    flow, left, asked, ids = provider.completed_since(SINCE), list(answers), [], []
    try:
        step = next(flow)
        while True:
            if isinstance(step, Call):
                asked.append(step.request.url.removeprefix(BASE))
            if isinstance(step, Listed):
                ids.append(step.ref.id)
            body = left.pop(0).encode() if isinstance(step, Call) else b""
            step = flow.send(Answer(status=200, body=body))
    except StopIteration:
        assert [] == left
        return asked, ids


def rows(*ids: str, at: float = SINCE, **more: str) -> str:
    told = ",".join(f'{{"id": "{one}", "at": {at}}}' for one in ids)
    return f'{{"rows": [{told}]{"".join(f", {name!r}: {value}" for name, value in more.items())}}}'.replace("'", '"')


def test_of_the_next_pages_address_only_the_cursor_is_taken() -> None:
    next_ = '"http://169.254.169.254/x?n=9&after=a%20b&key=k"'
    asked, ids = read(generic(**CURSOR), rows("1", next=next_), rows("2", next="null"))
    assert (["/c?n=2", "/c?n=2&after=a+b"], ["1", "2"]) == (asked, ids)


@pytest.mark.parametrize("address", ["https://api.example.test/v1/c", "https://[x", "http://h?after="])
def test_an_address_of_the_next_page_without_a_cursor_does_not_end_the_list_quietly(address: str) -> None:
    with pytest.raises((Permanent, Retryable), match="parameter after"):
        read(generic(**CURSOR), rows("1", next=f'"{address}"'))


def test_pages_are_read_until_one_is_empty() -> None:
    asked, ids = read(generic(**PAGED), rows("1", "2"), rows("3"), rows())
    assert ["/c?since=2025-10-09&page=1", "/c?since=2025-10-09&page=2", "/c?since=2025-10-09&page=3"] == asked
    assert ["1", "2", "3"] == ids


def test_a_list_may_be_asked_in_unix_seconds() -> None:
    listed = {**CURSOR, "get": "{api_base}/c?after={since}"}
    assert ["/c?after=1760000000"] == read(generic(**listed), rows("1"))[0]


def test_a_number_of_pages_may_be_text() -> None:
    first = '{"rows": [{"id": "1", "at": 1}], "pages": "2"}'
    assert ["2"] == read(generic(**PAGED, pages="/pages"), first, rows("2", pages='"2"'))[1]


def test_a_cursor_that_repeats_itself_is_the_end() -> None:
    asked, ids = read(generic(**CURSOR), rows("1", next='"a"'), rows("2", next='"a"'))
    assert (2, ["1", "2"]) == (len(asked), ids)


def test_rows_without_an_id_are_told_as_a_wrong_path() -> None:
    with pytest.raises(Permanent, match="no row of the list has an id at /nr"):
        read(generic(**PAGED, document="/nr"), rows("1"))


def test_rows_without_a_time_are_told_as_a_wrong_path_unless_the_sender_filters_them() -> None:
    undated = '{"rows": [{"id": "1"}]}'
    with pytest.raises(Permanent, match="no row of the list has a time at /at"):
        read(generic(**CURSOR), undated)
    assert ["1"] == read(generic(**PAGED), undated, rows())[1]


def test_of_a_list_that_nobody_filters_a_row_without_a_time_is_left_out() -> None:
    mixed = '{"rows": [{"id": "1"}, {"id": "2", "at": 1760000000}]}'
    assert ["2"] == read(generic(**CURSOR), mixed)[1]


def test_a_row_brings_what_download_steps_use() -> None:
    problems: list[Problem] = []
    table = {**TABLE, "event": {"document": "/id", "take": {"account": "/account"}}}
    table["download"] = [{"get": "{api_base}/{account}/{document}", "save": "document"}]
    table["list"] = {**PAGED, "take": {"account": "/owner/id"}}
    provider = Generic("x", build(GenericSettings, table, "sources.x", problems))
    flow = provider.completed_since(SINCE)
    next(flow)
    listed = flow.send(Answer(status=200, body=b'{"rows": [{"id": "1", "at": 1760000000, "owner": {"id": 7}}]}'))
    assert isinstance(listed, Listed)
    assert {"account": "7"} == listed.ref.hints


def test_the_number_of_pages_saves_the_last_question() -> None:
    asked, ids = read(generic(**PAGED, pages="/pages", first=0), rows("1", pages="2"), rows("2", pages="2"))
    assert ["page=0", "page=1"] == [one.rpartition("&")[2] for one in asked]
    assert ["1", "2"] == ids


def test_offsets_count_in_rows() -> None:
    listed = {**PAGED, "get": "{api_base}/c?from={offset}", "size": 20}
    assert ["/c?from=0", "/c?from=2", "/c?from=3"] == read(generic(**listed), rows("1", "2"), rows("3"), rows())[0]


def test_offsets_may_begin_at_one_and_stand_in_json_as_numbers() -> None:
    listed = {
        "post": "{api_base}/c",
        "json": {"from": "{offset:number}"},
        "rows": "/rows",
        "completed": "/at",
        "start": 1,
    }
    flow = generic(**listed).completed_since(SINCE)
    first = next(flow)
    listed_one = flow.send(Answer(status=200, body=rows("1").encode()))
    second = flow.send(Answer(status=0))
    assert isinstance(first, Call)
    assert isinstance(listed_one, Listed)
    assert isinstance(second, Call)
    assert ({"from": 1}, {"from": 2}) == (first.request.json, second.request.json)


@pytest.mark.parametrize(("times", "ids"), [([OLD, int(SINCE)], ["1"]), ([OLD], []), ([None, OLD], [])])
def test_of_several_times_the_latest_is_that_of_completion(times: list[int | None], ids: list[str]) -> None:
    row = json.dumps({"rows": [{"id": "1", "signers": [{"at": at} for at in times]}]})
    assert ids == read(generic(**{**PAGED, "completed": "/signers/*/at"}), row, rows())[1]


def test_a_cursor_leads_from_page_to_page() -> None:
    asked, ids = read(generic(**CURSOR), rows("1", next='"a&b"'), rows("2", next="7"), rows("3", next="null"))
    assert ["/c?n=2", "/c?n=2&after=a%26b", "/c?n=2&after=7"] == asked
    assert ["1", "2", "3"] == ids


def test_a_cursor_may_stand_in_json_and_begin_with_a_number() -> None:
    listed = {
        "post": "{api_base}/c",
        "json": {"from": "{cursor:number}"},
        "rows": "/rows",
        "completed": "/at",
        "cursor": "/next",
    }
    flow = generic(**listed).completed_since(SINCE)
    first = next(flow)
    flow.send(Answer(status=200, body=rows("1", next="50").encode()))
    second = flow.send(Answer(status=0))
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert ({"from": 0}, {"from": 50}) == (first.request.json, second.request.json)
    with pytest.raises(Permanent, match="no whole number"):
        list(iter(lambda: flow.send(Answer(status=200, body=rows(next='"x"').encode())), None))


def test_an_empty_page_with_a_cursor_is_not_the_end() -> None:
    assert ["2"] == read(generic(**CURSOR), rows(next='"a"'), rows("2", next="null"))[1]


def test_a_sorted_list_ends_at_the_first_old_row() -> None:
    assert ["1"] == read(generic(**PAGED, newest_first=True), rows("1"), rows("2", at=SINCE - 1))[1]


def test_of_a_list_in_another_order_old_rows_are_left_out() -> None:
    assert ["2"] == read(generic(**PAGED), rows("1", at=SINCE - 1), rows("2"), rows())[1]


def test_rows_of_another_kind_are_left_out() -> None:
    listed = (
        '{"rows": [{"id": "1", "s": "open"}, {"id": "2", "s": "done"}, 7, {"id": ["x"], "s": "done"}, {"s": "done"}]}'
    )
    assert ["2"] == read(generic(**PAGED, only={"/s": "done"}), listed, rows())[1]


def test_a_list_that_became_shorter_while_it_was_read_is_read_again() -> None:
    provider = generic(**PAGED, total="/total", pages="/pages")
    first, shrunk = rows("1", total="2", pages="2"), rows("3", total="1", pages="2")
    again = rows("2", total="1", pages="1")
    assert ["1", "2"] == read(provider, first, shrunk, again)[1]


@pytest.mark.parametrize("answer", ["[]", "{}", '{"rows": 7}', "<html>", "null"])
def test_an_answer_that_is_no_list_is_asked_for_again_later(answer: str) -> None:
    with pytest.raises(Retryable):
        read(generic(**PAGED), answer)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({"get": "{api_base}/c", "rows": "/", "completed": "/at"}, "no second page"),
        ({**CURSOR, "cursor_as": ""}, "cursor and cursor_as"),
        ({**PAGED, "completed": "", "newest_first": True}, "by which the list is sorted"),
        ({**PAGED, "every": 1}, "every from 60"),
        ({**PAGED, "get": "{api_base}/c?page={page}&x={document}"}, "{document}"),
        ({"get": "{api_base}/c?page={page}", "rows": "/rows"}, "all that ever was would be fetched"),
        ({**PAGED, "round": "/round"}, "list.round as in event.round"),
        ({**PAGED, "take": {"x": "/x"}}, "event.take does not have it"),
        ({**PAGED, "document": "json:/id"}, "a path such as /a/b"),
        ({**PAGED, "every": float("inf")}, "every from 60"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_a_sentence(listed: Mapping[str, Any], expected: str) -> None:
    problems: list[Problem] = []
    build(GenericSettings, {**TABLE, "list": listed}, "sources.x", problems)
    assert [True] == [expected in problem.expected for problem in problems]


def test_a_sender_without_a_list_is_never_looked_at() -> None:
    problems: list[Problem] = []
    provider = Generic("x", build(GenericSettings, TABLE, "sources.x", problems))
    assert provider.polls_every() is None
    assert 1800.0 == generic(**PAGED).polls_every()
