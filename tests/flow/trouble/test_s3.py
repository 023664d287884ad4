"""The door before an S3 server lies as it says, and counts the writes that really were."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

import pytest
from werkzeug.test import Client

from tests.flow.trouble.s3 import Lie, S3Door


class _Shelf:
    """Keeps what is put, and refuses to put it again."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, length = environ["PATH_INFO"], int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if environ["REQUEST_METHOD"] != "GET" and path in self.objects:
            start("412 Precondition Failed", [])
            return [b"by the shelf"]
        if environ["REQUEST_METHOD"] != "GET":
            self.objects[path] = body
        start("200 OK", [])
        return [self.objects.get(path, b"")]


@pytest.fixture
def shelf() -> _Shelf:
    return _Shelf()


@pytest.fixture
def door(shelf: _Shelf) -> S3Door:
    return S3Door(shelf)


def put(door: S3Door, path: str = "/acme/a.pdf", body: bytes = b"%PDF", query: str = "") -> tuple[int, bytes]:
    answer = Client(door).put(path, data=body, query_string=query)
    return answer.status_code, answer.data


@pytest.mark.parametrize(
    ("lie", "status", "code", "written"),
    [
        (Lie.ERROR_AFTER, 500, b"InternalError", True),
        (Lie.EXISTS_AFTER, 412, b"PreconditionFailed", True),
        (Lie.SLOW_DOWN, 503, b"SlowDown", False),
        (Lie.CONFLICT, 409, b"ConditionalRequestConflict", False),
        (Lie.EXISTS, 412, b"PreconditionFailed", False),
    ],
)
def test_a_lie_says_its_word_and_the_object_is_there_or_not(
    door: S3Door, shelf: _Shelf, lie: Lie, status: int, code: bytes, written: bool
) -> None:
    trouble = door.trouble(lie)
    trouble.start()
    answered, body = put(door)

    assert status == answered
    assert b"<Code>" + code + b"</Code>" in body
    assert ({"/acme/a.pdf": b"%PDF"} if written else {}) == shelf.objects
    assert ({"acme/a.pdf": [sha256(b"%PDF").hexdigest()]} if written else {}) == door.writes
    assert 1 == trouble.happened


def test_only_so_many_writes_are_lied_about_each_time(door: S3Door) -> None:
    trouble = door.trouble(Lie.SLOW_DOWN, number=2)
    trouble.start()
    assert [503, 503, 200] == [put(door)[0] for _ in range(3)]
    trouble.start()

    assert [503, 503] == [put(door, "/acme/b.pdf")[0] for _ in range(2)]
    assert 4 == trouble.happened


def test_nothing_is_lied_about_after_the_end(door: S3Door) -> None:
    trouble = door.trouble(Lie.SLOW_DOWN)
    trouble.start()
    trouble.stop()

    assert (200, 0) == (put(door)[0], trouble.happened)


def test_a_share_of_the_writes_is_lied_about(door: S3Door) -> None:
    trouble = door.trouble(Lie.CONFLICT, share=0.5)
    trouble.start()
    refused = sum(put(door, f"/acme/{number}")[0] == 409 for number in range(100))

    assert trouble.happened == refused
    assert 30 < refused < 70


def test_looks_and_parts_of_an_upload_pass_and_its_end_does_not(door: S3Door) -> None:
    door.trouble(Lie.ERROR_AFTER).start()

    assert 200 == Client(door).get("/acme/a.pdf").status_code
    assert 200 == put(door, query="partNumber=1&uploadId=x")[0]
    assert 500 == Client(door).post("/acme/big.pdf", query_string="uploadId=x", data=b"<list/>").status_code
    assert ["acme/big.pdf"] == list(door.writes)


def test_what_the_server_refuses_is_no_write_and_no_lie_is_told_about_it(door: S3Door) -> None:
    put(door)
    trouble = door.trouble(Lie.ERROR_AFTER)
    trouble.start()

    assert (412, b"by the shelf") == put(door)
    assert 0 == trouble.happened
    assert ({}, []) == (door.rewritten(), door.altered())


def test_an_object_that_was_written_twice_is_found_and_so_are_other_bytes(door: S3Door, shelf: _Shelf) -> None:
    for path, bodies in {"/acme/same": (b"1", b"1"), "/acme/other": (b"1", b"2"), "/acme/once": (b"1",)}.items():
        for body in bodies:
            shelf.objects.clear()
            put(door, path, body)

    assert {"acme/same": 2, "acme/other": 2} == door.rewritten()
    assert ["acme/other"] == door.altered()
