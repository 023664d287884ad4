"""A database as an earlier release left it: rows of every kind, spelt out as the code of that time wrote them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.conftest import START
from tests.contracts.way import LEASE, Way
from webhook_svc.core.ids import digest
from webhook_svc.core.types import Stage
from webhook_svc.store.sql import SqlStore
from webhook_svc.vault.local import LocalVault

_REF = {"id": "", "round": "", "name": "", "completed": START, "parts": ["document"], "hints": {}}


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class Then:
    """Of what is kept as text, too, the form is part of the promise."""

    def __init__(self, way: Way) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self._way = way
        self._number = 0

    def put(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append(row)

    def event(self, document: str, state: str = "accepted", *, reason: str = "") -> str:
        """A callback that arrived; its bytes are those of the simulator."""
        callback = self._way.simulator.finish(document)[-1]
        delivery_id = json.loads(callback.body)["id"]
        some_id = self._id("evt")
        self.put(
            "event", id=some_id, key=digest("event", "contracts", delivery_id, sha256(callback.body)), state=state,
            source="contracts", type="", sender_id="", reason=reason, delivery_id=delivery_id, verified_by="01234567",
            hint=False, size=len(callback.body), received=START, copies=0, queued=START,
        )  # fmt: skip
        request = {"method": "POST", "path": "/hooks/contracts", "query": "", "headers": callback.headers}
        text = json.dumps(request, separators=(",", ":"))
        self.put("payload", event_id=some_id, request=text, body=callback.body, received=START)
        return some_id

    def signing(self, document: str, state: str, *, version: int = 0, reason: str = "") -> str:
        self.event(document, "parsed")
        some_id, ref = self._id("sgn"), {**_REF, "id": document, "name": f"Contract {document}"}
        done = int(state in ("complete", "partial"))
        self.put(
            "signing", id=some_id, key=digest("signing", "contracts", document, ""), source="contracts",
            document=document, ref=json.dumps(ref, separators=(",", ":")), title=f"Contract {document}", state=state,
            reason=reason, wanted=1, fetched=done, change=0, version=version, supplements=done,
            lacking='["certificate"]' if state == "partial" else "[]", released=False, created=START, updated=START,
        )  # fmt: skip
        self.put("signing_event", signing_id=some_id, event_id=self.rows["event"][-1]["id"])
        if version:
            content = self._way.document(document)
            self.put(
                "part", signing_id=some_id, version=version, position=0, kind="document", sha256=sha256(content),
                name=f"Contract {document}.pdf", size=len(content), content_type="application/pdf", supplement=0,
            )  # fmt: skip
        return some_id

    def delivery(self, document: str, state: str, *, signing: str = "complete", **more: Any) -> str:
        signing_id, some_id = self.signing(document, signing, version=1), self._id("dlv")
        content, path = self._way.document(document), f"{document}/Contract {document}.pdf"
        part = {
            "kind": "document", "name": f"Contract {document}.pdf", "sha256": sha256(content).hex(),
            "size": len(content), "content_type": "application/pdf",
        }  # fmt: skip
        bundle = {
            "title": f"Contract {document}", "parts": [part], "paths": [path], "missing": [],
            "manifest": '{"version": 1}\n', "manifest_path": f"{document}/manifest.json",
        }  # fmt: skip
        receipt = {"location": path, "proof": "written", "found": False, "details": {}}
        delivered = state == "delivered"
        values = {
            "id": some_id, "key": digest("delivery", signing_id, "1", "0", "archive"), "signing_id": signing_id,
            "source": "contracts", "sink": "archive", "version": 1, "supplement": 0, "state": state, "reason": "",
            "bundle": json.dumps(bundle, separators=(",", ":")), "progress": "{}", "created": START,
            "receipt": json.dumps(receipt) if delivered else None, "done": START if delivered else None,
        }  # fmt: skip
        self.put("delivery", **{**values, **more})
        return some_id

    def job(self, stage: Stage, ref: str, **more: Any) -> str:
        lane = "sink:archive" if stage is Stage.DELIVER else "source:contracts"
        some_id = self._id("job")
        values: dict[str, Any] = {
            "id": some_id, "lane": lane, "stage": stage.value, "ref": ref, "state": "waiting", "run_at": START,
            "claim": 0, "lease_until": None, "worker": "", "tries": 0, "waits": 0, "expiries": 0, "created": START,
        }  # fmt: skip
        self.put("job", **{**values, **more})
        return some_id

    def running(self, stage: Stage, ref: str, *, left: float) -> str:
        """A worker has it, whose lease has so many seconds left."""
        return self.job(stage, ref, state="running", claim=3, lease_until=START + left, worker="old:1:abcdef")

    def attempt(self, stage: Stage, ref: str) -> None:
        self.put(
            "attempt", stage=stage.value, ref=ref, claim=1, worker="old:1:abcdef", started=START - 2, ended=START - 1,
            outcome="again", error="Retryable", message="answered 503", next_at=START, receipt=None,
        )  # fmt: skip

    def insert(self, store: SqlStore) -> None:
        """Into the tables as they are now in that database."""
        with store.database.lock(), store.database.write() as tx:
            known = sa.MetaData()
            known.reflect(bind=tx.connection)
            for table in known.sorted_tables:
                if table.name in self.rows:
                    tx.connection.execute(table.insert(), self.rows[table.name])

    def _id(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}_01m3250v00{self._number:016}"


def in_flight(then: Then, way: Way, home: Path) -> None:
    """Work of every kind: `d-…` is to arrive once, the rest stays as it is."""
    then.job(Stage.PARSE, then.event("d-accepted"))
    then.running(Stage.PARSE, then.event("d-expired"), left=-1)
    then.job(Stage.PARSE, then.event("d-suspected"), state="suspect", claim=2, expiries=2)
    then.job(Stage.FETCH, then.signing("d-fetching", "fetching"), waits=2, tries=1)
    then.attempt(Stage.FETCH, then.rows["signing"][-1]["id"])
    then.running(Stage.FETCH, then.signing("d-running", "fetching"), left=LEASE / 2)
    then.job(Stage.DELIVER, then.delivery("d-waiting", "waiting", progress='{"accepted":["x"]}'), tries=2)
    then.job(Stage.DELIVER, then.delivery("d-lost", "waiting"))
    then.running(Stage.DELIVER, then.delivery("d-delivering", "waiting"), left=-1)
    for document in ("d-waiting", "d-delivering"):
        with LocalVault(home / "vault").writer() as writer:
            writer.write(way.document(document))
            writer.commit()
    then.delivery("x-delivered", "delivered")
    then.delivery("x-partial", "delivered", signing="partial")
    then.delivery("x-held", "held", signing="held", reason="other bytes", progress='{"upload":"u-1"}')
    then.signing("x-dead", "dead", reason="given up: no such contract")
    then.event("x-ignored", "ignored", reason="asks for nothing")
    then.event("x-misread", "dead", reason="not understood")
    request = {"method": "POST", "path": "/hooks/contracts", "query": "", "headers": []}
    then.put("refused", id="ref_1", source="contracts", at=START, status=401, reason="no signature", address="::1",
             request=json.dumps(request), body=b"{}")  # fmt: skip
