"""The demonstration: a simulated provider, the real service and a mailbox on this machine, and contracts through them.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from .config import environment
from .core.asking import Query
from .core.types import RawRequest
from .simulators.firma import FirmaSimulator
from .simulators.mailbox import Mailbox
from .simulators.serve import send, serve
from .store.sql import SqlStore

PATIENCE = 60.0
TITLES = {
    "contract-1": "Lease of 12 Acacia Avenue",
    "contract-2": "Liefervertrag Müller & Söhne",
    "contract-3": "고용 계약서",
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What runs: the simulator, the mailbox, and the service at `url` with its files below `home`."""

    home: Path
    url: str
    simulator: FirmaSimulator
    mailbox: Mailbox
    store: SqlStore

    @property
    def archive(self) -> Path:
        return self.home / "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the closing table."""

    document: str
    part: str
    where: str
    sha256: str
    ok: bool


def run(serve_on: bool = False, *, say: Say = print) -> int:
    """0 if everything arrived exactly once and unaltered and what was forged was refused, else 1."""
    with ExitStack() as stack:
        scene = _stage(stack, say)
        statuses = _callbacks(scene, say)
        say(f"waiting for {len(TITLES)} contracts in the folder and in the mailbox …")
        _watch(scene, 2 * len(TITLES), say)
        lines = list(_lines(scene))
        verdicts = _verdicts(scene, statuses, lines)
        _tell(lines, verdicts, say)
        if serve_on:
            _linger(scene, say)
        return 0 if all(ok for _, ok in verdicts) else 1


def _stage(stack: ExitStack, say: Say) -> Scene:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook-svc-demo-")))
    simulator = FirmaSimulator()
    api = stack.enter_context(serve(simulator.wsgi()))
    mailbox = stack.enter_context(Mailbox())
    port = _free_port()
    say(f"provider simulator at {api.url}, mailbox at {mailbox.url}")
    scene = Scene(
        home=home,
        url=f"http://127.0.0.1:{port}",
        simulator=simulator,
        mailbox=mailbox,
        store=SqlStore(f"sqlite:///{home}/data/demo.db"),
    )
    stack.callback(scene.store.close)
    stack.enter_context(_service(home, _configuration(scene, api.url), port))
    _until(lambda: _ready(scene.url), "the service to be ready", lambda: _log_tail(home))
    say(f"service at {scene.url}, its files in {home}")
    return scene


def _configuration(scene: Scene, api_base: str) -> str:
    source = scene.simulator.source(api_base)
    return f"""
[service]
public_url = "{scene.url}"
host = "127.0.0.1"
[store]
url = "{scene.store.url}"
[vault]
path = "{scene.home}/data/vault"
[retry]
not_ready = [0.3, 1, 2]
[sources.contracts]
provider = "firma"
secrets = ["{source["secrets"][0]}"]
api_key = "{source["api_key"]}"
api_base = "{source["api_base"]}"
parts = ["document", "certificate"]
sinks = ["archive", "legal"]
[sinks.archive]
kind = "folder"
path = "{scene.archive}"
name = "{{source}}/{{document}}/{{filename}}"
[sinks.legal]
kind = "email"
server = "{scene.mailbox.url}"
from = "contracts@acme.example"
to = ["legal@acme.example"]
tls = "none"
"""


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


