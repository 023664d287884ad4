"""Telnyx's flow of requests, answer by answer; and every kind of order against the simulator."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import Client

from webhook_svc.core.errors import DocumentCheckFailed, Ignored, NotReady, Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.outgoing import Answer, Call, Listed, More, Request, Save, Warn
from webhook_svc.core.ports import ANSWER_LIMIT, Http, Step, Steps
from webhook_svc.core.settings import Secret, Url, build
from webhook_svc.core.types import DOCUMENT, DocumentRef, Meaning
from webhook_svc.download.fetch import Fetcher
from webhook_svc.providers.telnyx import Events, Telnyx, TelnyxSettings
from webhook_svc.simulators.telnyx import TelnyxSimulator
from webhook_svc.vault.local import LocalVault

API = "https://api.example.test/v2"
LOA, INVOICE, OTHER = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")
ORDER = "12ade33a-21c0-473b-b055-b3c836e1c292"
REF = DocumentRef(id=LOA, completed=1.0)
SCANNED = {
    "filename": "loa.pdf",
    "content_type": "application/pdf",
    "sha256": "ab" * 32,
    "size": {"unit": "bytes", "amount": 9},
    "status": "verified",
    "av_scan_status": "scanned",
}
SAVED = Answer(status=200, sha256="ab" * 32, size=9)
LINK = "https://bucket.example.test/1?X-Amz-Signature=a"
BASE = "http://sender.example.test"
NOW = 1_760_000_000.0


def telnyx(**changed: Any) -> Telnyx:
    settings = TelnyxSettings(secrets=(Secret("a2V5"),), api_key=Secret("main-key"), api_base=Url(API + "/"))
    return Telnyx("porting", replace(settings, **changed))


def said(content: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=json.dumps(content).encode(), headers=named)


def about(**changed: Any) -> Answer:
    return said({"data": {**SCANNED, **changed}})


def linked(link: Any = LINK) -> Answer:
    return said({"data": {"url": link}})


def errors(code: Any, title: Any) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": title, "detail": "of no concern"}]}


def run(steps: Steps, *answers: Answer) -> list[Step]:
    """Every step, the answers handed out in order to those that ask."""
    left, seen = list(answers), []
    try:
        step = next(steps)
        while True:
            seen.append(step)
            step = steps.send(left.pop(0) if isinstance(step, Call | Save) else Answer(status=0))
    except StopIteration:
        assert [] == left
        return seen


def flow(provider: Telnyx, ref: DocumentRef, *answers: Answer) -> list[Step]:
    return run(provider.steps(ref), *answers)


def order(family: str) -> DocumentRef:
    return DocumentRef(id=ORDER, round="e-1", completed=7.0, hints={"order": family})


def asked(seen: list[Step]) -> list[str]:
    return [step.request.url.removeprefix(API) for step in seen if isinstance(step, Call | Save)]


def named(seen: list[Step]) -> list[str]:
    return [step.ref.id for step in seen if isinstance(step, More)]


# --- a document -------------------------------------------------------------------------------------------------------


def test_the_bytes_are_asked_for_with_the_key_and_announced_as_telnyx_describes_them() -> None:
    first, saved = flow(telnyx(), REF, about(), SAVED)
    assert isinstance(first, Call)
    assert isinstance(saved, Save)
    assert [f"/documents/{LOA}", f"/documents/{LOA}/download"] == asked([first, saved])
    assert [{"Authorization": "Bearer main-key"}] * 2 == [dict(one.request.auth) for one in (first, saved)]
    assert {"Accept": "application/octet-stream"} == saved.request.headers
    assert (DOCUMENT, "loa.pdf", "ab" * 32, "application/pdf") == (
        saved.part,
        saved.name,
        saved.sha256,
        saved.content_type,
    )


def test_by_link_the_bytes_are_asked_for_without_the_key() -> None:
    *_, saved = flow(telnyx(download="link"), REF, about(), linked(), SAVED)
    assert isinstance(saved, Save)
    assert (LINK, {}, {}) == (saved.request.url, dict(saved.request.auth), dict(saved.request.headers))
    assert ("loa.pdf", "ab" * 32, "application/pdf") == (saved.name, saved.sha256, saved.content_type)


def test_a_link_that_storage_refuses_is_asked_for_anew_once() -> None:
    provider, refused = telnyx(download="link"), Answer(status=403, body=b"<Code>AccessDenied</Code>")
    *_, saved = flow(provider, REF, about(), linked(), refused, linked("https://x.test/2"), SAVED)
    assert isinstance(saved, Save)
    assert ("https://x.test/2", "ab" * 32) == (saved.request.url, saved.sha256)
    with pytest.raises(Retryable, match="answered 403"):
        flow(provider, REF, about(), linked(), refused, linked(), refused)


@pytest.mark.parametrize("link", [None, "", 5, ["https://x.test"]])
def test_no_link_where_one_is_due_may_pass(link: Any) -> None:
    with pytest.raises(Retryable, match="no link"):
        flow(telnyx(download="link"), REF, about(), linked(link))


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        ({"av_scan_status": "infected"}, Permanent),
        ({"av_scan_status": "infected", "status": "denied"}, Permanent),
        ({"status": "denied"}, Permanent),
        ({"av_scan_status": "pending_scan"}, NotReady),
        ({"av_scan_status": "not_scanned"}, NotReady),
        ({"av_scan_status": None}, NotReady),
        ({"av_scan_status": ["scanned"]}, NotReady),
    ],
)
def test_what_is_not_fit_is_not_fetched(state: dict[str, Any], fate: type[WebhookError]) -> None:
    with pytest.raises(fate):
        flow(telnyx(), REF, about(**state))


@pytest.mark.parametrize("scan", ["pending_scan", "not_scanned", None])
def test_what_was_not_scanned_can_be_taken_on_demand(scan: Any) -> None:
    assert 2 == len(flow(telnyx(unscanned="take"), REF, about(av_scan_status=scan, status="pending"), SAVED))


def test_what_is_infected_is_never_taken() -> None:
    with pytest.raises(Permanent, match="virus"):
        flow(telnyx(unscanned="take"), REF, about(av_scan_status="infected"))


def test_without_a_hash_the_size_is_compared() -> None:
    assert 2 == len(flow(telnyx(), REF, about(sha256=None), SAVED))
    assert 2 == len(flow(telnyx(), REF, about(sha256=None, size="?"), SAVED))
    with pytest.raises(DocumentCheckFailed, match="9 bytes came where Telnyx names 10"):
        flow(telnyx(), REF, about(sha256=None, size={"unit": "bytes", "amount": 10}), SAVED)


@pytest.mark.parametrize(
    ("answer", "fate", "after"),
    [
        (said(errors("10009", "Authentication failed"), 401), Permanent, None),
        (said(errors("10010", "Authorization failed"), 403), Permanent, None),
        (said({"code": "10005", "title": "Resource not found"}, 404), Unlikely, None),
        (said({}, 408), Retryable, None),
        (said({}, 409), Retryable, None),
        (said({}, 418), Permanent, None),
        (said(errors("10015", "Bad Request"), 422), Permanent, None),
        (said({}, 429), Retryable, None),
        (said({}, 429, retry_after="30"), Retryable, 30.0),
        (said({}, 429, x_ratelimit_reset="17"), Retryable, 17.0),
        (said({}, 429, x_ratelimit_reset="17", retry_after="30"), Retryable, 30.0),
        (said({}, 429, x_ratelimit_reset="1760000000"), Retryable, None),
        (said({}, 429, x_ratelimit_reset="soon"), Retryable, None),
        (said({}, 500), Retryable, None),
        (said({}, 503, retry_after="9"), Retryable, 9.0),
        (said({}, 503, x_ratelimit_reset="9"), Retryable, None),
        (Answer(status=200, body=b"<html>"), Retryable, None),
        (said([]), Retryable, None),
        (said({}), Retryable, None),
        (said({"data": []}), Retryable, None),
    ],
)
def test_each_answer_has_its_fate(answer: Answer, fate: type[WebhookError], after: float | None) -> None:
    for calls in ((answer,), (about(), answer)):
        if len(calls) == 2 and answer.ok:
            continue  # the second one is the file itself
        with pytest.raises(fate) as raised:
            flow(telnyx(), REF, *calls)
        assert (fate, after) == (type(raised.value), getattr(raised.value, "after", None))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (errors("10015", "Bad Request"), "not accepted (10015 Bad Request)"),
        ({"code": "10005", "title": "Resource not found"}, "not accepted (10005 Resource not found)"),
        (errors("10015", "a\r\nb\x00" + "x" * 500), "not accepted (10015 a  b " + "x" * 195 + ")"),
        (errors(10015, ["Bad"]), "not accepted"),
        ({"errors": []}, "not accepted"),
        ("\ud800", "not accepted"),
    ],
)
def test_the_sentence_tells_what_telnyx_says(content: Any, sentence: str) -> None:
    with pytest.raises(Permanent) as raised:
        flow(telnyx(), REF, said(content, 422))
    assert f"Telnyx answered 422: the request is {sentence}" == str(raised.value)


class Api(Http):
    """Answers by the end of the path; the body is the file where one is saved."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        assert limit > 0
        return self._answers[request.url.rpartition("/")[2]]

    def save(self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Any = ()) -> Answer:
        assert not unless
        answer = self.call(request, limit=limit)
        into(answer.body)
        return answer


