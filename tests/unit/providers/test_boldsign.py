"""BoldSign asks whether an address is there before anybody can know the secret that signs."""

import json
from typing import Any

import pytest

from tests.guard import secret
from tests.kinds import provider_kind
from webhook_svc.core.ports import Provider
from webhook_svc.core.settings import build
from webhook_svc.core.types import RawRequest, Reply


def boldsign() -> Provider:
    kind, problems = provider_kind("boldsign"), list[Any]()
    table = {"secrets": [secret("made-up")], "api_key": secret("api-key")}
    settings = build(kind.Settings, table, "boldsign", problems)
    assert [] == problems
    return kind("contracts", settings, "")


def said(kind: Any, **more: Any) -> RawRequest:
    return RawRequest(body=json.dumps({"event": {"id": "1", "eventType": kind}, **more}).encode())


def test_an_unsigned_verification_is_answered_with_an_empty_200() -> None:
    assert Reply() == boldsign().challenge(said("Verification"))


@pytest.mark.parametrize("kind", ["Completed", "verification", "", None, ["Verification"], {"Verification": 1}])
def test_nothing_else_is_a_handshake(kind: Any) -> None:
    assert boldsign().challenge(said(kind, data={"eventType": "Verification"})) is None


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"\xff", b'"Verification"', b'{"event": "Verification"}'])
def test_a_body_of_another_kind_is_no_handshake(body: bytes) -> None:
    assert boldsign().challenge(RawRequest(body=body)) is None
