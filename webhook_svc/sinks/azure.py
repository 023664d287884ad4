"""A container of Azure Blob Storage: create-only writes, checked by the service, compared after the fact."""

import hashlib
import re
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from typing import Any, ClassVar, Final, Literal
from urllib.parse import parse_qs, quote

from ..core.errors import Retryable, WebhookError
from ..core.outgoing import Answer, Request, Token, Upload
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, host_of, hosts_in, setting
from ..core.types import Delivery, Receipt
from ..signing.shared_key import SharedKey, sign
from .answers import failure
from .bearer import Bearer, by_form
from .objects import check_prefix, compare, key_of, md5_of
from .things import Stored, Thing, receipt, things

VERSION: Final = "2021-12-02"
"""Of the service's API: of those since 2019-12-12, from which on Put Blob takes 5000 MiB, the first with all tiers.
learn.microsoft.com/rest/api/storageservices/put-blob, 22 November 2026."""

_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_DIRECTORY: Final = re.compile(r"[A-Za-z0-9.-]+")
_SAS: Final = re.compile(r"\??(?=.*\bsig=)[A-Za-z0-9%&=._~:+/,-]+")
_WORD: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_MAY_STAND: Final = (403, 409, 412)
"""How the service says that a blob stands there already: BlobAlreadyExists and ConditionNotMet; before it looks at any
condition BlobImmutableDueToPolicy, LeaseIdMissing, and, to a signature that may create alone, a refusal."""
_LARGE: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    account: str = setting("The name of the storage account.")
    container: str = setting("The container; it is not made.")
    account_key: Secret | None = setting("A key of the account. This, sas_token or client_secret is needed.", None)
    sas_token: Secret | None = setting(
        "A shared access signature of the container, with the permissions c and r.", None
    )
    tenant: str = setting("The directory (tenant) of an application that logs in.", "")
    client_id: str = setting("The application's id.", "")
    client_secret: Secret | None = setting("The application's secret.", None)
    endpoint: Url | None = setting(
        "The blob service's address, where it is not https://ACCOUNT.blob.core.windows.net.", None
    )
    login: Url = setting(
        "Where applications log in; another in national clouds.", Url("https://login.microsoftonline.com")
    )
    prefix: str = setting("Put before every name.", "")
    verify: Literal["head", "read"] = setting(
        "How arrival is proved: head asks for the stored MD5 (and reads where that proves nothing), read always reads.",
        "head",
    )
    tier: Literal["", "Hot", "Cool", "Cold", "Archive"] = setting("The access tier, empty for the account's own.", "")
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)

    def __post_init__(self) -> None:
        if not _ACCOUNT.fullmatch(self.account):
            raise ValueError("an account name of 3 to 24 small letters and digits")
        if not _CONTAINER.fullmatch(self.container):
            raise ValueError("a container name of 3 to 63 small letters, digits and single hyphens")
        if any(one in (self.endpoint or "") + self.login for one in "@?#"):
            raise ValueError("addresses without user, query and fragment")
        if self.verify == "read" and self.tier == "Archive":
            raise ValueError('verify = "head" with the tier Archive, of which nothing can be read')
        check_prefix(self.prefix)
        self._check_credentials()

    def _check_credentials(self) -> None:
        if [self.account_key, self.sas_token, self.client_secret].count(None) != 2:
            raise ValueError("one of account_key, sas_token and client_secret")
        if self.client_secret and not (_DIRECTORY.fullmatch(self.tenant) and self.client_id):
            raise ValueError("tenant and client_id beside client_secret")
        if self.sas_token and not _SAS.fullmatch(self.sas_token.reveal()):
            raise ValueError("a sas_token as Azure shows it: sv=…&sig=…")
        if self.account_key and not _is_base64(self.account_key):
            raise ValueError("an account_key in base64, as Azure shows it")

    def address(self) -> str:
        """The container's URL, without a slash at its end."""
        service = self.endpoint or f"https://{self.account}.blob.core.windows.net"
        return f"{service.rstrip('/')}/{self.container}"


def _is_base64(key: Secret) -> bool:
    try:
        return bool(b64decode(key.reveal(), validate=True))
    except ValueError:
        return False


