"""Senders that send until they are heard, and remember what they were told."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.prove import traffic as senders
from webhook_svc.prove.town import BOTH, Account, Town
from webhook_svc.prove.traffic import Traffic
from webhook_svc.simulators.firma import FirmaSimulator
from webhook_svc.simulators.serve import serve
from webhook_svc.stage.processes import until


@contextmanager
def heard(home: Path, *answers: str) -> Iterator[Traffic]:
    """The senders of one source before a service that answers like this, and with 200 from then on."""
    said, numbers = chain(answers, repeat("200 OK")), iter(range(1000))

    def service(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(next(said), [("Webhook-Event", f"evt_{next(numbers)}")])
        return []

    account = Account(simulator=FirmaSimulator(), parts=BOTH)
    with ExitStack() as stack:
        hooks = stack.enter_context(serve(service)).url
        town = stack.enter_context(Town(home, known={"contracts": account}))
        yield stack.enter_context(Traffic(town, f"{hooks}/hooks", seed=1))


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "AGAIN", (0.01,))


@pytest.mark.usefixtures("_impatient")
def test_a_callback_is_sent_until_it_is_taken_and_then_its_document_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "TIMID", 0.0)
    with heard(tmp_path, "503 Service Unavailable", "500 Internal Server Error") as traffic:
        name = traffic.sign(within=0.0)
        until(lambda: traffic.quiet, "the senders to be heard")

        assert traffic.tally.promises[name].required
        assert traffic.tally.acknowledged == traffic.tally.callbacks == traffic.tally.statuses[200]
        assert 2 == traffic.tally.statuses[503] + traffic.tally.statuses[500]
        assert {name} == set(traffic.tally.events.values())


@pytest.mark.usefixtures("_impatient")
def test_a_timid_sender_gives_up_and_its_document_is_promised_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "TIMID", 1.0)
    with heard(tmp_path, "503 Service Unavailable") as traffic:
        name = traffic.sign(within=0.0)
        until(lambda: traffic.quiet, "the senders to be heard or to give up")

        assert not traffic.tally.promises[name].required
        assert 1 == traffic.tally.given_up
        assert name not in traffic.tally.answered


def test_what_is_signed_comes_from_the_seed(tmp_path: Path) -> None:
    with heard(tmp_path / "one") as one, heard(tmp_path / "other") as other:
        assert [one.sign() for _ in range(5)] == [other.sign() for _ in range(5)]
