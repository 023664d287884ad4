"""What every vault promises, whatever stands behind it."""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from webhook_svc.core.errors import ArtifactLost
from webhook_svc.core.ports import Vault
from webhook_svc.core.types import Artifact
from webhook_svc.http import HttpClient
from webhook_svc.vault.address import read_address
from webhook_svc.vault.bucket import BucketVault
from webhook_svc.vault.local import LocalVault

from .rigs.s3 import ANYBODY

CONTENT = bytes(range(256)) * 4096 * 3  # 3 MiB: several chunks on every way
NEVER = time.time() + 10 * 86400
LONG_AGO = time.time() - 10 * 86400


class LocalRig:
    """A vault and the place behind it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vault: Vault = LocalVault(root)

    def again(self) -> Vault:
        return LocalVault(self.root)

    def plant(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}


class BucketRig:
    def __init__(self, endpoint: str, bucket: str, scratch: Path, stack: ExitStack) -> None:
        self.bucket = f"{endpoint}/{bucket}"
        requests.put(self.bucket, headers=ANYBODY, timeout=10).raise_for_status()
        self.scratch = scratch
        self.address = read_address(
            f"s3://AKID:s%2Fcret%2B@{bucket}/the%20vault/v1?endpoint={quote(endpoint, safe='')}"
        )
        self.http = HttpClient(trusted=self.address.hosts())
        stack.callback(self.http.close)
        self.vault: Vault = self.again()

    def again(self) -> Vault:
        return BucketVault(self.address, self.http, self.scratch)

    def plant(self, name: str, content: bytes) -> None:
        url = f"{self.bucket}/the%20vault/v1/{name}"
        requests.put(url, content, headers=ANYBODY, timeout=10).raise_for_status()

    def files(self) -> dict[str, bytes]:
        """What stands in the bucket, and what was left on this machine."""
        listing = requests.get(self.bucket, {"list-type": "2"}, headers=ANYBODY, timeout=10).text
        keys = [piece.partition("</Key>")[0] for piece in listing.split("<Key>")[1:]]
        left = {path.name: path.read_bytes() for path in self.scratch.rglob("*") if path.is_file()}
        return left | {key.removeprefix("the vault/v1/"): self._content(key) for key in keys}

    def _content(self, key: str) -> bytes:
        return requests.get(f"{self.bucket}/{quote(key)}", headers=ANYBODY, timeout=10).content


def _local(_: pytest.FixtureRequest, tmp_path: Path, __: ExitStack) -> LocalRig:
    return LocalRig(tmp_path / "vault")


def _bucket(request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> BucketRig:
    bucket = "v" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]
    return BucketRig(request.getfixturevalue("s3_endpoint"), bucket, tmp_path / "scratch", stack)


RIGS: dict[str, Callable[..., Any]] = {"local": _local, "bucket": _bucket}


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        yield RIGS[request.param](request, tmp_path, stack)


def put(vault: Vault, content: bytes = CONTENT) -> Artifact:
    with vault.writer() as writer:
        for start in range(0, len(content), 100_000):
            writer.write(content[start : start + 100_000])
        return writer.commit()


def read(vault: Vault, artifact: Artifact) -> bytes:
    with vault.open(artifact) as stored:
        return stored.read()


def name_of(rig: Any, artifact: Artifact) -> str:
    sha256 = artifact.sha256
    return (
        f"sha256/{sha256[:2]}/{sha256}" if isinstance(rig, LocalRig) else f"sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"
    )


@pytest.mark.parametrize("content", [CONTENT, b"", b"x"], ids=["large", "empty", "one byte"])
def test_what_goes_in_comes_out_under_its_hash(rig: Any, content: bytes) -> None:
    artifact = put(rig.vault, content)
    assert Artifact(sha256=hashlib.sha256(content).hexdigest(), size=len(content)) == artifact
    assert content == read(rig.vault, artifact)
    assert {name_of(rig, artifact): content} == rig.files()


def test_another_process_on_the_same_place_has_the_bytes(rig: Any) -> None:
    artifact = put(rig.vault)
    assert (True, CONTENT) == (rig.again().has(artifact.sha256), read(rig.again(), artifact))


def test_a_vault_reads_in_pieces(rig: Any) -> None:
    with rig.vault.open(put(rig.vault)) as stored:
        assert CONTENT == b"".join(iter(lambda: stored.read(70_000), b""))


def test_a_vault_that_has_the_bytes_in_a_file_says_where(rig: Any) -> None:
    path = rig.vault.path(put(rig.vault))
    assert (CONTENT if isinstance(rig, LocalRig) else None) == (path and path.read_bytes())


def test_leaving_without_commit_leaves_nothing(rig: Any) -> None:
    with rig.vault.writer() as writer:
        writer.write(b"abc")
    with pytest.raises(KeyError), rig.vault.writer():
        raise KeyError
    assert {} == rig.files()


def test_the_same_bytes_twice_are_one_object(rig: Any) -> None:
    assert put(rig.vault) == put(rig.again())
    assert 1 == len(rig.files())


def test_many_writers_of_the_same_bytes_do_not_disturb_each_other(rig: Any) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: put(rig.vault), range(6)))
    assert (6, 1) == (len(found), len(set(found)))
    assert CONTENT == read(rig.vault, found[0])


def test_what_was_never_there_is_lost(rig: Any) -> None:
    assert rig.vault.has("0" * 64) is False
    with pytest.raises(ArtifactLost), rig.vault.open(Artifact(sha256="0" * 64, size=3)) as stored:
        stored.read()


def test_what_was_discarded_is_lost_and_discarding_twice_is_harmless(rig: Any) -> None:
    artifact, other = put(rig.vault), put(rig.vault, b"other")
    rig.vault.discard(artifact.sha256)
    rig.vault.discard(artifact.sha256)
    assert rig.vault.has(artifact.sha256) is False
    with pytest.raises(ArtifactLost), rig.vault.open(artifact) as stored:
        stored.read()
    assert b"other" == read(rig.vault, other)


@pytest.mark.parametrize(
    "damaged",
    [CONTENT[:-1] + b"?", b"?" + CONTENT[1:], CONTENT[:-1], CONTENT + b"x", b""],
    ids=["last byte", "first byte", "shorter", "longer", "empty"],
)
class TestDamaged:
    def test_no_reader_gets_the_last_bytes_of_a_damaged_copy(self, rig: Any, damaged: bytes) -> None:
        artifact = put(rig.vault)
        rig.plant(name_of(rig, artifact), damaged)
        got: list[bytes] = []
        with pytest.raises(ArtifactLost), rig.vault.open(artifact) as stored:
            got.extend(iter(lambda: stored.read(70_000), b""))
        assert len(b"".join(got)) < len(CONTENT)

    def test_a_copy_that_was_found_damaged_is_no_longer_had_and_can_be_stored_again(
        self, rig: Any, damaged: bytes
    ) -> None:
        artifact = put(rig.vault)
        rig.plant(name_of(rig, artifact), damaged)
        with pytest.raises(ArtifactLost), rig.vault.open(artifact) as stored:
            stored.read()
        assert rig.vault.has(artifact.sha256) is False
        put(rig.again())
        assert CONTENT == read(rig.vault, artifact)


@pytest.mark.parametrize("damaged", [CONTENT[:-1], b""], ids=["shorter", "empty"])
def test_a_copy_of_another_size_is_replaced_when_the_bytes_come_again(rig: Any, damaged: bytes) -> None:
    artifact = put(rig.vault)
    rig.plant(name_of(rig, artifact), damaged)
    put(rig.vault)
    assert CONTENT == read(rig.vault, artifact)


def test_what_is_old_is_listed_by_its_hash_and_nothing_else_is(rig: Any) -> None:
    hashes = {put(rig.vault, content).sha256 for content in (b"one", b"two", b"three")}
    rig.plant("sha256/00/11/readme.txt", b"somebody's")
    assert sorted(hashes) == sorted(rig.vault.older(NEVER))
    assert [] == list(rig.vault.older(LONG_AGO))


def test_an_empty_vault_lists_nothing(rig: Any) -> None:
    assert [] == list(rig.vault.older(NEVER))


def test_old_bytes_may_be_discarded_while_they_are_listed(rig: Any) -> None:
    for number in range(10):
        put(rig.vault, b"%d" % number)
    for sha256 in rig.vault.older(NEVER):
        rig.vault.discard(sha256)
    assert {} == rig.files()


def test_cleaning_leaves_what_is_stored_and_what_is_being_written(rig: Any) -> None:
    put(rig.vault, b"stored")
    with rig.vault.writer() as writer:
        writer.write(b"abc")
        assert 0 == rig.vault.clean(LONG_AGO)
        artifact = writer.commit()
    assert b"abc" == read(rig.vault, artifact)
    assert 2 == len(rig.files())


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_hash_is_a_name(rig: Any, name: str) -> None:
    for act in (rig.vault.has, rig.vault.discard, lambda sha256: rig.vault.open(Artifact(sha256=sha256, size=1))):
        with pytest.raises(ValueError, match="not a SHA-256"):
            act(name)
