"""The vault in an S3-compatible bucket: bytes named by their SHA-256, where every worker finds them."""

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import IO, BinaryIO, Final, cast
from urllib.parse import quote

from ..core.errors import ArtifactLost, Retryable
from ..core.outgoing import Answer, Request, Upload
from ..core.ports import ANSWER_LIMIT, Clock, Http
from ..core.types import Artifact
from ..signing.outgoing.aws4 import NOTHING, sign
from ..signing.outgoing.bucket import checksum, error_code, stored_checksum
from .address import BucketAddress

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LISTED: Final = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_KEY: Final = re.compile(r"<Key>([^<]+)</Key>")
_STORED: Final = re.compile(r"<LastModified>([0-9T:.Z+-]{19,40})</LastModified>")
_NEXT: Final = re.compile(r"<NextContinuationToken>([^<]+)</NextContinuationToken>")
_NO_LIMIT: Final = 2**62
_NOT_AS_ASKED: Final = (409, 412, 501)


class BucketVault:
    """core.ports.Vault in a bucket. What passes through lies in a nameless file of `scratch`: a copy is proved whole
    before a reader gets its first byte, and a crash leaves nothing behind."""

    shared = True

    def __init__(self, address: BucketAddress, http: Http, scratch: Path, clock: Clock = time.time) -> None:
        self._address = address
        self._http = http
        self._scratch = scratch
        self._clock = clock

    @contextmanager
    def writer(self) -> Iterator["_Writer"]:
        with self._file() as file:
            yield _Writer(self, file)

    def open(self, artifact: Artifact) -> BinaryIO:
        with ExitStack() as stack:
            proof = _Proof(artifact, stack.enter_context(self._file()))
            request = self._signed(Request(url=self._url(artifact.sha256)))
            try:
                answer = self._http.save(request, proof.take, limit=_NO_LIMIT)
                if answer.status == 404 and error_code(answer) != "NoSuchBucket":
                    raise ArtifactLost(f"the vault no longer has {artifact.sha256}")
                _expect(answer, "reading")
                proof.finish()
            except _Damaged:
                self.discard(artifact.sha256)
                raise ArtifactLost(f"the vault's copy of {artifact.sha256} is damaged") from None
            stack.pop_all()
            return cast(BinaryIO, proof.file)

    def path(self, artifact: Artifact) -> None:  # noqa: ARG002 - nothing lies here
        return None

    def has(self, sha256: str) -> bool:
        return self._head(sha256) is not None

    def discard(self, sha256: str) -> None:
        """Gone when this returns; it need not have been there."""
        answer = self._call("DELETE", self._url(sha256))
        if answer.status != 404:
            _expect(answer, "deleting")

    def older(self, before: float) -> Iterator[str]:
        token = ""
        while True:
            query = {"list-type": "2", "prefix": f"{self._address.prefix}sha256/"}
            if token:
                query["continuation-token"] = token
            answer = self._call("GET", f"{self._address.url}?{_query(query)}", limit=8 * ANSWER_LIMIT)
            _expect(answer, "listing")
            page = answer.body.decode("utf-8", "replace")
            for name, stored in _listed(page):
                sha256 = name.rpartition("/")[2]
                if stored < before and name == self._name(sha256) and _SHA256.fullmatch(sha256):
                    yield sha256
            following = _NEXT.search(page)
            if not following or unescape(following[1]) == token:
                return
            token = unescape(following[1])

    def clean(self, before: float) -> int:  # noqa: ARG002 - a file without a name ends with its process
        return 0

    def check(self) -> str:
        """One sentence on what was found to work. Raises Retryable or Permanent."""
        query = _query({"list-type": "2", "max-keys": "1", "prefix": self._address.prefix})
        _expect(self._call("GET", f"{self._address.url}?{query}"), "listing")
        return f"bucket {self._address.bucket} answers and takes our credentials"

    def keep(self, artifact: Artifact, content: Callable[[], BinaryIO]) -> None:
        """Under its name, if it does not stand there. A copy of another size or checksum is replaced; so is any where
        the server does not know the condition: the name vouches that the bytes are the same."""
        answer = self._put(artifact, content, {"If-None-Match": "*"})
        if answer.status == 412 and self._stands(artifact):
            return
        if answer.status in _NOT_AS_ASKED or error_code(answer) == "NotImplemented":
            answer = self._put(artifact, content, {})
        _expect(answer, "writing")

    def _put(self, artifact: Artifact, content: Callable[[], BinaryIO], condition: dict[str, str]) -> Answer:
        proved = {"x-amz-checksum-sha256": checksum(artifact.sha256), "Content-Type": "application/octet-stream"}
        body = Upload(open=content, size=artifact.size)
        request = Request(method="PUT", url=self._url(artifact.sha256), headers={**proved, **condition}, body=body)
        return self._http.call(self._signed(request, artifact.sha256))

    def _stands(self, artifact: Artifact) -> bool:
        head = self._head(artifact.sha256)
        if head is None or head.headers.get("content-length") != str(artifact.size):
            return False
        return stored_checksum(head) in ("", checksum(artifact.sha256))

    def _head(self, sha256: str) -> Answer | None:
        answer = self._call("HEAD", self._url(sha256), {"x-amz-checksum-mode": "ENABLED"})
        if answer.status == 404:
            return None
        _expect(answer, "looking")
        return answer

    def _call(self, method: str, url: str, headers: dict[str, str] | None = None, limit: int = ANSWER_LIMIT) -> Answer:
        return self._http.call(self._signed(Request(method=method, url=url, headers=headers or {})), limit=limit)

    def _signed(self, request: Request, payload: str = NOTHING) -> Request:
        return sign(request, self._address.key, payload, self._clock())

    def _url(self, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256 in lower-case hex")
        return f"{self._address.url}/{quote(self._name(sha256), safe='/~')}"

    def _name(self, sha256: str) -> str:
        return f"{self._address.prefix}sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def _file(self) -> IO[bytes]:
        with _translated():
            self._scratch.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._scratch)


