"""Amazon's S3 as moto serves it."""

import hashlib
import html
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import requests

from .base import SECRETS, Rig, make_sink
from .front import before
from .servers import Servers

ANYBODY = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}


@contextmanager
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # slow to import, and only needed here

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # its access log repeats signatures that stand in addresses
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class S3Rig(Rig):
    behind = "moto"
    real = True
    over_http = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:
        endpoint = servers.get("moto", moto)
        self.front = start.enter_context(before(endpoint))
        bucket = "b" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]
        self.bucket = f"{endpoint}/{bucket}"
        requests.put(self.bucket, headers=ANYBODY, timeout=10).raise_for_status()
        common = {
            "endpoint": self.front.address,
            "access_key_id": SECRETS[1],
            "secret_access_key": SECRETS[2],
            "session_token": SECRETS[3],
        }
        self.sink = make_sink("s3", {**common, "bucket": bucket})
        self.broken = make_sink("s3", {**common, "bucket": "no-such-bucket"})

    def visible(self) -> dict[str, bytes]:
        listing = requests.get(self.bucket, {"list-type": "2"}, headers=ANYBODY, timeout=10).content.decode()
        keys = [html.unescape(key) for key in re.findall("<Key>(.*?)</Key>", listing)]
        return {key: requests.get(self._url(key), headers=ANYBODY, timeout=10).content for key in keys}

    def plant(self, path: str, content: bytes) -> None:
        requests.put(self._url(path), content, headers=ANYBODY, timeout=10).raise_for_status()

    def _url(self, key: str) -> str:
        return f"{self.bucket}/{quote(key)}"