def fetched(home: Path, content: bytes, **described: Any) -> list[tuple[str, str]]:
    described = {"sha256": hashlib.sha256(content).hexdigest(), **described}
    api = Api({LOA: about(**described), "download": Answer(status=200, body=content)})
    return [(part.name, part.content_type) for part in Fetcher(LocalVault(home)).fetch(telnyx(), api, REF).parts]


def test_a_document_that_is_no_pdf_keeps_its_name_and_type(tmp_path: Path) -> None:
    picture = {"filename": "passport.png", "content_type": "image/png"}
    assert [("passport.png", "image/png")] == fetched(tmp_path, b"\x89PNG", **picture)


def test_other_bytes_than_those_that_telnyx_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentCheckFailed, match="SHA-256"):
        fetched(tmp_path, b"%PDF-1.7\n1\nstartxref\n1\n%%EOF\n", sha256="0" * 64)


# --- an order ---------------------------------------------------------------------------------------------------------


def test_a_porting_order_leads_to_its_letter_invoice_and_additional_documents_each_once() -> None:
    papers = said({"data": {"documents": {"loa": LOA, "invoice": INVOICE.upper()}}})
    more = said({"data": [{"document_id": OTHER}, {"document_id": LOA}, {"document_id": None}, 5]})
    seen = flow(telnyx(), order("porting_order"), papers, more)
    additional = f"/porting_orders/{ORDER}/additional_documents?page%5Bsize%5D=250"
    assert [f"/porting_orders/{ORDER}", additional] == asked(seen)
    assert [LOA, INVOICE, OTHER] == named(seen)


