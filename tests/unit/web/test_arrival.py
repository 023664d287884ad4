import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.errors import BodyTooLarge, HeadersTooLarge
from webhook_svc.web.arrival import HEAD_LIMIT, Arrival

LIMIT = 1000
HEAD = b"POST /hooks/a HTTP/1.1\r\nHost: x\r\n"

WHOLE = {
    "no body": b"GET / HTTP/1.1\r\n\r\n",
    "no headers but one": HEAD + b"\r\n",
    "a length": HEAD + b"Content-Length: 3\r\n\r\nabc",
    "a length in other letters": HEAD + b"cOnTeNt-LeNgTh:3\r\n\r\nabc",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
    "chunks that look like an end": HEAD + b"Transfer-Encoding: Chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    "a line before the request": b"\r\n" + HEAD + b"\r\n",
}
REFUSED_BY_THE_PARSER = {
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "length and chunks": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
    "a length that is no number": HEAD + b"Content-Length: 3x\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -3\r\n\r\n",
    "another coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a size that is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "an endless line of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 20_000,
    "endless trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 4000,
}


def arrived(data: bytes, *sizes: int) -> tuple[Arrival, bool]:
    """Fed in pieces of these sizes, the last one again and again."""
    arrival = Arrival(LIMIT, 0.0)
    whole, steps = False, itertools.chain(sizes, itertools.repeat(sizes[-1]))
    while data and not whole:
        step = next(steps)
        whole, data = arrival.feed(data[:step]), data[step:]
    return arrival, whole


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_a_request_is_whole_with_its_last_byte_in_whatever_pieces_it_comes(data: bytes, size: int) -> None:
    arrival, whole = arrived(data, size)
    assert whole
    assert data.removeprefix(b"\r\n") == b"".join(arrival.pieces())
    assert b"" == arrival.rest()


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_a_request_without_its_last_byte_is_not_whole(data: bytes) -> None:
    assert not arrived(data[:-1], 10_000)[1]


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_what_comes_behind_a_request_is_kept_apart(data: bytes) -> None:
    arrival, whole = arrived(data + b"GET /next HTTP", 100_000)
    assert whole
    assert b"GET /next HTTP" == arrival.rest()


@pytest.mark.parametrize("size", [1, 5, 100_000])
@pytest.mark.parametrize("data", REFUSED_BY_THE_PARSER.values(), ids=REFUSED_BY_THE_PARSER)
def test_nobody_waits_for_more_of_what_the_parser_will_refuse(data: bytes, size: int) -> None:
    arrival, whole = arrived(data, size)
    assert whole
    assert data.startswith(b"".join(arrival.pieces()))


def test_a_body_above_the_limit_is_known_by_its_length_alone() -> None:
    with pytest.raises(BodyTooLarge):
        arrived(HEAD + b"Content-Length: 1001\r\n\r\n", 10_000)
    assert arrived(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000, 10_000)[1]


def test_a_chunked_body_above_the_limit_is_known_by_its_sizes() -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(BodyTooLarge):
        arrived(head + b"3e9\r\n", 10_000)
    with pytest.raises(BodyTooLarge):
        arrived(head + b"1\r\nx\r\n" * 1001, 10_000)


def test_what_carries_the_chunks_is_bounded_too() -> None:
    bloated = b"1;" + b"x" * 15_000 + b"\r\nx\r\n"
    with pytest.raises(BodyTooLarge):
        arrived(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + bloated * 20, 4096)


@pytest.mark.parametrize("data", [b"x" * (HEAD_LIMIT + 1), HEAD + b"X: " + b"a" * HEAD_LIMIT + b"\r\n\r\n"])
def test_a_head_above_the_limit_is_refused(data: bytes) -> None:
    with pytest.raises(HeadersTooLarge):
        arrived(data, 4096)


def test_a_sender_is_told_once_to_go_on_and_the_parser_does_not_see_that() -> None:
    arrival, whole = arrived(HEAD + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n", 10_000)
    assert not whole
    assert [True, False] == [arrival.wants_continue(), arrival.wants_continue()]
    assert arrival.feed(b"ab")
    assert HEAD + b"Content-Length: 2\r\n\r\nab" == b"".join(arrival.pieces())


def test_a_sender_that_does_not_wait_is_not_told_to_go_on() -> None:
    assert not arrived(HEAD + b"Content-Length: 2\r\n\r\n", 10_000)[0].wants_continue()


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_no_bytes_break_it(data: bytes, sizes: list[int]) -> None:
    arrival, whole = arrived(data, *sizes)
    assert len(b"".join(arrival.pieces()) + arrival.rest()) == len(arrival)
    assert whole or len(arrival) <= len(data)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_chunks_of_any_content_end_where_they_end(parts: list[bytes], sizes: list[int]) -> None:
    body = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body
    assert not arrived(data[:-1], *sizes)[1]
    arrival, whole = arrived(data, *sizes)
    assert whole
    assert data == b"".join(arrival.pieces())
