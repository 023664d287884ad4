"""All measurements, one table: `python -m tests.bench [--json] [--quick]`."""

from . import accept, forward, latency, memory
from .report import run

run(
    {
        "accept": accept.measure,
        "forward": forward.measure,
        "latency": latency.measure,
        "memory": memory.measure,
    }
)
