"""A bucket of Google Cloud Storage: create-only writes, checked by the service, compared after the fact."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Literal

from ..core.errors import Retryable, WebhookError
from ..core.outgoing import Answer, Request, Token
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, hosts_in, setting
from ..core.types import Delivery, Receipt
from ..signing.outgoing.bucket import error_code
from .shared.answers import failure
from .shared.bearer import Bearer
from .shared.objects import Bucket, check_prefix, delivered, md5_of, same_md5
from .shared.service_account import ServiceAccount
from .shared.things import Stored, Thing

SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_WORD: Final = re.compile(r"[A-Z_]*")
_MAY_PASS: Final = frozenset({"BadDigest", "CrcMismatch", "IncompleteBody", "RequestTimeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsSettings:
    bucket: str = setting("The bucket; it is not made.")
    key: Secret = setting("The key of a service account: the text of its JSON file, usually by ${GCS_KEY}.")
    endpoint: Url = setting("The address of the service.", Url("https://storage.googleapis.com"))
    prefix: str = setting("Put before every name.", "")
    verify: Literal["head", "read"] = setting(
        "How arrival is proved: head asks for the stored MD5 (and reads where that proves nothing), read always reads.",
        "head",
    )
    storage_class: str = setting("x-goog-storage-class (NEARLINE, COLDLINE, …), empty for the bucket's own.", "")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise ValueError("a bucket name of 3 to 222 small letters, digits, dots, hyphens, underscores")
        if any(one in self.endpoint for one in "@?#"):
            raise ValueError("an endpoint without user, query and fragment")
        if not _WORD.fullmatch(self.storage_class):
            raise ValueError("one word in capitals as storage_class")
        if f"{self.prefix.strip('/')}/".startswith(".well-known/acme-challenge/"):
            raise ValueError("a prefix that Google does not keep for itself")
        check_prefix(self.prefix)
        ServiceAccount.read(self.key).check()


class Gcs(Sink):
    """Every write carries its MD5 and asks for generation 0, and is compared with what then stands in the bucket.

    It is the XML API, which takes hash, condition and metadata as headers of one plain request:
    https://cloud.google.com/storage/docs/xml-api/put-object-upload, …/head-object, …/reference-status (read
    2026-11-22).
    """

    Settings = GcsSettings
    settings: GcsSettings
    proof: ClassVar[str] = "MD5 that the service checked and keeps"
    max_bytes: ClassVar[int | None] = 5 * 1024**4
    guide: ClassVar[str] = """\
Each object is sent in one request with its MD5, which the service checks before the object can be seen, and with
`x-goog-if-generation-match: 0`, so that nothing is ever overwritten. Its SHA-256 stands in the metadata. Afterwards
size and MD5 of the stored object are asked for and compared; an object without our SHA-256, or with another MD5 or
none, is read back and hashed.

**Permissions:** the least that works are two roles on the bucket, for a service account of its own:

```
for role in objectCreator objectViewer; do
  gcloud storage buckets add-iam-policy-binding gs://acme-signed --role roles/storage.$role \\
    --member serviceAccount:webhook-svc@PROJECT.iam.gserviceaccount.com
done
gcloud iam service-accounts keys create key.json --iam-account webhook-svc@PROJECT.iam.gserviceaccount.com
```

`key = "${GCS_KEY}"` takes the text of that file from GCS_KEY, or the file itself where GCS_KEY_FILE names it. Tokens
are fetched where the key says (`token_uri`), kept in memory, and renewed at once when they are refused. The roles can
delete nothing. A refusal (401, 403) is tried again like an outage, since keys are rotated and roles edited.

**Retry:** harmless. An object that stands there with the same bytes counts as done; with other bytes the delivery is
held for a person's decision. What is larger than 8 MiB is looked for before it is sent.

**Limits:** 5 TiB an object by Google's rules; it is one request, which begins anew when it breaks and must end within
`[http] total_timeout`. 1024 bytes a name. Buckets whose lifecycle rules delete objects are not noticed.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._account = ServiceAccount.read(self.settings.key)
        self._bucket = Bucket(
            address=f"{self.settings.endpoint.rstrip('/')}/{self.settings.bucket}",
            http=Bearer(http, self._logged_in),
            vouched=_as_it_is,
            failure=_failure,
            reads=self.settings.verify == "read",
        )

    def hosts(self) -> frozenset[str]:
        return hosts_in(self.settings) | {self._account.host}

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the bucket is its memory
        return delivered(
            delivery,
            f"gs://{self.settings.bucket}",
            partial(self._store, delivery.still_ours),
            prefix=self.settings.prefix,
            manifest=self.settings.manifest,
        )

    def check(self) -> str:
        answer = self._bucket.call("GET", query="list-type=2&max-keys=1")
        if not answer.ok:
            raise _failure("listing the bucket", answer)
        return f"bucket {self.settings.bucket} answers and takes our credentials"

    def _store(self, still_ours: Callable[[], None], thing: Thing) -> Stored:
        md5 = md5_of(thing)
        headers = {"Content-MD5": md5, "x-goog-if-generation-match": "0", "x-goog-meta-sha256": thing.sha256}
        if self.settings.storage_class:
            headers["x-goog-storage-class"] = self.settings.storage_class

        def same(head: Answer) -> bool | None:
            claimed = head.headers.get("x-goog-meta-sha256", "")
            return same_md5(thing, md5, kept=_kept_md5(head), claimed=claimed)

        return self._bucket.create(thing, still_ours, headers=headers, same=same, proof=self.proof)

    def _logged_in(self) -> Token:
        return self._account.log_in(self.http, SCOPE, self._clock())


def _as_it_is(request: Request) -> Request:
    """The token comes later, on the way."""
    return request


def _kept_md5(head: Answer) -> str:
    """Of `crc32c=…,md5=…`; an object that was composed of others has none."""
    hashes = (one.strip().partition("=") for one in head.headers.get("x-goog-hash", "").split(","))
    return next((value for name, _, value in hashes if name == "md5"), "")


def _failure(act: str, answer: Answer) -> WebhookError:
    code = error_code(answer)
    if code in _MAY_PASS:
        return Retryable(f"{act}: the answer was {answer.status} {code}", after=answer.retry_after())
    return failure(act, answer, code)
