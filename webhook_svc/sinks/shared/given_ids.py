"""The memory of ids that a service gives out before the files that they are for."""

from collections.abc import Callable
from typing import Final

from ...core.errors import Retryable
from ...core.ports import Progress

BLOCK: Final = 100
"""Ids that are asked for, and remembered, at once: a delivery may have more files than its progress holds ids."""


class GivenIds:
    """Kept in the delivery's progress: the ids of some of its files in a row, made when the first of them needs one.

    The files are written in their order. So those before the row are there; those behind it have no id yet.
    """

    def __init__(self, progress: Progress, count: int, generate: Callable[[int], list[str]]) -> None:
        """`count` is how many files there are, `generate` makes so many ids."""
        self._progress = progress
        self._count = count
        self._generate = generate

    def own(self, number: int) -> str:
        """That of the file with this number, which cannot be seen at the service."""
        state = self._progress.load()
        first, ids = int(state.get("first", 0)), list(state.get("ids", ()))
        if ids and number < first:
            self.forget()
            raise Retryable("an earlier try found the file or wrote it, and it cannot be seen")
        if number >= first + len(ids):
            first, ids = number, self._generate(min(BLOCK, self._count - number))
            self._progress.save({"first": first, "ids": ids})
        return str(ids[number - first])

    def forget(self) -> None:
        self._progress.save({})
