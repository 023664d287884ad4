"""A raw HTTP request out of a file: every byte of the body, and one sentence for everything else."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.rawhttp import length_note, parse_request, raw_text
from webhook_svc.core.types import RawRequest


def test_request_line_headers_and_body_are_taken_apart() -> None:
    raw = b"POST /hooks/x?a=1&b HTTP/1.1\r\nHost: h\r\nX-Signature:  v1=ab \r\n\r\n{}"
    headers = (("host", "h"), ("x-signature", "v1=ab"))
    assert RawRequest(path="/hooks/x", query="a=1&b", headers=headers, body=b"{}") == parse_request(raw)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_header_lines_may_end_in_either_way(end: bytes) -> None:
    raw = end.join([b"POST /x HTTP/1.1", b"A: 1", b"", b"body\nand\r\nmore"])
    found = parse_request(raw)
    assert (b"body\nand\r\nmore", "1") == (found.body, found.header("a"))


def test_the_body_keeps_the_line_break_at_its_end() -> None:
    assert b'{"a": 1}\r\n' == parse_request(b'POST / HTTP/1.1\n\n{"a": 1}\r\n').body


def test_a_whole_address_in_the_request_line_is_path_and_query() -> None:
    found = parse_request(b"POST https://h.example/hooks/x?q=1 HTTP/1.1\n\n")
    assert ("/hooks/x", "q=1") == (found.path, found.query)


def test_a_header_that_stands_twice_is_kept_twice() -> None:
    assert ["1", "2"] == parse_request(b"POST / HTTP/1.1\nA: 1\na: 2\n\n").header_all("a")


def test_header_bytes_beyond_ascii_are_latin_1() -> None:
    assert "caf\xe9" == parse_request(b"POST / HTTP/1.1\nA: caf\xe9\n\n").header("a")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"POST / HTTP/1.1\nA: 1\n", "no empty line ends the headers"),
        (b'{"a": 1}\n\n', "the first line is no request line"),
        (b"POST http://[ HTTP/1.1\n\n", "no usable address"),
        (b"POST / HTTP/1.1\nA: 1\n folded\n\n", "line 3 is no header"),
        (b"POST / HTTP/1.1\nA : 1\n\n", "line 2 is no header"),
        (b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n0\r\n\r\n", "transfer encoding"),
    ],
)
def test_what_is_no_request_is_told_in_a_sentence(raw: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_request(raw)


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ("3", "the body has 2 bytes, its Content-Length says 3"),
        ("2", ""),
        ("002", ""),
        ("x", ""),
        ("9" * 50, "9" * 20),
    ],
)
def test_a_wrong_content_length_is_noted(said: str, note: str) -> None:
    found = length_note(RawRequest(headers=(("content-length", said),), body=b"{}"))
    assert note in found
    assert bool(note) == bool(found)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_value_error(raw: bytes) -> None:
    for beginning in (b"", b"POST / HTTP/1.1\n", b"POST /"):
        with suppress(ValueError):
            assert (beginning + raw).endswith(parse_request(beginning + raw).body)


def test_a_request_that_is_written_out_is_read_as_it_was() -> None:
    headers = (("x-signature", "t=1,v1=ab"), ("x-name", "caf\xe9"), ("x-signature", "twice"))
    request = RawRequest(path="/hooks/contracts", query="a=1&b=%20", headers=headers, body=b"\r\n\x00\xff{}")

    assert request == parse_request(raw_text(request))


@pytest.mark.parametrize("length", [(), (("content-length", "7"),)])
def test_a_request_that_came_in_chunks_is_written_out_with_its_length(length: tuple[tuple[str, str], ...]) -> None:
    request = RawRequest(headers=(("transfer-encoding", "chunked"), *length, ("x", "y")), body=b"{}")

    assert (("x", "y"), ("content-length", "2")) == parse_request(raw_text(request)).headers
    assert b"{}" == parse_request(raw_text(request)).body
