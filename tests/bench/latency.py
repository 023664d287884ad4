"""Latency: from sending a callback to its document in the folder, with the service idle; web and worker apart.

`python -m tests.bench.latency`
"""

import random
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from .databases import Kind, kinds
from .forward import SIZE
from .machine import Meter, metered
from .provider import Provider, provider
from .report import Row, Scale, percentile, run
from .service import Site, as_bytes, callback, web, worker

_PATIENCE = 30.0


def measure(scale: Scale) -> list[Row]:
    with kinds() as databases, provider(SIZE) as sender:
        return [_row(kind, *_samples(kind, sender, scale.samples)) for kind in databases]


def _samples(kind: Kind, sender: Provider, count: int) -> tuple[list[float], list[float], Meter]:
    """Milliseconds until the answer, and until the document stands there."""
    answered, placed = [], []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-latency-")))
        site = Site(home=home, store=kind.fresh(), provider=sender.url)
        children = stack.enter_context(web(site)), stack.enter_context(worker(site))
        line = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
        for number in range(10):
            _sample(site, line, number)
        with metered(*(child.pid for child in children), *kind.pids) as meter:
            for number in range(10, 10 + count):
                # Not in step with anything that looks for work at intervals of its own.
                time.sleep(0.05 + random.random() * 0.1)
                answer, file = _sample(site, line, number)
                answered.append(answer)
                placed.append(file)
    return answered, placed, meter


def _sample(site: Site, line: socket.socket, number: int) -> tuple[float, float]:
    request = as_bytes("contracts", *callback(number))
    file = site.archive / "contracts" / f"doc-{number:08}" / "document.pdf"
    started = time.perf_counter()
    line.sendall(request)
    if not line.recv(65536).startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the callback was not accepted, see {site.home}")
    answered = time.perf_counter() - started
    while not file.exists():
        if time.perf_counter() - started > _PATIENCE:
            raise TimeoutError(f"no document after {_PATIENCE} s:\n{site.log('worker').read_text()[-3000:]}")
        time.sleep(0.0005)
    return answered * 1000, (time.perf_counter() - started) * 1000


def _row(kind: Kind, answered: list[float], placed: list[float], meter: Meter) -> Row:
    middle, late = percentile(answered, 0.5), percentile(answered, 0.99)
    return Row(
        case=f"callback to document in the folder: {kind.name}",
        cpu_ms=sum(meter.cpu) * 1000 / len(placed),
        p50=percentile(placed, 0.5),
        p99=percentile(placed, 0.99),
        target="p50 ≤ 25 ms, p99 ≤ 100 ms",
        note=f"answered after {middle:.1f} ms (p99 {late:.1f}); {meter.quiet}",
    )


if __name__ == "__main__":
    run({"latency": measure})
