"""The small PDF is one: every object stands where its table says."""

import re

import pytest

from webhook_svc.simulators.mark import MARK
from webhook_svc.simulators.pdf import pdf


@pytest.mark.parametrize("title", ["Lease", "", "a (b) \\ c\r\n", "Vertrag über 5 €", "契約 😀", "\ud800", "x" * 5_000])
@pytest.mark.parametrize("size", [0, 50_000])
def test_the_table_points_at_every_object(title: str, size: int) -> None:
    content = pdf(title, size=size)
    assert len(content) >= size
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n\Z", content)[1])  # type: ignore[index]  # None fails the test
    table = content[start:].split(b"trailer")[0].splitlines()
    first, count = map(int, table[1].split())
    offsets = [int(line.split()[0]) for line in table[3:]]
    assert (0, len(offsets) + 1) == (first, count)
    assert [True] * len(offsets) == [
        content[offset:].startswith(b"%d 0 obj\n" % number) for number, offset in enumerate(offsets, 1)
    ]


def test_streams_are_as_long_as_they_say() -> None:
    content = pdf("Lease", size=10_000)
    for length, body in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", content, re.DOTALL):
        assert int(length) == len(body)


def test_the_title_stands_on_the_page() -> None:
    assert rb"(Lease \050draft\051) Tj" in pdf("Lease (draft)")


def test_the_page_says_the_mark_by_which_leaks_are_found() -> None:
    assert f"({MARK}) Tj".encode() in pdf("Lease")
