"""What is shown in the end, and whether it is as it should be: every file is compared with what was signed."""

import email
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default

from ..core.asking import Query
from .contracts import CONTRACTS, RETRIED, Contract
from .scene import Say, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the closing table."""

    contract: Contract
    part: str
    where: str
    sha256: str
    ok: bool


@dataclass(slots=True)
class Heard:
    """The statuses that callbacks were answered with."""

    genuine: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    forged: list[int] = field(default_factory=list)


def lines_of(scene: Scene) -> Iterator[Line]:
    """Every file that stands in the folder or came by mail, held against what the provider signed."""
    stored = {_hash(file.read_bytes()): file for file in scene.archive.rglob("*.pdf")}
    mailed = dict(_attachments([mail.content for mail in scene.mailbox.mails]))
    for contract in CONTRACTS:
        for part in contract.parts:
            sha256 = _hash(scene.simulators[contract.source].document_bytes(contract.id, part))
            place, name = stored.get(sha256), mailed.get(sha256)
            where = f"folder {place.relative_to(scene.archive)}" if place else "folder: missing"
            yield Line(contract=contract, part=part, where=where, sha256=sha256, ok=place is not None)
            where = f"mail to legal@acme.example: {name}" if name else "mail: missing"
            yield Line(contract=contract, part=part, where=where, sha256=sha256, ok=name is not None)


def _attachments(messages: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    for raw in messages:
        message = email.message_from_bytes(raw, policy=default)
        if isinstance(message, EmailMessage):
            for attachment in message.iter_attachments():
                yield _hash(attachment.get_payload(decode=True)), attachment.get_filename() or "unnamed"


def verdicts_on(scene: Scene, heard: Heard, lines: list[Line]) -> list[tuple[str, bool]]:
    events = scene.store.list(Query(kind="events"))
    files = [file for file in scene.archive.rglob("*") if file.is_file() and file.suffix == ".pdf"]
    refused = scene.store.list(Query(kind="refused"))
    again = sum(contract.quirk in RETRIED for contract in CONTRACTS)
    return [
        ("every genuine callback was answered with 200", set(heard.genuine) == {200}),
        (
            "the repeated callback was answered with 200 and is one event",
            heard.repeated == [200] and sum(int(str(row["copies"])) for row in events) == 1,
        ),
        ("the forged callbacks were answered with 401", set(heard.forged) == {401}),
        ("what was forged is listed as refused", len(refused) == len(heard.forged)),
        ("every document and certificate arrived with its own bytes", all(line.ok for line in lines)),
        ("nothing arrived twice in the folder", 2 * len(files) == len(lines)),
        ("nothing arrived twice by mail", len(scene.mailbox.mails) == len(CONTRACTS)),
        ("the downloads that failed at first were tried again", _tried_again(scene) >= again),
        ("the contract without a good callback was found in the provider's list", _found(events)),
        ("there are no dead letters", scene.store.list(Query(kind="dead")) == []),
    ]


def _tried_again(scene: Scene) -> int:
    """How many signings were not fetched whole at the first try; those that brought nothing new have no delivery."""
    events = scene.store.list(Query(kind="events", limit=500))
    stories = [scene.store.timeline(str(row["id"])) or {"signings": []} for row in events]
    tries = {signing["id"]: len(signing["attempts"]) for story in stories for signing in story["signings"]}
    return sum(count > 1 for count in tries.values())


def _found(events: list[dict[str, object]]) -> bool:
    return any(row["origin"] == "listed" for row in events)


def tell(lines: list[Line], verdicts: list[tuple[str, bool]], say: Say) -> None:
    say("")
    say(f"{'contract':<12} {'provider':<12} {'part':<12} {'sha256':<14} arrived in")
    for line in lines:
        named = f"{line.contract.id:<12} {line.contract.provider:<12} {line.part:<12}"
        say(f"{named} {line.sha256[:12]:<14} {line.where}{'' if line.ok else '  ✗'}")
    say("")
    for sentence, ok in verdicts:
        say(f"{'✓' if ok else '✗'} {sentence}")


def _hash(content: object) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else b"").hexdigest()