class Azure(Sink):
    """Every write carries its MD5 and If-None-Match, and is compared with what then stands in the container."""

    Settings = AzureSettings
    settings: AzureSettings
    proof: ClassVar[str] = "MD5 that the service checked and keeps"
    max_bytes: ClassVar[int | None] = 5000 * 1024**2
    guide: ClassVar[str] = """\
Each blob is sent in one request with its MD5, which the service checks before the blob can be seen, and with
`If-None-Match: *`, so that nothing is ever overwritten. Its SHA-256 stands in the metadata. Afterwards size and MD5 of
the stored blob are asked for and compared; a blob without our SHA-256, or with another MD5, is read back and hashed.

**Permissions:** the least that works is a shared access signature of the container that may create and read:

```
az storage container generate-sas --account-name acme --name signed --permissions cr --https-only --expiry 2027-12-31
```

It ends at that day, which `check` names. An application (`tenant`, `client_id`, `client_secret`) logs in instead;
the least role that it needs on the container:

```json
{"Name": "Signed documents", "Actions": [], "AssignableScopes": ["/subscriptions/SUBSCRIPTION"], "DataActions": [
  "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
  "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action"]}
```

An account key opens the whole account. Nothing is ever deleted. A refusal (401, 403) is tried again like an outage,
since keys are rotated and roles edited; a token that is refused is renewed at once.

**Retry:** harmless. A blob that stands there with the same bytes counts as done; with other bytes the delivery is held
for a person's decision. What is larger than 8 MiB is looked for before it is sent.

**Limits:** 5000 MiB a blob, 1024 bytes a name. Containers whose lifecycle rules delete blobs are not noticed, nor is
what happens to a blob of the tier *Archive*, which cannot be read.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._address = self.settings.address()
        self._way: Http = Bearer(http, self._logged_in) if self.settings.client_secret else http

    def hosts(self) -> frozenset[str]:
        return hosts_in(self.settings) | {host_of(self._address)}

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the container is its memory
        sent = list(things(delivery, partial(key_of, self.settings.prefix), manifest=self.settings.manifest))
        stored = [self._store(thing, delivery.still_ours) for thing in sent]
        return receipt(f"{self._address}/{sent[0].path}", sent, stored)

    def check(self) -> str:
        answer = self._way.call(self._request("HEAD", "webhook-svc-check"))
        if _code(answer) == "ContainerNotFound" or not (answer.ok or answer.status == 404):
            raise self._failure("looking into the container", answer)
        ends = parse_qs(self.settings.sas_token.reveal()).get("se", []) if self.settings.sas_token else []
        until = f"; the shared access signature ends at {ends[0]}" if ends else ""
        return f"container {self.settings.container} answers and takes our credentials{until}"

    # --- one blob ---

    def _store(self, thing: Thing, still_ours: Callable[[], None]) -> Stored:
        md5 = md5_of(thing)
        # A service that refuses a long body need not read it to its end, and then its answer may be lost.
        head = self._head(thing) if thing.size > _LARGE else None
        if head is not None:
            return Stored(found=True, proof=self._compare(thing, md5, head))
        answer = self._put(thing, still_ours, md5)
        if answer.ok or answer.status in _MAY_STAND:
            head = self._head(thing)
        if head is None and not answer.ok and answer.status != 412:
            raise self._failure("writing", answer)
        return Stored(found=not answer.ok, proof=self._compare(thing, md5, head))

    def _put(self, thing: Thing, still_ours: Callable[[], None], md5: str) -> Answer:
        headers = {
            "Content-Type": thing.content_type,
            "Content-MD5": md5,
            "If-None-Match": "*",
            "x-ms-blob-type": "BlockBlob",
            "x-ms-meta-sha256": thing.sha256,
        }
        if self.settings.tier:
            headers["x-ms-access-tier"] = self.settings.tier
        return self._way.call(self._request("PUT", thing.path, headers, thing.upload(still_ours)))

    def _compare(self, thing: Thing, md5: str, head: Answer | None) -> str:
        ours = head is not None and head.headers.get("x-ms-meta-sha256") == thing.sha256
        # The metadata is a claim and MD5 alone can be forged: together they say that the blob came whole from us.
        same = ours and head is not None and head.headers.get("content-md5") == md5 and self.settings.verify == "head"
        return compare(thing, head, lambda: self._read_back(thing), same=same or None, proof=self.proof)

    def _head(self, thing: Thing) -> Answer | None:
        """None where there is no such blob."""
        answer = self._way.call(self._request("HEAD", thing.path))
        if answer.status == 404:
            return None
        if not answer.ok:
            raise self._failure("looking", answer)
        return answer

    def _read_back(self, thing: Thing) -> str:
        whole = hashlib.sha256()
        answer = self._way.save(self._request("GET", thing.path), whole.update, limit=max(thing.size, 1))
        if not answer.ok:
            raise self._failure("reading back", answer)
        return whole.hexdigest()

    # --- requests and what their answers mean ---

    def _request(
        self, method: str, key: str, headers: dict[str, str] | None = None, body: Upload | None = None
    ) -> Request:
        url = f"{self._address}/{quote(key, safe='/~')}"
        own = {"x-ms-date": formatdate(self._clock(), usegmt=True), "x-ms-version": VERSION}
        request = Request(method=method, url=url, headers={**(headers or {}), **own}, body=body)
        if self.settings.sas_token:
            return replace(request, url=f"{url}?{self.settings.sas_token.reveal().lstrip('?')}")
        if self.settings.account_key:
            return sign(request, SharedKey(account=self.settings.account, key=self.settings.account_key))
        return request

    def _logged_in(self) -> Token:
        """learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow, 22 November 2026."""
        secret = self.settings.client_secret
        form = {
            "grant_type": "client_credentials",
            "client_id": self.settings.client_id,
            "client_secret": secret.reveal() if secret else "",
            "scope": "https://storage.azure.com/.default",
        }
        return by_form(self.http, f"{self.settings.login.rstrip('/')}/{self.settings.tenant}/oauth2/v2.0/token", form)

    def _failure(self, act: str, answer: Answer) -> WebhookError:
        code = _code(answer)
        if code == "Md5Mismatch":
            return Retryable(f"{act}: the answer was {answer.status} {code}", after=answer.retry_after())
        return failure(act, answer, code)


def _code(answer: Answer) -> str:
    """The service's own word for what went wrong; it stands in a header, so that HEAD has one too."""
    code = answer.headers.get("x-ms-error-code", "")
    return code if _WORD.fullmatch(code) else ""
