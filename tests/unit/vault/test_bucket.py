"""The vault in a bucket: what it asks of the store, and what it makes of every answer."""

import hashlib
import re
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from webhook_svc.core.errors import ArtifactLost, Permanent, Retryable
from webhook_svc.core.outgoing import Answer, Request, Upload
from webhook_svc.core.types import Artifact
from webhook_svc.vault.address import read_address
from webhook_svc.vault.bucket import BucketVault

NOW = 1_790_000_000.0
SHA256 = hashlib.sha256(b"deed").hexdigest()
DEED = Artifact(sha256=SHA256, size=4)
NAME = f"sha256/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"
ADDRESS = read_address("s3://AKID:hunter2@acme/v1")


def error(status: int, code: str = "", **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>hunter2</Message></Error>".encode()
    return Answer(status=status, headers={"retry-after": "7", **headers}, body=body)


@dataclass
class Store:
    """core.ports.Http: what it is asked is remembered, what it answers is laid out before."""

    answers: list[Any] = field(default_factory=list)
    content: list[bytes] = field(default_factory=lambda: [b"de", b"ed"])
    asked: list[Request] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def call(self, request: Request, *, limit: int = 0) -> Answer:  # noqa: ARG002 - the surface
        self.asked.append(request)
        if isinstance(request.body, Upload):
            with request.body.open() as body:
                self.sent.append(body.read())
            assert request.body.size == len(self.sent[-1])
        return self._answer()

    def save(self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Any = ()) -> Answer:  # noqa: ARG002
        self.asked.append(request)
        answer = self._answer()
        for chunk in self.content if answer.ok else ():
            into(chunk)
        return answer

    def methods(self) -> list[str]:
        return [request.method for request in self.asked]

    def _answer(self) -> Answer:
        answer = self.answers.pop(0) if self.answers else Answer(status=200)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def vault(store: Store, tmp_path: Path) -> BucketVault:
    return BucketVault(ADDRESS, store, tmp_path / "scratch", clock=lambda: NOW)


def put(vault: BucketVault, content: bytes = b"deed") -> Artifact:
    with vault.writer() as writer:
        writer.write(content)
        return writer.commit()


# --- writing ------------------------------------------------------------------------------------------------------


def test_a_write_is_conditional_signed_and_carries_its_hashes(vault: BucketVault, store: Store) -> None:
    put(vault)
    (asked,) = store.asked
    assert ("PUT", f"https://acme.s3.us-east-1.amazonaws.com/v1/{NAME}") == (asked.method, asked.url)
    checksum = b64encode(bytes.fromhex(SHA256)).decode()
    assert ("*", checksum, SHA256) == tuple(
        asked.headers[name] for name in ("If-None-Match", "x-amz-checksum-sha256", "x-amz-content-sha256")
    )
    assert "if-none-match" in asked.auth["Authorization"]
    assert [b"deed"] == store.sent


@pytest.mark.parametrize(
    "stored",
    [
        {"content-length": "4"},
        {"content-length": "4", "x-amz-checksum-sha256": b64encode(bytes.fromhex(SHA256)).decode()},
    ],
    ids=["without checksum", "with checksum"],
)
def test_what_stands_there_already_is_left_as_it_is(vault: BucketVault, store: Store, stored: dict[str, str]) -> None:
    store.answers = [error(412), Answer(status=200, headers=stored)]
    assert DEED == put(vault)
    assert ["PUT", "HEAD"] == store.methods()


@pytest.mark.parametrize(
    "stored",
    [
        Answer(status=404),
        Answer(status=200, headers={"content-length": "3"}),
        Answer(status=200, headers={"content-length": "4", "x-amz-checksum-sha256": "AAAA"}),
    ],
    ids=["gone meanwhile", "another size", "another checksum"],
)
def test_what_stands_there_with_other_bytes_is_replaced(vault: BucketVault, store: Store, stored: Answer) -> None:
    store.answers = [error(412), stored]
    put(vault)
    assert ["PUT", "HEAD", "PUT"] == store.methods()
    assert "If-None-Match" not in store.asked[2].headers
    assert [b"deed", b"deed"] == store.sent


@pytest.mark.parametrize("answer", [error(501, "NotImplemented"), error(400, "NotImplemented"), error(409)])
def test_a_store_that_cannot_keep_the_condition_is_written_without(
    vault: BucketVault, store: Store, answer: Answer
) -> None:
    store.answers = [answer]
    put(vault)
    assert [True, False] == ["If-None-Match" in asked.headers for asked in store.asked]


@pytest.mark.parametrize(
    "answer", [error(403, "AccessDenied"), error(404, "NoSuchBucket"), error(503, "SlowDown"), error(400, "BadDigest")]
)
@pytest.mark.parametrize(
    "act",
    [
        put,
        lambda vault: vault.open(DEED),
        lambda vault: list(vault.older(NOW)),
        lambda vault: vault.check(),
    ],
    ids=["write", "open", "list", "check"],
)
def test_whatever_the_store_objects_to_is_retryable_and_says_no_secret(
    vault: BucketVault, store: Store, answer: Answer, act: Callable[[BucketVault], Any]
) -> None:
    store.answers = [answer]
    with pytest.raises(Retryable, match=f"vault: [a-z]+: status {answer.status}") as caught:
        act(vault)
    assert caught.value.after == 7
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("act", [BucketVault.has, BucketVault.discard])
def test_a_question_that_is_refused_is_no_answer(vault: BucketVault, store: Store, act: Any) -> None:
    store.answers = [Answer(status=403)]
    with pytest.raises(Retryable, match="status 403"):
        act(vault, SHA256)


@pytest.mark.parametrize("error", [Retryable("acme: the connection was cut"), Permanent("acme: forbidden")])
def test_what_the_network_says_is_passed_on(vault: BucketVault, store: Store, error: Exception) -> None:
    store.answers = [error]
    with pytest.raises(type(error), match="acme: "):
        put(vault)


def test_a_full_disk_is_retryable(vault: BucketVault, tmp_path: Path) -> None:
    (tmp_path / "scratch").write_bytes(b"a file where the folder should be")
    with pytest.raises(Retryable, match="vault: File exists"):
        put(vault)


# --- reading ------------------------------------------------------------------------------------------------------


def test_a_copy_is_proved_whole_before_it_is_handed_out(vault: BucketVault, tmp_path: Path) -> None:
    with vault.open(DEED) as stored:
        assert b"deed" == stored.read()
    assert [] == list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("content", [[b"dee"], [b"dead"], [b"deed", b"x"], [b"x" * 100] * 100, []])
def test_wrong_bytes_are_lost_and_thrown_away(vault: BucketVault, store: Store, content: list[bytes]) -> None:
    store.content = content
    with pytest.raises(ArtifactLost, match="damaged"):
        vault.open(DEED)
    assert ["GET", "DELETE"] == store.methods()


def test_a_missing_object_is_lost(vault: BucketVault, store: Store) -> None:
    store.answers = [error(404, "NoSuchKey")]
    with pytest.raises(ArtifactLost, match="no longer"):
        vault.open(DEED)
    assert ["GET"] == store.methods()


def test_a_cut_answer_is_tried_again_and_not_taken_for_a_loss(vault: BucketVault, store: Store) -> None:
    store.answers = [Retryable("acme: fewer bytes came than were announced")]
    with pytest.raises(Retryable):
        vault.open(DEED)
    assert ["GET"] == store.methods()


# --- listing ------------------------------------------------------------------------------------------------------


def page(*names: str, at: str = "2026-01-01T00:00:00.000Z", token: str = "") -> Answer:
    contents = "".join(
        f"<Contents><Key>{escape(name)}</Key><LastModified>{at}</LastModified><Size>4</Size></Contents>"
        for name in names
    )
    more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    return Answer(status=200, body=f"<ListBucketResult>{contents}{more}</ListBucketResult>".encode())


def test_a_listing_is_read_to_its_last_page(vault: BucketVault, store: Store) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    store.answers = [page(f"v1/{NAME}", token="a&b/="), page(f"v1/sha256/{other[:2]}/{other[2:4]}/{other}")]
    assert [SHA256, other] == list(vault.older(NOW))
    assert "continuation-token=a%26b%2F%3D&list-type=2&prefix=v1%2Fsha256%2F" == store.asked[1].url.partition("?")[2]


def test_a_listing_that_repeats_itself_ends(vault: BucketVault, store: Store) -> None:
    store.answers = [page(token="a"), page(token="a"), page(token="a")]
    assert [] == list(vault.older(NOW))
    assert 2 == len(store.asked)


@pytest.mark.parametrize(
    "name",
    [NAME, f"v2/{NAME}", f"v1/x/{NAME}", f"v1/{NAME}x", f"v1/sha256/00/00/{SHA256}", "v1/sha256/<&>", "v1/sha256/"],
)
def test_what_is_not_ours_is_not_listed(vault: BucketVault, store: Store, name: str) -> None:
    store.answers = [page(name)]
    assert [] == list(vault.older(NOW))


def test_what_is_young_is_not_listed(vault: BucketVault, store: Store) -> None:
    store.answers = [page(f"v1/{NAME}", at="2026-09-21T14:13:21.000Z")]
    assert [] == list(vault.older(NOW))


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<html>" * 1000, b"<Contents><Key>" * 1000])
def test_a_page_that_is_none_lists_nothing(vault: BucketVault, store: Store, body: bytes) -> None:
    store.answers = [Answer(status=200, body=body)]
    assert [] == list(vault.older(NOW))


# --- the address --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "prefix"),
    [
        ("s3://a:b@acme", "https://acme.s3.us-east-1.amazonaws.com", ""),
        ("s3://a:b@acme/", "https://acme.s3.us-east-1.amazonaws.com", ""),
        ("s3://a:b@acme/x/y/?region=eu-central-1", "https://acme.s3.eu-central-1.amazonaws.com", "x/y/"),
        ("s3://a:b@acme.example?region=cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn/acme.example", ""),
        ("s3://a:b@acme/x%20y?endpoint=http://127.0.0.1:9000/s3/", "http://127.0.0.1:9000/s3/acme", "x y/"),
        ("s3://a:b@acme?region=auto&endpoint=https%3A%2F%2Fr2.example", "https://r2.example/acme", ""),
    ],
)
def test_an_address_is_read(text: str, url: str, prefix: str) -> None:
    address = read_address(text)
    assert ("acme", url, prefix) == (address.bucket.partition(".")[0], address.url, address.prefix)


