"""Another system's webhook, signed as Standard Webhooks says: the same id and the same body on every try."""

import hashlib
import hmac
import json
import re
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from ..core.errors import Permanent
from ..core.outgoing import Answer, Request, Upload
from ..core.ports import Clock, Http, Progress, Sink
from ..core.settings import Secret, setting
from ..core.types import Delivery, Part, Receipt
from ..files import CHUNK
from ..signing.keys import decode_key
from .shared.answers import failure
from .shared.hook import asked, host, origin
from .shared.once import Once, unsure
from .shared.pieces import Entry, form, in_base64, joined
from .shared.upload import held_back

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = re.compile(r"webhook-.*|content-.*|host|user-agent|transfer-encoding|connection", re.IGNORECASE)
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
EVENT: Final = "signing.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    url: Secret = setting("Where it is posted to. A secret, since many such addresses are all that protects them.")
    secrets: tuple[Secret, ...] = setting("What it is signed with, whsec_ and Base64; two during a rotation.")
    files: Literal["base64", "multipart", "none"] = setting(
        "base64: within the JSON, up to `limit`; multipart: streamed after it, of any size; none: the JSON alone.",
        "base64",
    )
    limit: int = setting("Bytes of files that base64 carries at most; above, the delivery is refused.", 10_000_000)
    headers: Mapping[str, Secret] = setting(
        "Further headers, such as Authorization; secret too.", factory=lambda: MappingProxyType({})
    )

    def __post_init__(self) -> None:
        origin(self.url)
        if not self.secrets:
            raise ValueError("at least one secret: whsec_ and what `webhook-svc gen-secret` prints")
        for secret in self.secrets:
            decode_key(secret.reveal(), "whsec")
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or _OURS.fullmatch(name):
                raise ValueError(f"headers of your own, which {name[:40]!r} is not")
            if not value.reveal().isascii() or not value.reveal().isprintable():
                raise ValueError(f"printable ASCII as the value of {name}")


class Webhook(Sink):
    """Posts the manifest, and the files in a form of your choice."""

    Settings = WebhookSettings
    settings: WebhookSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = "answered with 2xx"
    guide: ClassVar[str] = """\
Each delivery is one POST, signed as [Standard Webhooks](https://www.standardwebhooks.com) describes, so that its
libraries verify it: `webhook-id` (the delivery's id), `webhook-timestamp`, and `webhook-signature` with one `v1,` for
each of `secrets`. The body is JSON:

```json
{"type": "signing.completed", "timestamp": "2026-09-21T14:13:20+00:00", "data": {
  "delivery": "dlv_…", "manifest": {"source": "contracts", "document": "…", "parts": [{"sha256": "…"}]},
  "files": [{"kind": "document", "name": "lease.pdf", "path": "…", "sha256": "…", "size": 4711,
             "content_type": "application/pdf", "content": "JVBERi0…"}]}}
```

`content` is Base64. With `files = "multipart"` it is missing: the body is then multipart/form-data with that JSON as
`payload`, followed by each file as `file`, in the same order. What is signed is always the whole body as it travels.

**Permissions:** none but a secret that both sides know: `whsec_` followed by what `webhook-svc gen-secret` prints. To
change it, put the new one beside the old, tell the receiver, and take the old one away.

**Retry:** the receiver makes it harmless. A try whose answer was lost is made again with the same `webhook-id` and the
same body, under a new timestamp: whoever acts on a delivery remembers its `webhook-id` and answers 2xx to what it has
already. The receipt counts such tries (`repeats`). 2xx is done; 401, 403, 408, 409, 423, 425, 429 and all from 500 on
are tried again, after `Retry-After` where it stands; 410 Gone and every other answer is final. Redirects are not
followed.

**Limits:** `limit` for `files = "base64"`; none of its own for multipart, whose files are read twice, to sign and to
send. Receivers of large files should verify as they read: their clock may allow a signature five minutes. `check`
asks with OPTIONS, for some receivers act upon every GET: whether the signature is accepted, only a delivery shows.
"""

    def __init__(self, name: str, settings: Any, http: Http, clock: Clock = time.time) -> None:
        super().__init__(name, settings, http)
        self._clock = clock
        self._keys = [decode_key(secret.reveal(), "whsec") for secret in self.settings.secrets]
        self._auth = {name: value.reveal() for name, value in self.settings.headers.items()}

    def hosts(self) -> frozenset[str]:
        return frozenset({origin(self.settings.url)})

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        once = Once(delivery, progress)
        if once.known is None:
            answer = self._posted(delivery, once)
            if not answer.ok:
                if not unsure(answer):
                    once.refused()
                raise failure("posting", answer)
            once.done(status=answer.status)
            return self._receipt(delivery, once, answer.status, found=False)
        return self._receipt(delivery, once, once.known["status"], found=True)

    def check(self) -> str:
        return asked(self.http, self.settings.url, self._auth)

    def _posted(self, delivery: Delivery, once: Once) -> Answer:
        body, kind = self._body(delivery)
        when = str(int(self._clock()))
        headers = {
            "Content-Type": kind,
            "webhook-id": delivery.id,
            "webhook-timestamp": when,
            "webhook-signature": signature(self._keys, delivery.id, when, body),
        }
        upload = Upload(open=partial(held_back, body.open, once.begin), size=body.size)
        return self.http.call(Request(method="POST", url=self._url(), headers=headers, auth=self._auth, body=upload))

    def _url(self) -> str:
        return self.settings.url.reveal().strip()

    def _body(self, delivery: Delivery) -> tuple[Upload, str]:
        """(body, content type), both the same on every try."""
        if self.settings.files == "base64":
            size = sum(placed.part.size for placed in delivery.files)
            if size > self.settings.limit:
                raise Permanent(f'{size} bytes of files are more than `limit`; files = "multipart" streams them')
            return joined(*_payload(delivery, with_content=True)), "application/json"
        payload = joined(*_payload(delivery, with_content=False))
        if self.settings.files == "none":
            return payload, "application/json"
        boundary = f"webhook-svc-{delivery.id}"
        return form(boundary, _entries(delivery, payload)), f"multipart/form-data; boundary={boundary}"

    def _receipt(self, delivery: Delivery, once: Once, status: int, *, found: bool) -> Receipt:
        carried = delivery.files if self.settings.files != "none" else ()
        details = {
            "webhook_id": delivery.id,
            "status": status,
            "sha256": [placed.part.sha256 for placed in carried],
            "bytes": sum(placed.part.size for placed in carried),
            "repeats": once.repeats,
        }
        return Receipt(location=host(self.settings.url), proof=self.proof, found=found, details=details)


