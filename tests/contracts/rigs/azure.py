"""Azure Blob Storage as Microsoft's own emulator, Azurite, serves it."""

import hashlib
import hmac
import html
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests

from tests.guard import secret
from webhook_svc.core.outgoing import Request
from webhook_svc.core.settings import Secret
from webhook_svc.signing.outgoing.shared_key import SharedKey, sign

from .base import Rig, make_sink
from .front import before
from .servers import Servers

ACCOUNT = "acme"
KEY = b64encode(secret("account-key").encode()).decode()
INSTALL = "npm install in a copy of tests/contracts/rigs/azurite, as azurite beside the bin of Python's environment"


@contextmanager
def azurite() -> Iterator[str]:
    """The account's address; the emulator keeps all in memory, and reports nothing to anybody."""
    process = subprocess.Popen(
        [_program(), "--inMemoryPersistence", "--disableTelemetry", "--silent", "--blobPort", "0"],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        said = (re.search(r"listens on (http://\S+)", line) for line in process.stdout)
        yield f"{next(found for found in said if found)[1]}/{ACCOUNT}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _program() -> str:
    inside = Path(sys.prefix) / "azurite/node_modules/.bin/azurite-blob"
    found = str(inside) if inside.exists() else shutil.which("azurite-blob")
    return found or pytest.skip(f"no Azurite here: {INSTALL}")


def signed(method: str, url: str, body: bytes = b"", **headers: str) -> requests.Response:
    """What somebody who holds the account's key asks."""
    stamp = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    own = {"x-ms-date": stamp, "x-ms-version": "2021-12-02", **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = sign(Request(method=method, url=url, headers=own, body=body), SharedKey(account=ACCOUNT, key=Secret(KEY)))
    answer = requests.request(method, url, data=body, headers={**request.headers, **request.auth}, timeout=10)
    answer.raise_for_status()
    return answer


def shared_access(container: str, permissions: str) -> str:
    """As the documentation builds one for a container (create-service-sas, version 2020-12-06 and later)."""
    fields = {"sp": permissions, "se": "2099-12-31T00:00:00Z", "sv": "2021-12-02", "sr": "c"}
    resource = f"/blob/{ACCOUNT}/{container}"
    text = [permissions, "", fields["se"], resource, "", "", "", fields["sv"], "c", "", "", "", "", "", "", ""]
    signature = hmac.digest(b64decode(KEY), "\n".join(text).encode(), "sha256")
    return urlencode({**fields, "sig": b64encode(signature).decode()}, quote_via=quote)


class AzureRig(Rig):
    behind = "Azurite"
    real = True
    over_http = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:
        account = servers.get("azurite", azurite)
        self.front = start.enter_context(before(account.removesuffix(f"/{ACCOUNT}")))
        container = "c" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]
        self.container = f"{account}/{container}"
        signed("PUT", f"{self.container}?restype=container")
        common: dict[str, Any] = {"account": ACCOUNT, "account_key": KEY, "endpoint": f"{self.front.address}/{ACCOUNT}"}
        self.sink = make_sink("azure", {**common, "container": container})
        self.broken = make_sink("azure", {**common, "container": "no-such-container"})

    def visible(self) -> dict[str, bytes]:
        listing = signed("GET", f"{self.container}?restype=container&comp=list").content.decode()
        names = [html.unescape(name) for name in re.findall("<Name>(.*?)</Name>", listing)]
        return {name: signed("GET", self._url(name)).content for name in names}

    def plant(self, path: str, content: bytes) -> None:
        signed("PUT", self._url(path), content, x_ms_blob_type="BlockBlob")

    def _url(self, name: str) -> str:
        return f"{self.container}/{quote(name)}"
