"""The demonstration: simulated providers, the real service and a mailbox on this machine, and contracts through them.

It needs no network and no configuration, and proves what it shows: every file is compared with what was signed.
"""

import email
import hashlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from .config import environment
from .core.asking import Query
from .core.ports import Simulator
from .core.tomltext import table_text
from .core.types import RawRequest
from .simulators import SIMULATORS
from .simulators.mailbox import Mailbox
from .simulators.serve import send, serve
from .store.sql import SqlStore

PATIENCE = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A signing that completes at a provider; `quirk` is how that provider misbehaves on this day."""

    id: str
    title: str
    source: str
    provider: str
    parts: tuple[str, ...] = ("document",)
    quirk: str
    times: int = 1
    story: str


BOTH = ("document", "certificate")
CONTRACTS = (
    Contract(
        id="contract-1",
        title="Lease of 12 Acacia Avenue",
        source="contracts",
        provider="firma",
        parts=BOTH,
        quirk="unavailable",
        times=2,
        story="Firma answers the first questions with 503",
    ),
    Contract(
        id="contract-2",
        title="고용 계약서",
        source="korea",
        provider="esignon",
        parts=BOTH,
        quirk="token_expired",
        story="eSignon's token expires in the middle",
    ),
    Contract(
        id="contract-3",
        title="Care plan",
        source="health",
        provider="indexhealth",
        quirk="expired_link",
        story="Index Health's first link no longer opens",
    ),
    Contract(
        id="contract-4",
        title="Letter of authority",
        source="numbers",
        provider="telnyx",
        quirk="not_ready",
        story="Telnyx still looks for viruses",
    ),
    Contract(
        id="contract-5",
        title="Nájomná zmluva č. 7",
        source="leases",
        provider="okdokument",
        quirk="truncated",
        story="OKdokument's first answer is cut in half",
    ),
    Contract(
        id="contract-6",
        title="Liefervertrag Müller & Söhne",
        source="contracts",
        provider="firma",
        parts=BOTH,
        quirk="wrong_signature",
        times=2,
        story="Firma's callbacks never come as they should",
    ),
)
FIRST, LOST = CONTRACTS[0], CONTRACTS[-1]
RETRIED = ("unavailable", "not_ready", "truncated")
"""The quirks that cost a try of their own; the others are overcome within one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What runs: a simulator for each source, the mailbox, and the service at `url` with its files below `home`."""

    home: Path
    url: str
    simulators: Mapping[str, Simulator]
    mailbox: Mailbox
    store: SqlStore

    @property
    def archive(self) -> Path:
        return self.home / "archive"


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


def run(serve_on: bool = False, *, say: Say = print) -> int:
    """0 if everything arrived exactly once and unaltered and what was forged was refused, else 1."""
    with ExitStack() as stack:
        scene = _stage(stack, say)
        heard = _callbacks(scene, say)
        say(f"waiting for {len(CONTRACTS)} contracts in the folder and in the mailbox …")
        _watch(scene, 2 * len(CONTRACTS), say)
        lines = list(_lines(scene))
        verdicts = _verdicts(scene, heard, lines)
        _tell(lines, verdicts, say)
        if serve_on:
            _linger(scene, say)
        return 0 if all(ok for _, ok in verdicts) else 1


def _stage(stack: ExitStack, say: Say) -> Scene:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook-svc-demo-")))
    providers = {one.source: one.provider for one in CONTRACTS}
    simulators: dict[str, Simulator] = {source: SIMULATORS.load(name)() for source, name in providers.items()}
    apis = {source: stack.enter_context(serve(one.wsgi())).url for source, one in simulators.items()}
    mailbox = stack.enter_context(Mailbox())
    port = _free_port()
    say(f"simulated providers: {', '.join(providers.values())}; mailbox at {mailbox.url}")
    scene = Scene(
        home=home,
        url=f"http://127.0.0.1:{port}",
        simulators=simulators,
        mailbox=mailbox,
        store=SqlStore(f"sqlite:///{home}/data/demo.db"),
    )
    stack.callback(scene.store.close)
    stack.enter_context(_service(home, _configuration(scene, apis), port))
    _until(lambda: _ready(scene.url), "the service to be ready", lambda: _log_tail(home))
    say(f"service at {scene.url}, its files in {home}")
    return scene


def _configuration(scene: Scene, apis: Mapping[str, str]) -> str:
    """Looks at lists and files come in seconds, where in earnest they come in minutes."""
    more = {"parts": list(BOTH), "sinks": ["archive", "legal"]}
    tables: dict[str, dict[str, Any]] = {
        "service": {"public_url": scene.url, "host": "127.0.0.1"},
        "store": {"url": scene.store.url},
        "vault": {"path": f"{scene.home}/data/vault"},
        "retry": {"not_ready": [0.3, 1, 2], "delays": [0.3, 1, 2, 5]},
        **{f"sources.{name}": {**one.source(apis[name]), **more} for name, one in scene.simulators.items()},
        "sinks.archive": {"kind": "folder", "path": str(scene.archive), "name": "{source}/{document}/{filename}"},
        "sinks.legal": {
            "kind": "email",
            "server": scene.mailbox.url,
            "from": "contracts@acme.example",
            "to": ["legal@acme.example"],
            "tls": "none",
        },
    }
    tables[f"sources.{LOST.source}"]["reconcile"] = 1.0
    return "\n".join(table_text(key, table) for key, table in tables.items())


@contextmanager
def _service(home: Path, configuration: str, port: int) -> Iterator[None]:
    """The real thing, `webhook-svc up`, in a process of its own."""
    command = [sys.executable, "-m", "webhook_svc", "up", "--port", str(port)]
    settings = {"WEBHOOK_SVC_CONFIG_TOML": configuration, "LOG_FORMAT": "json"}
    own = {key: value for key, value in environment().items() if not key.startswith("WEBHOOK_SVC_CONFIG")}
    for name in ("PORT", "DATABASE_URL", "VAULT_URL", "DYNO", "PUBLIC_URL"):
        own.pop(name, None)
    with (home / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=own | settings, stdout=log, stderr=log, cwd=home)  # noqa: S603 - us
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _callbacks(scene: Scene, say: Say) -> Heard:
    """Sends everything a provider does to us on a bad day."""
    heard = Heard()
    for contract in CONTRACTS:
        simulator = scene.simulators[contract.source]
        say(f"{contract.id}: {contract.story}")
        simulator.misbehave(contract.quirk, times=contract.times)
        callbacks = simulator.finish(contract.id, title=contract.title)
        for callback in callbacks:
            kind = heard.forged if contract is LOST else heard.genuine
            kind.append(_post(scene, contract, callback, "its callback", say))
        if contract is FIRST:
            heard.repeated.append(_post(scene, contract, callbacks[0], "the same callback a second time", say))
            altered = replace(callbacks[0], body=callbacks[0].body.replace(b"contract-1", b"contract-5"))
            heard.forged.append(_post(scene, contract, altered, "the same callback, altered on the way", say))
    return heard


def _post(scene: Scene, contract: Contract, callback: RawRequest, what: str, say: Say) -> int:
    status, headers, _ = send(f"{scene.url}/hooks/{contract.source}", callback)
    say(f"  {what:<40} → {status} {headers.get('webhook-event', '')}")
    return status


def _watch(scene: Scene, expected: int, say: Say) -> None:
    """Tells of every delivery as it is finished, until the service has come to rest."""
    told: set[str] = set()

    def finished() -> bool:
        for row in scene.store.list(Query(kind="deliveries")):
            if row["state"] != "waiting" and row["id"] not in told:
                told.add(row["id"])
                say(f"  {row['document']} → {row['sink']:<8} {row['state']} ({len(told)} of {expected})")
        return len(told) >= expected and _at_rest(scene)

    _until(finished, f"{expected} deliveries within {PATIENCE:.0f} s", lambda: _log_tail(scene.home))


def _at_rest(scene: Scene) -> bool:
    return not any(name == "jobs" and number for (name, _), number in scene.store.gauges().items())


def _lines(scene: Scene) -> Iterator[Line]:
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


def _verdicts(scene: Scene, heard: Heard, lines: list[Line]) -> list[tuple[str, bool]]:
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


def _tell(lines: list[Line], verdicts: list[tuple[str, bool]], say: Say) -> None:
    say("")
    say(f"{'contract':<12} {'provider':<12} {'part':<12} {'sha256':<14} arrived in")
    for line in lines:
        named = f"{line.contract.id:<12} {line.contract.provider:<12} {line.part:<12}"
        say(f"{named} {line.sha256[:12]:<14} {line.where}{'' if line.ok else '  ✗'}")
    say("")
    for sentence, ok in verdicts:
        say(f"{'✓' if ok else '✗'} {sentence}")


def _linger(scene: Scene, say: Say) -> None:
    say(f"\nStill running: look at {scene.archive} and {scene.home / 'service.log'}.")
    say(f"Ask it: WEBHOOK_SVC_CONFIG_TOML='[store]\nurl = \"{scene.store.url}\"' webhook-svc events")
    say("Ctrl-C ends it and removes its files.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("")


def _until(condition: Callable[[], bool], what: str, explain: Callable[[], str] = str) -> None:
    """Looks ten times a second. TimeoutError with what was waited for."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"gave up waiting for {what}\n{explain()}".rstrip())
        time.sleep(0.1)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _log_tail(home: Path) -> str:
    return "\n".join((home / "service.log").read_text(errors="replace").splitlines()[-20:])


def _hash(content: object) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else b"").hexdigest()
