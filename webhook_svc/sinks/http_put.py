"""Plain HTTP PUT: a repository such as Nexus, or a bucket opened by a signature in the address (Azure, S3, Google)."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from ..core.errors import Conflict, Permanent, Retryable, WebhookError
from ..core.outgoing import Answer, Request
from ..core.ports import Http, Progress, Sink
from ..core.settings import Secret, Url, host_of, setting
from ..core.types import EMPTY, Delivery, Receipt, at_path
from ..signing.outgoing.bucket import error_code, knows_no_condition, never_knows_condition
from .shared.address import FIELDS, Address, values_of
from .shared.answers import failure
from .shared.hook import host, origin
from .shared.once import unsure
from .shared.things import EVERYTHING, SIZE, Compared, Stored, Thing, other_bytes, receipt, things

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ACCEPTED: Final = "accepted by the server"
_LOOKED_FIRST: Final = "looked first, then written: the server does not know If-None-Match"
_PROBE: Final = "webhook-svc-check"
_UNKNOWN: Final = -1
"""A size that the server does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPutSettings:
    address: Secret | None = setting(
        "Where each file is put, with {path} or {sha256}: https://nexus.acme.example/repository/signed/{path}.", None
    )
    ask: Url | None = setting(
        "Instead: your own service that is asked for each file's address, such as one that it presigns.", None
    )
    headers: Mapping[str, Secret] = setting(
        "Headers of every request, such as Authorization; secret.", factory=lambda: MappingProxyType({})
    )
    verify: Literal["read", "size", "none"] = setting(
        "How arrival is proved: read back and hashed; its size; none, for addresses that take nothing but PUT.", "read"
    )
    manifest: bool = setting("Write the manifest of each bundle beside its files, last.", True)

    def __post_init__(self) -> None:
        if bool(self.address) == bool(self.ask):
            raise ValueError("an address or an ask, and not both")
        if self.address is not None:
            Address.of(self.address)
        if self.ask is not None and self.verify != "none":
            raise ValueError('verify = "none" with ask, for what is presigned takes nothing but PUT')
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name) or not value.reveal().isascii() or not value.reveal().isprintable():
                raise ValueError("headers of printable ASCII")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where one file goes. `auth` is sent to configured hosts only."""

    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    auth: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)


class _Memory:
    """What went through, and what may have, by the number of the file: all that is known where nothing can be read."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._state = dict(progress.load())

    def done(self, number: int) -> bool:
        return number in self._state.get("done", ())

    def begun(self, number: int) -> bool:
        """May an earlier try have got through?"""
        return bool(self._state.get("begun") == number)

    def begin(self, number: int) -> None:
        """Its last bytes leave now."""
        self._keep(begun=number)

    def refused(self) -> None:
        self._keep(begun=None)

    def end(self, number: int) -> None:
        self._keep(begun=None, done=[*self._state.get("done", ()), number])

    def _keep(self, **changes: Any) -> None:
        self._state |= changes
        self._progress.save(self._state)