def test_key_and_secret_are_decoded_and_never_shown() -> None:
    address = read_address("s3://AK%3AID:s%2Fcr+et%40@acme")
    assert ("AK:ID", "s/cr+et@") == (address.key.access_key_id.reveal(), address.key.secret_access_key.reveal())
    assert re.search("AK:ID|cr.et", repr(address)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://hunter2:hunter2@acme", "s3://"),
        ("s3://hunter2:hunter2@acme#hunter2", "fragment"),
        ("s3://acme", "percent-encoded"),
        ("s3://hunter2@acme", "percent-encoded"),
        ("s3://:hunter2@acme", "percent-encoded"),
        ("s3://hunter2:hunter2/hunter2@acme/x", "percent-encoded"),
        ("s3://hunter2:hunter2@", "bucket"),
        ("s3://hunter2:hunter2@acme:9000", "bucket"),
        ("s3://hunter2:hunter2@[acme", "s3://"),
        ("s3://hunter2:hunter2@acme?regoin=hunter2", "no option but"),
        ("s3://hunter2:hunter2@acme?region=a&region=b", "no option but"),
        ("s3://hunter2:hunter2@acme?hunter2", "s3://"),
        ("s3://hunter2:hunter2@acme?region=EU%20West", "region"),
        ("s3://hunter2:hunter2@acme?endpoint=minio:9000", "endpoint"),
        ("s3://hunter2:hunter2@acme?endpoint=https://u:hunter2@h", "endpoint"),
        ("s3://hunter2:hunter2@acme?endpoint=https://h:hunter2", "endpoint"),
        ("s3://hunter2:hunter2@acme/a//b", "prefix"),
        ("s3://hunter2:hunter2@acme/a/../b", "prefix"),
        ("s3://hunter2:hunter2@acme/a%2F..%2Fb", "prefix"),
    ],
)
def test_an_address_that_is_none_says_what_is_expected_and_shows_nothing(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        read_address(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    scratch = tmp_path / "scratch"
    assert not scratch.is_dir() or [] == list(scratch.iterdir())
