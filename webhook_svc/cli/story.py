"""The story of a signing as lines: what there is, what happened when, and what comes next."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from .printing import age, iso, plain, size, table

Row = dict[str, Any]

_DONE: Final = {"parse": "understood", "fetch": "fetched", "deliver": "delivered"}
_OUTCOMES: Final = {
    "again": "failed",
    "waiting": "not ready",
    "dead": "given up",
    "held": "held",
    "refetch": "fetched again",
    "late": "too late",
    "expired": "worker lost",
    "replay": "replayed",
}


class _Line(NamedTuple):
    at: float
    what: str
    id: str
    detail: str


def tell(story: Row, now: float) -> str:
    """Everything that hangs together, as text. `now` turns times into ages."""
    head = "\n".join(plain(line) for line in _head(story))
    lines = sorted(_past(story), key=lambda line: line.at)
    lines += sorted(_future(story), key=lambda line: line.at)
    rows = [(iso(line.at), age(line.at, now), line.what, line.id, line.detail) for line in lines]
    return f"{head}\n\n{table(('WHEN', 'AGE', 'WHAT', 'ID', 'DETAILS'), rows)}"


def _head(story: Row) -> Iterator[str]:
    for event in story["events"]:
        named = f" {event['type']}" if event["type"] else ""
        yield f"event    {event['id']}  {event['source']}: {event['state']}{named}{_because(event)}"
        if not event["bytes_kept"]:
            yield "         its bytes are no longer kept: it cannot be parsed again"
    for signing in story["signings"]:
        titled = f" “{signing['title']}”" if signing["title"] else ""
        version = f", version {signing['version']}" if signing["version"] else ""
        yield (
            f"signing  {signing['id']}  document {signing['document']}{titled}: {signing['state']}{version}"
            + _because(signing)
        )
        yield from (
            f"         {part['kind']}  {part['name']}  {size(part['size'])}  sha256 {part['sha256']}"
            for part in signing["parts"]
        )
        yield from (f"         without {_lacking(lacking)}" for lacking in signing["lacking"])
        for delivery in signing["deliveries"]:
            extra = f", supplement {delivery['supplement']}" if delivery["supplement"] else ""
            yield f"delivery {delivery['id']}  to {delivery['sink']}: {delivery['state']}{extra}{_because(delivery)}"


def _because(row: Row) -> str:
    return f" ({row['reason']})" if row["reason"] else ""


def _lacking(lacking: Any) -> str:
    if isinstance(lacking, dict):
        return f"{lacking.get('part', '')}: {lacking.get('reason', '')}"
    return str(lacking)


def _past(story: Row) -> Iterator[_Line]:
    for event in story["events"]:
        yield _Line(event["received"], "received", event["id"], _arrival(event))
        yield from _attempts(event)
    for signing in story["signings"]:
        yield from _attempts(signing)
        for delivery in signing["deliveries"]:
            yield from _attempts(delivery)


def _arrival(event: Row) -> str:
    if event["origin"] == "listed":
        return "found by reconciliation: the provider lists it, no callback had told"
    proof = f"verified by secret {event['verified_by']}" if event["verified_by"] else "signature verified"
    copies = f", {event['copies']} more copies" if event["copies"] else ""
    return f"{size(event['size'])}, {'not signed: a hint only' if event['hint'] else proof}{copies}"


def _attempts(row: Row) -> Iterator[_Line]:
    for attempt in row["attempts"]:
        known = _DONE.get(attempt["stage"], attempt["stage"]) if attempt["outcome"] == "done" else ""
        yield _Line(
            attempt["ended"],
            known or _OUTCOMES.get(attempt["outcome"], attempt["outcome"]),
            row["id"],
            _why(attempt, row),
        )


def _why(attempt: Row, row: Row) -> str:
    receipt = attempt["receipt"]
    said = [": ".join(part for part in (attempt["error"], attempt["message"]) if part)]
    if receipt:
        said += [f"to {row['sink']}" if "sink" in row else "", str(receipt["location"]), str(receipt["proof"])]
        said += ["an earlier try had done it"] if receipt.get("found") else []
    if attempt["next_at"]:
        said.append(f"next try {iso(attempt['next_at'])}")
    return ", ".join(part for part in said if part)


def _future(story: Row) -> Iterator[_Line]:
    rows = [*story["events"], *story["signings"]]
    rows += [delivery for signing in story["signings"] for delivery in signing["deliveries"]]
    for row in rows:
        job = row["job"]
        if job and job["state"] == "running":
            yield _Line(job["run_at"], f"{job['stage']} runs", row["id"], f"on {job['worker']}")
        elif job:
            tries = f"after {job['tries']} tries" if job["tries"] else ""
            yield _Line(job["run_at"], f"next: {job['stage']}", row["id"], tries)
