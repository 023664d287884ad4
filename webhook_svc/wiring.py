"""Config becomes objects: the composition root. The only room, beside the demo, that knows every other."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import structlog

from .config import Kinds, environment, load
from .core.asking import Verdict
from .core.errors import ConfigError, Problem
from .core.ports import Provider, Scheme, Sink, Vault
from .core.sections import Config, HttpSettings, SinkConfig, SourceConfig
from .core.types import RawRequest
from .download.fetch import Fetcher
from .http import HttpClient
from .log import configure
from .log import quiet as quiet  # the command line has it from here
from .pipeline.dryrun import dry_run
from .pipeline.ingest import Ingest, IngestLimits
from .pipeline.parties import Parties, Source, Target
from .pipeline.reconcile import Reconcile
from .pipeline.run import Runner
from .pipeline.stages import Stages
from .pipeline.sweep import Sweep
from .providers import PROVIDERS
from .simulators import SIMULATORS
from .simulators.play import Play as Play  # the command line has it from here
from .sinks import SINKS
from .store.sql import Retention, SqlStore
from .vault.address import read_address
from .vault.bucket import BucketVault
from .vault.local import LocalVault
from .worker import Pace, Worker, give_way, worker_name

KINDS = Kinds(providers=PROVIDERS, sinks=SINKS)
DAY = 86400.0
HOLD_MARGIN = 60.0
"""Seconds that a look at a provider's list is held beyond the time that one request may take."""


class Clients:
    """Makes the HTTP clients of one process, each bound to the hosts that its source, sink or vault trusts."""

    def __init__(self, config: Config) -> None:
        self._http: HttpSettings = config.http
        self._own_ports = frozenset({config.service.port})
        self._made: list[HttpClient] = []

    def make(self, trusted: frozenset[str]) -> HttpClient:
        settings = self._http
        client = HttpClient(
            trusted=trusted,
            allow_hosts=frozenset(settings.allow_hosts),
            own_ports=self._own_ports,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            total_timeout=settings.total_timeout,
            proxy=settings.proxy or "",
            ca_file=settings.ca_file,
            max_redirects=settings.max_redirects,
        )
        self._made.append(client)
        return client

    def close(self) -> None:
        while self._made:
            self._made.pop().close()


