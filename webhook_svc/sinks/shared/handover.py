"""The memory of files that somebody takes away as soon as they have their name."""

import os
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress

from ...core.errors import Retryable
from ...core.ports import Progress


class Handover:
    """Kept in the delivery's progress: which files, by their numbers in it, were about to get their name, and the token
    that made up the temporary names under which they stood, on disk, before they were renamed.

    A rename takes the one name away as it gives the other. So what was noted and is gone had its name, whether it still
    stands there or not; what was noted and is there never had it. Hence a note is taken back before its file is.
    That holds in the same folder only: where a disk is not mounted, everything is gone.
    """

    def __init__(self, progress: Progress, root: str) -> None:
        """`root` is the sink's folder."""
        self._progress = progress
        self._root = root
        state = progress.load()
        self._inode = state.get("inode")
        self._named = _numbers(state.get("named", "0"))
        self._noted = _numbers(state.get("noted", "0"))
        self._noted_token = state.get("token", "")
        self._token = secrets.token_hex(8)

    def temp(self, number: int) -> str:
        """The temporary name of that file in this try; no other try has the same."""
        return _temp(self._token, number)

    def named(self, number: int, folder: str) -> bool:
        """Did an earlier try give that file of the delivery its name? What it left of one that never had it goes."""
        if number not in self._named | self._noted:
            return False
        if self._inode not in (None, _inode(self._root)):
            raise Retryable(f"{self._root} is another folder than before: is its disk mounted?")
        temp = os.path.join(folder, _temp(self._noted_token, number))
        if number in self._named or not os.path.lexists(temp):
            self._named.add(number)
            self._noted.discard(number)
            return True
        self.take_back([number])
        with suppress(FileNotFoundError):
            os.unlink(temp)
        return False

    def note(self, numbers: Iterable[int]) -> None:
        """All that was noted before has been asked for with `named`."""
        self._noted_token, self._noted = self._token, set(numbers)
        self._keep()

    def take_back(self, numbers: Collection[int]) -> None:
        self._noted.difference_update(numbers)
        self._keep()

    def _keep(self) -> None:
        self._inode = _inode(self._root)
        self._progress.save(
            {
                "token": self._noted_token,
                "noted": _bits(self._noted),
                "named": _bits(self._named),
                "inode": self._inode,
            }
        )


def _temp(token: str, number: int) -> str:
    return f".{token}-{number}.part"


def _bits(numbers: Iterable[int]) -> str:
    """One bit each, in hexadecimal."""
    return f"{sum(1 << number for number in numbers):x}"


def _numbers(bits: str) -> set[int]:
    whole = int(bits, 16)
    return {number for number in range(whole.bit_length()) if whole >> number & 1}


def _inode(folder: str) -> int:
    """0 where it is not there."""
    try:
        return os.stat(folder).st_ino
    except FileNotFoundError:
        return 0
