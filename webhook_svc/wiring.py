"""Config becomes objects: the composition root. The only room, beside the demo, that knows every other."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog

from .config import Kinds, environment, load
from .core.asking import Verdict
from .core.errors import ConfigError, Problem
from .core.ports import Provider, Scheme, Sink
from .core.sections import Config, HttpSettings, SinkConfig, SourceConfig
from .core.types import RawRequest
from .download.fetch import Fetcher
from .http import HttpClient
from .log import configure
from .pipeline.dryrun import dry_run
from .pipeline.ingest import Ingest, IngestLimits
from .pipeline.parties import Parties, Source, Target
from .pipeline.run import Runner
from .pipeline.stages import Stages
from .providers import PROVIDERS
from .simulators import SIMULATORS
from .simulators.play import Play as Play  # the command line has it from here
from .sinks import SINKS
from .store.sql import Retention, SqlStore
from .vault.local import LocalVault
from .web.app import create_app
from .web.health import Watched
from .worker import Pace, Worker, worker_name

KINDS = Kinds(providers=PROVIDERS, sinks=SINKS)
DAY = 86400.0


@dataclass(frozen=True)
class Service:
    """One process's objects, made when they are first asked for."""

    config: Config
    parties: Parties

    @cached_property
    def store(self) -> SqlStore:
        store = open_store(self.config)
        if self.config.store.embedded:
            store.migrate()
        return store

    @cached_property
    def vault(self) -> LocalVault:
        return LocalVault(Path(self.config.vault.path))

    @cached_property
    def ingest(self) -> Ingest:
        service = self.config.service
        limits = IngestLimits(
            accept_timeout=service.accept_timeout,
            keep_refused=self.config.retention.refused,
            max_body=service.max_body,
        )
        return Ingest(self.parties.sources, self.store, time.time, limits)

    def dry_run(self, source: str, request: RawRequest, now: float) -> Verdict:
        """What would become of this callback; nothing is kept."""
        return dry_run(self.parties.sources[source], request, now, self.config.service.max_body)

    def app(self) -> Callable[..., Any]:
        service = self.config.service
        watched = Watched(
            ready=self.store.ready, gauges=self.store.gauges, admin_token=service.admin_token, proxies=service.proxies
        )
        return create_app(self.ingest, watched)

    def worker(self) -> Worker:
        settings, policy = self.config.worker, self.config.retry
        stages = Stages(
            parties=self.parties,
            store=self.store,
            vault=self.vault,
            fetcher=Fetcher(self.vault, max_document=self.config.http.max_document),
            policy=policy,
            clock=self.store.now,
        )
        runner = Runner(
            stages=stages,
            store=self.store,
            policy=policy,
            clock=time.time,
            random=random.random,
            worker=worker_name(),
            lease=settings.lease,
        )
        pace = Pace(
            concurrency=settings.concurrency,
            lease=settings.lease,
            drain=settings.drain,
            poll=settings.poll,
            job_deadline=settings.job_deadline,
        )
        return Worker(self.store, runner, self.parties.lanes(), pace)


def open_store(config: Config) -> SqlStore:
    """The store as it is; nothing is connected yet. ConfigError where its address or its driver is no good."""
    keep = config.retention
    retention = Retention(payloads=keep.payloads * DAY, attempts=keep.attempts * DAY)
    try:
        return SqlStore(config.store.url, retention=retention, on_death=die)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing, Postgres needs: pip install 'webhook-svc[postgres]'") from error
    except ValueError as error:
        raise ConfigError([Problem(where="store.url", found="something else", expected=str(error))]) from error


def simulation(provider: str, *, secret: str = "", api_key: str = "", port: int = 0) -> Play:
    """A simulator that serves its API. ConfigError with the known names."""
    return Play(SIMULATORS.load(provider)(secret=secret, api_key=api_key), port=port)


def configured(
    environ: Mapping[str, str] | None = None, *, path: Path | None = None, only: str | None = None
) -> Config:
    """The judged configuration. ConfigError with every problem."""
    return load(environment() if environ is None else environ, KINDS, path=path, only=only)


def service(config: Config) -> Service:
    """The objects over a configuration. ConfigError where a plugin cannot work with its settings."""
    problems: list[Problem] = []
    per_lane = config.worker.per_lane
    sources = {name: _source(one, config, per_lane, problems) for name, one in config.sources.items()}
    sinks = {name: _target(one, config, per_lane, problems) for name, one in config.sinks.items()}
    if problems:
        raise ConfigError(problems)
    return Service(
        config,
        Parties(
            sources={name: one for name, one in sources.items() if one},
            sinks={name: one for name, one in sinks.items() if one},
        ),
    )


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
    worker.run()
    made.store.close()


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
    return found


def http_client(config: Config, trusted: frozenset[str]) -> HttpClient:
    """The one HTTP client, bound to the hosts that one source or sink trusts."""
    settings: HttpSettings = config.http
    return HttpClient(
        trusted=trusted,
        allow_hosts=frozenset(settings.allow_hosts),
        own_ports=frozenset({config.service.port}),
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        total_timeout=settings.total_timeout,
        proxy=settings.proxy or "",
        max_redirects=settings.max_redirects,
    )


def _source(one: SourceConfig, config: Config, per_lane: int, problems: list[Problem]) -> Source | None:
    where = f"sources.{one.name}"

    def make() -> tuple[Provider, Scheme]:
        provider = PROVIDERS.load(one.provider)(one.name, one.settings, config.service.public_url or "")
        return provider, provider.scheme()

    made = _made(make, where, problems)
    if made is None:
        return None
    provider, scheme = made
    return Source(
        name=one.name,
        provider=provider,
        scheme=scheme,
        http=http_client(config, provider.hosts()),
        sinks=one.sinks,
        parts=tuple(part for part in one.parts if part in provider.offers()),
        wait_for_parts=one.wait_for_parts,
        tokens=one.tokens,
        slots=one.concurrency or per_lane,
    )


def _target(one: SinkConfig, config: Config, per_lane: int, problems: list[Problem]) -> Target | None:
    kind: type[Sink] = SINKS.load(one.kind)

    def make() -> Sink:
        bare = kind(one.name, one.settings, http_client(config, frozenset()))
        return kind(one.name, one.settings, http_client(config, bare.hosts()))

    sink = _made(make, f"sinks.{one.name}", problems)
    return sink and Target(name=one.name, sink=sink, path=one.template, slots=one.concurrency or per_lane)


def _made(make: Callable[[], Any], where: str, problems: list[Problem]) -> Any:
    try:
        return make()
    except ValueError as error:
        problems.append(Problem(where=where, found="settings that do not work together", expected=str(error)))
        return None


def die() -> None:
    """A process whose committer or worker died is of no use: it ends, and its supervisor starts another."""
    threading.Timer(0.2, os._exit, (70,)).start()
