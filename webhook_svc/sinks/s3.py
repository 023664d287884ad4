"""A bucket at Amazon S3 or any store that speaks its language: create-only writes, compared after the fact."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Literal

from ..core.errors import Permanent, Retryable, WebhookError
from ..core.outgoing import Answer, Request
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, host_of, setting
from ..core.types import Delivery, Receipt
from ..signing.outgoing.aws4 import NOTHING, Aws4Key, sign
from ..signing.outgoing.bucket import (
    BUCKET,
    REGION,
    bucket_url,
    checksum,
    error_code,
    knows_no_condition,
    never_knows_condition,
    stored_checksum,
)
from .shared.answers import failure
from .shared.objects import LARGE, Bucket, check_prefix, delivered
from .shared.things import Stored, Thing

_WORD: Final = re.compile(r"[A-Za-z0-9:_-]*")
_MAY_PASS: Final = frozenset(
    {
        "BadDigest",
        "ExpiredToken",
        "IncompleteBody",
        "InvalidToken",
        "RequestTimeout",
        "SlowDown",
        "TokenRefreshRequired",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_FROZEN: Final = ("GLACIER", "DEEP_ARCHIVE")
"""Classes whose objects can be read only hours after somebody asked for it
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html, read 2026-11-22)."""
_LOOKED_FIRST: Final = "looked first, then written: the server does not know If-None-Match"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    bucket: str = setting("The bucket; it is not made.")
    access_key_id: Secret = setting("Usually ${AWS_ACCESS_KEY_ID}.")
    secret_access_key: Secret = setting("Usually ${AWS_SECRET_ACCESS_KEY}.")
    session_token: Secret | None = setting("Of temporary credentials.", None)
    region: str = setting("The bucket's region; many other stores take any word, R2 wants auto.", "us-east-1")
    endpoint: Url | None = setting("The address of another store than Amazon's.", None)
    path_style: Literal["auto", "on", "off"] = setting(
        "Bucket in the path instead of the host name; auto: with an endpoint, or a dot in the bucket's name.", "auto"
    )
    prefix: str = setting("Put before every name.", "")
    create_only: Literal["auto", "on", "off"] = setting(
        "auto: If-None-Match, and with an endpoint a look first; on: If-None-Match alone; off: a look alone.",
        "auto",
    )
    verify: Literal["head", "read"] = setting(
        "How arrival is proved: head asks for the stored checksum (and reads where there is none), read always reads.",
        "head",
    )
    storage_class: str = setting("x-amz-storage-class, empty for the bucket's own.", "")
    encryption: str = setting("x-amz-server-side-encryption (AES256, aws:kms), empty for the bucket's own.", "")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)

    def __post_init__(self) -> None:
        if not BUCKET.fullmatch(self.bucket):
            raise ValueError("a bucket name of 3 to 63 letters, digits, dots, hyphens")
        if not REGION.fullmatch(self.region):
            raise ValueError("a region such as eu-central-1")
        if not (_WORD.fullmatch(self.storage_class) and _WORD.fullmatch(self.encryption)):
            raise ValueError("one word as storage_class and as encryption")
        if self.verify == "read" and self.storage_class in _FROZEN:
            raise ValueError(f'verify = "head" with storage_class {self.storage_class}: it cannot be read back at once')
        check_prefix(self.prefix)
        if any(one in (self.endpoint or "") for one in "@?#"):
            raise ValueError("an endpoint without user, query and fragment")

    def address(self) -> str:
        """The bucket's URL, without a slash at its end."""
        in_path = {"on": True, "off": False}.get(self.path_style)
        return bucket_url(self.bucket, self.region, self.endpoint or "", in_path=in_path)