class _Writer:
    """core.ports.VaultWriter: the hash is the name, so all of it is written down before it is sent."""

    def __init__(self, vault: BucketVault, file: IO[bytes]) -> None:
        self._vault = vault
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._size += len(chunk)
        with _translated():
            self._file.write(chunk)

    def commit(self) -> Artifact:
        artifact = Artifact(sha256=self._hash.hexdigest(), size=self._size)
        with _translated():
            self._file.flush()
        self._vault.keep(artifact, self._again)
        return artifact

    def _again(self) -> BinaryIO:
        """The file from its start; who reads it to the end and closes it does not end it."""
        self._file.seek(0)
        return open(self._file.fileno(), "rb", closefd=False)


class _Damaged(Exception):
    """The stored bytes are not those of their name."""


class _Proof:
    """A copy on its way in, hashed as it comes."""

    def __init__(self, artifact: Artifact, file: IO[bytes]) -> None:
        self.file = file
        self._artifact = artifact
        self._hash = hashlib.sha256()
        self._left = artifact.size

    def take(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise _Damaged
        self._hash.update(chunk)
        with _translated():
            self.file.write(chunk)

    def finish(self) -> None:
        if self._left or self._hash.hexdigest() != self._artifact.sha256:
            raise _Damaged
        with _translated():
            self.file.seek(0)


def _listed(page: str) -> Iterator[tuple[str, float]]:
    """(name, when it was stored) of each object on a page of a listing."""
    for listed in _LISTED.findall(page):
        name, stored = _KEY.search(listed), _STORED.search(listed)
        if name and stored:
            yield unescape(name[1]), _moment(stored[1])


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Retryable("vault: listing: a time that is none") from None


def _query(values: dict[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(values.items()))


def _expect(answer: Answer, act: str) -> None:
    """Whatever a store objects to is Retryable: a person will mend the bucket, and then nothing has to be replayed."""
    if not answer.ok:
        code = error_code(answer)
        raise Retryable(
            f"vault: {act}: status {answer.status}" + (f" {code}" if code else ""), after=answer.retry_after()
        )


@contextmanager
def _translated() -> Iterator[None]:
    """A full or failing disk is Retryable: somebody will make room."""
    try:
        yield
    except OSError as error:
        raise Retryable(f"vault: {error.strerror or type(error).__name__}") from error
