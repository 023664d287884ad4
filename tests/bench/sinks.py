"""A large document into each sink that takes one: memory above idle, and how fast it goes.

`python -m tests.bench.sinks`
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.contracts.rigs.base import SECRETS
from tests.contracts.rigs.sftp import sshd
from tests.contracts.rigs.webdav import wsgidav

from .bucket import bucket
from .carry import Carried, carry
from .report import Row, Scale, run

_MB = 1024 * 1024
_TOLD = {"folder": "a folder", "s3": "S3", "sftp": "SFTP (OpenSSH)", "webdav": "WebDAV (WsgiDAV)"}


def measure(scale: Scale) -> list[Row]:
    size = scale.large // 2
    taken: dict[str, list[Carried]] = {kind: [] for kind in _TOLD}
    for _ in range(scale.rounds):
        for kind in _TOLD:
            with places(kind) as table, tempfile.TemporaryDirectory(prefix="bench-sinks-") as home:
                taken[kind].append(carry(kind, table, size, Path(home)))
    return [_row(kind, runs, size) for kind, runs in taken.items()]


@contextmanager
def places(kind: str) -> Iterator[Mapping[str, Any]]:
    """The table of a sink before a server that is there. What was delivered goes with it."""
    with _PLACES[kind]() as table:
        yield table


@contextmanager
def _folder() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="bench-sinks-") as root:
        yield {"path": root}


@contextmanager
def _s3() -> Iterator[dict[str, Any]]:
    with bucket() as address:
        yield {"bucket": "bench", "endpoint": address, "access_key_id": "key", "secret_access_key": SECRETS[2]}


@contextmanager
def _sftp() -> Iterator[dict[str, Any]]:
    with sshd() as server:
        yield server.table(path=str(server.home / "archive"))


@contextmanager
def _webdav() -> Iterator[dict[str, Any]]:
    with wsgidav() as server:
        yield {"url": server.url, "user": "bot", "password": SECRETS[0]}


_PLACES = {"folder": _folder, "s3": _s3, "sftp": _sftp, "webdav": _webdav}


def _row(kind: str, taken: list[Carried], size: int) -> Row:
    worst = max(one.grown for one in taken) / _MB
    proved = "" if kind in ("folder", "s3") else "; sent and read back"
    return Row(
        case=f"{size / _MB:.0f} MB out of the vault into {_TOLD[kind]}",
        rate=median(size / _MB / one.seconds for one in taken),
        unit="MB/s",
        cpu_ms=median(one.cpu for one in taken) * 1000,
        target="memory ≤ 100 MB above idle",
        note=f"memory +{worst:.0f} MB above idle {taken[0].idle / _MB:.0f} MB{proved}",
    )


if __name__ == "__main__":
    run({"sinks": measure})
