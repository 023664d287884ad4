"""Scrive's list of closed documents: a second sealing, weeks later, is no new completion."""

import json
from contextlib import suppress
from typing import Any

from tests.guard import secret
from tests.kinds import provider_kind
from webhook_svc.core.outgoing import Answer, Call, Listed
from webhook_svc.core.settings import build

SINCE = 1_791_201_600.0  # 2026-10-05T12:00:00Z


def closed(document: str, *signed: str | None) -> dict[str, Any]:
    """Sealed again just now, whenever it was signed."""
    parties = [{"sign_time": at} for at in signed]
    return {"id": document, "title": "Lease", "mtime": "2026-11-05T12:00:00Z", "parties": parties}


def listed(*documents: dict[str, Any]) -> tuple[str, list[tuple[str, float | None]]]:
    """(the address of the first page, what is found)"""
    kind, problems = provider_kind("scrive"), list[Any]()
    names = ("client_id", "client_secret", "token_id", "token_secret")
    settings = build(kind.Settings, {name: secret(name) for name in names}, "scrive", problems)
    assert [] == problems
    asked, found = list[str](), list[tuple[str, float | None]]()
    pages = iter((documents, ()))
    flow = kind("contracts", settings, "").completed_since(SINCE)
    answer: Answer | None = None
    with suppress(StopIteration):
        while True:
            step = flow.send(answer)  # type: ignore[arg-type]  # a generator begins with None
            answer = Answer(status=200)
            if isinstance(step, Call):
                asked.append(step.request.url)
                rows = list(next(pages))
                answer = Answer(status=200, body=json.dumps({"documents": rows}).encode())
            if isinstance(step, Listed):
                found.append((step.ref.id, step.completed))
    return asked[0], found


def test_the_last_signature_is_the_completion_and_a_new_seal_of_an_old_one_is_none() -> None:
    new = closed("new", "2026-10-05T12:00:00Z", "2026-10-05T13:00:00Z", None)
    old = closed("old", "2026-10-05T11:00:00Z", "2026-10-05T11:59:59Z")
    assert [("new", SINCE + 3600)] == listed(new, old)[1]


def test_only_documents_of_the_user_that_are_not_in_the_trash_are_asked_for() -> None:
    address, found = listed()
    assert [] == found
    assert "%22filter_by%22%3A%22is_author%22" in address
    assert "%22filter_by%22%3A%22is_not_in_trash%22" in address
    assert "%22start_time%22%3A%222026-10-05T12%3A00%3A00Z%22" in address
