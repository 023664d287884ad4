"""A small disk is full to the last byte, is emptied again, and leaves nothing behind."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from tests.flow.processes import until
from tests.flow.trouble import meanwhile
from tests.flow.trouble.disk import SmallDisk, unavailable
from webhook_svc.core.asking import Query
from webhook_svc.core.errors import Retryable, StoreUnavailable
from webhook_svc.core.ids import new_id
from webhook_svc.core.types import RawRequest
from webhook_svc.core.work import NewEvent
from webhook_svc.prove.verdict import everything
from webhook_svc.store.sql import SqlStore
from webhook_svc.vault.local import LocalVault

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

SIZE = 1 << 20


def accept(store: SqlStore, number: int) -> str:
    """A callback of 20 KB."""
    body = str(number).encode().rjust(20_000)
    event = NewEvent(
        id=new_id("evt", time.time()),
        key=sha256(body).digest(),
        source="a",
        delivery_id="",
        verified_by="",
        hint=False,
        request=RawRequest(body=body),
    )
    return store.accept(event, 30).event_id


def accept_while_there_is_room(store: SqlStore, numbers: Iterator[int]) -> list[str]:
    accepted = []
    while True:
        try:
            accepted.append(accept(store, next(numbers)))
        except StoreUnavailable:
            return accepted


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with SmallDisk(SIZE) as small:
        yield small


def test_not_a_byte_fits_on_a_full_disk(disk: SmallDisk) -> None:
    assert SIZE == disk.free
    full = disk.full()
    full.start()

    with pytest.raises(OSError, match="No space") as raised:
        (disk.path / "more").write_bytes(b"1")
    assert (errno.ENOSPC, 0, 1) == (raised.value.errno, disk.free, full.happened)


def test_there_is_room_again_when_it_ends(disk: SmallDisk) -> None:
    full = disk.full()
    full.start()
    full.start()
    full.stop()
    full.stop()

    (disk.path / "more").write_bytes(bytes(SIZE))
    assert 1 == full.happened


def test_a_vault_on_a_full_disk_asks_to_be_tried_again_and_leaves_nothing_there(disk: SmallDisk) -> None:
    vault, full = LocalVault(disk.path / "vault"), disk.full()
    with vault.writer() as writer:
        writer.write(b"%PDF")
        writer.commit()
    with meanwhile(full):
        with pytest.raises(Retryable, match="No space left"), vault.writer() as writer:
            writer.write(bytes(100_000))
        assert [] == list((disk.path / "vault" / "tmp").iterdir())
    with vault.writer() as writer:
        writer.write(bytes(100_000))
        assert vault.has(writer.commit().sha256)


def test_a_store_on_a_full_disk_is_unavailable_until_there_is_room() -> None:
    with SmallDisk(8 * SIZE) as disk:
        store, numbers = SqlStore(f"sqlite:///{disk.path}/store.db"), count()
        store.migrate()
        kept = [accept(store, next(numbers))]
        with meanwhile(disk.full()):
            kept += accept_while_there_is_room(store, numbers)
        kept.append(accept(store, next(numbers)))

        assert sorted(kept) == sorted(row["id"] for row in everything(store, Query(kind="events", limit=500)))
        store.close()


def test_a_disk_is_gone_afterwards_even_if_somebody_is_still_there() -> None:
    with SmallDisk(SIZE) as disk, (disk.path / "open").open("wb"):
        disk.close()
        assert not disk.path.exists()


def test_a_disk_is_gone_when_its_owner_was_killed() -> None:
    script = f"from tests.flow.trouble.disk import *; d = SmallDisk({SIZE}); print(d.path, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        assert os.path.ismount(path)
        owner.send_signal(signal.SIGKILL)

    until(lambda: not path.exists(), "the disk to be gone")
