import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from tests.guard import secret
from webhook_svc import wiring
from webhook_svc.core.errors import (
    BodyTooLarge,
    EncodedBody,
    NotGenuine,
    Refused,
    StoreUnavailable,
    TooManyRefusals,
    UnknownSource,
    WrongMethod,
)
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.store import Store
from webhook_svc.core.types import RawRequest
from webhook_svc.core.work import Accepted, NewEvent, RefusedCallback
from webhook_svc.pipeline.ingest import HINTS_PER_SOURCE, REFUSED_PER_ADDRESS, Ingest, IngestLimits, judge, masked
from webhook_svc.pipeline.throttle import WINDOW, Throttle

NOW = 1_790_000_000.0
SECRET, TOKEN, OLD_TOKEN = map(secret, ("signing-secret", "new-token", "old-token"))
EVENT = """
[sources.{name}.event]
id = "/id"
type = "/type"
ready = ["done"]
document = "/doc"
[[sources.{name}.download]]
get = "http://127.0.0.1:9/{{document}}"
save = "document"
"""
CONFIGURATION = f"""
[sources.signed]
provider = "generic"
secrets = ["{SECRET}"]
[sources.signed.verify]
alg = "hmac-sha256"
message = "{{body}}"
signature = "header:X-Signature"
{EVENT.format(name="signed")}
[sources.guarded]
provider = "generic"
secrets = ["{SECRET}"]
tokens = ["{TOKEN}", "{OLD_TOKEN}"]
[sources.guarded.verify]
alg = "equal"
signature = "query:key"
{EVENT.format(name="guarded")}
[sources.anybody]
provider = "generic"
[sources.anybody.verify]
alg = "none"
{EVENT.format(name="anybody")}
[sources.asking]
provider = "generic"
secrets = ["{SECRET}"]
[sources.asking.verify]
alg = "equal"
signature = "header:X-Key"
[sources.asking.challenge]
echo = "query:challenge"
{EVENT.format(name="asking")}
[sources.known]
provider = "generic"
addresses = ["203.0.113.0/24", "198.51.100.7", "2001:db8::/32"]
[sources.known.verify]
alg = "none"
[sources.known.challenge]
echo = "query:challenge"
{EVENT.format(name="known")}
[sources.behind]
provider = "generic"
secrets = ["{"AB:" * 31}AB"]
proxies = ["10.0.0.7", "10.0.1.0/24", "2001:db8::/32"]
[sources.behind.verify]
preset = "client-certificate"
{EVENT.format(name="behind")}
"""


class Books:
    """A store that takes everything, or nothing while it is `away`."""

    def __init__(self) -> None:
        self.events: list[NewEvent] = []
        self.refused: list[RefusedCallback] = []
        self.away = False
        self.timeouts: list[float] = []

    def accepting(self, event: NewEvent, timeout: float) -> "Entry":
        self.timeouts.append(timeout)
        return Entry(self, lambda: self.events.append(event), Accepted(event_id=event.id, new=True))

    def refusing(self, refused: RefusedCallback, _keep: int, timeout: float) -> "Entry":
        self.timeouts.append(timeout)
        return Entry(self, lambda: self.refused.append(refused), None)


@dataclass
class Entry:
    """What stands in the books once it was waited for."""

    books: Books
    write: Callable[[], None]
    result: Any

    def wait(self) -> Any:
        if self.books.away:
            raise StoreUnavailable
        self.write()
        return self.result


@pytest.fixture(scope="module")
def sources() -> Any:
    return wiring.service(wiring.configured({"WEBHOOK_SVC_CONFIG_TOML": CONFIGURATION})).parties.sources


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def ingest(sources: Any, books: Books, clock: Any) -> Ingest:
    clock.now = NOW
    return Ingest(sources, cast(Store, books), clock, IngestLimits(accept_timeout=2.5, max_body=100))


def signed(body: bytes = b'{"id": "1"}', **other: Any) -> RawRequest:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return replace(RawRequest(path="/hooks/signed", headers=(("x-signature", signature),), body=body), **other)


# --- who is meant -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("nobody", ""),
        ("signed", "x"),
        ("guarded", ""),
        ("guarded", "x"),
        ("guarded", TOKEN + "x"),
        ("guarded", "\ud800"),
    ],
)
def test_an_unknown_source_and_a_wrong_token_are_the_same_error(ingest: Ingest, name: str, token: str) -> None:
    with pytest.raises(UnknownSource):
        ingest.find(name, token)


