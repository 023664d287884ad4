"""One claimed job from start to settlement: the only place where an exception becomes a fate."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from ..core.errors import (
    ArtifactLost,
    ClaimLost,
    DocumentCheckFailed,
    Held,
    NotReady,
    Permanent,
    Retryable,
    StoreUnavailable,
    Unlikely,
    WebhookError,
)
from ..core.lanes import Party, Turn
from ..core.outcomes import Again, Buried, Closed, Delivered, Fetched, Outcome, Parsed, Refetch, Settled, Settlement
from ..core.ports import Clock
from ..core.retry import RetryPolicy
from ..core.store import Store
from ..core.types import Job, Stage
from .stages import Stages

UNLIKELY_TRIES = 2
"""Further tries for what hardly works later, such as a document that its provider does not know."""

STORE_AWAY = 5.0
"""Seconds until a job is tried again that our own store let down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """`pause` is how it waits between two tries to settle while the store is away, `monotonic` by what it counts how
    long: a clock that is set meanwhile must not end the waiting."""

    stages: Stages
    store: Store
    policy: RetryPolicy
    clock: Clock
    random: Callable[[], float]
    worker: str
    lease: float
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def run(self, job: Job, keep: Callable[[], Mapping[str, int]]) -> tuple[Job, ...]:
        """Runs and settles the job. Returns what was claimed along: the fetches of a parse, the deliveries of a fetch.

        `keep` says, when it is asked, which lanes have how many free slots for that.
        """
        log = structlog.get_logger().bind(job_stage=job.stage.value, ref=job.ref, lane=job.lane, claim=job.claim)
        started = self.clock()
        outcome, error = self._outcome(job)
        settlement = Settlement(
            job=job,
            outcome=outcome,
            started=started,
            ended=self.clock(),
            error=type(error).__name__ if error else "",
            message=outcome.note if isinstance(outcome, Fetched) else sentence(error),
            keep=keep() if isinstance(outcome, Parsed | Fetched) else {},
            worker=self.worker,
            lease=self.lease,
            party=heard(job, outcome, error),
            after=error.after if isinstance(error, Retryable) else None,
            retry=self.policy,
        )
        settled = self._settle(settlement)
        _log_outcome(log, settlement, settled)
        return settled.kept

    def _outcome(self, job: Job) -> tuple[Outcome, Exception | None]:
        try:
            return self.stages.run(job), None
        except Exception as error:  # every failure has a fate; one nobody foresaw counts as retryable
            claimed_at = job.lease_until - self.lease  # by the database's clock, like the job's creation
            return fate(error, job, self.policy, claimed_at, self.random), error

    def _settle(self, settlement: Settlement) -> Settled:
        """The store may be away for a while: the outcome is kept and tried again until the lease is surely over."""
        give_up = self.monotonic() + self.lease
        while True:
            try:
                return self.store.settle(settlement)
            except StoreUnavailable:
                if self.monotonic() > give_up:
                    raise
                self.pause(0.5)


def fate(error: Exception, job: Job, policy: RetryPolicy, now: float, random: Callable[[], float]) -> Outcome:
    """What becomes of a job that raised: the class decides."""
    if isinstance(error, NotReady):
        delay = policy.next_look(job.waits + 1, now - job.created, error.after, random)
        return Again(delay=delay, waiting=True) if delay is not None else Buried(reason=f"given up: {error}")
    if isinstance(error, Permanent):
        return Buried(reason=str(error), held=isinstance(error, Held))
    if isinstance(error, StoreUnavailable):  # our own trouble costs the job no try, however long it lasts
        return Again(delay=STORE_AWAY, waiting=True)
    if isinstance(error, ClaimLost):
        return Again(delay=0.0, waiting=True)  # if the claim is still ours after all, it goes back at no cost
    doubtful = isinstance(error, Unlikely)
    if doubtful and job.doubts >= UNLIKELY_TRIES:
        return Buried(reason=str(error))
    delay = policy.next_try(job.tries + 1, error.after if isinstance(error, Retryable) else None, random)
    if delay is not None and isinstance(error, ArtifactLost) and job.stage is Stage.DELIVER:
        return Refetch(reason=str(error), delay=delay)
    if delay is not None:
        return Again(delay=delay, doubtful=doubtful)
    return Buried(
        reason=f"out of tries after {job.tries + 1}: {sentence(error)}", held=isinstance(error, DocumentCheckFailed)
    )


_OF_OURS = (ArtifactLost, ClaimLost, StoreUnavailable)
_ANSWERS = (NotReady, Permanent, Unlikely, DocumentCheckFailed)


def heard(job: Job, outcome: Outcome, error: Exception | None) -> Party:
    """What it says of the job's provider or sink: whoever judges a document, or refuses it, answers. A parse asks
    nobody, nor did a fetch that brought nothing and needed nothing."""
    if job.stage is Stage.PARSE or isinstance(error, _OF_OURS):
        return Party.UNHEARD
    if error is not None:
        return Party.ANSWERS if isinstance(error, _ANSWERS) else Party.FAILS
    idle = isinstance(outcome, Fetched) and not outcome.parts and not outcome.more
    return Party.UNHEARD if idle else Party.ANSWERS


def sentence(error: BaseException | None) -> str:
    """The sentence of an error of ours; of a foreign one its class and where it was, for its text may hold anything."""
    if error is None:
        return ""
    if isinstance(error, WebhookError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    return f"unforeseen {type(error).__name__}" + "".join(f" in {frame.name}:{frame.lineno}" for frame in frames)


def _log_outcome(log: structlog.stdlib.BoundLogger, settlement: Settlement, settled: Settled) -> None:
    _log_turn(log, settled.turn)
    ms = round((settlement.ended - settlement.started) * 1000)
    stage, message = settlement.job.stage.value, settlement.message
    match settlement.outcome:
        case _ if not settled.ours:
            log.warning(f"{stage}.late", ms=ms, detail="the claim had been lost; nothing was changed")
        case Again(delay=delay, waiting=waiting):
            log.warning(f"{stage}.{'waiting' if waiting else 'again'}", ms=ms, detail=message, next_in=round(delay, 1))
        case Buried(reason=reason, held=held):
            log.error(f"{stage}.{'held' if held else 'dead'}", ms=ms, detail=reason)
        case Refetch(reason=reason):
            log.warning("deliver.refetch", ms=ms, detail=reason)
        case Delivered(receipt=receipt):
            log.info("deliver.done", ms=ms, location=receipt.location, found=receipt.found)
        case Fetched(version=version, parts=parts, lacking=lacking):
            log.info("fetch.done", ms=ms, version=version, parts=len(parts), lacking=list(lacking), detail=message)
        case Closed(reason=reason):
            log.info("parse.ignored", ms=ms, detail=reason)
        case Parsed(type=kind, documents=documents):
            log.info("parse.done", ms=ms, type=kind, documents=len(documents))


def _log_turn(log: structlog.stdlib.BoundLogger, turn: Turn | None) -> None:
    if turn is not None and turn.pause is not None:
        log.warning("lane.paused", seconds=round(turn.pause, 1), detail=turn.reason)
    elif turn is not None:
        log.info("lane.resumed", detail=turn.reason)
