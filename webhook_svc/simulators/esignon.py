"""eSignon as it looks from outside: a login, links of five minutes, details of a workflow, a callback for each step."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any, ClassVar, Literal

from flask import Response, jsonify, request

from ..core.ports import Simulator
from ..core.types import RawRequest
from .account import Account, Signed, made_up
from .quirks import (
    API_QUIRKS,
    CALLBACK_QUIRKS,
    CERTIFICATE_QUIRKS,
    FILE_QUIRKS,
    LINK_QUIRKS,
    ROTATION_QUIRKS,
    TOKEN_QUIRKS,
)

Shape = Literal["legacy", "unstated", "embed", "v3"]

_SEOUL = timezone(timedelta(hours=9))
_COMPANY, _CLIENT, _TEMPLATE, _USER = "acme", "client-1", "template-1", "contracts@acme.example"


class EsignonSimulator(Account, Simulator):
    """One company. Without arguments its secrets are made up; `source` tells them.

    `shape` is that of its callbacks: `unstated` ones name no status and bring the secret in their JSON, `embed` ones
    bring links, `v3` ones are flat. `download` is the call that the source is to take its links from.
    """

    provider = "esignon"
    quirks = (
        *CALLBACK_QUIRKS,
        *ROTATION_QUIRKS,
        *FILE_QUIRKS,
        *LINK_QUIRKS,
        *API_QUIRKS,
        *CERTIFICATE_QUIRKS,
        *TOKEN_QUIRKS,
    )
    link_life: ClassVar[float] = 300.0

    def __init__(self, *, shape: Shape = "legacy", download: Literal["links", "info"] = "links", **given: Any) -> None:
        super().__init__(**given)
        self.shape = shape
        self.download = download
        self._tokens: dict[str, bool] = {}

    def source(self, api_base: str) -> dict[str, Any]:
        return {
            "provider": "esignon",
            "secrets": [self.secret, self.next_secret],
            "company_id": _COMPANY,
            "email": _USER,
            "password": self.api_key,
            "client_id": _CLIENT,
            "templates": [_TEMPLATE],
            "download": self.download,
            "api_base": api_base,
        }

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        """Two people sign: a callback each, and the second completes the workflow."""
        signed = self.sign(document, title, size)
        steps = ((1, "Playing"), (2, "Complete"))
        return self.sent(partial(self._callback, self._payload(signed, step, status)) for step, status in steps)

    def _payload(self, signed: Signed, step: int, status: str) -> dict[str, Any]:
        if self.shape == "v3":
            number = int(signed.id) if signed.id.isdecimal() else signed.id
            return {"workflow_id": number, "client_id": _CLIENT, "step": step}
        code = "embed" if self.shape == "embed" else "contracts"
        body = {
            "wfluid": "0",
            "clientid": _CLIENT,
            "processid": str(step),
            "requestid": code,
            "actionid": str(step),
            "workdatetime": datetime.fromtimestamp(signed.finished, UTC).strftime("%Y-%m-%d %H:%M:%S.0"),
            "worktype": "CF",
            "wfuid": signed.id,
            "useremail": f"signer{step}@acme.example",
            "opinion": "",
            "department": "법무팀",
        }
        if self.shape == "embed":
            mark = made_up(24)
            link = f"https://docs.esignon.example/{'play' if step == 1 else 'down'}?token={mark}"
            body |= {"next_play_user": "b@acme.example", "play_url": link} if step == 1 else {"download_url": link}
        if self.shape != "unstated":
            body["status"] = status
        return {"header": {"api_name": "export", "session_id": "S1001", "request_code": code}, "body": body}

    def _callback(self, payload: dict[str, Any]) -> RawRequest:
        secret = self.next_secret if self.shown.take("rotated_secret") else self.secret
        if self.shown.take("wrong_signature"):
            secret = made_up(32)
        headers = [("content-type", "application/json;charset=UTF-8")]
        if self.shape == "unstated":
            payload["header"]["authorization"] = secret
        else:
            headers.append(("authorization", secret))
        return RawRequest(headers=tuple(headers), body=json.dumps(payload, ensure_ascii=False).encode())

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.app(
            self._guard,
            {
                f"POST /api/{_COMPANY}/login": self._login,
                f"POST /api/{_COMPANY}/search": self._search,
                "GET /api/v2/workflows/<path:document>": self._info,
                "POST /workflow/download": self._download,
            },
        )

    def _guard(self) -> Response | None:
        """A token that was never given out is refused by status, one that is over by a code with status 200."""
        if not request.path.endswith("/login"):
            if self.shown.take("token_expired"):
                self.expire_tokens()
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            valid = self._tokens.get(token) if scheme == "esignon" else None
            if not valid:
                return _said("94", "authentication key incorrect") if valid is False else _error(401, None)
        return self.trouble(_error)

    def expire_tokens(self) -> None:
        """Every token that was given out so far is over."""
        self._tokens = dict.fromkeys(self._tokens, False)

    def _login(self) -> Response:
        if self.shown.take("token_down"):
            return _said("99", "Unexpected exception")
        body = request.get_json()["body"]
        if (body["memb_email"], body["memb_pwd"]) != (_USER, self.api_key):
            return _said("10", "wrong login data")
        token = made_up(48)
        self._tokens[token] = True
        return _said(access_token=token, comp_id=_COMPANY, expire_date=_local(self.clock() + 30 * 86_400))

    def _info(self, document: str) -> Response:
        signed = self._found(document)
        playing = self.shown.take("not_ready")
        links = {} if playing else self._both_links(signed, "info")
        return _said(
            workflow_id=document,
            workflow_name=signed.title,
            workflow_status="Playing" if playing else "Complete",
            last_modify_date=_local(signed.finished),
            download_url=links.get("document", ""),
            certificate_url=links.get("certificate", ""),
        )

    def _download(self) -> Response:
        asked = request.get_json()
        if asked.get("client_id") != _CLIENT:
            return _said("11", "client_id")
        signed = self._found(asked["workflow_id"])
        links = self._both_links(signed, "links")
        return _said(doc_url=links["document"], cert_url=links["certificate"], workflow_name=signed.title)

    def _both_links(self, signed: Signed, call: str) -> dict[str, str]:
        late = call == self.download and self.shown.take("certificate_late")
        return {
            "document": self.link(signed.id),
            "certificate": "" if late else self.link(signed.id, "certificate"),
        }

    def _search(self) -> Response:
        asked = request.get_json()["body"]
        if {"doc_uid": _TEMPLATE} not in asked.get("field_list", []):
            return _said("17", "No required search conditions")
        rows = [
            {"wfuid": one.id, "wf_title": one.title, "wf_status": "Complete", "end_date": _local(one.finished)}
            for one in self.signed.values()
        ]
        first, last = asked["start_date"], asked["end_date"]
        return _said(comp_id=_COMPANY, wf_list=[row for row in rows if first <= row["end_date"][:10] <= last])

    def _found(self, document: str) -> Signed:
        return self.found(document, lambda: _said("10", "no such workflow, check the id"))


def _said(code: str = "00", message: str = "Success", **body: Any) -> Response:
    """Whatever happened, the status is 200."""
    header = {"response_code": "", "result_code": code, "result_msg": message, "session_id": ""}
    return jsonify(header=header, body=body)


def _error(status: int, after: float | None) -> Response:
    headers = {} if after is None else {"Retry-After": str(round(after))}
    return Response("Connection failed", status, headers, mimetype="text/plain")


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, _SEOUL).strftime("%Y-%m-%d %H:%M:%S.0")
