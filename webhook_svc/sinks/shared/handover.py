"""The memory of files that somebody takes away as soon as they have their name."""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress

from ...core.ports import Progress


class Handover:
    """Kept in the delivery's progress: the temporary name under which each file stood, on disk, before it was renamed.

    A rename takes the one name away as it gives the other. So what was noted and is gone had its name, whether it still
    stands there or not; what was noted and is there never had it. Hence a note is taken back before its file is.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._noted = dict(progress.load().get("temporary", {}))

    def named(self, number: int, folder: str) -> bool:
        """Did an earlier try give that file of the delivery its name? What it left of one that never had it goes."""
        if str(number) not in self._noted:
            return False
        temp = os.path.join(folder, self._noted[str(number)])
        if not os.path.lexists(temp):
            return True
        self.take_back([number])
        with suppress(FileNotFoundError):
            os.unlink(temp)
        return False

    def note(self, temps: Mapping[int, str]) -> None:
        self._keep({**self._noted, **{str(number): os.path.basename(temp) for number, temp in temps.items()}})

    def take_back(self, numbers: Collection[int]) -> None:
        self._keep({key: temp for key, temp in self._noted.items() if int(key) not in numbers})

    def _keep(self, noted: dict[str, str]) -> None:
        self._progress.save({"temporary": noted})
        self._noted = noted
