"""The world around the service: two simulated providers, a bucket, a mailbox and a folder, all on this machine."""

import hashlib
import html
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from email import message_from_bytes, policy
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from werkzeug.test import Client, run_wsgi_app

from tests.flow.reckoning import Found, Letter, Promise
from tests.guard import check_files, secret
from webhook_svc.core.ports import Simulator
from webhook_svc.core.tomltext import table_text
from webhook_svc.simulators.firma import FirmaSimulator
from webhook_svc.simulators.generic import GenericSimulator
from webhook_svc.simulators.mailbox import Mailbox
from webhook_svc.simulators.serve import serve

PARTS = ("document", "certificate")
SINKS = ("archive", "bucket", "legal")
FORWARDED: dict[str, Any] = {"parts": PARTS, "sinks": SINKS}
"""The keys of every source that simulators leave to whoever configures."""
_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, Signature=0"}
_KEY = re.compile("<Key>(.*?)</Key>")
_TOKEN = re.compile("<NextContinuationToken>(.*?)</NextContinuationToken>")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Bucket:
    """An S3 server: moto behind a door that lets one write pass at a time, counts them, and may lie about one.

    moto looks and writes in two steps, which a real server does in one: hence the door.
    """

    def __init__(self, name: str, lies: Callable[[], bool] = lambda: False) -> None:
        from moto.moto_server.werkzeug_app import create_backend_app  # slow to import

        self.name = name
        self.writes: Counter[str] = Counter()
        self._app = create_backend_app("s3")
        self._client = Client(self._app)
        self._lies = lies
        self._one = threading.Lock()
        assert 200 == self._client.put(f"/{name}", headers=_SIGNED).status_code

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT":
            return self._app(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._one:
            return self._write({**environ, "wsgi.input": BytesIO(body)}, start)

    def _write(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        answer, status, headers = run_wsgi_app(self._app, environ)
        if status.startswith("2"):
            self.writes[environ["PATH_INFO"].removeprefix(f"/{self.name}/")] += 1
            if self._lies():
                start("500 Internal Server Error", [("Content-Length", "0")])
                return []
        start(status, list(headers))
        return answer

    def objects(self) -> Iterator[tuple[str, bytes]]:
        for key in self._keys():
            answer = self._client.get(f"/{self.name}/{quote(key)}", headers=_SIGNED)
            assert 200 == answer.status_code
            yield key, answer.data

    def _keys(self) -> Iterator[str]:
        token = ""
        while True:
            asked = {"list-type": "2", **({"continuation-token": token} if token else {})}
            page = self._client.get(f"/{self.name}", query_string=asked, headers=_SIGNED).text
            yield from map(html.unescape, _KEY.findall(page))
            more = _TOKEN.search(page)
            if more is None:
                return
            token = html.unescape(more[1])


class World:
    """Lives in the process of the test: what the service is to reach outlives the service. Use as a context manager."""

    def __init__(
        self,
        home: Path,
        lies: Callable[[], bool] = lambda: False,
        simulators: dict[str, Simulator] | None = None,
    ) -> None:
        self.home = home
        self.simulators: dict[str, Simulator] = (
            {"contracts": FirmaSimulator(), "inhouse": GenericSimulator()} if simulators is None else simulators
        )
        self.bucket = Bucket("acme-" + sha256(str(home).encode())[:12], lies)
        with ExitStack() as stack:
            self._apis = {name: stack.enter_context(serve(one.wsgi())) for name, one in self.simulators.items()}
            self._s3 = stack.enter_context(serve(self.bucket))
            self.mailbox = stack.enter_context(Mailbox())
            self._open = stack.pop_all()

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        """What the services said to their logs in this folder holds no secret."""
        self._open.close()
        check_files(self.home.glob("*.log"))

    @property
    def folder(self) -> Path:
        return self.home / "archive"

    def configuration(self, **sections: dict[str, Any]) -> str:
        """The TOML of a service that serves both providers into all three sinks; `sections` come on top."""
        name = "{source}/{document}/{filename}"
        tables: dict[str, dict[str, Any]] = {"vault": {"path": str(self.home / "vault")}, **sections}
        for source, simulator in self.simulators.items():
            tables[f"sources.{source}"] = {**simulator.source(self._apis[source].url), **FORWARDED}
        tables["sinks.archive"] = {"kind": "folder", "path": str(self.folder), "name": name}
        tables["sinks.bucket"] = {
            "kind": "s3",
            "bucket": self.bucket.name,
            "endpoint": self._s3.url,
            "access_key_id": secret("AKIDEXAMPLE"),
            "secret_access_key": secret("wJalrXUtnFEMI"),
            "name": name,
        }
        tables["sinks.legal"] = {
            "kind": "email",
            "server": self.mailbox.url,
            "from": "contracts@acme.example",
            "to": ["legal@acme.example"],
            "tls": "none",
        }
        return "\n".join(table_text(key, table) for key, table in tables.items())

    # --- what was promised, and what is there ---------------------------------------------------------------------

    def promise(self, source: str, document: str, *, required: bool = True) -> Promise:
        simulator = self.simulators[source]
        files = frozenset(sha256(simulator.document_bytes(document, part)) for part in PARTS)
        return Promise(name=f"{source}/{document}", files=files, required=required)

    def in_folder(self) -> list[Found]:
        """Hidden files are left out: a killed writer may leave one, and nobody takes it for a document."""
        files = (file for file in self.folder.rglob("*") if file.is_file() and not file.name.startswith("."))
        return [Found(path=str(one.relative_to(self.folder)), sha256=sha256(one.read_bytes())) for one in files]

    def hidden(self) -> list[Path]:
        return [file for file in self.folder.rglob(".*") if file.is_file()]

    def in_bucket(self) -> list[Found]:
        return [Found(path=key, sha256=sha256(content)) for key, content in self.bucket.objects()]

    def in_mailbox(self) -> list[Letter]:
        found = []
        for mail in self.mailbox.mails:
            message = message_from_bytes(mail.content, policy=policy.default)
            attached = (bytes(part.get_content()) for part in message.iter_attachments())
            found.append(Letter(id=str(message["Message-ID"]), files=frozenset(map(sha256, attached))))
        return found
