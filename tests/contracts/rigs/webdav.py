"""WsgiDAV behind cheroot, as its own command starts it."""

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from webhook_svc.core.ports import Sink

from .base import SECRETS, Rig, make_sink
from .front import before
from .servers import Servers


@dataclass(frozen=True, kw_only=True)
class Server:
    url: str
    root: Path


@contextmanager
def wsgidav() -> Iterator[Server]:
    """One flaw that would be in the way is mended: it takes a semicolon in a Destination for the end of the path."""
    from cheroot.wsgi import Server as Cheroot
    from wsgidav import request_server
    from wsgidav.wsgidav_app import WsgiDAVApp

    flawed, request_server.urlparse = request_server.urlparse, _parsed
    root = Path(tempfile.mkdtemp(prefix="webdav-"))
    users = {"*": {"bot": {"password": SECRETS[0]}}}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(root)},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "simple_dc": {"user_mapping": users},
            "lock_storage": None,
            "logging": {"enable": False},
            "verbose": 0,
        }
    )
    server = Cheroot(("127.0.0.1", 0), app, numthreads=8)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield Server(url=f"http://127.0.0.1:{server.bind_addr[1]}", root=root)
    finally:
        server.stop()
        thread.join()
        shutil.rmtree(root)
        request_server.urlparse = flawed


def _parsed(url: str, **_: Any) -> tuple[str, str, str, str, str, str]:
    parts: SplitResult = urlsplit(url, allow_fragments=False)
    return parts.scheme, parts.netloc, parts.path, "", parts.query, parts.fragment


class WebdavRig(Rig):
    behind = "WsgiDAV"
    real = True
    over_http = True

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:
        server = servers.get("wsgidav", wsgidav)
        self.front = start.enter_context(before(server.url))
        self.root = server.root / hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
        self.root.mkdir()
        self.sink = self.make()
        self.broken = self.make(password=f"{SECRETS[0]}-wrong")

    def make(self, **changes: Any) -> Sink:
        common = {"url": f"{self.front.address}/{self.root.name}/", "user": "bot", "password": SECRETS[0]}
        return make_sink("webdav", {**common, **changes})

    def visible(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def plant(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
