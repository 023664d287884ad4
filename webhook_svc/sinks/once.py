"""The memory of a sink that cannot look whether it was there before: what went through, and what may have."""

from collections.abc import Mapping
from typing import Any

from ..core.outgoing import Answer
from ..core.ports import Progress
from ..core.types import Delivery


class Once:
    """Kept in the delivery's progress: `sending`, `repeats`, and what `done` was told.

    A try whose answer never came may have gone through. It is made again, for to be told twice is better than never,
    and counted; the service's number of tries bounds it.
    """

    def __init__(self, delivery: Delivery, progress: Progress) -> None:
        self._delivery = delivery
        self._progress = progress
        self._state = dict(progress.load())

    @property
    def known(self) -> Mapping[str, Any] | None:
        """What `done` was told by an earlier try."""
        found = self._state.get("done")
        return found if isinstance(found, Mapping) else None

    @property
    def repeats(self) -> int:
        """How often it was sent although it may have been there already."""
        return int(self._state.get("repeats", 0))

    def begin(self) -> None:
        """Directly before the act. ClaimLost where it is not ours any more."""
        again = bool(self._state.get("sending"))
        self._keep(sending=True, repeats=self.repeats + again)
        self._delivery.still_ours()

    def refused(self, answer: Answer) -> None:
        """After an answer that is no success. Only a server's own trouble leaves open what it did before."""
        if answer.status < 500 and answer.status != 408:
            self._keep(sending=False)

    def done(self, **what: Any) -> None:
        """It went through."""
        self._keep(sending=False, done=what)

    def _keep(self, **changes: Any) -> None:
        self._state |= changes
        self._progress.save(self._state)
