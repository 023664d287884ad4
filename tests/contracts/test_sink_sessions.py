"""What every service promises that takes a large file in a session of several requests."""

from contextlib import ExitStack
from typing import Any

import pytest

from webhook_svc.core.errors import ArtifactLost, ClaimLost, Conflict, Retryable, WebhookError

from .rigs import rig_of
from .rigs.front import Fault
from .rigs.session import PIECE, SessionRig

KINDS = [name for name in ("box", "dropbox", "gdrive", "sharepoint") if issubclass(rig_of(name), SessionRig)]
every_service = pytest.mark.parametrize("rig", KINDS, indirect=True)
in_pieces = pytest.mark.usefixtures("small_pieces")

PATH = "contracts/doc-1/deed.pdf"
SMALL = b"%PDF-1.7 deed %%EOF"
LARGE = bytes(range(251)) * 320
"""Of three pieces."""


def test_four_services_are_held_to_this() -> None:
    assert 4 == len(KINDS)
    assert 3 == -(-len(LARGE) // PIECE)


@pytest.fixture
def small_pieces(rig: SessionRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.small_pieces(monkeypatch)


def attempt(sink: Any, sent: Any, kept: Any) -> WebhookError | None:
    try:
        sink.deliver(sent.delivery(), kept)
    except WebhookError as error:
        return error
    return None


def no_session_is_left(rig: SessionRig) -> bool:
    return not rig.cancels or rig.sessions() == 0


@every_service
@in_pieces
@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(passes=True), Fault(status=500, passes=True)],
    ids=["broken off", "answer lost", "500 though done"],
)
def test_trouble_at_any_request_of_a_session_leaves_one_effect(
    rig: Any, bundle: Any, progress: Any, fault: Fault
) -> None:
    def named(name: str) -> Any:
        return bundle(files={f"{name}.pdf": LARGE})

    rig.front.forget()
    assert attempt(rig.make(manifest=False), named("count"), progress) is None
    expected = {"count.pdf": LARGE}
    for number in range(len(rig.front.seen)):
        sent, kept = named(str(number)), type(progress)()
        rig.front.meet(fault, at=number)
        first = attempt(rig.make(manifest=False), sent, kept)
        rig.front.forget()
        assert first is None or isinstance(first, Retryable)
        assert first is None or attempt(rig.make(manifest=False), sent, kept) is None
        expected[f"{number}.pdf"] = LARGE
        assert expected == rig.visible()


@every_service
@in_pieces
@pytest.mark.parametrize("after", [1, 2])
def test_a_session_that_is_gone_begins_anew_with_the_next_try(rig: Any, bundle: Any, progress: Any, after: int) -> None:
    rig.end_sessions(after)
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle(files={PATH: LARGE}).delivery(), progress)
    assert {} == rig.visible()
    rig.end_sessions(1000)
    assert not rig.again().deliver(bundle(files={PATH: LARGE}).delivery(), progress).found
    assert rig.expected(bundle(files={PATH: LARGE})) == rig.visible()


@every_service
@in_pieces
def test_a_session_is_never_completed_where_the_claim_is_lost(rig: Any, bundle: Any, progress: Any) -> None:
    def lost() -> None:
        raise ClaimLost

    with pytest.raises(ClaimLost):
        rig.sink.deliver(bundle(files={PATH: LARGE}, still_ours=lost).delivery(), progress)
    assert {} == rig.visible()
    assert no_session_is_left(rig)


@every_service
@in_pieces
def test_a_session_is_never_completed_where_our_copy_is_damaged(rig: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises(ArtifactLost):
        rig.sink.deliver(bundle(files={PATH: LARGE}, lost={"deed.pdf": len(LARGE)}).delivery(), progress)
    assert {} == rig.visible()
    assert no_session_is_left(rig)


@every_service
@in_pieces
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["at once", "in pieces"])
@pytest.mark.parametrize("same", [True, False], ids=["the same bytes", "other bytes"])
def test_a_file_that_appears_during_the_upload_is_never_replaced(
    rig: Any, bundle: Any, progress: Any, content: bytes, same: bool
) -> None:
    theirs = content if same else b"another contract"
    rig.slip_in(PATH, theirs)
    with ExitStack() if same else pytest.raises(Conflict):
        rig.sink.deliver(bundle(files={PATH: content}).delivery(), progress)
    assert theirs == rig.visible()[PATH]
    assert no_session_is_left(rig)


@every_service
def test_a_token_that_is_refused_is_renewed_once(rig: Any, bundle: Any, progress: Any) -> None:
    rig.sink.check()
    rig.front.meet(Fault(status=401), at=0)
    rig.sink.deliver(bundle().delivery(), progress)
    assert 1 == len([target for _, target in rig.front.seen if target.startswith(rig.front.aside)])
    assert rig.expected(bundle()) == rig.visible()


@every_service
@in_pieces
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["at once", "in pieces"])
def test_a_full_account_is_tried_again(rig: Any, bundle: Any, progress: Any, content: bytes) -> None:
    rig.fill()
    with pytest.raises(Retryable, match=r"(?i)space|quota|storage"):
        rig.sink.deliver(bundle(files={PATH: content}).delivery(), progress)
    assert {} == rig.visible()
    assert no_session_is_left(rig)


@every_service
def test_a_file_where_a_folder_is_needed_is_left_alone(rig: Any, bundle: Any, progress: Any) -> None:
    """Where names are unique it is in the way."""
    rig.plant("contracts", b"theirs")
    with pytest.raises(Conflict) if rig.one_case else ExitStack():
        rig.sink.deliver(bundle().delivery(), progress)
    assert b"theirs" == rig.visible()["contracts"]
    assert rig.one_case == (len(rig.visible()) == 1)


@every_service
def test_names_that_differ_in_case_alone_meet_where_the_service_takes_them_for_one(
    rig: Any, bundle: Any, progress: Any
) -> None:
    theirs = {"Contracts/DOC-1/Deed.pdf": b"another contract"}
    rig.plant(*next(iter(theirs.items())))
    with pytest.raises(Conflict) if rig.one_case else ExitStack():
        rig.sink.deliver(bundle().delivery(), progress)
    assert {**theirs, **({} if rig.one_case else rig.expected(bundle()))} == rig.visible()
