"""A container of Azure Blob Storage: create-only writes, checked by the service, compared after the fact."""

import re
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from typing import Any, ClassVar, Final, Literal
from urllib.parse import parse_qs

from ..core.errors import Retryable, WebhookError
from ..core.outgoing import Answer, Request, Token
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, Url, host_of, hosts_in, setting
from ..core.types import Delivery, Receipt
from ..signing.outgoing.shared_key import SharedKey, sign
from .shared.answers import failure
from .shared.bearer import Bearer, by_form
from .shared.objects import Bucket, check_prefix, delivered, md5_of, same_md5
from .shared.things import Stored, Thing

VERSION: Final = "2021-12-02"
"""Of the service's API: of those since 2019-12-12, from which on Put Blob takes 5000 MiB, the first with all tiers.
learn.microsoft.com/rest/api/storageservices/put-blob, 22 November 2026."""

_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_DIRECTORY: Final = re.compile(r"[A-Za-z0-9.-]+")
_SAS: Final = re.compile(r"\??(?=.*\bsig=)[A-Za-z0-9%&=._~:+/,-]+")
_WORD: Final = re.compile(r"[A-Za-z0-9]{1,64}")


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
        self._container = Bucket(
            address=self.settings.address(),
            http=Bearer(http, self._logged_in) if self.settings.client_secret else http,
            vouched=self._vouched,
            failure=_failure,
            reads=self.settings.verify == "read",
        )

    def hosts(self) -> frozenset[str]:
        return hosts_in(self.settings) | {host_of(self._container.address)}

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the container is its memory
        return delivered(
            delivery,
            self._container.address,
            partial(self._store, delivery.still_ours),
            prefix=self.settings.prefix,
            manifest=self.settings.manifest,
        )

    def check(self) -> str:
        answer = self._container.call("HEAD", "webhook-svc-check")
        if _code(answer) == "ContainerNotFound" or not (answer.ok or answer.status == 404):
            raise _failure("looking into the container", answer)
        ends = parse_qs(self._signature()).get("se", [])
        until = f"; the shared access signature ends at {ends[0]}" if ends else ""
        return f"container {self.settings.container} answers and takes our credentials{until}"

    def _store(self, still_ours: Callable[[], None], thing: Thing) -> Stored:
        md5 = md5_of(thing)
        headers = {
            "Content-MD5": md5,
            "If-None-Match": "*",
            "x-ms-blob-type": "BlockBlob",
            "x-ms-meta-sha256": thing.sha256,
        }
        if self.settings.tier:
            headers["x-ms-access-tier"] = self.settings.tier

        def same(head: Answer) -> bool | None:
            claimed = head.headers.get("x-ms-meta-sha256", "")
            return same_md5(thing, md5, kept=head.headers.get("content-md5", ""), claimed=claimed)

        return self._container.create(thing, still_ours, headers=headers, same=same, proof=self.proof)

    def _vouched(self, request: Request) -> Request:
        own = {"x-ms-date": formatdate(self._clock(), usegmt=True), "x-ms-version": VERSION}
        request = replace(request, headers={**request.headers, **own})
        if self.settings.sas_token:
            return replace(request, url=f"{request.url}?{self._signature()}")
        if self.settings.account_key:
            return sign(request, SharedKey(account=self.settings.account, key=self.settings.account_key))
        return request

    def _signature(self) -> str:
        return self.settings.sas_token.reveal().lstrip("?") if self.settings.sas_token else ""

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


def _failure(act: str, answer: Answer) -> WebhookError:
    code = _code(answer)
    if code == "Md5Mismatch":
        return Retryable(f"{act}: the answer was {answer.status} {code}", after=answer.retry_after())
    return failure(act, answer, code)


def _code(answer: Answer) -> str:
    """The service's own word for what went wrong; it stands in a header, so that HEAD has one too."""
    code = answer.headers.get("x-ms-error-code", "")
    return code if _WORD.fullmatch(code) else ""
