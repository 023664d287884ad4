"""Devices that make trouble for the service: each stands between it and what it needs, and is switched by troubles.

- proxy: TCP, before a provider's API, a bucket or a mail server: absent, hanging, slow, broken in mid-answer
- s3: before a bucket: writes that are denied, refused for no reason, put off; and what was really written
- mail: a mailbox that hangs up, is busy, puts off, refuses
- disk: a small one for vault or database, that can be full to the last byte
- clock: a process whose clock jumps
- postgres: a server that is killed, stays away, and comes back at its address
- workers: two generations at once; workers that are told to go

`scene` is a service with all of them. Example:

    with Proxy(("127.0.0.1", port)) as wire, meanwhile(wire.trouble(Slow(rate=20_000))):
        ...
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
