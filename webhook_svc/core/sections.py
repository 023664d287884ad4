"""The configuration as values: one frozen dataclass a section; the defaults here are the defaults."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from .retry import RetryPolicy
from .routing import Route
from .settings import Secret, Url, setting
from .template import Template
from .types import EMPTY

URL_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{1,200}")

_META_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_PLACE: Final = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")

Part = Literal["document", "certificate", "audit", "callback"]


def _above_zero(section: Any, *names: str) -> None:
    wrong = [name for name in names if not (math.isfinite(getattr(section, name)) and getattr(section, name) > 0)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} above 0")


def _is_place(text: str) -> bool:
    """Host or host:port; an IPv6 address stands without brackets."""
    try:
        return bool(_PLACE.fullmatch(text) or IPv6Address(text))
    except ValueError:
        return False


def _is_network(text: str) -> bool:
    """Callers are seen as IPv4 where they are, so that a network written as ::ffff:10.0.0.7 would hold nobody."""
    try:
        network = ip_network(text)
    except ValueError:
        return False
    return isinstance(network, IPv4Network) or not network.subnet_of(_MAPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    public_url: Url | None = setting("the address under which providers reach us; signatures over URLs need it", None)
    host: str = setting("the address to listen at: 127.0.0.1 behind a proxy on this machine; empty: all addresses", "")
    port: int = setting("where the web process listens", 8000)
    processes: int = setting("web processes; on SQLite always one", 1)
    threads: int = setting("threads of a web process", 32)
    proxies: int = setting("trusted proxies in front of us, whose X-Forwarded-* count", 0)
    max_body: int = setting("bytes of a callback, above it 413", 10 * 1024 * 1024)
    body_deadline: float = setting("seconds a body may take to arrive, above it 408", 10.0)
    accept_timeout: float = setting(
        "seconds a callback waits for the store, then 503; below the senders' time-outs", 4.0
    )
    admin_token: Secret | None = setting("opens /console/, /metrics and /version; unset: loopback only", None)

    def __post_init__(self) -> None:
        _above_zero(self, "port", "processes", "threads", "max_body", "body_deadline", "accept_timeout")
        if self.port > 65535 or self.proxies < 0:
            raise ValueError("port up to 65535 and proxies from 0")
        if self.public_url and (urlsplit(self.public_url).query or urlsplit(self.public_url).fragment):
            raise ValueError("public_url without query and fragment")
        if self.public_url:
            object.__setattr__(self, "public_url", Url(self.public_url.rstrip("/")))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    concurrency: int = setting("jobs at once in one worker", 32)
    per_lane: int = setting("of them for one source or sink that names no concurrency of its own", 8)
    lease: float = setting("seconds after which the work of a silent worker is taken over", 60.0)
    drain: float = setting("seconds to finish running jobs after SIGTERM; below the platform's kill", 15.0)
    poll: float = setting("seconds between looks for work where nothing wakes us", 1.0)
    job_deadline: float = setting("seconds after which a running job's lease is no longer renewed", 3600.0)

    def __post_init__(self) -> None:
        _above_zero(self, "concurrency", "per_lane", "lease", "drain", "poll", "job_deadline")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    url: str = dataclasses.field(
        default="sqlite:///data/webhook_svc.db",
        repr=False,
        metadata={"doc": "sqlite:///FILE for one machine, postgresql://… for any number"},
    )

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme.split("+")[0] not in ("sqlite", "postgres", "postgresql"):
            raise ValueError("a url that begins with sqlite:///, postgres:// or postgresql://")

    @property
    def embedded(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def file(self) -> Path | None:
        """Where the embedded database is."""
        return Path(self.url.removeprefix("sqlite:///")) if self.embedded else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    path: str = setting("the folder that holds documents until retention removes them", "data/vault")
    url: str = dataclasses.field(
        default="",
        repr=False,
        metadata={
            "doc": "a bucket instead, where several machines work (the folder is then its scratch space): "
            "s3://KEY_ID:SECRET@BUCKET/PREFIX?region=…&endpoint=https://…, key and secret percent-encoded"
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    allow_hosts: tuple[str, ...] = setting("hosts (or host:port) beyond the public ones that links may lead to", ())
    proxy: Url | None = setting("the proxy for outgoing requests; none is taken from the environment", None)
    ca_file: str = setting("a PEM file with certificate authorities beyond the public ones", "")
    connect_timeout: float = setting("seconds to connect", 10.0)
    read_timeout: float = setting("seconds without a byte", 30.0)
    total_timeout: float = setting("seconds for a whole answer", 900.0)
    max_redirects: int = setting("redirects that a download may follow", 5)
    max_document: int = setting("bytes of one document", 2 * 1024**3)

    def __post_init__(self) -> None:
        _above_zero(self, "connect_timeout", "read_timeout", "total_timeout", "max_document")
        if self.max_redirects < 0:
            raise ValueError("max_redirects from 0")
        if not all(map(_is_place, self.allow_hosts)):
            raise ValueError("allow_hosts of host or host:port alone, as in files.example or 10.0.0.5:8443, in ASCII")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    payloads: float = setting("days that bodies and headers of finished events are kept", 90.0)
    artifacts: float = setting("days that documents stay in the vault after the last delivery", 30.0)
    attempts: float = setting("days that the single attempts are kept; receipts stay for good", 365.0)
    refused: int = setting("refused callbacks kept for each source", 20)

    def __post_init__(self) -> None:
        _above_zero(self, "payloads", "artifacts", "attempts")
        if self.refused < 0:
            raise ValueError("refused from 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    level: Literal["debug", "info", "warning", "error"] = setting("the least that is printed", "info")
    format: Literal["auto", "json", "console"] = setting("auto: for people on a terminal, else JSON lines", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKeys:
    """The keys that every source has, whatever its provider."""

    provider: str = setting("which provider's code or profile understands the sender")
    sinks: tuple[str, ...] = setting("where its documents go", ())
    parts: tuple[Part, ...] = setting(
        "what is fetched of a signing; callback: the callback as it arrived, its secrets masked",
        ("document", "certificate"),
    )
    meta: Mapping[str, str] = setting(
        "names for values of the callback's JSON, for routes and {meta.NAME}: customer = '/data/customer'", factory=dict
    )
    wait_for_parts: float = setting(
        "seconds, from the first event on, that a delivery waits for parts that come later", 600.0
    )
    tokens: tuple[Secret, ...] = setting("if set, callbacks come to /hooks/<source>/<token>", ())
    concurrency: int | None = setting("jobs at once; unset: [worker] per_lane", None)
    addresses: tuple[str, ...] = setting("if set, callbacks are taken from these networks alone: 192.0.2.0/24", ())
    proxies: tuple[str, ...] = setting(
        "if set, callbacks are taken from these networks of trusted proxies alone, as the connection itself shows them",
        (),
    )
    reconcile: float | None = setting(
        "seconds between looks at the provider's list of completed signings; 0: never; unset: as the provider suggests",
        None,
    )
    overlap: float = setting("seconds that such a look reaches back behind the newest signing of the last one", 3600.0)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.overlap) and self.overlap >= 3600) or not 0 <= (self.reconcile or 0) < math.inf:
            raise ValueError("overlap from 3600 and reconcile from 0")
        if not all(map(_is_network, self.addresses)):
            raise ValueError("addresses of the form 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")
        if not all(_is_network(text) and ip_network(text).prefixlen for text in self.proxies):
            raise ValueError("proxies of the form 10.0.0.7 or 10.0.0.0/24: networks in which only the proxies are")
        if "document" not in self.parts or not 0 <= self.wait_for_parts < math.inf:
            raise ValueError("the document among the parts, and wait_for_parts from 0")
        if len(set(self.sinks)) < len(self.sinks):
            raise ValueError("each sink once")
        if len(self.meta) > 20 or not all(map(_META_NAME.fullmatch, self.meta)):
            raise ValueError("at most 20 names of a-z, 0-9, - and _ in meta")
        if not all(path.startswith("/") and len(path) <= 200 for path in self.meta.values()):
            raise ValueError("paths such as /data/customer or /data/signers/*/email in meta")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("concurrency from 1")
        if not all(URL_TOKEN.fullmatch(token.reveal()) for token in self.tokens):
            raise ValueError("tokens of at most 200 letters, digits and . _ ~ -")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig(SourceKeys):
    """An account at a provider: `kind` is its provider's class, `settings` what that one's `Settings` made of
    the other keys."""

    name: str
    kind: type
    settings: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkKeys:
    """The keys that every sink has, whatever its kind."""

    kind: str = setting("which sink's code delivers")
    name: str = setting(
        "the path of each file; must hold {document}, {sha256} or {delivery}",
        "{source}/{completed:%Y/%m}/{document}/{filename}",
    )
    parts: tuple[Part, ...] = setting("the parts it is given; unset: all that there are", ())
    pack: Literal["files", "zip"] = setting("files: each part by itself; zip: all in one, with the manifest", "files")
    concurrency: int | None = setting("deliveries at once; unset: [worker] per_lane", None)

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("concurrency from 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """A destination: `template` renders the path of each file, `settings` is what its kind made of the other keys."""

    name: str
    kind: str
    template: Template
    settings: Any
    parts: tuple[str, ...] = ()
    pack: Literal["files", "zip"] = "files"
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    service: ServiceSettings = ServiceSettings()
    worker: WorkerSettings = WorkerSettings()
    store: StoreSettings = StoreSettings()
    vault: VaultSettings = VaultSettings()
    http: HttpSettings = HttpSettings()
    retry: RetryPolicy = dataclasses.field(default_factory=RetryPolicy)
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()
    sources: Mapping[str, SourceConfig] = dataclasses.field(default_factory=lambda: EMPTY)
    sinks: Mapping[str, SinkConfig] = dataclasses.field(default_factory=lambda: EMPTY)
    routes: tuple[Route, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def web_processes(self) -> int:
        """SQLite has one writer at a time: a second web process would only make callbacks wait."""
        return 1 if self.store.embedded else self.service.processes
