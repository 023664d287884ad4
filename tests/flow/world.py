"""The world around the service: a town of simulated providers with a folder and a mailbox, and in it a bucket."""

import html
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from werkzeug.test import Client, run_wsgi_app

from tests.guard import check_files, secret
from webhook_svc.core.ports import Simulator
from webhook_svc.prove.reckoning import Found
from webhook_svc.prove.town import BOTH, NAME, Account, Town, Wiring, in_folder, sha256
from webhook_svc.simulators.firma import FirmaSimulator
from webhook_svc.simulators.generic import GenericSimulator
from webhook_svc.simulators.serve import serve

FORWARDED: dict[str, Any] = {"parts": BOTH, "sinks": ("archive", "legal", "bucket")}
"""The keys of every source that simulators leave to whoever configures."""
_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, Signature=0"}
_KEY = re.compile("<Key>(.*?)</Key>")
_TOKEN = re.compile("<NextContinuationToken>(.*?)</NextContinuationToken>")


class Bucket:
    """An S3 server: moto behind a door that lets one write pass at a time, and counts them.

    moto looks and writes in two steps, which a real server does in one: hence the door.
    """

    def __init__(self, name: str) -> None:
        from moto.moto_server.werkzeug_app import create_backend_app  # slow to import

        self.name = name
        self.writes: Counter[str] = Counter()
        self._app = create_backend_app("s3")
        self._client = Client(self._app)
        self._one = threading.Lock()
        assert 200 == self._client.put(f"/{name}", headers=_SIGNED).status_code

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT":
            return self._app(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._one:
            answer, status, headers = run_wsgi_app(self._app, {**environ, "wsgi.input": BytesIO(body)})
        if status.startswith("2"):
            self.writes[environ["PATH_INFO"].removeprefix(f"/{self.name}/")] += 1
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


class World(Town):
    """A town with a bucket. It lives in the process of the test: what the service is to reach outlives the service."""

    def __init__(self, home: Path, *, known: Mapping[str, Account] | None = None, wiring: Wiring | None = None) -> None:
        """Without `known` there are two accounts, of the provider that was first and of a sender of the house."""
        wiring = wiring or Wiring()
        self.bucket = Bucket("acme-" + sha256(str(home).encode())[:12])
        super().__init__(home, known=_two() if known is None else known, wiring=wiring)
        self._s3 = serve(wiring.before("bucket", self.bucket))
        self._store = wiring.address("bucket", self._s3.url)

    def __exit__(self, *error: object) -> None:
        """What the services said to their logs in this folder holds no secret."""
        self._s3.close()
        super().__exit__(*error)
        check_files(self.home.glob("*.log"))

    @property
    def simulators(self) -> dict[str, Simulator]:
        return {name: account.simulator for name, account in self.accounts.items()}

    def tables(self) -> dict[str, Mapping[str, Any]]:
        keys = {"access_key_id": secret("AKIDEXAMPLE"), "secret_access_key": secret("wJalrXUtnFEMI")}
        place = {"kind": "s3", "bucket": self.bucket.name, "endpoint": self._store, "name": NAME}
        return {**super().tables(), "sinks.bucket": {**place, **keys}}

    def places(self) -> dict[str, list[Found]]:
        return {**super().places(), "bucket": self.in_bucket()}

    def in_folder(self) -> list[Found]:
        return list(in_folder(self.folder))

    def in_bucket(self) -> list[Found]:
        return [Found(path=key, sha256=sha256(content)) for key, content in self.bucket.objects()]


def _two() -> dict[str, Account]:
    return {
        "contracts": Account(simulator=FirmaSimulator(), parts=BOTH),
        "inhouse": Account(simulator=GenericSimulator(), parts=BOTH),
    }
