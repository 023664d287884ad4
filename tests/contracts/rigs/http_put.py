"""A bucket at moto, opened by what stands in the query of the address."""

import hashlib
import html
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from webhook_svc.core.ports import Sink

from .base import SECRETS, Rig, make_sink
from .front import before
from .s3 import ANYBODY, moto
from .servers import Servers, free_port


class HttpPutRig(Rig):
    behind = "moto"
    real = True
    over_http = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:
        endpoint = servers.get("moto", moto)
        self.front = start.enter_context(before(endpoint))
        self.name = "p" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]
        self.bucket = f"{endpoint}/{self.name}"
        requests.put(self.bucket, headers=ANYBODY, timeout=10).raise_for_status()
        self.sink = self.make()
        self.broken = self.make(address=f"http://127.0.0.1:{free_port()}/{{path}}?X-Amz-Signature={SECRETS[3]}")

    def make(self, **changes: Any) -> Sink:
        address = f"{self.front.address}/{self.name}/{{path}}?X-Amz-Signature={SECRETS[3]}"
        return make_sink("http_put", {"address": address, "headers": {"X-Login": SECRETS[0]}, **changes})

    def visible(self) -> dict[str, bytes]:
        listing = requests.get(self.bucket, {"list-type": "2"}, headers=ANYBODY, timeout=10).content.decode()
        keys = [html.unescape(key) for key in re.findall("<Key>(.*?)</Key>", listing)]
        return {key: requests.get(self._url(key), headers=ANYBODY, timeout=10).content for key in keys}

    def plant(self, path: str, content: bytes) -> None:
        requests.put(self._url(path), content, headers=ANYBODY, timeout=10).raise_for_status()

    def _url(self, key: str) -> str:
        return f"{self.bucket}/{quote(key)}"
