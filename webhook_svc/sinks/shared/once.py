"""The memory of a sink that cannot look whether it was there before: what went through, and what may have."""

from collections.abc import Mapping
from typing import Any

from ...core.outgoing import Answer
from ...core.ports import Progress
from ...core.types import Delivery


def unsure(answer: Answer) -> bool:
    """Whether a server that answered so may have done it all the same."""
    return answer.status >= 500 or answer.status == 408


class Once:
    """Kept in the delivery's progress: what was begun, what is done, and how often it was repeated.

    A try whose answer never came may have gone through. It is made again, for to be told twice is better than never,
    and counted; the service's number of tries bounds it.
    """

    def __init__(self, delivery: Delivery, progress: Progress) -> None:
        self._delivery = delivery
        self._progress = progress
        self._state = dict(progress.load())
        self._before: tuple[Any, int] = (None, 0)

    @property
    def known(self) -> Mapping[str, Any] | None:
        """What `done` was told by an earlier try."""
        return self._told("done")

    @property
    def begun(self) -> Mapping[str, Any] | None:
        """What `begin` was told by a try whose end is not known."""
        return self._told("begun")

    @property
    def repeats(self) -> int:
        """How often it was sent although it may have been there already."""
        return int(self._state.get("repeats", 0))

    def begin(self, harmless: bool = False, /, **what: Any) -> None:
        """Directly before the act. ClaimLost where it is not ours any more. `harmless`: a repeat would do nothing."""
        again = self.begun is not None and not harmless
        self._before = self._state.get("begun"), self.repeats
        self._keep(begun=what, repeats=self.repeats + again)
        self._delivery.still_ours()

    def refused(self) -> None:
        """It surely did not go through; of an earlier try that is as unsure as it was."""
        begun, repeats = self._before
        self._keep(begun=begun, repeats=repeats)

    def done(self, **what: Any) -> None:
        """It went through."""
        self._keep(begun=None, done=what)

    def _told(self, name: str) -> Mapping[str, Any] | None:
        found = self._state.get(name)
        return found if isinstance(found, Mapping) else None

    def _keep(self, **changes: Any) -> None:
        self._state |= changes
        self._progress.save(self._state)
