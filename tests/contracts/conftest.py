"""Targets that every sink is held to: one rig a sink, each a real server or a real folder on this machine."""

import hashlib
import html
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.guard import secret
from tests.kinds import sink_kind
from webhook_svc.core.errors import ArtifactLost
from webhook_svc.core.ports import Http, Sink
from webhook_svc.core.settings import build
from webhook_svc.core.types import Delivery, Part, Placed
from webhook_svc.http import HttpClient

ANYBODY = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}
NOW = 1_790_000_000.0
SECRETS = tuple(map(secret, ("password", "AKIDEXAMPLE0000", "wJalrXUtnFEMI", "session-token")))
MANIFEST = b'{"document":"doc-1"}'


class Kept:
    """A progress that lives in memory as JSON, as the store keeps it."""

    def __init__(self) -> None:
        self.text = "{}"

    def load(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], json.loads(self.text))

    def save(self, state: Mapping[str, Any]) -> None:
        self.text = json.dumps(state)
        assert len(self.text) <= 8192


class Breaking(RawIOBase):
    """Gives its bytes and then, where the end should be, finds that they were not the right ones."""

    def __init__(self, content: bytes) -> None:
        self._inner = BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = self._inner.readinto(buffer)
        if not size:
            raise ArtifactLost
        return size


@dataclass
class Bundle:
    """A delivery to be, with the ways in which it may go wrong."""

    files: dict[str, bytes] = field(default_factory=lambda: {"contracts/doc-1/deed.pdf": b"%PDF-1.7 deed %%EOF"})
    manifest_path: str = "contracts/doc-1/manifest.json"
    lost: Mapping[str, int] = field(default_factory=dict)
    """Name of a part → after how many of its bytes the vault finds it damaged."""
    still_ours: Callable[[], None] = lambda: None
    title: str = "Lease"

    def delivery(self) -> Delivery:
        placed = tuple(
            Placed(part=_part(path.rpartition("/")[2], content), path=path) for path, content in self.files.items()
        )
        return Delivery(
            id="dlv_01", source="contracts", sink="archive", document="doc-1", title=self.title, completed=NOW,
            files=placed, manifest=MANIFEST, manifest_path=self.manifest_path,
            open=self._open, still_ours=self.still_ours,
        )  # fmt: skip

    def _open(self, part: Part) -> BinaryIO:
        content = next(content for path, content in self.files.items() if path.rpartition("/")[2] == part.name)
        if part.name in self.lost:
            return cast(BinaryIO, Breaking(content[: self.lost[part.name]]))
        return BytesIO(content)


def _part(name: str, content: bytes) -> Part:
    sha256 = hashlib.sha256(content).hexdigest()
    return Part(kind="document", name=name, sha256=sha256, size=len(content), content_type="application/pdf")


class Rig:
    """A sink and the place behind it. `broken` is a sink of the same kind whose place cannot be used."""

    sink: Sink
    broken: Sink

    def visible(self) -> dict[str, bytes]:
        """Everything that stands at the target, temporary files included."""
        raise NotImplementedError

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        """What `visible` shows after the bundle arrived whole."""
        return {**bundle.files, bundle.manifest_path: MANIFEST}

    def plant(self, path: str, content: bytes) -> None:
        """Somebody else's bytes at the target."""
        raise NotImplementedError

    def again(self) -> Sink:
        """The same sink in a process that knows nothing of the first."""
        return type(self.sink)(self.sink.name, self.sink.settings, self.sink.http)


