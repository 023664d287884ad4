"""The web process and the worker, and what they say when they start."""

import signal
from collections.abc import Callable
from typing import Any

import structlog

from ..core.sections import Config
from ..log import configure
from ..worker import give_way
from .configured import configured, service
from .objects import Service


def wsgi() -> Callable[..., Any]:
    """The web process: what gunicorn serves."""
    config = configured()
    made = service(config)
    warn(config, made)
    return made.app()


def run_worker(made: Service) -> None:
    """The worker process: returns after SIGTERM or SIGINT, when what ran is done or given back."""
    warn(made.config, made)
    worker = made.worker()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    give_way()
    worker.run()
    made.close()


def warn(config: Config, made: Service) -> None:
    """Prepares the log and says what is odd about this configuration."""
    configure(config.log.level, config.log.format)
    for warning in warnings(config, made):
        structlog.get_logger().warning("config", detail=warning)


def warnings(config: Config, made: Service) -> list[str]:
    found = list(config.warnings)
    for name, source in made.parties.sources.items():
        if not source.scheme.signs:
            found.append(f"source {name} accepts callbacks of anybody (alg = none): they are hints, checked at the API")
        found += [f"source {name}: {warning}" for warning in source.provider.warnings()]
        found += [
            f"source {name}: meta.{meta} stands where the signature does not cover it: whoever has one callback of "
            "this sender can send documents down another route by it"
            for meta, path in source.meta.items()
            if source.scheme.signs and not source.provider.proves(path)
        ]
        polls_every = source.provider.polls_every() or 0.0
        if 0 < source.reconcile < polls_every:
            found.append(
                f"source {name}: reconcile = {source.reconcile:g} asks for the list more often than the provider's"
                f" rules suggest (every {polls_every:g} s)"
            )
    return found
