"""Ids that are made before their files: how many there may be, and what is known of those that were."""

from itertools import count

import pytest

from tests.contracts.rigs.base import Kept
from webhook_svc.core.errors import Retryable
from webhook_svc.sinks.shared.given_ids import BLOCK, GivenIds


class Service:
    def __init__(self) -> None:
        self.given = count()

    def generate(self, number: int) -> list[str]:
        return [f"1{next(self.given):040}" for _ in range(number)]


def test_a_thousand_files_have_an_id_each() -> None:
    progress, service = Kept(), Service()  # the progress takes 8 KB, as the store does
    ids = GivenIds(progress, 1000, service.generate)
    assert 1000 == len({ids.own(number) for number in range(1000)})
    assert 1000 == next(service.given)


def test_an_id_is_remembered_while_its_file_is_not_known_to_be_there() -> None:
    progress, service = Kept(), Service()
    first = GivenIds(progress, 300, service.generate).own(150)
    assert first == GivenIds(progress, 300, service.generate).own(150)


def test_a_file_that_was_there_and_cannot_be_seen_is_waited_for_before_it_has_another_id() -> None:
    progress, service = Kept(), Service()
    ids = GivenIds(progress, 300, service.generate)
    first = [ids.own(0), ids.own(BLOCK)][0]
    with pytest.raises(Retryable, match="cannot be seen"):
        ids.own(0)
    assert first != ids.own(0)