@pytest.mark.parametrize("token", [TOKEN, OLD_TOKEN])
def test_each_of_two_tokens_is_right_while_they_are_changed(ingest: Ingest, token: str) -> None:
    assert "guarded" == ingest.find("guarded", token).name


# --- judged -------------------------------------------------------------------------------------------------------


def test_a_genuine_callback_becomes_an_event_of_its_own_bytes(sources: Any) -> None:
    event = judge(sources["signed"], signed(), NOW, 100)
    assert ("1", False, b'{"id": "1"}') == (event.delivery_id, event.hint, event.request.body)
    assert 8 == len(event.verified_by)


def test_a_callback_of_anybody_is_a_hint(sources: Any) -> None:
    assert judge(sources["anybody"], RawRequest(path="/hooks/anybody", body=b"x"), NOW, 100).hint


def test_the_key_of_an_event_is_made_of_source_id_and_bytes(sources: Any) -> None:
    def key(name: str, body: bytes) -> bytes:
        return judge(sources[name], replace(signed(body), query=f"key={SECRET}"), NOW, 100).key

    keys = [key("signed", b'{"id": "1"}'), key("signed", b'{"id": "1"} '), key("anybody", b'{"id": "1"}')]
    assert 3 == len({*keys})
    assert keys[0] == key("signed", b'{"id": "1"}')


@pytest.mark.parametrize(
    ("fate", "other"),
    [
        (WrongMethod, {"method": "GET"}),
        (WrongMethod, {"method": "PUT"}),
        (BodyTooLarge, {"body": b"x" * 101}),
        (NotGenuine, {"headers": ()}),
        (NotGenuine, {"body": b"other"}),
    ],
)
def test_what_is_refused_has_its_class(sources: Any, fate: type[Refused], other: dict[str, Any]) -> None:
    with pytest.raises(fate):
        judge(sources["signed"], replace(signed(), **other), NOW, 100)


@pytest.mark.parametrize("encodings", [["gzip"], ["identity", "gzip"], ["identity, br"], ["GZIP"]])
def test_an_encoded_body_is_refused_although_its_signature_holds(sources: Any, encodings: list[str]) -> None:
    request = signed()
    headers = (*request.headers, *(("content-encoding", one) for one in encodings))
    with pytest.raises(EncodedBody):
        judge(sources["signed"], replace(request, headers=headers), NOW, 100)


@pytest.mark.parametrize("encodings", [["identity"], ["Identity"], [""], []])
def test_a_body_that_says_it_is_not_encoded_is_taken(sources: Any, encodings: list[str]) -> None:
    request = signed()
    headers = (*request.headers, *(("content-encoding", one) for one in encodings))
    assert judge(sources["signed"], replace(request, headers=headers), NOW, 100)


# --- masked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [f"/hooks/guarded/{TOKEN}", f"/hooks/guarded/{TOKEN}/", f"/hooks/%67uarded/{TOKEN}", f"//x/hooks/guarded/{TOKEN}"],
)
def test_what_served_as_a_secret_is_stored_as_a_fingerprint(sources: Any, path: str) -> None:
    request = RawRequest(path=path, query=f"a=1&key={SECRET}", body=b"{}")
    kept = masked(sources["guarded"], request)
    assert TOKEN not in kept.path
    assert SECRET not in kept.query
    assert kept.path.startswith("/hooks/guarded/")
    assert (request.body, True) == (kept.body, kept.query.startswith("a=1&key="))


@pytest.mark.parametrize("token", [TOKEN, OLD_TOKEN])
def test_a_url_token_is_masked_wherever_a_proxy_or_the_sender_repeats_it(sources: Any, token: str) -> None:
    def repeated(shown: str, coded: str, escaped: str) -> RawRequest:
        return RawRequest(
            path=f"/hooks/guarded/{shown}",
            query=f"key=&back=%2Fhooks%2Fguarded%2F{coded}%3Fa",
            headers=(
                ("x-original-url", f"/hooks/guarded/{shown}?a=%20"),
                ("x-forwarded-uri", f"/hooks/guarded/{coded}"),
                ("referer", f"https://us.example/hooks/guarded/{shown}/"),
                ("x-other", "kept"),
            ),
            body=f'{{"callback_url": "https:\\/\\/us.example\\/hooks/guarded/{escaped}?a=\\u0041", "n": 1.0}}'.encode(),
        )

    asked = repeated(token, token.replace("-", "%2D"), token.replace("-", "\\u002d"))
    mark = fingerprint(token)
    assert repeated(mark, mark, mark) == masked(sources["guarded"], asked)


def test_where_nothing_is_to_be_masked_the_request_is_kept_itself(sources: Any) -> None:
    request = signed(body=b'{"url": "\\u0041%20"}')
    assert request is masked(sources["signed"], request)


