"""What is put right without being asked: work whose worker died, and rows, documents and files that grew old."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ..core.ports import Vault
from ..core.store import Store

BATCH: Final = 500
ABANDONED: Final = 86400.0
"""Seconds without a byte, after which a temporary file's writer is taken for dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """In seconds: `keep` is how long documents stay after the last act on their signing, `every` how often the vault
    is looked through, `hold` how long others wait before they take over from a sweeper that died."""

    store: Store
    vault: Vault
    worker: str
    keep: float
    every: float = 3600.0
    hold: float = 60.0

    def sweep(self) -> Mapping[str, int]:
        """Expired leases and old rows; one worker at a time, and cheap. Returns what was done, by word."""
        return self.store.sweep(self.worker, self.hold)

    def clean(self, stopped: Callable[[], bool] = lambda: False) -> Mapping[str, int]:
        """Once through the vault; ends early when `stopped` says so.

        Only the bytes go: a signing is never marked, so that whatever is cut short is made up for by the next look,
        and a replay finds its bytes gone, fetches them again and compares them with the recorded hash.
        """
        now = self.store.now()
        counts = {"temporary": self.vault.clean(now - ABANDONED), "documents": 0}
        if not self.vault.shared or self.store.lease("vault", self.worker, self.every):
            for sha256 in self._outlived(now - self.keep):
                if stopped():
                    break
                self.vault.discard(sha256)
                counts["documents"] += 1
        return {word: count for word, count in counts.items() if count}

    def _outlived(self, since: float) -> Iterator[str]:
        """What no signing needs. Bytes that no signing knows were left by a fetch that came to nothing; in a shared
        vault they stay, for they may be another database's."""
        for batch in _batches(self.vault.older(since)):
            needed = self.store.needed(batch, since)
            yield from (sha256 for sha256 in batch if not needed.get(sha256, self.vault.shared))


def _batches(hashes: Iterable[str]) -> Iterator[tuple[str, ...]]:
    source = iter(hashes)
    return iter(lambda: tuple(islice(source, BATCH)), ())