class HttpPut(Sink):
    """Looks where it may, puts on the condition that nothing stands there, and compares what then does."""

    Settings = HttpPutSettings
    settings: HttpPutSettings
    proof: ClassVar[str] = "read back and hashed"
    guide: ClassVar[str] = """\
Each file is one PUT to its own address, with `If-None-Match: *`, `Content-Type` and `Content-Digest` (RFC 9530). In
`address` stand {path} (what `name` renders), {filename}, {sha256}, {document}, {delivery}, {source} and {version},
percent-encoded. The whole address is kept secret, for it may hold a signature:

```toml
address = "https://acme.blob.core.windows.net/signed/{path}?${AZURE_SAS}" # a container's SAS, rights cr; unread cw
headers = { x-ms-blob-type = "BlockBlob" }

address = "https://nexus.acme.example/repository/signed/{path}"             # a raw repository, redeploy disabled
headers = { Authorization = "Basic ${NEXUS_LOGIN}" }                        # user:password in Base64
```

S3 and Google presign an address for one object alone: there `ask` is a service of your own that presigns, with
`verify = "none"`. It is sent a POST with `headers` and the JSON `{"path": …, "sha256": …, "size": …, "content_type":
…}`, and answers with `{"url": "https://…", "headers": {…}}`: the address, and what must be sent with the file.

**Permissions:** to create and, unless `verify = "none"`, to read. Nothing is ever listed, changed or deleted.

**Retry:** harmless. It is looked first: what stands there with the same bytes counts as done, with other bytes the
delivery is held for a person's decision. With `verify = "none"` there is no looking: a file that an earlier try sent
without hearing the answer, and of which the server then says that it is there (412), counts as done; what was there
before the first try is a conflict.

**Limits:** the server's own; S3, Azure and Google take 5 GB in one PUT. `If-None-Match` is heeded by Amazon, R2, MinIO
and Azure; at Google the header is `x-goog-if-generation-match = "0"`, among `headers`. Where neither is heeded, another
program could slip in between look and PUT; with `verify = "none"` what stands there would be written over, and a server
that refuses the header takes nothing. A server that writes in place shows half a file while it comes: to Apache's
WebDAV and the like deliver with the sink `webdav`.
"""

    def __init__(self, name: str, settings: Any, http: Http) -> None:
        super().__init__(name, settings, http)
        self._address = Address.of(self.settings.address) if self.settings.address else None
        self._auth = {key: value.reveal() for key, value in self.settings.headers.items()}
        self._conditional = True

    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self.settings.ask) if self.settings.ask else origin(self._known())})

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        files = list(things(delivery, str, manifest=self.settings.manifest))
        if self.settings.verify == "none":
            memory = _Memory(progress)
            stored = [self._unseen(delivery, file, number, memory) for number, file in enumerate(files)]
        else:
            stored = [self._seen(delivery, file) for file in files]
        return receipt(f"{host(self._known())}:{files[0].path}", files, stored)

    def check(self) -> str:
        name = host(self._known())
        target = self._target(dict.fromkeys(FIELDS, _PROBE), {"path": _PROBE, "sha256": "", "size": 0})
        if self.settings.ask is not None:
            return f"{name} gives addresses to write to"
        answer = self._call("HEAD", target)
        refused = not answer.ok and answer.status != 404
        if refused and (self.settings.verify != "none" or answer.status in (401, 429) or answer.status >= 500):
            raise _failure("looking", answer)
        return f"{name} answers; whether it takes a PUT shows with the first delivery"

    # --- one file that can be looked at ---

    def _seen(self, delivery: Delivery, file: Thing, *, bare: bool = False) -> Stored:
        """`bare`: without a condition."""
        target = self._target_of(delivery, file)
        if self._stands(target, file):
            return Stored(proof=self.proof, found=True)
        conditional = self._conditional and not bare
        answer = self._put(target, file, delivery.still_ours, conditional=conditional)
        if conditional and knows_no_condition(answer):
            if never_knows_condition(answer):
                self._conditional = False
            return self._seen(delivery, file, bare=True)
        if not answer.ok:
            if self._stands(target, file):  # somebody was quicker, whatever the refusal says
                return Stored(proof=self.proof, found=True)
            raise _failure("writing", answer)
        note = "" if conditional else _LOOKED_FIRST
        return Stored(proof=self._proved(target, file), found=False, note=note)

    def _proved(self, target: _Target, file: Thing) -> str:
        if self.settings.verify == "size" and self._size(target) == file.size:
            return SIZE
        if not self._stands(target, file):
            raise Retryable("the file was written and cannot be seen yet")
        return self.proof

    def _stands(self, target: _Target, file: Thing) -> bool:
        """Is it there? Conflict where something else is."""
        size = self._size(target)
        if size is None:
            return False
        if size not in (file.size, _UNKNOWN):
            raise other_bytes(file)
        self._compare(target, file)
        return True

    def _size(self, target: _Target) -> int | None:
        """None where nothing stands."""
        answer = self._call("HEAD", target)
        if answer.status == 404:
            return None
        if not answer.ok:
            raise _failure("looking", answer)
        length = answer.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else _UNKNOWN

    def _compare(self, target: _Target, file: Thing) -> None:
        stands = Compared(file)
        answer = self.http.save(Request(url=target.url, auth=target.auth), stands, limit=EVERYTHING)
        if not answer.ok:
            raise _failure("reading back", answer)
        stands.end()

    # --- one file that cannot ---

    def _unseen(self, delivery: Delivery, file: Thing, number: int, memory: _Memory) -> Stored:
        if memory.done(number):
            return Stored(proof=_ACCEPTED, found=True)
        target = self._target_of(delivery, file)
        again = memory.begun(number)

        def last_bytes() -> None:
            delivery.still_ours()
            memory.begin(number)

        answer = self._put(target, file, last_bytes, conditional=True)
        if not answer.ok and not (again and _is_there(answer)):
            surely = never_knows_condition(answer) or not unsure(answer)
            if surely and not again:  # what an earlier try did stays open
                memory.refused()
            raise _refusal(file, answer)
        memory.end(number)
        return Stored(proof=_ACCEPTED, found=not answer.ok)

    # --- requests ---

    def _put(self, target: _Target, file: Thing, before_last: Callable[[], None], *, conditional: bool) -> Answer:
        digest = b64encode(bytes.fromhex(file.sha256)).decode()
        headers = {"content-type": file.content_type, "content-digest": f"sha-256=:{digest}:"}
        if conditional:
            headers["if-none-match"] = "*"
        headers |= {name.lower(): value for name, value in target.headers.items()}
        body = file.upload(before_last)
        return self.http.call(Request(method="PUT", url=target.url, headers=headers, auth=target.auth, body=body))

    def _call(self, method: str, target: _Target) -> Answer:
        return self.http.call(Request(method=method, url=target.url, auth=target.auth))

    def _target_of(self, delivery: Delivery, file: Thing) -> _Target:
        asked = {"path": file.path, "sha256": file.sha256, "size": file.size, "content_type": file.content_type}
        return self._target(values_of(delivery, file), asked)

    def _target(self, values: Mapping[str, str], asked: Mapping[str, Any]) -> _Target:
        if self._address is not None:
            return _Target(url=self._address.render(values), auth=self._auth)
        answer = self.http.call(Request(method="POST", url=self.settings.ask or "", auth=self._auth, json=asked))
        if not answer.ok:
            raise _failure("asking for an address", answer)
        url, headers = at_path(answer.json(), "url"), at_path(answer.json(), "headers") or {}
        if not isinstance(url, str) or not isinstance(headers, Mapping):
            raise Retryable("asking for an address: the answer holds none")
        if (self.settings.ask or "").lower().startswith("https:") and not url.lower().startswith("https:"):
            raise Permanent("asking for an address: the answer leads from https to where anybody can read the file")
        return _Target(url=url, headers={str(name): str(value) for name, value in headers.items()})

    def _known(self) -> Secret:
        """Of its host, people may know."""
        return self.settings.address or Secret(self.settings.ask or "")


def _is_there(answer: Answer) -> bool:
    """Azure says 409 and names it: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
    (read 2026-11-22)."""
    return answer.status == 412 or answer.headers.get("x-ms-error-code") == "BlobAlreadyExists"


def _refusal(file: Thing, answer: Answer) -> WebhookError:
    """Of a file that nobody may look at."""
    if _is_there(answer):
        return Conflict(f"{file.path} was there before")
    if never_knows_condition(answer):
        return Permanent('the server does not know If-None-Match, and with verify = "none" nobody looks before')
    return _failure("writing", answer)


def _failure(act: str, answer: Answer) -> WebhookError:
    return failure(act, answer, answer.headers.get("x-ms-error-code") or error_code(answer))