class S3(Sink):
    """Every write carries its checksum and If-None-Match, and is compared with what then stands in the bucket."""

    Settings = S3Settings
    settings: S3Settings
    proof: ClassVar[str] = "checksum of the stored object"
    max_bytes: ClassVar[int | None] = 5 * 1024**3
    large: ClassVar[int] = LARGE
    guide: ClassVar[str] = """\
Each object is sent in one request with its SHA-256, which the server checks, and with `If-None-Match: *`, so that
nothing is ever overwritten. Afterwards the stored object's size and checksum are asked for and compared; where the
server keeps no checksum the object is read back and hashed.

**Permissions:** the least that works at Amazon, for `bucket = "acme-signed"`, `prefix = "contracts"`:

```json
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"],
   "Resource": "arn:aws:s3:::acme-signed/contracts/*"},
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::acme-signed"}]}
```

`s3:ListBucket` lets `check` look, and tells a missing object from a forbidden one. Nothing is ever deleted. A refusal
(401, 403) is tried again like an outage, since keys are rotated and policies edited.

**Retry:** harmless. An object that stands there with the same bytes counts as done; with other bytes the delivery is
held for a person's decision. Stores other than Amazon's may refuse the condition (Backblaze B2), or take it and write
over what stands there all the same. So with an `endpoint`, `create_only = "auto"` looks first and still sends the
condition; where the store does not heed it, another program could slip in between look and write. `"on"` saves the
look at a store that is known to heed the condition. Before an object of more than 8 MiB it is always looked.

**Limits:** 5 GiB an object, 1024 bytes a name. Buckets whose lifecycle rules delete objects are not noticed.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._conditional = self.settings.create_only != "off"
        # Some of the other stores answer 200 to a condition that they do not heed.
        other = self.settings.endpoint is not None and self.settings.create_only == "auto"
        self._looks = other or not self._conditional
        self._key = Aws4Key(
            access_key_id=self.settings.access_key_id,
            secret_access_key=self.settings.secret_access_key,
            session_token=self.settings.session_token,
            region=self.settings.region,
        )
        self._bucket = Bucket(
            address=self.settings.address(),
            http=http,
            vouched=self._signed,
            failure=self._failure,
            looking={"x-amz-checksum-mode": "ENABLED"},
            reads=self.settings.verify == "read",
        )

    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self._bucket.address)})

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the bucket is its memory
        return delivered(
            delivery,
            f"s3://{self.settings.bucket}",
            partial(self._store, delivery.still_ours),
            prefix=self.settings.prefix,
            manifest=self.settings.manifest,
        )

    def check(self) -> str:
        answer = self._bucket.call("GET", query="list-type=2&max-keys=1")
        if not answer.ok:
            raise self._failure("listing the bucket", answer)
        return f"bucket {self.settings.bucket} answers and takes our credentials"

    # --- one object ---

    def _store(self, still_ours: Callable[[], None], thing: Thing, *, bare: bool = False) -> Stored:
        """`bare`: without a condition, after a look."""
        conditional = self._conditional and not bare
        note = _LOOKED_FIRST if self.settings.create_only == "auto" and not conditional else ""
        looks = self._looks or bare or thing.size > self.large
        if looks and (head := self._bucket.head(thing)) is not None:
            return self._stored(thing, head, found=True, note=note)
        answer = self._put(still_ours, thing, conditional=conditional)
        if conditional and self.settings.endpoint is not None and knows_no_condition(answer):  # Amazon knows it
            if self.settings.create_only == "on":
                raise self._insisted(answer)
            if never_knows_condition(answer):
                self._conditional = False
            return self._store(still_ours, thing, bare=True)
        found = conditional and answer.status == 412
        if not (answer.ok or found):
            raise self._failure("writing", answer)
        return self._stored(thing, self._bucket.head(thing), found=found, note=note)

    def _put(self, still_ours: Callable[[], None], thing: Thing, *, conditional: bool) -> Answer:
        headers = {"x-amz-checksum-sha256": checksum(thing.sha256), "x-amz-meta-sha256": thing.sha256}
        if conditional:
            headers["If-None-Match"] = "*"
        if self.settings.storage_class:
            headers["x-amz-storage-class"] = self.settings.storage_class
        if self.settings.encryption:
            headers["x-amz-server-side-encryption"] = self.settings.encryption
        return self._bucket.put(thing, still_ours, headers)

    def _stored(self, thing: Thing, head: Answer | None, *, found: bool, note: str) -> Stored:
        def same(head: Answer) -> bool | None:
            kept = stored_checksum(head)
            return kept == checksum(thing.sha256) if kept else None

        return Stored(found=found, proof=self._bucket.compare(thing, head, same=same, proof=self.proof), note=note)

    # --- requests and what their answers mean ---

    def _signed(self, request: Request) -> Request:
        """Of what is sent, the hash stands in the metadata; else nothing is sent."""
        return sign(request, self._key, request.headers.get("x-amz-meta-sha256", NOTHING), self._clock())

    def _insisted(self, answer: Answer) -> WebhookError:
        if not never_knows_condition(answer):
            return self._failure("writing", answer)
        return Permanent('the server does not know If-None-Match (create_only = "auto" looks first instead)')

    def _failure(self, act: str, answer: Answer) -> WebhookError:
        code = error_code(answer)
        if answer.status == 307 or code in _MAY_PASS:
            return Retryable(f"{act}: the answer was {answer.status} {code}", after=answer.retry_after())
        fate = failure(act, answer, code)
        region = answer.headers.get("x-amz-bucket-region", "")
        if isinstance(fate, Permanent) and REGION.fullmatch(region) and region != self.settings.region:
            return Permanent(f"{fate}: the bucket is in region {region}, the settings say {self.settings.region}")
        return fate
