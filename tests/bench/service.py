"""The real service in processes of its own, and the callbacks that it is sent."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from webhook_svc.core.ids import digest, new_id
from webhook_svc.core.types import RawRequest
from webhook_svc.core.work import Accepted, NewEvent
from webhook_svc.store.sql import SqlStore

from .databases import free_port

ROOT = Path(__file__).parents[2]
SECRET, API_KEY = "5" * 64, "bench-api-key"
CONCURRENCY = 32
READY, CHEAP = "signing_request.completed", "signing_request.viewed"
"""Types of callback: one that leads to a document, and one that leads to nothing."""
FOLDER = """kind = "folder"
path = "{home}/archive"
name = "{{source}}/{{document}}/document.pdf"
"""

_CONFIGURATION = """
[service]
port = {port}
[worker]
concurrency = {concurrency}
per_lane = {concurrency}
[store]
url = "{store}"
[vault]
path = "{home}/vault"
[log]
format = "json"
[sources.contracts]
provider = "firma"
secrets = ["{secret}"]
api_key = "{api_key}"
api_base = "{provider}"
parts = ["document"]
reconcile = 0
sinks = ["archive"]
[sources.inhouse]
provider = "generic"
secrets = ["{secret}"]
sinks = ["archive"]
[sources.inhouse.verify]
alg = "hmac-sha256"
message = "{{ts}}.{{body}}"
signature = "header:X-Signature"
pattern = "v1=([0-9a-f]{{64}})"
vars = {{ ts = 'header:X-Signature ~ t=(\\d+)' }}
tolerance = 300
[sources.inhouse.event]
id = "/id"
document = "/data/signing_request/id"
[[sources.inhouse.download]]
get = "{provider}/files/{{document}}"
save = "document"
[sinks.archive]
{sink}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One installation: a folder, a database, a provider, a port of its own."""

    home: Path
    store: str
    provider: str = "http://127.0.0.1:9"
    sink: str = FOLDER
    concurrency: int = CONCURRENCY
    port: int = field(default_factory=free_port)

    @property
    def archive(self) -> Path:
        return self.home / "archive"

    @property
    def environ(self) -> dict[str, str]:
        text = _CONFIGURATION.format(
            port=self.port,
            concurrency=self.concurrency,
            store=self.store,
            home=self.home,
            secret=SECRET,
            api_key=API_KEY,
            provider=self.provider,
            sink=self.sink.format(home=self.home),
        )
        return {"WEBHOOK_SVC_CONFIG_TOML": text}

    def log(self, name: str) -> Path:
        return self.home / f"{name}.log"


@contextmanager
def process(site: Site, name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m …` with its output in the site's folder; ended by SIGTERM."""
    known = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    environ = {**known, **site.environ, "PYTHONPATH": str(ROOT)}
    with site.log(name).open("wb") as log:
        child = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environ, stdout=log, stderr=log)
        try:
            yield child
        finally:
            child.terminate()
            child.wait(60)


@contextmanager
def web(site: Site, app: str = "webhook_svc.wiring:wsgi()", *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """gunicorn as the Procfile starts it, one process, 32 threads, but for its `options`."""
    with process(site, "web", "gunicorn", "-c", "config/gunicorn.py", *options, app) as child:
        _until_ready(site)
        yield child


@contextmanager
def worker(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """Claiming when this returns."""
    with process(site, "worker", "webhook_svc", "worker") as child:
        Said(site.log("worker")).wait("worker.started", 1)
        yield child


@contextmanager
def beside(module: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """A part that the service talks to, in a process of its own: the address it prints, and its id."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield (child.stdout.readline().strip() if child.stdout else ""), child.pid
        finally:
            child.terminate()


class Said:
    """Counts what a process says in its log, each byte looked at once."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self._cut = b""
        self._count = 0

    def wait(self, event: str, count: int, *, patience: float = 300.0) -> None:
        """Returns when the event stands there `count` times."""
        until = time.monotonic() + patience
        while self._counted(b'"event": "%b"' % event.encode()) < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{event} {self._count} of {count} times:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.005)

    def _counted(self, mark: bytes) -> int:
        with self._log.open("rb") as stream:
            stream.seek(self._read)
            fresh = self._cut + stream.read()
            self._read = stream.tell()
        whole, end, self._cut = fresh.rpartition(b"\n")
        self._count += whole.count(mark) if end else 0
        return self._count


def callback(
    number: int, source: str = "contracts", *, padding: int = 0, kind: str = READY
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a signed callback that speaks of a document of its own; at least `padding` bytes."""
    payload = {
        "id": f"evt_{number:08}",
        "type": kind,
        "created_at": "2026-11-22T05:00:00Z",
        "data": {"signing_request": {"id": f"doc-{number:08}"}, "note": ""},
    }
    bare = json.dumps(payload)
    payload["data"] = {"signing_request": {"id": f"doc-{number:08}"}, "note": "x" * (padding - len(bare))}
    body, now = json.dumps(payload).encode(), int(time.time())
    signature = hmac.new(SECRET.encode(), b"%d.%b" % (now, body), hashlib.sha256).hexdigest()
    name = {"contracts": "X-Firma-Signature", "inhouse": "X-Signature"}[source]
    return {"Content-Type": "application/json", name: f"t={now},v1={signature}"}, body


def accepted_by(store: SqlStore, number: int, kind: str = READY, *, padding: int = 0) -> Accepted:
    return store.accept(judged(number, kind, padding=padding), 30.0)


def judged(number: int, kind: str = READY, *, padding: int = 0) -> NewEvent:
    """A genuine callback as the web process hands it to its store."""
    headers, body = callback(number, padding=padding, kind=kind)
    named = tuple((name.lower(), value) for name, value in headers.items())
    return NewEvent(
        id=new_id("evt", time.time()),
        key=digest("bench", str(number)),
        source="contracts",
        delivery_id="",
        verified_by="01234567",
        hint=False,
        request=RawRequest(path="/hooks/contracts", headers=named, body=body),
    )


def as_bytes(source: str, headers: dict[str, str], body: bytes) -> bytes:
    """The request as it goes over the wire."""
    lines = [f"POST /hooks/{source} HTTP/1.1", "Host: 127.0.0.1", "User-Agent: bench"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _until_ready(site: Site) -> None:
    """The yardstick knows no such page: that it answers is enough."""
    for _ in range(400):
        with closing(HTTPConnection("127.0.0.1", site.port, timeout=5)) as line, suppress(OSError, HTTPException):
            line.request("GET", "/readyz")
            if line.getresponse().status in (200, 404):
                return
        time.sleep(0.05)
    raise TimeoutError(f"the web process is not ready:\n{site.log('web').read_text()[-3000:]}")
