"""Devices that make trouble for the service: each stands between it and what it needs, and can be switched.

with Proxy(upstream) as wire:                     # proxy.py: TCP, before a provider's API, S3 or SMTP
    trouble = wire.trouble(Slow(rate=20_000))     # also Absent, Hang, Broken(after=…, reset=…), Broken(after=0)
door = S3Door(bucket)                             # s3.py: WSGI, before the moto server; door.writes
trouble = door.trouble(Lie.ERROR_AFTER, share=0.3)
quirks = MailQuirks()                             # mail.py: Mailbox(quirk=quirks)
trouble = quirks.trouble(Quirk.LOST_AFTER_DATA, share=0.5)
with SmallDisk(4 << 20) as disk:                  # disk.py: disk.path is the folder; unavailable() says why not
    trouble = disk.full()
clock = ProcessClock(home / "offset")             # clock.py: Line(clock.line("worker"), …)
trouble = clock.jump(+3600)
with PostgresServer(home, programs) as server:    # postgres.py: server.url stays the same
    trouble = server.absence()                    # also server.killed(): kill -9 now, back at stop()
trouble = Rolling(lines, start)                   # workers.py: a second generation, then the first is told to go
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Trouble(Protocol):
    """One kind of trouble at one device. Both calls are idempotent, and return when it has begun or ended.

    `happened` counts what it really did to somebody: connections, answers, mails; where nobody can count that (a
    refused connection, a full disk) the times that it began.
    """

    @property
    def name(self) -> str: ...

    @property
    def happened(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


@contextmanager
def meanwhile(trouble: Trouble) -> Iterator[None]:
    """It ends, however the body ends."""
    trouble.start()
    try:
        yield
    finally:
        trouble.stop()