def test_a_document_of_an_order_is_a_signing_of_its_own_whatever_the_order() -> None:
    *_, more = flow(telnyx(), order("portout"), said({"data": [{"document_id": LOA}]}))
    assert More(ref=DocumentRef(id=LOA, completed=7.0)) == more


def test_the_links_of_a_hosted_order_are_sought_by_its_id() -> None:
    seen = flow(telnyx(), order("messaging_hosted_numbers_orders"), said({"data": [{"document_id": LOA}]}))
    [url] = asked(seen)
    assert {"filter[linked_resource_id]": [ORDER], "page[size]": ["250"]} == parse_qs(urlsplit(url).query)
    assert "/document_links" == urlsplit(url).path


def test_a_number_order_whose_callback_names_no_document_is_asked_for_them() -> None:
    needs = [{"field_type": "document", "field_value": LOA}, {"field_type": "document", "field_value": "by post"}]
    seen = flow(
        telnyx(), order("number_order"), said({"data": {"phone_numbers": [{"regulatory_requirements": needs}]}})
    )
    assert ([f"/number_orders/{ORDER}"], [LOA]) == (asked(seen), named(seen))


@pytest.mark.parametrize("rows", [[], [{"document_id": "no-uuid"}], [{"document_id": 5}], [None]])
def test_an_order_without_documents_is_closed(rows: list[Any]) -> None:
    with pytest.raises(Ignored, match=r"the order \(portout\) has no documents"):
        flow(telnyx(), order("portout"), said({"data": rows}))


