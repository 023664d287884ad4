"""What many providers share: types of event, answers that are judged, parts that may lack."""

from typing import Any

import pytest

from webhook_svc.core.errors import Ignored, NotReady, Permanent, RenewToken, Retryable, WebhookError
from webhook_svc.core.flow import (
    EventTypes,
    Fates,
    failure,
    forgiving,
    object_in,
    quiet_object,
    segment,
    server_time,
    told,
    told_in,
)
from webhook_svc.core.outgoing import Answer, Lacking
from webhook_svc.core.ports import Flow, Step
from webhook_svc.core.types import CERTIFICATE, DOCUMENT, DocumentRef, Meaning

FATES: Fates = {404: (Permanent, "gone"), 429: (Retryable, "too many"), 503: (NotReady, "being made")}
TYPES = EventTypes(ready=("done",), changed=("again",), terminal=("declined",))
ALONE, BESIDE = (DocumentRef(id="d", parts=parts) for parts in ((CERTIFICATE,), (DOCUMENT, CERTIFICATE)))


@pytest.mark.parametrize(
    ("kind", "meaning", "documents"),
    [
        ("done", Meaning.READY, 1),
        ("again", Meaning.CHANGED, 1),
        ("declined", Meaning.TERMINAL, 1),
        ("viewed", Meaning.OTHER, 0),
    ],
)
def test_an_event_names_its_document_where_its_type_means_something(
    kind: str, meaning: Meaning, documents: int
) -> None:
    event = TYPES.event(kind, lambda: DocumentRef(id="d"), id="e1", at=7.0)
    assert (kind, meaning, "e1", 7.0) == (event.type, event.meaning, event.id, event.at)
    assert [DocumentRef(id="d")] * documents == list(event.documents)


def test_the_document_of_an_event_that_means_nothing_is_not_even_read() -> None:
    def unreadable() -> DocumentRef:
        raise Permanent("no id")

    assert () == TYPES.event("viewed", unreadable).documents
    with pytest.raises(Permanent, match="no id"):
        TYPES.event("done", unreadable)


def test_a_callback_without_a_type_is_not_understood() -> None:
    with pytest.raises(ValueError, match="names no type"):
        TYPES.event("", lambda: DocumentRef(id="d"))


@pytest.mark.parametrize(
    ("status", "fate"),
    [(404, Permanent), (429, Retryable), (503, NotReady), (500, Retryable), (408, Retryable), (418, Permanent)],
)
def test_an_error_status_is_judged_by_the_table_then_by_its_class(status: int, fate: type[WebhookError]) -> None:
    error = failure(Answer(status=status), FATES, "Acme")
    assert fate is type(error)
    assert f"Acme answered {status}: {FATES.get(status, (fate, 'unexpected'))[1]}" == str(error)


def test_a_failure_may_quote_the_sender() -> None:
    said = told("forbidden\r\nX: \x1b[1m" + "y" * 300, 40)
    assert "Acme answered 404: gone (forbidden  X:  [1m" == str(failure(Answer(status=404), FATES, "Acme", said))[:43]
    assert len(said) <= 40


@pytest.mark.parametrize("value", [None, 5, [], {}])
def test_what_is_no_text_is_not_quoted(value: Any) -> None:
    assert "" == told(value)


@pytest.mark.parametrize(
    ("status", "headers", "body", "after"),
    [
        (429, {}, b"", None),
        (429, {"retry-after": "7"}, b"", 7.0),
        (429, {"retry-after": "soon"}, b"", None),
        (429, {"x-ratelimit-reset": "9"}, b"", 9.0),
        (429, {"x-ratelimit-reset": "1790000000"}, b"", None),
        (429, {"x-ratelimit-reset": "1790000009", "date": "Mon, 21 Sep 2026 14:13:20 GMT"}, b"", 9.0),
        (429, {"x-ratelimit-reset": "1789999999", "date": "Mon, 21 Sep 2026 14:13:20 GMT"}, b"", 0.0),
        (429, {"x-ratelimit-reset": "99999999999", "date": "Mon, 21 Sep 2026 14:13:20 GMT"}, b"", None),
        (429, {}, b'{"details": {"retry_after": 3}}', 3.0),
        (429, {}, b'{"details": {"retry_after": -3}}', None),
        (503, {"retry-after": "7"}, b"", 7.0),
        (503, {"x-ratelimit-reset": "9"}, b"", None),
    ],
)
def test_the_pause_that_the_sender_asks_for_is_kept(
    status: int, headers: dict[str, str], body: bytes, after: float | None
) -> None:
    assert after == getattr(failure(Answer(status=status, headers=headers, body=body), FATES, "Acme"), "after", "none")


