"""Addresses of calls, and links that expire on the way."""

from collections.abc import Iterator
from typing import Any

import pytest

from webhook_svc.core.errors import Permanent, Retryable
from webhook_svc.core.links import address, pdf_name, save_beside, save_document, save_link, seconds_left
from webhook_svc.core.outgoing import Answer, Call, Lacking, Request, Save
from webhook_svc.core.ports import Flow, Step
from webhook_svc.core.types import CERTIFICATE, DOCUMENT, DocumentRef

SAVED = Answer(status=200, sha256="0" * 64, size=9)
DATE = {"date": "Fri, 03 Oct 2025 14:30:00 GMT"}
BESIDE = DocumentRef(id="d", parts=(DOCUMENT, CERTIFICATE))


class Driven:
    """A flow whose `Save` steps are answered in order; `ask` makes a new link each time."""

    def __init__(self, *answers: Answer) -> None:
        self.steps: list[Step] = []
        self._answers = iter(answers)
        self._numbers = iter(range(1, 100))

    def ask(self) -> Flow[str]:
        yield Call(request=Request(url="https://api.test/link"))
        return f"https://files.test/{next(self._numbers)}"

    def run(self, flow: Flow[Any]) -> Any:
        answer: Any = None
        while True:
            try:
                self.steps.append(flow.send(answer))
            except StopIteration as end:
                return end.value
            answer = next(self._answers) if isinstance(self.steps[-1], Save) else Answer(status=200)

    @property
    def saved(self) -> list[str]:
        return [step.request.url for step in self.steps if isinstance(step, Save)]


def saves(driven: Driven) -> Iterator[Save]:
    return (step for step in driven.steps if isinstance(step, Save))


@pytest.mark.parametrize(
    ("path", "query", "url"),
    [
        ((), {}, "https://api.test/v1"),
        (("documents", "a/b c", "file"), {}, "https://api.test/v1/documents/a%2Fb%20c/file"),
        (("list",), {"page[size]": "5", "base": "ü&"}, "https://api.test/v1/list?page%5Bsize%5D=5&base=%C3%BC%26"),
    ],
)
def test_an_address_is_made_of_segments_and_a_query(path: tuple[str, ...], query: dict[str, str], url: str) -> None:
    assert [url, url] == [address(base, *path, **query) for base in ("https://api.test/v1", "https://api.test/v1/")]


def test_a_half_of_a_character_in_a_query_is_not_an_error() -> None:
    assert address("https://api.test", "list", name="\ud800").isascii()


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_an_address_does_not_climb(document: str) -> None:
    with pytest.raises(Permanent):
        address("https://api.test", "documents", document)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_link_that_no_longer_opens_is_asked_for_anew_once(status: int) -> None:
    driven = Driven(Answer(status=status), SAVED)
    assert SAVED == driven.run(save_link("https://files.test/0", driven.ask, DOCUMENT, "x.pdf"))
    assert ["https://files.test/0", "https://files.test/1"] == driven.saved


def test_a_new_link_that_does_not_open_either_is_told() -> None:
    driven = Driven(Answer(status=403), Answer(status=410))
    assert 410 == driven.run(save_link("https://files.test/0", driven.ask, DOCUMENT, "x.pdf")).status


def test_another_error_of_a_link_is_no_reason_for_a_new_one() -> None:
    driven = Driven(Answer(status=500))
    assert 500 == driven.run(save_link("https://files.test/0", driven.ask, DOCUMENT, "x.pdf")).status


def test_what_is_announced_holds_for_both_links() -> None:
    driven = Driven(Answer(status=403), SAVED)
    driven.run(save_link("https://files.test/0", driven.ask, DOCUMENT, "x", sha256="ab", unless=("text/html",)))
    assert [("ab", ("text/html",))] * 2 == [(step.sha256, step.unless) for step in saves(driven)]


def test_a_document_is_saved_from_the_link_that_is_asked_for() -> None:
    driven = Driven(SAVED)
    assert SAVED == driven.run(save_document(driven.ask, "x.pdf"))
    assert [("https://files.test/1", DOCUMENT, False)] == [
        (step.request.url, step.part, step.optional) for step in saves(driven)
    ]


def test_a_document_whose_link_does_not_open_is_retried() -> None:
    driven = Driven(Answer(status=503, headers={"retry-after": "9"}))
    with pytest.raises(Retryable, match="the document's link answered 503") as error:
        driven.run(save_document(driven.ask, "x.pdf"))
    assert 9 == error.value.after


def test_a_part_beside_the_document_is_optional_and_lacks_where_its_link_does_not_open() -> None:
    driven = Driven(Answer(status=500))
    driven.run(save_beside(BESIDE, CERTIFICATE, "https://files.test/0", driven.ask, "certificate.pdf"))
    assert [True] == [step.optional for step in saves(driven)]
    assert Lacking(part=CERTIFICATE, reason="its link answered 500") == driven.steps[-1]


@pytest.mark.parametrize(
    ("until", "headers", "left"),
    [
        ("2025-10-03T14:31:00Z", DATE, 60.0),
        ("2025-10-03T14:29:00Z", DATE, -60.0),
        (None, DATE, float("inf")),
        ("soon", DATE, float("inf")),
        ("2025-10-03T14:31:00Z", {}, float("inf")),
        ("2025-10-03T14:31:00Z", {"date": "garbage"}, float("inf")),
    ],
)
def test_the_life_of_a_link_is_counted_by_its_servers_clock(until: Any, headers: dict[str, str], left: float) -> None:
    assert left == seconds_left(Answer(status=200, headers=headers), until)


@pytest.mark.parametrize(("title", "name"), [("Lease", "Lease.pdf"), ("Lease.pdf", "Lease.pdf"), ("", "document.pdf")])
def test_a_title_names_a_pdf(title: str, name: str) -> None:
    assert name == pdf_name(title)


def test_a_link_that_is_there_already_is_not_asked_for() -> None:
    driven = Driven(SAVED)
    assert SAVED == driven.run(save_document(driven.ask, "x.pdf", link="https://files.test/0"))
    assert (["https://files.test/0"], 1) == (driven.saved, len(driven.steps))
