"""The yardstick for forwarding: a thread pool that asks for the link, downloads, writes, syncs, and remembers nothing.

`python -m tests.bench.script API_BASE FOLDER COUNT CONCURRENCY` prints seconds and CPU seconds as JSON.
"""

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from .service import API_KEY

_local = threading.local()


def forward(api_base: str, folder: Path, document: str) -> None:
    asked = session().get(f"{api_base}/signing-requests/{document}/download", headers={"Authorization": API_KEY})
    asked.raise_for_status()
    answer = session().get(asked.json()["download_url"])
    answer.raise_for_status()
    with (folder / f"{document}.pdf").open("wb") as file:
        file.write(answer.content)
        file.flush()
        os.fsync(file.fileno())


def session() -> requests.Session:
    """One for each thread, that keeps its connection."""
    kept: requests.Session | None = getattr(_local, "session", None)
    if kept is None:
        kept = _local.session = requests.Session()
        kept.trust_env = False
    return kept


def _main(api_base: str, folder: str, count: str, concurrency: str) -> None:
    documents = [f"doc-{number:08}" for number in range(int(count))]
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(int(concurrency)) as pool:
        list(pool.map(lambda document: forward(api_base, Path(folder), document), documents))
    print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