@pytest.mark.parametrize("family", ["number_order", "messaging_hosted_numbers_orders", "portout", "porting_order"])
@pytest.mark.parametrize(("answer", "fate"), [(said({}, 404), Unlikely), (said({"data": 5}), Retryable)])
def test_an_answer_about_an_order_has_its_fate(family: str, answer: Answer, fate: type[WebhookError]) -> None:
    with pytest.raises(fate):
        flow(telnyx(), order(family), answer)


# --- the list ---------------------------------------------------------------------------------------------------------


def row(event_id: str, order_id: str = ORDER, **webhook: Any) -> dict[str, Any]:
    told = {"event_type": "portout.status_changed", "id": event_id, "occurred_at": "1970-01-01T00:01:40Z"}
    payload = {"id": order_id, "status": "authorized"}
    return {"id": f"d-{event_id}", "status": "failed", "webhook": {**told, "payload": payload, **webhook}}


def page(*rows: Any, pages: Any = 1, total: Any = None) -> Answer:
    return said({"data": rows, "meta": {"total_pages": pages, "total_results": total}})


def listed(*pages: Answer, provider: Telnyx | None = None) -> list[Step]:
    return run((provider or telnyx()).completed_since(90.0), *pages)


def test_the_list_is_asked_for_the_events_that_lead_to_documents_from_hours_before() -> None:
    [url] = asked(run(telnyx().completed_since(6 * 3600 + 90.0), page()))
    types = "number_order.complete,messaging_hosted_numbers_orders.updated,portout.status_changed"
    assert {
        "filter[started_at][gte]": ["1970-01-01T00:01:30Z"],
        "filter[event_type]": [f"{types},porting_order.status_changed"],
        "page[size]": ["20"],
        "page[number]": ["1"],
    } == parse_qs(urlsplit(url).query)


def test_a_callback_that_was_repeated_for_hours_before_the_list_showed_it_is_found() -> None:
    world, first_attempt = World(), NOW
    world.simulator.misbehave("dropped")
    assert [] == world.simulator.finish("d-1")
    newest_seen = first_attempt + 5 * 3600
    assert [world.simulator.id_of("d-1")] == world.listed(newest_seen)


def test_nothing_is_older_than_the_beginning_of_time() -> None:
    [url] = asked(run(telnyx().completed_since(90.0), page()))
    assert ["1970-01-01T00:00:00Z"] == parse_qs(urlsplit(url).query)["filter[started_at][gte]"]


def test_a_row_of_the_list_is_read_like_its_callback() -> None:
    *_, found = listed(page(row("e-1")))
    ref = DocumentRef(id=ORDER, round="e-1", completed=100.0, hints={"order": "portout"})
    assert Listed(ref=ref, completed=100.0) == found


def test_a_row_that_holds_the_whole_envelope_is_read_too() -> None:
    *_, found = listed(page({"webhook": {"data": row("e-1")["webhook"], "meta": {"attempt": 3}}}))
    assert isinstance(found, Listed)
    assert ("e-1", 100.0) == (found.ref.round, found.completed)


def test_a_row_that_is_not_understood_is_told_of_and_hides_no_other() -> None:
    seen = listed(page(5, {"webhook": []}, row("e-1", order_id=".."), row("e-2")))
    assert [Warn(message="3 callbacks in Telnyx's list are not understood")] == [s for s in seen if isinstance(s, Warn)]
    assert ["e-2"] == rounds(seen)


@pytest.mark.parametrize("counted", [True, False])
def test_a_page_of_nothing_but_drafts_does_not_end_the_list(counted: bool) -> None:
    draft = row("e-1", payload={"id": ORDER, "status": "draft"})
    pages = [page(draft, pages=2 if counted else None), page(row("e-2"), pages=2 if counted else None)]
    assert ["e-2"] == rounds(listed(*pages, *([] if counted else [page(pages=None)])))


def test_an_older_event_between_newer_ones_does_not_end_the_list() -> None:
    assert ["e-1", "e-2"] == rounds(listed(page(row("e-1", occurred_at="1970-01-01T00:00:01Z"), row("e-2"))))


def test_a_list_that_became_shorter_is_read_again_from_its_start() -> None:
    first, second = page(row("e-1"), row("e-2"), pages=2, total=4), page(row("e-4"), pages=2, total=3)
    again = page(row("e-2"), row("e-3"), pages=2, total=3)
    assert ["e-1", "e-2", "e-3", "e-4"] == rounds(listed(first, second, again, second))


