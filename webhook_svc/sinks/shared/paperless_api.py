"""What paperless-ngx is asked, and how its answers are read.

https://github.com/paperless-ngx/paperless-ngx/blob/v3.0.5/docs/api.md and its source, 22 Nov 2026
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from ...core.errors import Permanent, Retryable
from ...core.outgoing import Answer, Request, Upload
from ...core.ports import Http
from ...core.settings import Secret
from ...core.types import at_path
from .answers import failure

PLACES: Final[Mapping[str, str]] = {
    "correspondent": "correspondents",
    "document_type": "document_types",
    "storage_path": "storage_paths",
    "tags": "tags",
    "custom_fields": "custom_fields",
}
"""Field of a document → where paperless lists what it may name."""
_ENDS: Final = ("SUCCESS", "FAILURE", "REVOKED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """How far the intake of a document is. `document` is the one it made or, where it failed, the one it repeats."""

    known: bool
    ended: bool
    succeeded: bool
    duplicate: bool
    document: int | None


class PaperlessApi:
    """`root` is the address without /api, `version` that of the API."""

    def __init__(self, http: Http, root: str, token: Secret, version: int) -> None:
        self._http = http
        self._root = root
        self._token = token
        self._accept = f"application/json; version={version}"
        self._numbers: dict[tuple[str, str], int] = {}

    def documents(self, checksum: str) -> tuple[list[int], str]:
        """(documents whose original may have it, the server's version)"""
        answer = self._get("documents/", "looking", checksum__iexact=checksum, page_size="5", fields="id")
        ids = [at_path(one, "id") for one in _rows(answer)]
        return [one for one in ids if isinstance(one, int)], answer.headers.get("x-version", "")

    def checksum(self, document: int) -> str | None:
        """Of its first version; None where our user may not see it."""
        answer = self._ask(f"documents/{document}/metadata/", version=str(document))
        if answer.status in (403, 404):
            return None
        return str(at_path(_good(answer, "looking").json(), "original_checksum")).lower()

    def post(self, body: Upload, boundary: str) -> Answer:
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._http.call(self._request("documents/post_document/", headers, method="POST", body=body))

    def posted(self, answer: Answer) -> str:
        """The task that takes the document in. Of a 400 the names of the fields are told, not the words: they repeat
        what was sent."""
        refused = _fields(answer) if answer.status == 400 else ""
        task = _good(answer, "posting", refused).json()
        if not isinstance(task, str) or not re.fullmatch(r"[\w-]{1,72}", task):
            raise Retryable("posting: the answer names no task")
        return task

    def task(self, task_id: str) -> Task:
        row = next(iter(_rows(self._get("tasks/", "asking for the task", task_id=task_id))), None)
        status = str(at_path(row, "status") or "").upper()
        return Task(
            known=row is not None,
            ended=status in _ENDS,
            succeeded=status == "SUCCESS",
            # In words in version 9 of the API, which may name the file as well; as a field in version 10.
            duplicate="It is a duplicate" in str(at_path(row, "result"))
            or at_path(row, "result_data.duplicate_of") is not None,
            document=_document(row),
        )

    def number(self, kind: str, name: str) -> int:
        """Of what is called so, or the number itself. Permanent where paperless does not know the name."""
        if name.isascii() and name.isdigit():
            return int(name)
        if (kind, name) not in self._numbers:
            rows = _rows(self._get(f"{PLACES[kind]}/", "looking a name up", name__iexact=name, page_size="5"))
            same = [at_path(one, "id") for one in rows if str(at_path(one, "name")).casefold() == name.casefold()]
            if len(same) != 1 or not isinstance(same[0], int):
                raise Permanent(f"{kind}: paperless knows {len(same)} that are called {name[:60]!r}")
            self._numbers[kind, name] = same[0]
        return self._numbers[kind, name]

    def _get(self, path: str, act: str, **query: str) -> Answer:
        return _good(self._ask(path, **query), act)

    def _ask(self, path: str, **query: str) -> Answer:
        return self._http.call(self._request(f"{path}?{urlencode(query)}", {}))

    def _request(self, path: str, headers: Mapping[str, str], **more: Any) -> Request:
        return Request(
            url=f"{self._root}/api/{path}",
            headers={"Accept": self._accept, **headers},
            auth={"Authorization": f"Token {self._token.reveal()}"},
            **more,
        )


def _good(answer: Answer, act: str, said: str = "") -> Answer:
    if not answer.ok:
        raise failure(act, answer, said)
    return answer


def _rows(answer: Answer) -> list[Any]:
    """A list, whole as the tasks of version 9, or in pages."""
    found = answer.json()
    rows = found if isinstance(found, list) else at_path(found, "results")
    if not isinstance(rows, list):
        raise Retryable("the answer is no list")
    return rows


def _document(task: Any) -> int | None:
    """Text in paperless 2, a number in version 9 of the API, a list in version 10."""
    several = at_path(task, "related_document_ids")
    found = next(iter(several), None) if isinstance(several, list) else at_path(task, "related_document")
    return int(str(found)) if str(found).isdecimal() else None


def _fields(answer: Answer) -> str:
    try:
        found = answer.json()
    except Retryable:
        return ""
    return ", ".join(sorted(found)) if isinstance(found, dict) else ""
