"""What the kernel knows: CPU time and memory of process trees, and how far this machine may be trusted."""

import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PPID, _UTIME, _CSTIME = 1, 11, 15  # fields of /proc/<pid>/stat behind the closing bracket


@dataclass(slots=True)
class Meter:
    """What one stretch of work took. `cpu` is in seconds, one figure for each process tree that was named."""

    seconds: float = 0.0
    cpu: list[float] = field(default_factory=list)
    steal: float = 0.0
    foreign: float = 0.0

    @property
    def quiet(self) -> str:
        """Shares of the whole machine that others took meanwhile: the hypervisor, and processes that are not ours."""
        return f"steal {self.steal:.0%}, foreign {self.foreign:.0%}"


@contextmanager
def metered(*trees: int) -> Iterator[Meter]:
    """Filled at the end. The processes named must live until then."""
    meter = Meter()
    before = [cpu_seconds(pid) for pid in trees]
    machine, own, started = _machine(), cpu_seconds(os.getpid()), time.perf_counter()
    try:
        yield meter
    finally:
        meter.seconds = time.perf_counter() - started
        meter.cpu = [cpu_seconds(pid) - cpu for pid, cpu in zip(trees, before, strict=True)]
        total, busy, steal = (after - at_start for after, at_start in zip(_machine(), machine, strict=True))
        meter.steal = steal / max(total, 0.01)
        meter.foreign = max(busy - (cpu_seconds(os.getpid()) - own), 0.0) / max(total, 0.01)


def cpu_seconds(root: int) -> float:
    """User and system time of a process, its descendants, and those of them that ended and were waited for."""
    stats = dict(_stats())
    return sum(sum(stats[pid][_UTIME:_CSTIME]) for pid in _family(root, stats)) / _TICK


def family(root: int) -> list[int]:
    """A process and its descendants."""
    return list(_family(root, dict(_stats())))


def _family(root: int, stats: Mapping[int, list[int]]) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat[_PPID], []).append(pid)
    waiting = [root] if root in stats else []
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        yield pid


def resident(pid: int) -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def facts() -> dict[str, str]:
    """What to know before believing a figure."""
    model = next((line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": model.strip(),
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def _machine() -> tuple[float, float, float]:
    """Seconds of all cores since boot: whole, busy, stolen."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, _lines("/proc/stat")[0].split()[1:9])
    busy = user + nice + system + irq + softirq
    return (busy + idle + iowait + steal) / _TICK, busy / _TICK, steal / _TICK


def _stats() -> Iterator[tuple[int, list[int]]]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile; its parent has its time
            state, *numbers = text.rpartition(")")[2].split()
            yield int(entry), [ord(state), *map(int, numbers)]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
