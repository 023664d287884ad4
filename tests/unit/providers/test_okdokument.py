"""OKdokument's flow of requests, answer by answer."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import Client

from webhook_svc.core.errors import Ignored, NotReady, Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.outgoing import AlsoRound, Answer, Call, Listed, Save, Warn
from webhook_svc.core.ports import Step, Steps
from webhook_svc.core.settings import Secret, Url, build
from webhook_svc.core.types import CERTIFICATE, DOCUMENT, DocumentRef, Meaning, RawRequest
from webhook_svc.providers.okdokument import Events, Okdokument, OkdokumentSettings
from webhook_svc.simulators.okdokument import OkdokumentSimulator

API = "https://okdokument.example.test"
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
REF = DocumentRef(id="y7Ki_u1m rUw/1", round="1d58a59e")
SIGNED_AT = 1_655_814_644.0  # 2022-06-21 14:30:44 in Bratislava, as the vendor's own example has it
DATE = {"date": "Tue, 21 Jun 2022 12:31:00 GMT"}
SIX_DAYS_LATER = {"date": "Mon, 27 Jun 2022 12:30:44 GMT"}
EIGHT_DAYS_LATER = {"date": "Wed, 29 Jun 2022 12:30:44 GMT"}
ELEVEN_DAYS_LATER = {"date": "Sat, 02 Jul 2022 12:30:44 GMT"}
SAVED = Answer(status=200, sha256="0" * 64, size=9)
NOT_FOUND = b'{"message": "err.not.found", "value": "y7Ki_u1m"}'


def okdokument(**changed: Any) -> Okdokument:
    settings = OkdokumentSettings(secrets=(Secret(TOKEN),), api_key=Secret("key-of-the-api"), api_base=Url(API + "/"))
    return Okdokument("contracts", replace(settings, **changed))


def metadata(headers: Mapping[str, str] = DATE, **changed: Any) -> Answer:
    found = {
        "filename": "Lease.pdf",
        "state": "signed",
        "modification": "2022-06-21 14:30:44",
        "id": REF.id,
        "date": 1_655_814_644_472,
    }
    return Answer(status=200, headers=headers, body=json.dumps({**found, **changed}).encode())


def run(steps: Steps, *answers: Answer) -> list[Step]:
    """Every step, the answers handed out in order to those that ask."""
    left, seen, answer = list(answers), [], Answer(status=0)
    try:
        step = next(steps)
        while True:
            seen.append(step)
            answer = left.pop(0) if isinstance(step, Call | Save) else Answer(status=0)
            step = steps.send(answer)
    except StopIteration:
        assert [] == left
        return seen


def fetched(*answers: Answer, **changed: Any) -> list[Step]:
    return run(okdokument(**changed).steps(REF), *answers)


def warnings(steps: list[Step]) -> list[str]:
    return [step.message for step in steps if isinstance(step, Warn)]


def callback(**said: Any) -> RawRequest:
    return RawRequest(query=f"token={TOKEN}", body=json.dumps(said).encode())


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_the_callback_is_answered_with_200() -> None:
    assert 200 == okdokument().acknowledge(callback()).status


def test_the_rounds_of_one_document_are_signings_of_their_own() -> None:
    told = [okdokument().parse(callback(state="signed", id="d", signatureRequestId=one)) for one in ("r-1", "r-2")]
    assert [("d", "r-1"), ("d", "r-2")] == [(ref.id, ref.round) for [event] in told for ref in event.documents]


def test_another_state_of_the_same_request_is_another_event() -> None:
    told = [callback(state=state, id="d", signatureRequestId="r") for state in ("canceled", "signed")]
    assert 2 == len({okdokument().delivery_id(one) for one in told})


def test_an_id_with_a_slash_is_no_other_request() -> None:
    told = [callback(state="signed", id=one, signatureRequestId=two) for one, two in (("a/b", "c"), ("b", "c/a"))]
    assert 2 == len({okdokument().delivery_id(one) for one in told})


@pytest.mark.parametrize("body", [b"state=signed", "{ “state”: “signed” }".encode()])
def test_bytes_that_are_no_json_are_not_understood(body: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON: it goes wrong at character "):
        okdokument().parse(RawRequest(body=body))


@pytest.mark.parametrize(("other", "meaning"), [("confirm", Meaning.READY), ("ignore", Meaning.OTHER)])
def test_a_state_that_nobody_wrote_of_is_confirmed_or_ignored(other: Any, meaning: Meaning) -> None:
    provider = okdokument(events=Events(other=other))
    [event] = provider.parse(callback(state="archived", id="d", signatureRequestId="r"))
    assert meaning is event.meaning


def test_without_secrets_the_url_must_hold_a_token_unless_anybody_may_call() -> None:
    cases: tuple[dict[str, Any], ...] = ({}, {"secrets": ()}, {"secrets": (), "allow_anybody": True})
    assert [False, True, False] == [okdokument(**case).needs_url_token() for case in cases]
    assert [True, False, False] == [okdokument(**case).scheme().signs for case in cases]


def test_the_token_in_the_query_is_stored_as_a_fingerprint() -> None:
    masked = okdokument().scheme().mask(callback())
    assert TOKEN not in masked.query


@pytest.mark.parametrize(
    ("changed", "warned"),
    [
        ({}, ""),
        ({"secrets": (), "allow_anybody": True}, "`allow_anybody`"),
        ({"secrets": (Secret("short"),)}, "short that it could be guessed"),
        ({"signed": ("signed", "errorsendinfo")}, "what a signer canceled may be forwarded"),
    ],
)
def test_what_guards_little_is_warned_about(changed: dict[str, Any], warned: str) -> None:
    found = okdokument(**changed).warnings()
    assert bool(warned) == bool(found)
    assert warned in " ".join(found)


# --- the document -----------------------------------------------------------------------------------------------------


def test_the_metadata_is_asked_first_and_the_document_with_the_same_key() -> None:
    asked, *_, saved = fetched(metadata(), SAVED)
    assert isinstance(asked, Call)
    assert isinstance(saved, Save)
    assert f"{API}/JSON/document/metadata/y7Ki_u1m%20rUw%2F1" == asked.request.url
    assert f"{API}/JSON/document/y7Ki_u1m%20rUw%2F1" == saved.request.url
    assert [{"x-api-key": "key-of-the-api"}] * 2 == [asked.request.auth, saved.request.auth]


def test_what_is_fetched_is_known_where_the_list_names_it() -> None:
    simulator = OkdokumentSimulator()
    assert simulator.finish("d-1")
    client, key = Client(simulator.wsgi()), {"x-api-key": simulator.api_key}
    paths = ("list/flat?state=signed", "list/flat?state=errorsendinfo", "document/metadata/d-1")
    signed, untold, details = (Answer(status=200, body=client.get(f"/JSON/{path}", headers=key).data) for path in paths)
    listed = [step for step in run(okdokument().completed_since(0.0), signed, untold) if isinstance(step, Listed)]
    steps = run(okdokument().steps(DocumentRef(id="d-1", round="r")), details, SAVED)
    assert [step.round for step in steps if isinstance(step, AlsoRound)] == [one.ref.round for one in listed] != []


@pytest.mark.parametrize("base", [API, API + "/", API + "/JSON", API + "/JSON/"])
def test_the_address_of_the_api_may_be_written_with_and_without_its_json(base: str) -> None:
    asked, *_ = fetched(metadata(), SAVED, api_base=Url(base))
    assert isinstance(asked, Call)
    assert asked.request.url.startswith(f"{API}/JSON/document/metadata/")


def test_the_bytes_are_judged_and_not_the_content_type_that_is_announced() -> None:
    *_, saved = fetched(metadata(), SAVED)
    assert isinstance(saved, Save)
    assert (DOCUMENT, "application/pdf", ()) == (saved.part, saved.content_type, saved.unless)


@pytest.mark.parametrize(
    ("filename", "name"),
    [("Lease.pdf", "Lease.pdf"), ("Lease.docx", "Lease.docx.pdf"), (None, "document.pdf"), (5, "document.pdf")],
)
def test_the_file_is_named_like_the_metadata_say_and_a_pdf(filename: Any, name: str) -> None:
    *_, saved = fetched(metadata(filename=filename), SAVED)
    assert name == getattr(saved, "name", None)


def test_errorsendinfo_is_a_persons_to_decide_unless_the_settings_say_that_it_is_signed() -> None:
    with pytest.raises(Unlikely, match="whether the signer submitted or canceled is not known") as raised:
        fetched(metadata(state="errorsendinfo"))
    assert "add errorsendinfo to `signed`" in str(raised.value)
    *_, saved = fetched(metadata(state="errorsendinfo"), SAVED, signed=("signed", "errorsendinfo"))
    assert isinstance(saved, Save)


def test_a_document_that_okdokument_knows_by_another_id_is_not_fetched_under_the_one_in_the_callback() -> None:
    with pytest.raises(Permanent, match="by another id"):
        fetched(metadata(id=REF.id.upper()))
    *_, saved = fetched(metadata(id=None), SAVED)
    assert isinstance(saved, Save)


@pytest.mark.parametrize("state", ["tosign", "tostamp", "tags", "new in 2027", None, 5, ["signed"]])
def test_a_document_that_the_api_does_not_call_signed_is_waited_for(state: Any) -> None:
    with pytest.raises(NotReady, match="does not call the document signed"):
        fetched(metadata(state=state))


@pytest.mark.parametrize("state", ["canceled", "cancelled"])
def test_a_document_that_was_canceled_is_ignored(state: str) -> None:
    with pytest.raises(Ignored, match=state):
        fetched(metadata(state=state))


@pytest.mark.parametrize(
    ("answer", "fate", "after"),
    [
        (Answer(status=401), Permanent, None),
        (Answer(status=403), Permanent, None),
        (Answer(status=404, body=NOT_FOUND), Unlikely, None),
        (Answer(status=418), Permanent, None),
        (Answer(status=429, headers={"retry-after": "9"}), Retryable, 9.0),
        (Answer(status=500), Retryable, None),
        (Answer(status=502), Retryable, None),
        (Answer(status=503, headers={"retry-after": "9"}), Retryable, 9.0),
        (Answer(status=200, body=b"<html>"), Retryable, None),
        (Answer(status=200, body=b"[]"), Retryable, None),
    ],
)
def test_each_answer_of_the_metadata_call_has_its_fate(
    answer: Answer, fate: type[WebhookError], after: float | None
) -> None:
    with pytest.raises(fate) as raised:
        fetched(answer)
    assert fate is type(raised.value)
    assert after == getattr(raised.value, "after", None)


def test_an_unknown_document_says_what_that_may_mean_and_what_the_api_said() -> None:
    with pytest.raises(Retryable) as raised:
        fetched(Answer(status=404, body=NOT_FOUND))
    said = str(raised.value)
    assert "answered 404" in said
    assert [] == [
        word for word in ("ten days", "another account", "forged callback", "err.not.found") if word not in said
    ]


def test_a_long_or_wild_message_of_the_api_is_cut_and_made_printable() -> None:
    body = json.dumps({"message": "err\r\nX: y\x00" + "x" * 5_000}).encode()
    with pytest.raises(Retryable) as raised:
        fetched(Answer(status=500, body=body))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400


# --- ten days ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "warned"),
    [
        (DATE, ""),
        (SIX_DAYS_LATER, ""),
        (EIGHT_DAYS_LATER, "it is deleted at OKdokument in about 2.0 days"),
        (ELEVEN_DAYS_LATER, "OKdokument deletes it any moment"),
        ({}, ""),
        ({"date": "garbage"}, ""),
    ],
)
def test_a_fetch_warns_when_the_document_is_soon_deleted(headers: Mapping[str, str], warned: str) -> None:
    found = warnings(fetched(metadata(headers), SAVED))
    assert bool(warned) == bool(found)
    assert warned in " ".join(found)


def test_how_long_a_document_is_kept_and_when_to_warn_are_settings() -> None:
    assert [] != warnings(fetched(metadata(DATE), SAVED, kept_days=2.0))
    assert [] != warnings(fetched(metadata(SIX_DAYS_LATER), SAVED, warn_days=5.0))
    assert [] == warnings(fetched(metadata(EIGHT_DAYS_LATER), SAVED, warn_days=0.0))


def test_the_zone_of_the_time_is_a_setting() -> None:
    assert "2.1 days" in warnings(fetched(metadata(EIGHT_DAYS_LATER), SAVED, time_zone="UTC"))[0]


def test_a_time_with_a_zone_of_its_own_keeps_it() -> None:
    written = metadata(EIGHT_DAYS_LATER, modification="2022-06-21T08:30:44-04:00")
    assert "2.0 days" in warnings(fetched(written, SAVED))[0]


@pytest.mark.parametrize("modification", [None, "", "yesterday", 5, [], "9999-12-31 23:59:59", "0001-01-01 00:00:00"])
def test_a_time_that_cannot_be_read_stops_no_fetch(modification: Any) -> None:
    steps = fetched(metadata(EIGHT_DAYS_LATER, modification=modification, date="?"), SAVED)
    assert [] == warnings(steps)


def test_where_the_time_cannot_be_read_the_number_beside_it_counts() -> None:
    assert "2.0 days" in warnings(fetched(metadata(EIGHT_DAYS_LATER, modification="?"), SAVED))[0]


def test_a_download_that_fails_says_how_long_there_is_still_something_to_fetch() -> None:
    with pytest.raises(Retryable, match=r"answered 500.*it is deleted at OKdokument in about 4\.0 days"):
        fetched(metadata(SIX_DAYS_LATER), Answer(status=500))


# --- the list ---------------------------------------------------------------------------------------------------------


def row(document: Any, at: str = "2022-06-21 14:30:44", state: str = "signed", **more: Any) -> dict[str, Any]:
    return {"filename": f"{document}.pdf", "state": state, "modification": at, "id": document, **more}


def page(rows: Any) -> Answer:
    return Answer(status=200, body=json.dumps(rows).encode())


def listed(*lists: Any, when: float = SIGNED_AT) -> list[Step]:
    return run(okdokument().completed_since(when), *map(page, lists))


def test_both_states_of_signed_documents_are_listed() -> None:
    seen = listed([row("a")], [row("b", state="errorsendinfo")])
    urls = [step.request.url for step in seen if isinstance(step, Call)]
    assert [f"{API}/JSON/list/flat?state=signed", f"{API}/JSON/list/flat?state=errorsendinfo"] == urls
    assert [("a", "a", SIGNED_AT), ("b", "b", SIGNED_AT)] == [
        (step.ref.id, step.ref.name, step.completed) for step in seen if isinstance(step, Listed)
    ]


def test_a_listed_round_is_named_by_state_and_time() -> None:
    seen = listed([row("a")], [row("a", state="errorsendinfo")])
    assert ["listed signed 2022-06-21 14:30:44", "listed errorsendinfo 2022-06-21 14:30:44"] == [
        step.ref.round for step in seen if isinstance(step, Listed)
    ]


def test_a_wrong_zone_makes_no_document_older_than_the_look() -> None:
    in_utc = row("a", "2022-06-21 12:30:44", date=1_655_814_644_000)
    assert [SIGNED_AT] == [step.completed for step in listed([in_utc], []) if isinstance(step, Listed)]


def test_another_round_is_listed_as_another_signing() -> None:
    seen = [*listed([row("a")], []), *listed([row("a", "2022-06-22 08:00:00")], [])]
    assert 2 == len({step.ref.round for step in seen if isinstance(step, Listed)})


def test_what_is_older_is_left_out_and_what_names_no_time_is_not() -> None:
    seen = listed([row("old", "2022-06-21 14:30:43"), row("new"), row("timeless", "?")], [])
    assert ["new", "timeless"] == [step.ref.id for step in seen if isinstance(step, Listed)]


def test_callbacks_that_okdokument_could_not_deliver_are_warned_about_once() -> None:
    late = [row("b", state="errorsendinfo"), row("c", state="errorsendinfo"), row("o", "2000-01-01 00:00:00")]
    [warning] = warnings(listed([row("a")], late))
    assert "(errorsendinfo): 2, such as b" in warning
    assert [] == warnings(listed([row("a")], []))


def test_a_server_that_ignores_the_filter_brings_no_unsigned_document() -> None:
    everything = [row("a"), row("b", state="tosign"), row("c", state="errorsendinfo")]
    seen = listed(everything, everything)
    assert ["a", "c"] == [step.ref.id for step in seen if isinstance(step, Listed)]


def test_rows_that_name_no_document_are_left_out() -> None:
    assert [] == [step for step in listed([5, None, [], {}, row(7), row("")], []) if isinstance(step, Listed)]


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (Answer(status=401), Permanent),
        (Answer(status=500), Retryable),
        (Answer(status=200, body=b"{}"), Retryable),
        (Answer(status=200, body=b"<html>"), Retryable),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error(answer: Answer, fate: type[WebhookError]) -> None:
    with pytest.raises(fate):
        run(okdokument().completed_since(0.0), answer)


def test_the_list_is_read_once_an_hour() -> None:
    assert 3600.0 == okdokument().polls_every()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_it_brings_the_document_alone() -> None:
    assert {DOCUMENT} == okdokument().offers()
    assert [] == run(okdokument().steps(replace(REF, parts=(CERTIFICATE,))))


def test_the_address_of_the_api_has_no_default() -> None:
    problems: list[Any] = []
    build(OkdokumentSettings, {"api_key": "k", "secrets": [TOKEN]}, "sources.contracts", problems)
    assert ["sources.contracts.api_base"] == [problem.where for problem in problems]


@pytest.mark.parametrize(
    "wrong",
    [
        {"allow_anybody": True},
        {"signed": ()},
        {"signed": ("signed", "canceled")},
        {"kept_days": 0.0},
        {"kept_days": float("nan")},
        {"kept_days": float("inf")},
        {"api_key": Secret("a\nb")},
        {"time_zone": "Europe/Bratislave"},
        {"time_zone": "Europe"},
        {"time_zone": "../../etc/passwd"},
        {"time_zone": ""},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        okdokument(**wrong)


# --- the simulator ----------------------------------------------------------------------------------------------------


def asked(simulator: OkdokumentSimulator, path: str) -> Any:
    with Client(simulator.wsgi()).get(path, headers={"x-api-key": simulator.api_key}) as response:
        return response.get_json()


def test_the_simulators_document_returns_in_a_second_round_with_other_bytes() -> None:
    simulator = OkdokumentSimulator()
    [first] = simulator.finish("d-1")
    before = simulator.document_bytes("d-1")
    [second] = simulator.finish("d-1")
    assert before != simulator.document_bytes("d-1")
    told = [json.loads(one.body) for one in (first, second)]
    assert ["d-1", "d-1"] == [one["id"] for one in told]
    assert 2 == len({one["signatureRequestId"] for one in told})


def test_a_signing_that_the_simulator_cancels_is_told_and_shown_as_canceled() -> None:
    simulator = OkdokumentSimulator()
    [told] = simulator.cancel("d-1")
    assert "canceled" == json.loads(told.body)["state"]
    assert "canceled" == asked(simulator, "/JSON/document/metadata/d-1")["state"]


@pytest.mark.parametrize(("quirk", "state"), [("dropped", "signed"), ("callback_failed", "errorsendinfo")])
def test_a_callback_that_the_simulator_loses_or_cannot_deliver_leaves_its_document_in_the_list(
    quirk: str, state: str
) -> None:
    simulator = OkdokumentSimulator()
    simulator.misbehave(quirk)
    assert [] == simulator.finish("d-1")
    assert ["d-1"] == [one["id"] for one in asked(simulator, f"/JSON/list/flat?state={state}")]
    assert ["d-1"] == [one["id"] for one in asked(simulator, "/JSON/list/flat?state=*")]
