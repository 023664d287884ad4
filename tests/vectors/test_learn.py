"""`learn` finds a way to verify every valid vector, which verifies its sender's others and refuses the invalid ones.

It calls by their names the senders that the box knows.
"""

import json
from typing import Any

import pytest

from tests.vectors.test_vectors import ALL, VALID, Case
from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.settings import Secret
from webhook_svc.providers import PROVIDERS
from webhook_svc.signing.learning.learn import Learned, learn, table
from webhook_svc.signing.verify import Verifier, VerifySettings
from webhook_svc.wiring.learning import learned

IN_THE_BOX = [
    vector
    for vector in VALID
    if vector["provider"] in PROVIDERS.names()
    # Dropbox Sign's own examples are the JSON without the form that it is sent in.
    and (vector["provider"] != "dropbox-sign" or vector["params"].get("body_view"))
]


def verifies(found: Learned, vector: dict[str, Any]) -> bool:
    """At the vector's time; of one that has none, at the time that was found."""
    case = Case(vector)
    try:
        verifier = Verifier(found.settings, [Secret(case.secret)], case.public_url)
        return bool(verifier.verify(case.request, case.now or found.moment))
    except (NotGenuine, ValueError):
        return False


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["id"]) for vector in vectors]


@pytest.mark.parametrize("vector", named(VALID))
def test_what_is_learned_of_one_vector_holds_for_all_of_its_kind(vector: dict[str, Any]) -> None:
    case = Case(vector)
    found = learn(case.request, case.secret, [case.public_url], case.now).found
    assert found is not None
    alike = [one for one in ALL if (one["provider"], one["params"]) == (vector["provider"], vector["params"])]
    assert {one["id"]: one["expected"] == "valid" for one in alike} == {
        one["id"]: verifies(found, one) for one in alike
    }
    assert VerifySettings(**table(found)) == found.settings or found.known


@pytest.mark.parametrize("vector", named(IN_THE_BOX))
def test_a_sender_in_the_box_is_called_by_its_name(vector: dict[str, Any]) -> None:
    case = Case(vector)
    assert vector["provider"] in learned(case.request, case.secret, [case.public_url], case.now).providers


def test_a_vector_that_was_spoiled_teaches_nothing() -> None:
    case = Case(next(one for one in ALL if one["id"] == "docusign-wrong"))
    assert learn(case.request, case.secret, [case.public_url], case.now).found is None


def test_there_are_as_many_vectors_as_are_promised() -> None:
    assert (242, 116) == (len(ALL), len(VALID))
    assert len(json.dumps(VALID)) > 10_000
