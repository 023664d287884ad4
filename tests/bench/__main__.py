"""All measurements, one table: `python -m tests.bench [--only NAME …] [--json] [--quick]`.

What `--json` prints, `python -m tests.bench.readme FILE …` writes into the README.
"""

from . import accept, forward, growth, idle, latency, memory, sinks, slope, wake
from .peers import race
from .report import run

run(
    {
        "accept": accept.measure,
        "forward": forward.measure,
        "peers": race.measure,
        "latency": latency.measure,
        "wake": wake.measure,
        "memory": memory.measure,
        "sinks": sinks.measure,
        "growth": growth.measure,
        "slope": slope.measure,
        "idle": idle.measure,
    }
)
