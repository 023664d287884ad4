"""Runs a module in a process that ends with the one that started it: `python -m webhook_svc.prove.tied PID MODULE …`.

Whoever is killed with kill -9 can end nobody; so everybody else looks whether it is still there.
"""

import os
import runpy
import signal
import sys

LOOKS_EVERY = 0.5
"""Seconds."""


def tie(parent: int) -> None:
    """From now on the process group that this process leads goes with this parent. A timer and no thread: the group
    may fork."""
    group = os.getpid()

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os.killpg(group, signal.SIGKILL)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOKS_EVERY, LOOKS_EVERY)


def main() -> None:
    parent, module, *arguments = sys.argv[1:]
    tie(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