def _callbacks(scene: Scene, say: Say) -> dict[str, list[int]]:
    """Sends everything a provider does to us on a bad day. The statuses it was answered with, by what was sent."""
    scene.simulator.misbehave("unavailable")
    say("the provider answers the first download with 503; its callbacks:")
    statuses: dict[str, list[int]] = {"genuine": [], "repeated": [], "forged": []}
    hook = f"{scene.url}/hooks/contracts"

    def post(kind: str, callback: RawRequest, what: str) -> None:
        status, headers, _ = send(hook, callback)
        statuses[kind].append(status)
        say(f"  {what:<52} → {status} {headers.get('webhook-event', '')}")

    for document, title in TITLES.items():
        first, *rest = scene.simulator.finish(document, title=title)
        post("genuine", first, f"{document} completed")
        if document == "contract-2":
            post("repeated", first, f"{document} completed, sent a second time")
        for later in rest:
            post("genuine", later, f"{document} certificate generated")
    scene.simulator.misbehave("wrong_signature", times=2)
    post("forged", scene.simulator.finish("contract-4", title="Forged")[0], "contract-4 with a bad signature")
    altered = scene.simulator.finish("contract-5", title="Altered")[0]
    post(
        "forged", replace(altered, body=altered.body.replace(b"contract-5", b"contract-1")), "contract-5, body altered"
    )
    return statuses


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
    for document in TITLES:
        expected = {part: _hash(scene.simulator.document_bytes(document, part)) for part in ("document", "certificate")}
        stored = {_hash(file.read_bytes()): file for file in (scene.archive / "contracts" / document).glob("*.pdf")}
        mailed = dict(_attachments([mail.content for mail in scene.mailbox.mails], document))
        for part, sha256 in expected.items():
            place = stored.get(sha256)
            where = f"folder {place.relative_to(scene.archive)}" if place else "folder: missing"
            yield Line(document=document, part=part, where=where, sha256=sha256, ok=place is not None)
            name = mailed.get(sha256)
            where = f"mail to legal@acme.example: {name}" if name else "mail: missing"
            yield Line(document=document, part=part, where=where, sha256=sha256, ok=name is not None)


def _attachments(messages: Sequence[bytes], document: str) -> Iterator[tuple[str, str]]:
    for raw in messages:
        message = email.message_from_bytes(raw, policy=default)
        if isinstance(message, EmailMessage) and document in str(message.as_string()):
            for attachment in message.iter_attachments():
                yield _hash(attachment.get_payload(decode=True)), attachment.get_filename() or "unnamed"


def _verdicts(scene: Scene, statuses: dict[str, list[int]], lines: list[Line]) -> list[tuple[str, bool]]:
    events = scene.store.list(Query(kind="events"))
    files = [file for file in scene.archive.rglob("*") if file.is_file() and file.suffix == ".pdf"]
    return [
        ("every genuine callback was answered with 200", set(statuses["genuine"]) == {200}),
        ("the repeated callback was answered with 200 and is one event", _one_copy(events, statuses["repeated"])),
        ("the forged callbacks were answered with 401", statuses["forged"] == [401, 401]),
        ("what was forged is listed as refused", len(scene.store.list(Query(kind="refused"))) == 2),
        ("every document and certificate arrived with its own bytes", all(line.ok for line in lines)),
        ("nothing arrived twice in the folder", len(files) == 2 * len(TITLES)),
        ("nothing arrived twice by mail", len(scene.mailbox.mails) == len(TITLES)),
        ("the download that was answered with 503 was tried again", _waited(scene)),
        ("there are no dead letters", scene.store.list(Query(kind="dead")) == []),
    ]


def _waited(scene: Scene) -> bool:
    signings = {str(row["signing_id"]) for row in scene.store.list(Query(kind="deliveries"))}
    stories = [scene.store.timeline(signing_id) or {} for signing_id in signings]
    attempts = [one for story in stories for signing in story["signings"] for one in signing["attempts"]]
    return any(one["outcome"] == "waiting" and "503" in one["message"] for one in attempts)


def _one_copy(events: list[dict[str, object]], repeated: list[int]) -> bool:
    return repeated == [200] and sum(int(str(row["copies"])) for row in events) == 1 and len(events) == 2 * len(TITLES)


def _tell(lines: list[Line], verdicts: list[tuple[str, bool]], say: Say) -> None:
    say("")
    say(f"{'document':<12} {'part':<12} {'sha256':<14} {'arrived in'}")
    for line in lines:
        say(f"{line.document:<12} {line.part:<12} {line.sha256[:12]:<14} {line.where}{'' if line.ok else '  ✗'}")
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