def signature(keys: list[bytes], webhook_id: str, timestamp: str, body: Upload) -> str:
    """The header's value: one signature a key.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, 22 Nov 2026
    """
    macs = [hmac.new(key, f"{webhook_id}.{timestamp}.".encode(), hashlib.sha256) for key in keys]
    with body.open() as stream:
        while chunk := stream.read(CHUNK):
            for mac in macs:
                mac.update(chunk)
    return " ".join(f"v1,{b64encode(mac.digest()).decode()}" for mac in macs)


def _payload(delivery: Delivery, *, with_content: bool) -> Iterator[bytes | Upload]:
    """The JSON in pieces."""
    at = delivery.completed
    head = {"type": EVENT, "timestamp": datetime.fromtimestamp(at, UTC).isoformat() if at is not None else None}
    data = {"delivery": delivery.id, "manifest": json.loads(delivery.manifest)}
    yield _json(head)[:-1] + b',"data":' + _json(data)[:-1] + b',"files":['
    for number, placed in enumerate(delivery.files):
        part = placed.part
        described = {
            "kind": part.kind,
            "name": part.name,
            "path": placed.path,
            "sha256": part.sha256,
            "size": part.size,
            "content_type": part.content_type,
        }
        yield b"," * bool(number) + _json(described)[:-1]
        if with_content:
            yield b',"content":"'
            yield in_base64(_file(delivery, part))
            yield b'"'
        yield b"}"
    yield b"]}}"


def _entries(delivery: Delivery, payload: Upload) -> Iterator[Entry]:
    yield Entry(name="payload", content=payload, content_type="application/json")
    for placed in delivery.files:
        part = placed.part
        kind = part.content_type if _MEDIA_TYPE.fullmatch(part.content_type) else "application/octet-stream"
        yield Entry(name="file", content=_file(delivery, part), filename=part.name, content_type=kind)


def _file(delivery: Delivery, part: Part) -> Upload:
    return Upload(open=partial(delivery.open, part), size=part.size)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
