"""What the rigs of services have in common that take a large file in a session of several requests."""

from typing import ClassVar

import pytest

from .base import Rig

PIECE = 30_000


class SessionRig(Rig):
    """A stand-in. Its login's targets are those that `front` leaves aside."""

    behind = "stand-in"
    real = False
    over_http = True
    cancels: ClassVar[bool] = False
    """True where a session that will not be completed is to be cancelled."""
    one_case: ClassVar[bool] = True
    """Names that differ in case alone are one."""

    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files of more than 1000 bytes go in a session, in pieces of PIECE."""
        raise NotImplementedError

    def sessions(self) -> int:
        """How many are open."""
        raise NotImplementedError

    def end_sessions(self, after: int) -> None:
        """After so many further requests in one of them all are gone."""
        raise NotImplementedError

    def slip_in(self, path: str, content: bytes) -> None:
        """Somebody else writes that just before the next file is complete."""
        raise NotImplementedError

    def fill(self) -> None:
        """Hardly any space is left."""
        raise NotImplementedError
