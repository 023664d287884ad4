"""One document into one sink, in a process of its own: what the sink does to its memory is its alone.

`python -m tests.bench.carry HOME SIZE` reads `{"kind": …, "table": …}` from standard input, has a document of so many
bytes in a vault in HOME, and prints what it took.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from webhook_svc.core.ports import Http, Sink
from webhook_svc.core.settings import build
from webhook_svc.core.types import Artifact, Delivery, Part, Placed
from webhook_svc.http import HttpClient
from webhook_svc.sinks import SINKS
from webhook_svc.vault.local import LocalVault

ROOT = Path(__file__).parents[2]
_BLOCK = bytes(range(256)) * 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Bytes of memory before, and at most meanwhile; seconds."""

    idle: int
    peak: int
    seconds: float
    cpu: float

    @property
    def grown(self) -> int:
        return self.peak - self.idle


class Forgetful:
    """A progress for a single try."""

    def load(self) -> Mapping[str, Any]:
        return {}

    def save(self, state: Mapping[str, Any]) -> None:
        pass


def carry(kind: str, table: Mapping[str, Any], size: int, home: Path) -> Carried:
    """A document of about so many bytes, from the vault into the sink that this table configures."""
    command = [sys.executable, "-m", "tests.bench.carry", str(home), str(size)]
    asked = json.dumps({"kind": kind, "table": table})
    done = subprocess.run(command, cwd=ROOT, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Carried(**json.loads(done.stdout))


def _carried(sink: Sink, vault: LocalVault, size: int) -> Carried:
    small, large = (_delivery(vault, one) for one in (1000, size))
    sink.deliver(small, Forgetful())  # what it needs besides is loaded
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    idle, cpu, started = _memory("VmRSS"), time.process_time(), time.perf_counter()
    sink.deliver(large, Forgetful())
    seconds = time.perf_counter() - started
    return Carried(idle=idle, peak=_memory("VmHWM"), seconds=seconds, cpu=time.process_time() - cpu)


def _delivery(vault: LocalVault, size: int) -> Delivery:
    with vault.writer() as writer:
        writer.write(b"%PDF-1.7\n")
        for _ in range(size // len(_BLOCK)):
            writer.write(_BLOCK)
        writer.write(_BLOCK[: size % len(_BLOCK)])
        kept = writer.commit()
    part = Part(
        kind="document", name="document.pdf", sha256=kept.sha256, size=kept.size, content_type="application/pdf"
    )
    empty = Delivery(
        id=f"dlv_{size}", source="bench", sink="sink", document=str(size), manifest=b"{}",
        files=(Placed(part=part, path=f"{size}/document.pdf"),), manifest_path=f"{size}/manifest.json",
        open=lambda _: vault.open(kept), still_ours=lambda: None,
    )  # fmt: skip
    return replace(empty, path=lambda _: vault.path(Artifact(sha256=kept.sha256, size=kept.size)))


def _sink(kind: str, table: Mapping[str, Any]) -> Sink:
    loaded: type[Sink] = SINKS.load(kind)
    problems: list[Any] = []
    settings = build(loaded.Settings, table, kind, problems)
    if problems:
        raise SystemExit("\n".join(map(str, problems)))
    return loaded("sink", settings, HttpClient(trusted=loaded("sink", settings, cast(Http, None)).hosts()))


def _memory(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) * 1024


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps(asdict(_carried(_sink(**given), LocalVault(Path(sys.argv[1])), int(sys.argv[2])))))
