"""Values that a description hides are kept as fingerprints, and nothing else of a callback changes."""

import json
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Problem
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.settings import build
from webhook_svc.core.types import RawRequest
from webhook_svc.profiles.hidden import without_hidden
from webhook_svc.providers.generic import Generic, GenericSettings

TOKEN = secret("link-of-a-signer")
MARK = fingerprint(TOKEN)
PATHS = ("/signers/*/token", "/owner/key")


def said(content: Any, **changed: Any) -> RawRequest:
    return RawRequest(body=json.dumps(content).encode(), **changed)


def hiding(**verify: Any) -> Generic:
    problems: list[Problem] = []
    table = {
        "secrets": [secret("of-the-source")],
        "values": {"api_base": "https://api.example.test"},
        "verify": {"alg": "equal", "signature": "header:X-Secret", **verify},
        "event": {"document": "/id", "hide": list(PATHS)},
        "download": [{"get": "{api_base}/c/{document}", "save": "document"}],
    }
    settings = build(GenericSettings, table, "sources.x", problems)
    assert [] == problems
    return Generic("x", settings, "https://hooks.example.test")


def test_what_a_description_hides_is_kept_as_a_fingerprint_beside_the_secret() -> None:
    headers = (("x-secret", secret("of-the-source")),)
    kept = hiding().scheme().mask(said({"id": "a", "signers": [{"token": TOKEN}, {"token": None}]}, headers=headers))
    assert b'{"id": "a", "signers": [{"token": "%s"}, {"token": null}]}' % MARK.encode() == kept.body
    assert (("x-secret", fingerprint(secret("of-the-source"))),) == kept.headers


def test_a_hidden_value_gives_way_wherever_and_however_the_json_holds_it() -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)
    body = f'{{"old": ["{escaped}"], "signers": [{{"token": "{TOKEN}"}}], "more": "not {TOKEN}"}}'.encode()
    kept = without_hidden(RawRequest(body=body), PATHS).body
    assert f'{{"old": ["{MARK}"], "signers": [{{"token": "{MARK}"}}], "more": "not {TOKEN}"}}'.encode() == kept


def test_a_hidden_number_gives_way() -> None:
    kept = without_hidden(said({"owner": {"key": 7310}, "id": 731, "at": 7310.5}), PATHS).body
    assert {"owner": {"key": fingerprint("7310")}, "id": 731, "at": 7310.5} == json.loads(kept)


def test_a_value_in_the_field_of_a_form_is_hidden() -> None:
    field = json.dumps({"owner": {"key": TOKEN}})
    headers = (("content-type", "application/x-www-form-urlencoded"),)
    request = RawRequest(headers=headers, body=f"a=1&json={quote(field)}".encode())
    kept = hiding(body_view="form:json").scheme().mask(request).body
    assert b'a=1&json={"owner": {"key": "%s"}}' % MARK.encode() == unquote_to_bytes(kept)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"{}", b'{"signers": {"token": "t"}, "owner": 1}'])
def test_a_callback_without_them_is_kept_as_it_is(body: bytes) -> None:
    request = RawRequest(body=body)
    assert request is without_hidden(request, PATHS)


def test_an_empty_path_is_refused() -> None:
    problems: list[Problem] = []
    build(GenericSettings, {"event": {"document": "/id", "hide": [""]}}, "sources.x", problems)
    assert "paths of values in `hide`" in [problem.expected for problem in problems]
