"""What stands at a store, compared with what should."""

import pytest

from tests.contracts.rigs.base import Bundle
from webhook_svc.core.errors import Conflict
from webhook_svc.sinks.shared.things import Compared, things

DEED = b"%PDF-1.7 deed %%EOF"


@pytest.fixture
def compared() -> Compared:
    (thing,) = things(Bundle().delivery(), str, manifest=False)
    return Compared(thing)


def test_the_same_bytes_are_no_conflict_however_they_come(compared: Compared) -> None:
    for start in range(0, len(DEED), 7):
        compared(DEED[start : start + 7])
    compared.end()


@pytest.mark.parametrize("other", [b"", DEED[:-1], DEED[::-1]], ids=["nothing", "too short", "others"])
def test_other_bytes_are_a_conflict_at_their_end(compared: Compared, other: bytes) -> None:
    compared(other)
    with pytest.raises(Conflict, match=r"deed\.pdf holds other bytes"):
        compared.end()


def test_what_is_longer_is_not_read_to_its_end(compared: Compared) -> None:
    compared(DEED)
    with pytest.raises(Conflict, match=r"deed\.pdf holds other bytes"):
        compared(b".")
