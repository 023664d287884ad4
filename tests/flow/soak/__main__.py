"""`python -m tests.flow.soak`"""

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.flow.soak.run import SECTIONS, Order, soak


def main() -> int:
    chosen = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    order = Order(store=chosen.store, minutes=chosen.minutes, workers=chosen.workers, seed=seed, rate=chosen.rate)
    print(f"store {order.store}, {order.minutes:g} minutes, seed {seed}", flush=True)
    print(f"{order.workers} workers, {order.rate:g} documents/s, lease {SECTIONS['worker']['lease']:g} s", flush=True)
    with ExitStack() as stack:
        home = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        home.mkdir(parents=True, exist_ok=True)
        verdict = soak(order, home, lambda line: print(line, flush=True))
    print("\n".join(verdict.lines()))
    return 0 if verdict.good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.flow.soak",
        description="Real processes under a steady flow of callbacks, while by a seeded plan everything goes wrong that"
        " can; then what was acknowledged is held against what every sink holds, byte for byte. In half an hour every"
        " fault comes five times and more than 300 processes are killed. Where it can be seen whom a fault meets, it"
        " counts only then, and stays until it does. Exit code 0 only if nothing was lost, nothing is there twice,"
        " nothing was given up, and all that was to go wrong did. Full disks need root, or `unshare -rm`.",
        epilog="Example: python -m tests.flow.soak --store postgres --minutes 5 --seed 7",
    )
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="a new one is made (sqlite)")
    parser.add_argument("--minutes", type=float, default=30.0, help="of callbacks and faults (30)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes, at least two (3)")
    parser.add_argument("--seed", type=int, default=None, help="of what is sent, killed and broken (the clock)")
    parser.add_argument("--rate", type=float, default=2.0, help="documents that are signed in a second (2)")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it: the logs are in it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
