"""One process's objects: everything that a command, a web process or a worker is made of."""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.asking import Destination, Verdict
from ..core.errors import ConfigError, Problem
from ..core.explanation import Explanation
from ..core.ports import Vault
from ..core.sections import Config
from ..core.types import RawRequest
from ..download.fetch import Fetcher
from ..pipeline.backfill import Backfiller
from ..pipeline.dryrun import destinations, dry_run, explained
from ..pipeline.ingest import Ingest, IngestLimits
from ..pipeline.parties import Parties
from ..pipeline.reconcile import Reconcile
from ..pipeline.run import Runner
from ..pipeline.stages import Stages
from ..pipeline.sweep import Sweep
from ..store.sql import Retention, SqlStore
from ..vault.address import read_address
from ..vault.bucket import BucketVault
from ..vault.local import LocalVault
from ..worker import Pace, Worker, worker_name
from .parties import Clients

DAY = 86400.0
HOLD_MARGIN = 60.0
"""Seconds that a look at a provider's list is held beyond the time that one request may take."""


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

    def explained(self, source: str, request: RawRequest, now: float) -> tuple[Explanation, ...]:
        """What the source's scheme saw in this callback."""
        return explained(self.parties.sources[source], request, now)

    def listed(self) -> list[str]:
        """The sources whose provider has a list of completed signings."""
        return [name for name, source in self.parties.sources.items() if source.provider.polls_every() is not None]

    def app(self) -> Callable[..., Any]:
        from ..web.app import create_app  # a worker does without Flask
        from ..web.health import Watched

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

    def backfiller(self) -> Backfiller:
        return Backfiller(parties=self.parties, store=self.store, vault=self.vault, clock=self.store.now)

    def destinations(self, source: str, request: RawRequest) -> tuple[Destination, ...]:
        """Where the documents of this callback would go. Raises ValueError, Permanent or Ignored as parsing it does."""
        return destinations(self.parties, self.parties.sources[source], request)

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


def die() -> None:
    """A process whose committer or worker died is of no use: it ends, and its supervisor starts another."""
    threading.Timer(0.2, os._exit, (70,)).start()
