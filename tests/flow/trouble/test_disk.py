"""A small disk is full to the last byte, is emptied again, and leaves nothing behind."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.processes import until
from tests.flow.trouble.disk import SmallDisk, unavailable

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

SIZE = 1 << 20


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