@dataclass(frozen=True)
class Service:
    """One process's objects, made when they are first asked for, and closed together."""

    config: Config
    parties: Parties
    clients: Clients

    @cached_property
    def store(self) -> SqlStore:
        store = open_store(self.config)
        if self.config.store.embedded:
            store.migrate()
        return store

    @cached_property
    def vault(self) -> Vault:
        folder = Path(self.config.vault.path)
        if not self.config.vault.url:
            return LocalVault(folder)
        address = read_address(self.config.vault.url)
        return BucketVault(address, self.clients.make(address.hosts()), folder / "tmp")

    @cached_property
    def fetcher(self) -> Fetcher:
        """One for all, for it keeps the sources' tokens."""
        return Fetcher(self.vault, max_document=self.config.http.max_document)

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

    def listed(self) -> list[str]:
        """The sources whose provider has a list of completed signings."""
        return [name for name, source in self.parties.sources.items() if source.provider.polls_every() is not None]

    def app(self) -> Callable[..., Any]:
        from .web.app import create_app  # a worker does without Flask
        from .web.health import Watched

        service = self.config.service
        watched = Watched(
            ready=self.store.ready,
            unserved=self.store.unserved,
            gauges=self._gauges,
            admin_token=service.admin_token,
            proxies=service.proxies,
        )
        return create_app(self.ingest, watched)

    def _gauges(self) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Of lists that are no longer looked at nobody need know how old the last look is."""
        read = {(("source", name),) for name, source in self.parties.sources.items() if source.reconcile}
        numbers = self.store.gauges()
        return {key: n for key, n in numbers.items() if key[0] != "reconciled_seconds_ago" or key[1] in read}

    def close(self) -> None:
        """Connections and files go; what was never asked for is not made for it."""
        self.clients.close()
        if "store" in vars(self):
            self.store.close()

    def reconcile(self, worker: str = "") -> Reconcile:
        """For a person, or as part of the worker of that name."""
        return Reconcile(
            store=self.store,
            parties=self.parties,
            fetcher=self.fetcher,
            worker=worker or worker_name(),
            hold=self.config.http.total_timeout + HOLD_MARGIN,
            longest=self.config.retry.longest,
        )

    def worker(self) -> Worker:
        settings, policy, name = self.config.worker, self.config.retry, worker_name()
        stages = Stages(
            parties=self.parties,
            store=self.store,
            vault=self.vault,
            fetcher=self.fetcher,
            policy=policy,
            clock=self.store.now,
        )
        runner = Runner(
            stages=stages,
            store=self.store,
            policy=policy,
            clock=time.time,
            random=random.random,
            worker=name,
            lease=settings.lease,
        )
        pace = Pace(
            concurrency=settings.concurrency,
            lease=settings.lease,
            drain=settings.drain,
            poll=settings.poll,
            job_deadline=settings.job_deadline,
        )
        keep = self.config.retention.artifacts * DAY
        sweep = Sweep(store=self.store, vault=self.vault, worker=name, keep=keep, hold=settings.lease)
        beside = [self.reconcile(name).run] if any(one.reconcile for one in self.parties.sources.values()) else []
        return Worker(self.store, runner, sweep, self.parties.lanes(), pace, beside=beside)


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
    problems = list(_outside_problems(config))
    if any(problem.where == "http.ca_file" for problem in problems):
        config = replace(config, http=replace(config.http, ca_file=""))  # so that the rest is judged too
    per_lane, clients = config.worker.per_lane, Clients(config)
    sources = {name: _source(one, config, clients, per_lane, problems) for name, one in config.sources.items()}
    sinks = {name: _target(one, clients, per_lane, problems) for name, one in config.sinks.items()}
    if problems:
        clients.close()
        raise ConfigError(problems)
    parties = Parties(
        sources={name: one for name, one in sources.items() if one},
        sinks={name: one for name, one in sinks.items() if one},
    )
    return Service(config, parties, clients)


def _outside_problems(config: Config) -> Iterator[Problem]:
    """What is wrong with the keys that only the room they are for can judge. The address of a vault is not shown."""
    try:
        Clients(config).make(frozenset()).close()
    except (FileNotFoundError, PermissionError) as error:
        yield Problem(where="http.ca_file", found=str(error.strerror), expected="a file that can be read")
    except OSError:
        yield Problem(where="http.ca_file", found="no certificates", expected="a file of certificates in PEM form")
    try:
        if config.vault.url:
            read_address(config.vault.url)
    except ValueError as error:
        yield Problem(where="vault.url", found="something else", expected=str(error))


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
        polls_every = source.provider.polls_every() or 0.0
        if 0 < source.reconcile < polls_every:
            found.append(
                f"source {name}: reconcile = {source.reconcile:g} asks for the list more often than the provider's"
                f" rules suggest (every {polls_every:g} s)"
            )
    return found


def _source(
    one: SourceConfig, config: Config, clients: Clients, per_lane: int, problems: list[Problem]
) -> Source | None:
    where = f"sources.{one.name}"

    def make() -> tuple[Provider, Scheme]:
        provider = PROVIDERS.load(one.provider)(one.name, one.settings, config.service.public_url or "")
        return provider, provider.scheme()

    made = _made(make, where, problems)
    if made is None:
        return None
    provider, scheme = made
    if provider.needs_url_token() and not one.tokens:
        expected = (
            "a URL token that nobody guesses (webhook-svc gen-secret), or `secrets`: nothing else keeps strangers out"
        )
        problems.append(Problem(where=f"{where}.tokens", found="nothing", expected=expected))
        return None
    polls_every = provider.polls_every()
    if one.reconcile and polls_every is None:
        expected = "0 or nothing: this provider has no list of completed signings"
        problems.append(Problem(where=f"{where}.reconcile", found=f"{one.reconcile:g}", expected=expected))
        return None
    return Source(
        name=one.name,
        provider=provider,
        scheme=scheme,
        http=clients.make(provider.hosts()),
        sinks=one.sinks,
        parts=tuple(part for part in one.parts if part in provider.offers()),
        wait_for_parts=one.wait_for_parts,
        tokens=one.tokens,
        networks=tuple(ip_network(text) for text in one.addresses),
        reconcile=(polls_every or 0.0) if one.reconcile is None else one.reconcile,
        overlap=one.overlap,
        slots=one.concurrency or per_lane,
    )


def _target(one: SinkConfig, clients: Clients, per_lane: int, problems: list[Problem]) -> Target | None:
    kind: type[Sink] = SINKS.load(one.kind)

    def make() -> Sink:
        bare = kind(one.name, one.settings, clients.make(frozenset()))
        return kind(one.name, one.settings, clients.make(bare.hosts()))

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
