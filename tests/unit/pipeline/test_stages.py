"""The fetch stage: what is fetched, what goes out, what waits, and what a person has to decide."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest

from webhook_svc.core.errors import ArtifactLost, Held, Ignored, NotReady, Permanent, Retryable
from webhook_svc.core.outcomes import Closed, Fetched, Outcome, Parsed
from webhook_svc.core.outgoing import Lacking
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.core.routing import Route
from webhook_svc.core.template import Template
from webhook_svc.core.types import Artifact, DocumentRef, Job, Meaning, Part, RawRequest, SourceEvent, Stage
from webhook_svc.core.work import EventRow, Haul, PartRow, Sent, SigningRow
from webhook_svc.pipeline.parties import Parties, Source, Target
from webhook_svc.pipeline.stages import Stages, _Memory

DAY = 86400.0


def part(kind: str, content: str = "1") -> Part:
    return Part(kind=kind, name=f"{kind}.pdf", sha256=content * 64, size=9)


DEED, CERTIFICATE = part("document"), part("certificate", "2")
ROW = SigningRow(
    id="sgn_1",
    source="contracts",
    ref=DocumentRef(id="d1"),
    state="fetching",
    wanted=1,
    fetched=0,
    change=0,
    version=0,
    released=False,
    created=1000.0,
    parts=(),
    supplements=0,
)
LATER = replace(ROW, version=1, fetched=1, wanted=2, parts=(PartRow(part=DEED, version=1, supplement=None),))
WENT = Sent(sink="archive", waiting=False, contents=frozenset({("document", "document.pdf")}))
WAITING = (replace(WENT, waiting=True),)
SENT = replace(LATER, parts=(PartRow(part=DEED, version=1, supplement=0),), supplements=1, sent=(WENT,))


class Memory(SimpleNamespace):
    """A vault without some hashes; what is written is of a length alone."""

    def __init__(self, lost: frozenset[str], damaged: frozenset[str], discarded: list[str]) -> None:
        super().__init__(has=lambda sha256: sha256 not in lost, discard=discarded.append)
        self._damaged = damaged

    def open(self, artifact: Artifact) -> BytesIO:
        if artifact.sha256 in self._damaged:
            raise ArtifactLost("damaged")
        return BytesIO(b"123456789")

    @contextmanager
    def writer(self) -> Iterator[Any]:
        written = BytesIO()
        yield SimpleNamespace(write=written.write, commit=lambda: _artifact(written.getvalue()))


def _artifact(content: bytes) -> Artifact:
    return Artifact(sha256=sha256(content).hexdigest(), size=len(content))


@dataclass
class World:
    """A provider that serves `haul` (or raises it), a vault that lost `lost`, and a clock."""

    haul: Haul | Exception = field(default_factory=lambda: Haul(parts=(DEED, CERTIFICATE)))
    lost: frozenset[str] = frozenset()
    now: float = 1000.0
    wait: float = 600.0
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    most: int | None = None
    zipped: bool = False
    damaged: frozenset[str] = frozenset()
    discarded: list[str] = field(default_factory=list)
    sinks: tuple[str, ...] = ("archive",)
    routes: tuple[Route, ...] = ()
    parts: tuple[str, ...] = ("document", "certificate")
    spoken: list[EventRow] = field(default_factory=list)

    def fetch(self, _provider: Any, _http: Any, ref: DocumentRef, *, check: bool = True) -> Haul:  # noqa: ARG002
        self.asked.append(ref.parts)
        if isinstance(self.haul, Exception):
            raise self.haul
        return self.haul

    def run(self, row: SigningRow) -> Fetched:
        outcome = self.stages(row).fetch(job())
        assert isinstance(outcome, Fetched)
        return outcome

    def stages(self, row: SigningRow) -> Stages:
        events = {f"evt_{number}": one for number, one in enumerate(self.spoken)}
        store: Any = SimpleNamespace(signing=lambda _id: row, spoken=lambda _id: list(events), event=events.get)
        vault: Any = Memory(self.lost, self.damaged, self.discarded)
        fetcher: Any = self
        nothing: Any = SimpleNamespace(max_path=1024, max_bytes=self.most)
        source = Source(
            name="contracts",
            provider=nothing,
            scheme=nothing,
            http=nothing,
            sinks=self.sinks,
            wait_for_parts=self.wait,
            parts=self.parts,
        )
        target = Target(name="archive", sink=nothing, path=Template.parse("{document}/{filename}"), zipped=self.zipped)
        sinks = {name: replace(target, name=name) for name in ("archive", "legal")}
        parties = Parties(sources={"contracts": source}, sinks=sinks, routes=self.routes)
        return Stages(
            parties=parties, store=store, vault=vault, fetcher=fetcher, policy=self.policy, clock=lambda: self.now
        )


def job() -> Job:
    return Job(id="job_1", lane="source:contracts", stage=Stage.FETCH, ref="sgn_1", claim=1, tries=0, created=1000.0)


def kinds(outcome: Fetched) -> list[list[str]]:
    return [[one.kind for one in delivery.parts] for delivery in outcome.deliveries]


def test_everything_at_once_is_one_bundle_with_the_document_first() -> None:
    outcome = World(haul=Haul(parts=(CERTIFICATE, DEED))).run(ROW)

    assert [["document", "certificate"]] == kinds(outcome)
    assert (1, None, ()) == (outcome.version, outcome.look_again, outcome.lacking)


def test_a_bundle_waits_for_its_certificate_but_not_beyond_its_time() -> None:
    world = World(haul=Haul(parts=(DEED,), lacking=(Lacking(part="certificate", reason="not yet"),)), wait=3.0)
    outcome = world.run(ROW)

    assert ([], (DEED,), 3.0) == (kinds(outcome), outcome.parts, outcome.look_again)


def test_when_the_time_is_over_the_document_goes_without_it_and_the_look_goes_on() -> None:
    world = World(haul=Haul(lacking=(Lacking(part="certificate", reason="not yet"),)), now=1601.0)
    outcome = world.run(LATER)

    assert [("certificate",)] == world.asked
    assert [["document"]] == kinds(outcome)
    assert ("certificate",) == outcome.deliveries[0].missing
    assert outcome.look_again is not None


@pytest.mark.parametrize("error", [NotReady("503"), Retryable("500"), Permanent("402")])
def test_trouble_with_a_lacking_part_never_keeps_the_document_from_going_out(error: Exception) -> None:
    outcome = World(haul=error, now=1601.0).run(LATER)

    assert [["document"]] == kinds(outcome)
    assert str(error) == outcome.note


def test_a_wait_longer_than_the_patience_for_files_ends_with_the_patience() -> None:
    world = World(haul=Haul(), now=1000.0 + 4 * DAY, wait=7 * DAY)
    outcome = world.run(LATER)

    assert ([["document"]], None) == (kinds(outcome), outcome.look_again)


def test_a_part_that_comes_later_is_a_supplement_that_never_sends_the_document_again() -> None:
    outcome = World(haul=Haul(parts=(CERTIFICATE,))).run(SENT)

    assert [["certificate"]] == kinds(outcome)
    assert 1 == outcome.deliveries[0].supplement


def test_no_document_yet_is_not_ready_even_where_a_certificate_is_there() -> None:
    with pytest.raises(NotReady, match="still signing"):
        World(haul=Haul(parts=(CERTIFICATE,), lacking=(Lacking(part="document", reason="still signing"),))).run(ROW)


def test_a_change_with_other_bytes_is_a_version_of_its_own() -> None:
    other = part("document", "3")
    outcome = World(haul=Haul(parts=(other, CERTIFICATE))).run(replace(SENT, change=2))

    assert (2, (other, CERTIFICATE)) == (outcome.version, outcome.parts)
    assert [["document", "certificate"]] == kinds(outcome)


def test_a_change_that_changed_nothing_sends_nothing() -> None:
    went = replace(WENT, contents=WENT.contents | {("certificate", "certificate.pdf")})
    parts = (*SENT.parts, PartRow(part=CERTIFICATE, version=1, supplement=0))
    both = replace(SENT, change=2, parts=parts, sent=(went,))
    outcome = World().run(both)

    assert (1, [], ()) == (outcome.version, kinds(outcome), outcome.parts)


def test_lost_bytes_are_fetched_again_while_a_delivery_needs_them() -> None:
    world = World(haul=Haul(parts=(DEED, CERTIFICATE)), lost=frozenset({DEED.sha256}))
    outcome = world.run(replace(SENT, sent=WAITING))

    assert [("certificate", "document")] == world.asked
    assert [["certificate"]] == kinds(outcome)


def test_other_bytes_without_a_change_are_held() -> None:
    world = World(haul=Haul(parts=(part("document", "9"),)), lost=frozenset({DEED.sha256}))
    with pytest.raises(Held, match="other bytes for document"):
        world.run(replace(SENT, sent=WAITING))


def test_trouble_while_lost_bytes_are_fetched_again_is_not_passed_over() -> None:
    world = World(haul=Retryable("500"), lost=frozenset({DEED.sha256}))
    with pytest.raises(Retryable):
        world.run(replace(SENT, sent=WAITING))


@pytest.mark.parametrize(("lost", "version"), [(False, 1), (True, 2)])
def test_an_audit_trail_alone_makes_no_version_unless_its_bytes_are_gone(lost: bool, version: int) -> None:
    old, grown = part("audit", "4"), part("audit", "5")
    waiting = replace(WENT, waiting=True, contents=WENT.contents | {("audit", "audit.pdf")})
    row = replace(SENT, change=2, sent=(waiting,), parts=(*SENT.parts, PartRow(part=old, version=1, supplement=0)))
    world = World(haul=Haul(parts=(DEED, grown)), lost=frozenset({old.sha256} if lost else ()))

    assert version == world.run(row).version


@pytest.mark.parametrize(
    ("meanings", "expected"),
    [((Meaning.READY,), "Parsed"), ((Meaning.TERMINAL,), "Closed"), ((Meaning.OTHER,), "Closed"), ((), "Closed")],
)
def test_what_a_callback_asks_for(meanings: tuple[Meaning, ...], expected: str) -> None:
    outcome = parsed([SourceEvent(type="t", meaning=one, documents=(DocumentRef(id="d1"),)) for one in meanings])

    assert expected == type(outcome).__name__


def test_a_callback_that_is_ready_but_names_no_document_says_so() -> None:
    outcome = parsed([SourceEvent(type="t", meaning=Meaning.READY)])

    assert isinstance(outcome, Closed)
    assert "it names no document" == outcome.reason


def test_a_callback_that_is_not_understood_is_a_dead_letter() -> None:
    with pytest.raises(Permanent, match="not understood"):
        parsed(ValueError("no JSON"))


def test_a_signing_that_the_list_told_of_is_fetched_without_asking_what_it_says() -> None:
    stages, ref = World().stages(ROW), DocumentRef(id="d1", round="2")
    store: Any = SimpleNamespace(event=lambda _id: SimpleNamespace(source="contracts", listed=ref))
    expected = Parsed(type="listed", sender_id="", documents=((ref, Meaning.READY),))

    assert expected == replace(stages, store=store).parse(job())


def parsed(said: list[SourceEvent] | ValueError) -> Outcome:
    def parse(_request: object) -> list[SourceEvent]:
        if isinstance(said, ValueError):
            raise said
        return said

    stages = World().stages(ROW)
    provider: Any = SimpleNamespace(parse=parse)
    source = replace(stages.parties.sources["contracts"], provider=provider)
    store: Any = SimpleNamespace(event=lambda _id: SimpleNamespace(source="contracts", request=None, listed=None))
    return replace(stages, store=store, parties=Parties(sources={"contracts": source}, sinks={})).parse(job())


# --- nothing to hand on, warnings, rounds -------------------------------------------------------------------------


def test_a_signing_that_rightly_has_no_document_is_closed_with_the_reason() -> None:
    outcome = World(haul=Ignored("it was cancelled")).run(ROW)
    assert (0, "it was cancelled", (), None) == (outcome.version, outcome.note, outcome.deliveries, outcome.look_again)


def test_a_document_that_waits_for_its_certificate_goes_out_although_there_is_nothing_more() -> None:
    outcome = World(haul=Ignored("it was cancelled"), now=1601.0).run(LATER)
    assert ([["document"]], "it was cancelled") == (kinds(outcome), outcome.note)


def test_an_order_leads_to_its_documents_and_is_closed() -> None:
    more = (DocumentRef(id="d2"), DocumentRef(id="d3"))
    outcome = World(haul=Haul(more=more)).run(ROW)
    assert (more, 0, ()) == (outcome.more, outcome.version, outcome.deliveries)


def test_a_document_that_leads_to_others_is_not_closed_while_it_is_lacking_itself() -> None:
    haul = Haul(more=(DocumentRef(id="d2"),), lacking=(Lacking(part="document", reason="it is still built"),))
    with pytest.raises(NotReady, match="it is still built"):
        World(haul=haul).run(ROW)


def test_what_the_provider_warns_of_beside_other_documents_is_noted() -> None:
    outcome = World(haul=Haul(more=(DocumentRef(id="d2"),), warnings=("deleted in two days",))).run(ROW)
    assert "it stands for other documents, each of which is fetched; deleted in two days" == outcome.note


def test_what_the_provider_warns_of_is_noted() -> None:
    outcome = World(haul=Haul(parts=(DEED, CERTIFICATE), warnings=("deleted in two days", "and expensive"))).run(ROW)
    assert ("deleted in two days; and expensive", 1) == (outcome.note, len(outcome.deliveries))


def test_rounds_of_one_document_are_told_apart_by_its_bytes() -> None:
    def content(round_: str, content: str) -> bytes | None:
        row = replace(ROW, ref=DocumentRef(id="d1", round=round_))
        return World(haul=Haul(parts=(part("document", content), CERTIFICATE))).run(row).content

    assert content("r1", "a") == content("r2", "a") != content("r2", "b")
    assert content("", "a") is None


# --- routes -------------------------------------------------------------------------------------------------------

LEASES = Route(title=("lease*",), sinks=("legal",))


def sinks_of(outcome: Fetched) -> list[str]:
    return [delivery.sink for delivery in outcome.deliveries]


def test_what_fits_a_route_goes_where_that_says_and_all_else_to_the_sinks_of_its_source() -> None:
    world = World(routes=(LEASES,))

    assert ["legal"] == sinks_of(world.run(replace(ROW, ref=DocumentRef(id="d1", name="Lease 7"))))
    assert ["archive"] == sinks_of(world.run(ROW))


def test_what_fits_no_route_and_has_no_other_sink_is_held_with_all_that_was_fetched() -> None:
    outcome = World(routes=(LEASES,), sinks=()).run(ROW)

    assert ([], 2, None) == (sinks_of(outcome), len(outcome.parts), outcome.look_again)
    assert "it fits no route, and the source 'contracts' names no sinks" == outcome.held
    assert () == outcome.settled


def test_a_source_that_is_meant_to_go_nowhere_is_not_held() -> None:
    elsewhere = Route(source=("other",), sinks=("legal",))

    assert "" == World(routes=(elsewhere,), sinks=()).run(ROW).held


def test_what_was_held_for_want_of_a_route_goes_out_once_there_is_one() -> None:
    unsent = tuple(PartRow(part=one, version=1, supplement=None) for one in (DEED, CERTIFICATE))
    held = replace(LATER, parts=unsent)
    world = World(sinks=("legal",))
    outcome = world.run(held)

    assert [] == world.asked, "the provider need not have it any more"

    assert (1, ["legal"], [["document", "certificate"]]) == (outcome.version, sinks_of(outcome), kinds(outcome))


# --- the callback as a part ---------------------------------------------------------------------------------------


def event(body: bytes = b'{"id": 1}', *, listed: bool = False) -> EventRow:
    request = RawRequest(path="/hooks/contracts", headers=(("x-signature", "t=1"),), body=body)
    told = DocumentRef(id="d1") if listed else None
    return EventRow(
        id="evt_1", source="contracts", state="parsed", hint=False, received=1.0, request=request, listed=told
    )


def test_the_callback_is_a_part_byte_for_byte() -> None:
    world = World(parts=("document", "callback"), haul=Haul(parts=(DEED,)), spoken=[event(), event(b"older")])
    outcome = world.run(ROW)
    text = b'POST /hooks/contracts HTTP/1.1\r\nx-signature: t=1\r\n\r\n{"id": 1}'

    assert [("document",)] == world.asked
    assert [["document", "callback"]] == kinds(outcome)
    assert (sha256(text).hexdigest(), len(text)) == (outcome.parts[1].sha256, outcome.parts[1].size)


def test_nobody_waits_for_the_callback_of_a_signing_that_the_list_told_of() -> None:
    world = World(parts=("document", "callback"), haul=Haul(parts=(DEED,)), spoken=[event(listed=True)])
    outcome = world.run(ROW)

    assert ([["document"]], (), None) == (kinds(outcome), outcome.lacking, outcome.look_again)


def test_a_lost_callback_is_made_again_from_the_event_that_it_was() -> None:
    first = World(parts=("document", "callback"), haul=Haul(parts=(DEED,)), spoken=[event(b"first")]).run(ROW)
    row = replace(
        ROW,
        version=1,
        fetched=1,
        supplements=1,
        sent=(
            Sent(
                sink="archive",
                waiting=True,
                contents=frozenset({("document", "document.pdf"), ("callback", "callback.http")}),
            ),
        ),
        parts=tuple(PartRow(part=one, version=1, supplement=0) for one in first.parts),
    )
    lost = frozenset({first.parts[1].sha256})
    again = World(parts=("document", "callback"), lost=lost, spoken=[event(b"newer"), event(b"first")])
    outcome = again.run(row)

    assert (1, [], []) == (outcome.version, again.asked, kinds(outcome))


# --- deliver ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_for_its_sink_is_never_begun() -> None:
    row: Any = SimpleNamespace(sink="archive", parts=(DEED, replace(DEED, name="large.pdf", size=11)))
    stages = World(most=10).stages(ROW)
    told = "large.pdf has 11 bytes; such a sink takes files of 10 at most"

    with pytest.raises(Permanent, match=told):
        replace(stages, store=SimpleNamespace(delivery=lambda _id: row)).deliver(job())


# --- each sink what it lacks --------------------------------------------------------------------------------------

ALL_SENT = replace(
    SENT,
    parts=tuple(PartRow(part=one, version=1, supplement=0) for one in (DEED, CERTIFICATE)),
    sent=(replace(WENT, contents=frozenset({("document", "document.pdf"), ("certificate", "certificate.pdf")})),),
)


def test_a_sink_that_was_added_before_the_supplement_gets_the_document_with_it() -> None:
    world = World(haul=Haul(parts=(CERTIFICATE,)), sinks=("archive", "legal"))
    outcome = world.run(SENT)

    assert {"archive": ["certificate"], "legal": ["document", "certificate"]} == {
        one.sink: [part.kind for part in one.parts] for one in outcome.deliveries
    }


def test_a_supplement_goes_where_its_bundle_went_whatever_the_routes_say_now() -> None:
    world = World(haul=Haul(parts=(CERTIFICATE,)), routes=(Route(sinks=("legal",)),))
    outcome = world.run(SENT)

    assert ["legal", "archive"] == sinks_of(outcome)


def test_an_audit_trail_that_is_kept_no_longer_is_sent_to_nobody_new() -> None:
    old = part("audit", "4")
    row = replace(SENT, parts=(*SENT.parts, PartRow(part=old, version=1, supplement=0)))
    world = World(haul=Haul(parts=(CERTIFICATE,)), sinks=("legal",), lost=frozenset({old.sha256}))

    assert [["document", "certificate"], ["certificate"]] == kinds(world.run(row))


def test_what_a_route_learns_later_goes_to_its_sink_without_asking_the_provider() -> None:
    row = replace(ALL_SENT, ref=DocumentRef(id="d1", hints={"event.type": "signed\nsealed"}), wanted=2)
    world = World(routes=(Route(sinks=("legal",), type=("sealed",)),))
    outcome = world.run(row)

    assert ([], ["legal"], [["document", "certificate"]]) == (world.asked, sinks_of(outcome), kinds(outcome))


def test_what_was_handed_on_is_not_held_because_a_route_was_removed() -> None:
    elsewhere = Route(sinks=("legal",), title=("lease*",))

    assert "" == World(routes=(elsewhere,), sinks=()).run(ALL_SENT).held


def test_a_document_that_another_led_to_inherits_what_is_known_of_it() -> None:
    world = World(haul=Haul(parts=(DEED,), more=(DocumentRef(id="d2"),)), routes=(Route(sinks=("legal",)),))
    outcome = world.run(replace(ROW, ref=DocumentRef(id="d1", hints={"event.type": "done", "meta.customer": "ACME"})))

    assert {"event.type": "done", "meta.customer": "ACME"} == dict(outcome.more[0].hints)


def test_a_copy_that_a_zip_finds_damaged_is_forgotten_and_fetched_again() -> None:
    world = World(zipped=True, damaged=frozenset({DEED.sha256}))
    with pytest.raises(Retryable, match="it is fetched again"):
        world.run(ROW)

    assert [DEED.sha256] == world.discarded


def test_a_sink_loads_what_it_has_saved() -> None:
    saved: list[Any] = []
    row: Any = SimpleNamespace(progress={"old": 1})
    store: Any = SimpleNamespace(save_progress=lambda _job, state: saved.append(state))
    memory = _Memory(store, job(), row)
    assert {"old": 1} == memory.load()
    memory.save({"ids": ["a"]})

    assert ({"ids": ["a"]}, [{"ids": ["a"]}]) == (memory.load(), saved)