def test_two_tokens_are_told_apart_when_they_are_masked(sources: Any) -> None:
    paths = {masked(sources["guarded"], RawRequest(path=f"/hooks/guarded/{one}")).path for one in (TOKEN, OLD_TOKEN)}
    assert 2 == len(paths)


# --- received -----------------------------------------------------------------------------------------------------


def test_an_answer_names_the_event_that_is_on_disk(ingest: Ingest, books: Books) -> None:
    answered = ingest.receive(ingest.find("signed", ""), signed(), "203.0.113.9")
    assert (200, ("Webhook-Event", books.events[0].id)) == (answered.reply.status, answered.reply.headers[-1])
    assert [2.5] == books.timeouts


def test_a_handshake_is_answered_and_kept_nowhere(ingest: Ingest, books: Books) -> None:
    request = RawRequest(method="GET", path="/hooks/asking", query="challenge=abc")
    answered = ingest.receive(ingest.find("asking", ""), request, "203.0.113.9")
    assert (b"abc", None) == (answered.reply.body, answered.accepted)
    assert [] == books.events


def test_a_store_that_is_away_is_said_so(ingest: Ingest, books: Books) -> None:
    books.away = True
    with pytest.raises(StoreUnavailable):
        ingest.receive(ingest.find("signed", ""), signed(), "203.0.113.9")


def test_what_is_begun_waits_only_when_it_is_asked_for_the_answer(ingest: Ingest, books: Books) -> None:
    begun = ingest.begin(ingest.find("signed", ""), signed(), "203.0.113.9")
    refusal = ingest.begin(ingest.find("signed", ""), signed(headers=()), "203.0.113.9")
    assert ([], []) == (books.events, books.refused)
    assert callable(begun)
    assert callable(refusal)
    assert begun().accepted == Accepted(event_id=books.events[0].id, new=True)
    with pytest.raises(NotGenuine):
        refusal()
    assert 1 == len(books.refused)


def test_a_refused_callback_is_kept_masked(ingest: Ingest, books: Books) -> None:
    request = RawRequest(path=f"/hooks/guarded/{TOKEN}", query="key=a-wrong-one", body=b"{}")
    with pytest.raises(NotGenuine):
        ingest.receive(ingest.find("guarded", TOKEN), request, "203.0.113.9")
    (kept,) = books.refused
    assert (401, "203.0.113.9", b"{}") == (kept.status, kept.address, kept.request.body)
    assert TOKEN not in str(kept)
    assert "a-wrong-one" not in str(kept)


def test_a_refusal_stays_one_where_the_store_cannot_keep_it(ingest: Ingest, books: Books) -> None:
    books.away = True
    with pytest.raises(NotGenuine):
        ingest.receive(ingest.find("signed", ""), signed(headers=()), "203.0.113.9")
    assert [2.5] == books.timeouts


