"""Google Cloud Storage's XML API, as its documentation says it refuses.

cloud.google.com/storage/docs/xml-api: put-object-upload, head-object, get-object-download, get-bucket-list,
reference-headers, reference-status; cloud.google.com/storage/docs/objects (names). All read on 2026-11-22. What is
sloppy is refused here although Google takes it: a write without its MD5, or without the condition that nothing stands
there. The CRC32C that it tells is always the same: nobody looks at it.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from .base import Rig, make_sink
from .front import before
from .google import Login, service_account_key
from .servers import Servers, served
from .standin import TALKATIVE, Refusal, StandIn, must

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")


def md5(content: bytes) -> str:
    return b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


@dataclass
class Object:
    content: bytes
    md5: str
    """ "" for one that was composed of others."""
    sha256: str = ""


@dataclass
class Place:
    """A bucket."""

    objects: dict[str, Object] = field(default_factory=dict)
    faults: list[tuple[str, Refusal]] = field(default_factory=list)
    """Method → what the next request of it is answered with."""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    may_delete: bool = True
    """Without it, a write to a name that is taken is refused before its condition is looked at."""


class Storage(StandIn):
    routes = (
        ("POST", "/token", "token"),
        ("PUT", r"/([a-z0-9-]+)/(.+)", "put"),
        ("HEAD", r"/([a-z0-9-]+)/(.+)", "look"),
        ("GET", r"/([a-z0-9-]+)/(.+)", "look"),
        ("GET", r"/([a-z0-9-]+)", "list"),
    )

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.login = Login(SCOPE)

    def refused(self, refusal: Refusal) -> Response:
        text = f"<?xml version='1.0'?><Error><Code>{refusal.code}</Code><Message>{TALKATIVE}</Message></Error>"
        return Response(text, refusal.status, content_type="application/xml")

    def token(self, request: Request) -> Response:
        return self.login.answer(request)

    def put(self, request: Request, bucket: str, name: str) -> Response:
        place, content = self._place(request, bucket), request.get_data()
        _check_name(name)
        must(request.content_length == len(content), 411, "MissingContentLength")
        must(request.headers.get("x-goog-if-generation-match") == "0", 400, "InvalidArgument")
        must(request.headers.get("Content-MD5") == md5(content), 400, "BadDigest")
        must(request.headers.get("x-goog-storage-class", "STANDARD") in CLASSES, 400, "InvalidStorageClass")
        must(place.may_delete or name not in place.objects, 403, "AccessDenied")
        must(name not in place.objects, 412, "PreconditionFailed")
        place.objects[name] = Object(content, md5(content), request.headers.get("x-goog-meta-sha256", ""))
        return self._described(place.objects[name], b"")

    def look(self, request: Request, bucket: str, name: str) -> Response:
        place = self._place(request, bucket)
        must(name in place.objects, 404, "NoSuchKey")
        return self._described(place.objects[name], place.objects[name].content)

    def list(self, request: Request, bucket: str) -> Response:
        self._place(request, bucket)
        must(request.args.get("list-type") == "2", 400, "InvalidArgument")
        return Response("<ListBucketResult/>", content_type="application/xml")

    def _described(self, found: Object, content: bytes) -> Response:
        answer = Response(content, content_type="application/pdf")
        answer.headers.add("x-goog-hash", "crc32c=n03x6A==")
        if found.md5:
            answer.headers.add("x-goog-hash", f"md5={found.md5}")
        answer.headers["x-goog-meta-sha256"] = found.sha256
        answer.headers["x-goog-stored-content-length"] = str(len(found.content))
        return answer

    def _place(self, request: Request, bucket: str) -> Place:
        must(self.login.knows(request), 401, "AuthenticationRequired")
        must(bucket in self.places, 404, "NoSuchBucket")
        place = self.places[bucket]
        place.seen.append((request.method, {name.lower(): value for name, value in request.headers.items()}))
        for fault in place.faults:
            if fault[0] == request.method:
                place.faults.remove(fault)
                raise fault[1]
        return place


def _check_name(name: str) -> None:
    must(len(name.encode()) <= 1024, 400, "KeyTooLong")
    bad = name in (".", "..") or name.startswith(".well-known/acme-challenge/") or set("\r\n") & set(name)
    must(not bad, 400, "InvalidObjectName")


@contextmanager
def storage() -> Iterator[tuple[Storage, str]]:
    app = Storage()
    with served(app) as address:
        yield app, address


class GcsRig(Rig):
    behind = "stand-in"
    real = False
    over_http = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:
        self.storage, address = servers.get("gcs", storage)
        self.front = start.enter_context(before(address))
        self.front.aside = ("/token",)
        bucket = "b" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]
        self.place = self.storage.places[bucket] = Place()
        self.common: dict[str, Any] = {
            "bucket": bucket,
            "endpoint": self.front.address,
            "key": service_account_key(f"{self.front.address}/token"),
        }
        self.sink = make_sink("gcs", self.common)
        self.broken = make_sink("gcs", {**self.common, "bucket": "no-such-bucket"})

    def visible(self) -> dict[str, bytes]:
        return {name: one.content for name, one in self.place.objects.items()}

    def plant(self, path: str, content: bytes) -> None:
        self.place.objects[path] = Object(content, md5(content))
