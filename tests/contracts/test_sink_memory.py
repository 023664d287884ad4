"""Sinks that take documents of any size hold no more of a large one than of a small one."""

from pathlib import Path

import pytest

from tests.bench.carry import carry
from tests.bench.sinks import places

MB = 1024 * 1024


@pytest.mark.parametrize("kind", ["folder", "s3", "sftp", "webdav"])
def test_memory_stays_level_while_a_large_document_passes(kind: str, tmp_path: Path) -> None:
    with places(kind) as table:
        carried = carry(kind, table, 64 * MB, tmp_path)
    assert 20 * MB > carried.grown
