"""Schemes made of others."""

import hashlib
import hmac

import pytest

from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.choice import Nobody


def test_where_nobody_may_call_every_callback_is_refused() -> None:
    empty_key = hmac.new(b"", b"1.{}", hashlib.sha256).hexdigest()
    for headers in ((), (("x-signature", f"t=1,v1={empty_key}"),), (("authorization", ""),)):
        with pytest.raises(NotGenuine) as refusal:
            Nobody().verify(RawRequest(headers=headers, body=b"{}"), 1.0)
        assert "no_secret" == refusal.value.reason


def test_where_nobody_may_call_a_callback_is_no_hint() -> None:
    assert Nobody().signs


def test_where_nobody_may_call_credentials_are_kept_as_fingerprints() -> None:
    [(_, shown), other] = Nobody().mask(RawRequest(headers=(("authorization", "Bearer s3cret"), ("x", "y")))).headers
    assert "s3cret" not in shown
    assert ("x", "y") == other