def test_a_word_may_stand_for_another_status_than_the_one_that_came_with_it() -> None:
    limited = Answer(status=400, headers={"x-ratelimit-reset": "9"})
    error = failure(limited, FATES, "Acme", "LIMIT", meant=429)
    assert (Retryable, "Acme answered 400: too many (LIMIT)") == (type(error), str(error))
    assert isinstance(error, Retryable)
    assert 9.0 == error.after


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("Thu, 01 Jan 1970 00:01:00 GMT", 60.0),
        ("", None),
        ("soon", None),
        ("Fri, 03 Oct 9999999999 14:30:00 GMT", None),
    ],
)
def test_a_server_tells_the_time_or_does_not(date: str, time: float | None) -> None:
    assert time == server_time(Answer(status=200, headers={"date": date}))


def test_an_answer_that_never_came_says_why() -> None:
    error = failure(Answer(status=0, body=b"time-out"), FATES, "Acme")
    assert (Retryable, "time-out") == (type(error), str(error))


@pytest.mark.parametrize("answer", [Answer(status=200, body=b"[]"), Answer(status=200, body=b"<html>")])
def test_an_answer_that_is_no_object_is_asked_for_again(answer: Answer) -> None:
    with pytest.raises(Retryable):
        object_in(answer, FATES, "Acme")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=404, body=b'{"a": 1}'),
        Answer(status=0, body=b"time-out"),
        Answer(status=200, body=b"<html>"),
        Answer(status=200, body=b"[]"),
    ],
)
def test_an_answer_that_nobody_misses_is_empty_where_it_is_wrong(answer: Answer) -> None:
    assert {} == quiet_object(answer)
    assert {"a": 1} == quiet_object(Answer(status=200, body=b'{"a": 1}'))


@pytest.mark.parametrize(("text", "url"), [("a b/c?", "a%20b%2Fc%3F"), ("ü", "%C3%BC"), ("d-1", "d-1")])
def test_an_id_is_one_segment_of_a_url(text: str, url: str) -> None:
    assert url == segment(text)


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_an_id_that_climbs_is_permanent(text: str) -> None:
    with pytest.raises(Permanent):
        segment(text)


def outcome(ref: DocumentRef, error: WebhookError | None = None) -> tuple[list[Step], Any]:
    def flow() -> Flow[str]:
        yield Lacking(part="audit", reason="a step of its own")
        if error is not None:
            raise error
        return "done"

    seen: list[Step] = []
    steps = forgiving(ref, CERTIFICATE, flow())
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen[1:], end.value


ERRORS = [kind("not yet") for kind in (NotReady, Retryable, Permanent, RenewToken, Ignored)]


@pytest.mark.parametrize("error", ERRORS)
def test_the_trouble_of_a_part_beside_the_document_makes_it_lacking(error: WebhookError) -> None:
    assert ([Lacking(part=CERTIFICATE, reason="not yet")], None) == outcome(BESIDE, error)


@pytest.mark.parametrize("error", ERRORS)
def test_the_trouble_of_a_part_that_is_fetched_alone_is_its_fate(error: WebhookError) -> None:
    with pytest.raises(type(error), match="not yet"):
        outcome(ALONE, error)


@pytest.mark.parametrize("ref", [ALONE, BESIDE])
def test_a_part_without_trouble_ends_in_its_value(ref: DocumentRef) -> None:
    assert ([], "done") == outcome(ref)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"message": "err\\r\\nX"}', "err  X"),
        (b'{"message": 5}', ""),
        (b"[]", ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_what_an_error_body_says_is_quoted_where_it_is_text(body: bytes, said: str) -> None:
    assert said == told_in(Answer(status=500, body=body), "message")