class FolderRig(Rig):
    def __init__(self, root: Path) -> None:
        self.root = root / "archive"
        self.sink = _sink("folder", {"path": str(self.root)})
        (root / "taken").write_bytes(b"a file")
        self.broken = _sink("folder", {"path": str(root / "taken")})

    def visible(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def plant(self, path: str, content: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True)
        (self.root / path).write_bytes(content)


class S3Rig(Rig):
    def __init__(self, endpoint: str, bucket: str) -> None:
        self.bucket = f"{endpoint}/{bucket}"
        requests.put(self.bucket, headers=ANYBODY, timeout=10).raise_for_status()
        common = {
            "endpoint": endpoint,
            "access_key_id": SECRETS[1],
            "secret_access_key": SECRETS[2],
            "session_token": SECRETS[3],
        }
        self.sink = _sink("s3", {**common, "bucket": bucket})
        self.broken = _sink("s3", {**common, "bucket": "no-such-bucket"})

    def visible(self) -> dict[str, bytes]:
        listing = requests.get(self.bucket, {"list-type": "2"}, headers=ANYBODY, timeout=10).content.decode()
        keys = [html.unescape(key) for key in re.findall("<Key>(.*?)</Key>", listing)]
        return {key: requests.get(self._url(key), headers=ANYBODY, timeout=10).content for key in keys}

    def plant(self, path: str, content: bytes) -> None:
        requests.put(self._url(path), content, headers=ANYBODY, timeout=10).raise_for_status()

    def _url(self, key: str) -> str:
        return f"{self.bucket}/{quote(key)}"


class Mailbox:
    """An SMTP server's memory: what was accepted, and for whom."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        assert isinstance(envelope.content, bytes)
        assert session.authenticated
        self.mails.extend((recipient, envelope.content) for recipient in envelope.rcpt_tos)
        return "250 OK"


class EmailRig(Rig):
    recipients = ("legal@acme.example", "board@acme.example")

    def __init__(self, port: int, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.sink = self._make(f"smtp://bot:{SECRETS[0]}@127.0.0.1:{port}")
        self.broken = self._make(f"smtp://bot:{SECRETS[0]}-wrong@127.0.0.1:{port}")

    def _make(self, server: str) -> Sink:
        table = {"server": server, "from": "Bot <bot@acme.example>", "to": list(self.recipients), "tls": "none"}
        return _sink("email", table)

    def visible(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for recipient, raw in self.mailbox.mails:
            for attachment in message_from_bytes(raw, policy=policy.default).iter_attachments():
                key = f"{recipient}/{attachment.get_filename()}"
                assert key not in found, "a second copy"
                found[key] = attachment.get_content()
        return found

    def expected(self, bundle: Bundle) -> dict[str, bytes]:
        named = {path.rpartition("/")[2]: content for path, content in bundle.files.items()}
        return {f"{one}/{name}": content for one in self.recipients for name, content in named.items()}


def _sink(kind: str, table: dict[str, Any]) -> Sink:
    loaded = sink_kind(kind)
    problems: list[Any] = []
    settings = build(loaded.Settings, table, f"sinks.{kind}", problems)
    assert not problems
    hosts = loaded("archive", settings, cast(Http, None)).hosts()
    return loaded("archive", settings, HttpClient(trusted=hosts))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # slow to import, and only needed here

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def start() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path, start: ExitStack) -> Rig:
    """The rig of the sink that the test is parametrised with (`indirect`). A sink without a rig is an error."""
    return RIGS[request.param](request, tmp_path, start)


def _folder(request: pytest.FixtureRequest, tmp_path: Path, start: ExitStack) -> Rig:  # noqa: ARG001 - one signature
    return FolderRig(tmp_path)


def _s3(request: pytest.FixtureRequest, tmp_path: Path, start: ExitStack) -> Rig:  # noqa: ARG001 - one signature
    bucket = "b" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]
    return S3Rig(request.getfixturevalue("s3_endpoint"), bucket)


def _email(request: pytest.FixtureRequest, tmp_path: Path, start: ExitStack) -> Rig:  # noqa: ARG001 - one signature
    mailbox = Mailbox()
    controller = Controller(
        mailbox, hostname="127.0.0.1", port=_free_port(),
        server_hostname="mail.test", authenticator=_knows, auth_require_tls=False,
    )  # fmt: skip
    controller.start()
    start.callback(controller.stop)
    return EmailRig(controller.port, mailbox)


def _knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:  # noqa: ARG001 - aiosmtpd's
    right = isinstance(data, LoginPassword) and data.password == SECRETS[0].encode()
    return AuthResult(success=right, handled=False)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


RIGS: dict[str, Callable[[pytest.FixtureRequest, Path, ExitStack], Rig]] = {
    "email": _email,
    "folder": _folder,
    "s3": _s3,
}


@pytest.fixture
def rigs() -> frozenset[str]:
    return frozenset(RIGS)


@pytest.fixture
def bundle() -> type[Bundle]:
    return Bundle


@pytest.fixture
def progress() -> Kept:
    return Kept()


@pytest.fixture
def secrets() -> tuple[str, ...]:
    return SECRETS