def test_a_sender_that_gives_up_sooner_waits_less_for_the_store(
    sources: Any, books: Books, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.now = NOW
    monkeypatch.setattr(type(sources["signed"].provider), "deadline", 2.0)
    Ingest(sources, cast(Store, books), clock, IngestLimits()).receive(sources["signed"], signed(), "203.0.113.9")
    assert [1.5] == books.timeouts


@pytest.mark.parametrize("address", ["203.0.113.0", "203.0.113.255", "198.51.100.7", "2001:db8::1", "2001:DB8:0::7"])
def test_a_callback_from_a_network_of_the_source_is_taken(ingest: Ingest, books: Books, address: str) -> None:
    ingest.receive(ingest.find("known", ""), RawRequest(path="/hooks/known", body=b"{}"), address)
    assert ["known"] == [event.source for event in books.events]


STRANGE = ["203.0.112.255", "198.51.100.8", "2001:db9::1", "", "unix", "203.0.113.9, 10.0.0.1"]


@pytest.mark.parametrize("address", STRANGE)
def test_a_callback_from_another_address_is_refused_and_kept(ingest: Ingest, books: Books, address: str) -> None:
    with pytest.raises(NotGenuine) as refusal:
        ingest.receive(ingest.find("known", ""), RawRequest(path="/hooks/known", body=b"{}"), address)
    assert "strange_address" == refusal.value.reason
    assert ([], [(401, "strange_address", address)]) == (
        books.events,
        [(one.status, one.reason, one.address) for one in books.refused],
    )


@pytest.mark.parametrize("peer", ["10.0.0.7", "10.0.1.255", "2001:db8::1"])
def test_a_callback_that_a_proxy_of_the_source_brings_is_taken(ingest: Ingest, books: Books, peer: str) -> None:
    request = RawRequest(path="/hooks/behind", headers=(("client-cert", "ab" * 32),), body=b"{}")
    ingest.receive(ingest.find("behind", ""), request, "203.0.113.9", peer=peer)
    assert ["behind"] == [event.source for event in books.events]
    assert "ab" * 32 not in str(books.events[0].request.headers)


@pytest.mark.parametrize("peer", ["10.0.0.8", "203.0.113.9", "", "unix", "10.0.0.7, 10.0.0.7"])
def test_a_certificate_that_no_proxy_of_the_source_brings_proves_nothing(
    ingest: Ingest, books: Books, peer: str
) -> None:
    request = RawRequest(path="/hooks/behind", headers=(("client-cert", "ab" * 32),), body=b"{}")
    with pytest.raises(NotGenuine) as refusal:
        ingest.receive(ingest.find("behind", ""), request, "10.0.0.7", peer=peer)
    assert ("strange_proxy", []) == (refusal.value.reason, books.events)
    assert [401] == [one.status for one in books.refused]


def test_a_handshake_from_another_address_is_refused_too(ingest: Ingest) -> None:
    request = RawRequest(method="GET", path="/hooks/known", query="challenge=abc")
    with pytest.raises(NotGenuine):
        ingest.receive(ingest.find("known", ""), request, "192.0.2.1")


def test_addresses_of_strangers_are_told_to_wait_in_the_end(ingest: Ingest, books: Books) -> None:
    fates: list[type[Refused]] = []
    for _ in range(REFUSED_PER_ADDRESS + 1):
        with pytest.raises(Refused) as caught:
            ingest.receive(ingest.find("known", ""), RawRequest(path="/hooks/known"), "192.0.2.1")
        fates.append(caught.type)
    assert [NotGenuine] * REFUSED_PER_ADDRESS + [TooManyRefusals] == fates
    assert REFUSED_PER_ADDRESS == len(books.refused)


def refused(ingest: Ingest, address: str) -> type[Refused]:
    with pytest.raises(Refused) as caught:
        ingest.receive(ingest.find("signed", ""), signed(headers=()), address)
    return caught.type


def test_an_address_that_is_refused_too_often_is_told_to_wait(ingest: Ingest, books: Books, clock: Any) -> None:
    fates = [refused(ingest, "203.0.113.9") for _ in range(REFUSED_PER_ADDRESS + 1)]
    assert [NotGenuine] * REFUSED_PER_ADDRESS + [TooManyRefusals] == fates
    assert REFUSED_PER_ADDRESS == len(books.refused)
    assert NotGenuine is refused(ingest, "203.0.113.10")
    assert 200 == ingest.receive(ingest.find("signed", ""), signed(), "203.0.113.9").reply.status
    clock.advance(WINDOW)
    assert NotGenuine is refused(ingest, "203.0.113.9")


def test_too_many_hints_of_one_source_are_told_to_come_later(ingest: Ingest, books: Books) -> None:
    source = ingest.find("anybody", "")
    for number in range(HINTS_PER_SOURCE):
        ingest.receive(source, RawRequest(path="/hooks/anybody", body=b"%d" % number), "203.0.113.9")
    with pytest.raises(TooManyRefusals):
        ingest.receive(source, RawRequest(path="/hooks/anybody", body=b"x"), "203.0.113.10")
    assert HINTS_PER_SOURCE == len(books.events)
    assert [] == books.refused


# --- how much is too much -----------------------------------------------------------------------------------------


@pytest.fixture
def throttle() -> Callable[[str, float], bool]:
    return Throttle(2).allows


def test_a_throttle_allows_so_many_for_each_name_and_forgets_by_the_minute(throttle: Any) -> None:
    assert [True, True, False] == [throttle("a", NOW + second) for second in range(3)]
    assert throttle("b", NOW)
    assert not throttle("a", NOW + WINDOW - 0.1)
    assert throttle("a", NOW + WINDOW)


def test_a_clock_that_is_set_back_does_not_lock_anybody_out(throttle: Any) -> None:
    assert [True, True, False] == [throttle("a", NOW) for _ in range(3)]
    assert throttle("a", NOW - 3600)


def test_the_memory_of_a_throttle_is_bounded() -> None:
    throttle = Throttle(1)
    for number in range(20_000):
        throttle.allows(str(number), NOW)
    assert 10_000 == len(throttle._seen)
    assert not throttle.allows("19999", NOW)
    assert throttle.allows("0", NOW)