def rounds(seen: list[Step]) -> list[str]:
    return [step.ref.round for step in seen if isinstance(step, Listed)]


# --- against the simulator --------------------------------------------------------------------------------------------


class World:
    """The simulator behind a test client, and the provider that talks to it."""

    def __init__(self, **changed: Any) -> None:
        self.simulator = TelnyxSimulator(clock=lambda: NOW)
        table = {**self.simulator.source(BASE), **changed}
        table.pop("provider")
        problems: list[Any] = []
        self.provider = Telnyx("porting", build(TelnyxSettings, table, "sources.porting", problems))
        assert [] == problems
        self.client = Client(self.simulator.wsgi())

    def fetch(self, ref: DocumentRef) -> Iterator[bytes]:
        """The documents of the ref, those that an order leads to included."""
        steps = self.provider.steps(ref)
        try:
            step = next(steps)
            while True:
                answer = Answer(status=0)
                if isinstance(step, More):
                    yield from self.fetch(step.ref)
                elif isinstance(step, Call | Save):
                    answer = self.exchange(step.request)
                    if isinstance(step, Save):
                        yield answer.body
                step = steps.send(answer)
        except StopIteration:
            pass

    def listed(self, since: float) -> list[str]:
        """The documents and orders that the list names."""
        steps, found = self.provider.completed_since(since), list[str]()
        with suppress(StopIteration):
            step = next(steps)
            while True:
                found += [step.ref.id] if isinstance(step, Listed) else []
                step = steps.send(self.exchange(step.request) if isinstance(step, Call) else Answer(status=0))
        return found

    def exchange(self, request: Request) -> Answer:
        path, headers = request.url.removeprefix(BASE), {**request.headers, **request.auth}
        with self.client.get(path, base_url=BASE, headers=headers) as response:
            return Answer(status=response.status_code, body=response.data)


KINDS = Events().ready


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_order_brings_all_its_documents(kind: str) -> None:
    world, names = World(), ("loa", "invoice", "csr", "other")
    [callback] = world.simulator.complete_order(kind, *names)
    world.provider.scheme().verify(callback, NOW)
    [event] = world.provider.parse(callback)
    [ref] = event.documents
    assert (kind, Meaning.READY, event.id) == (event.type, event.meaning, ref.round)
    assert [world.simulator.document_bytes(name) for name in names] == list(world.fetch(ref))


def test_the_same_document_in_two_orders_is_one_signing() -> None:
    world = World()
    first, second = (world.simulator.finish("d-1")[-1], world.simulator.finish("d-1")[-1])
    assert world.provider.delivery_id(first) != world.provider.delivery_id(second)
    assert world.provider.parse(first)[0].documents == world.provider.parse(second)[0].documents


def test_the_api_itself_serves_the_same_bytes_as_a_link() -> None:
    world = World(download="direct")
    [event] = world.provider.parse(world.simulator.finish("d-1")[-1])
    assert [world.simulator.document_bytes("d-1")] == list(world.fetch(event.documents[0]))


def test_an_event_that_is_added_to_the_settings_is_looked_up_by_its_links() -> None:
    created = "messaging_hosted_numbers_orders.created"
    world = World(events={"ready": [created]})
    [event] = world.provider.parse(world.simulator.complete_order(created, "loa")[0])
    assert [world.simulator.document_bytes("loa")] == list(world.fetch(event.documents[0]))


# --- settings ---------------------------------------------------------------------------------------------------------


KEYS = (Secret("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),)


@pytest.mark.parametrize("wrong", [{"secrets": ()}, {"tolerance": 0}, {"api_key": Secret("a\nb")}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        telnyx(**{"secrets": KEYS, **wrong}).scheme()


@pytest.mark.parametrize("key", ["a2V5", "no-64!", "ab" * 32, "whsec_a2V5"])
def test_a_key_that_is_no_ed25519_key_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ValueError) as raised:
        telnyx(secrets=(Secret(key),)).scheme()
    assert key not in str(raised.value)


def test_nobody_waits_for_a_certificate() -> None:
    assert frozenset({DOCUMENT}) == telnyx().offers()


def test_the_list_is_read_every_quarter_of_an_hour() -> None:
    assert 900.0 == telnyx().polls_every()
