"""One reading of an address: the quick one never understands it otherwise than requests does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.http.address import _PLAIN, Place, carefully, plainly, read


@given(st.from_regex(_PLAIN, fullmatch=True))
def test_what_is_read_at_once_is_what_requests_reads(url: str) -> None:
    assert carefully(url) == plainly(url)


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://api.example/v1/a-b_c~d.pdf?page=2&x=/y", "https://api.example:443", "/v1/a-b_c~d.pdf?page=2&x=/y"),
        ("http://127.0.0.1:8080//a/", "http://127.0.0.1:8080", "//a/"),
        ("HTTPS://API.example", "https://api.example:443", "/"),
        ("http://a.example/x/../y?q=a b#part", "http://a.example:80", "/y?q=a%20b"),
    ],
)
def test_origin_and_target_of_an_address(url: str, origin: str, target: str) -> None:
    place = read(url)
    assert (origin, target) == (place.origin, place.target)
    assert origin == f"{place.scheme}://{place.host}:{place.port}"


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "http://A.example/",
        "http://a.example/.hidden",
        "http://a.example/x/../y",
        "http://a.example/%41",
        "http://a.example/x?",
        "http://a.example/x#part",
        "http://a.example:080/",
        "http://a.example:65536/",
        "http://user@a.example/",
        "http://a.example\\@b.example/",
        "http://[::1]/",
        "http://b\u00fccher.example/",
        " http://a.example/",
        "http://a.example/\n",
        "ftp://a.example/",
    ],
)
def test_whatever_could_be_read_in_two_ways_is_left_to_requests(url: str) -> None:
    found: Place | None = plainly(url)
    assert found is None
