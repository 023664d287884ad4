"""The floor for forwarding: what `script.py` does, and by hand, in one straight line, what the promises need: three
group commits into SQLite, the bytes in a vault by their hash, then document and manifest in a folder of their own, all
of it synced before the next thing is said. No provider, no retry, no lease, no log, no plugin.

`python -m tests.bench.durable API_BASE HOME COUNT CONCURRENCY` prints seconds and CPU seconds as JSON.
"""

import hashlib
import json
import os
import queue
import sqlite3
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .script import session
from .service import API_KEY

_SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE document (id TEXT PRIMARY KEY, state TEXT, sha256 TEXT, manifest BLOB, receipt TEXT);
CREATE TABLE attempt (id INTEGER PRIMARY KEY, document TEXT, stage TEXT, started REAL, ended REAL);
CREATE INDEX attempt_document ON attempt (document);
"""
_WANTED = "INSERT INTO document (id, state) VALUES (?, 'wanted')"
_FETCHED = "UPDATE document SET state = 'fetched', sha256 = ?, manifest = ? WHERE id = ?"
_DELIVERED = "UPDATE document SET state = 'delivered', receipt = ? WHERE id = ?"
_ATTEMPT = "INSERT INTO attempt (document, stage, started, ended) VALUES (?, ?, ?, ?)"

Write = tuple[str, tuple[object, ...], "Future[None]"]


class Ledger:
    """What waits is committed together, as in the service."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._waiting: queue.SimpleQueue[Write] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def write(self, statement: str, values: tuple[object, ...]) -> None:
        """Returns when it is on disk."""
        done: Future[None] = Future()
        self._waiting.put((statement, values, done))
        done.result()

    def _run(self) -> None:
        database = sqlite3.connect(self._file, isolation_level=None)
        database.executescript(_SCHEMA)
        while True:
            writes = [self._waiting.get()]
            while not self._waiting.empty():
                writes.append(self._waiting.get())
            try:
                _commit(database, writes)
            except sqlite3.Error as error:
                for _, _, done in writes:
                    done.set_exception(error)
                return
            for _, _, done in writes:
                done.set_result(None)


def _commit(database: sqlite3.Connection, writes: list[Write]) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statement, values, _ in writes:
        now = time.time()
        database.execute(statement, values)
        database.execute(_ATTEMPT, (values[-1], statement[:6], now, now))
    database.execute("COMMIT")


def forward(api_base: str, home: Path, ledger: Ledger, document: str) -> None:
    ledger.write(_WANTED, (document,))
    asked = session().get(f"{api_base}/signing-requests/{document}/download", headers={"Authorization": API_KEY})
    asked.raise_for_status()
    answer = session().get(asked.json()["download_url"])
    answer.raise_for_status()
    sha256 = hashlib.sha256(answer.content).hexdigest()
    stored = home / "vault" / sha256
    _write(home / "vault" / f".{document}", answer.content).replace(stored)
    _sync(home / "vault")
    manifest = json.dumps({"document": document, "sha256": sha256, "size": len(answer.content)}).encode()
    ledger.write(_FETCHED, (sha256, manifest, document))
    ledger.write(_DELIVERED, (_deliver(home / "archive" / document, stored, sha256, manifest), document))


def _deliver(folder: Path, stored: Path, sha256: str, manifest: bytes) -> str:
    """Never over what stands there; the names come last."""
    folder.mkdir()
    content = stored.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RuntimeError("the vault holds other bytes")
    for name, bytes_ in (("document.pdf", content), ("manifest.json", manifest)):
        temp = _write(folder / f".{name}", bytes_)
        os.link(temp, folder / name)
        temp.unlink()
    _sync(folder)
    _sync(folder.parent)
    return str(folder / "document.pdf")


def _write(path: Path, content: bytes) -> Path:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)


def _main(api_base: str, home: str, count: str, concurrency: str) -> None:
    documents = [f"doc-{number:08}" for number in range(int(count))]
    for name in ("vault", "archive"):
        (Path(home) / name).mkdir()
    ledger = Ledger(Path(home) / "ledger.sqlite")
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(int(concurrency)) as pool:
        list(pool.map(lambda document: forward(api_base, Path(home), ledger, document), documents))
    print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
