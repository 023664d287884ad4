"""Sources and sinks as configured become objects, each with its own way out."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

from ..core.errors import Problem
from ..core.ports import Provider, Scheme, Sink
from ..core.sections import Config, HttpSettings, SinkConfig, SourceConfig
from ..core.types import CALLBACK
from ..http import HttpClient
from ..pipeline.parties import Parties, Source, Target
from ..sinks import SINKS
from ..vault.address import read_address


class Clients:
    """Makes the HTTP clients of one process, each bound to the hosts that its source, sink or vault trusts."""

    def __init__(self, config: Config) -> None:
        self._http: HttpSettings = config.http
        self._own_ports = frozenset({config.service.port})
        self._made: list[HttpClient] = []

    def make(self, trusted: frozenset[str]) -> HttpClient:
        settings = self._http
        client = HttpClient(
            trusted=trusted,
            allow_hosts=frozenset(settings.allow_hosts),
            own_ports=self._own_ports,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            total_timeout=settings.total_timeout,
            proxy=settings.proxy or "",
            ca_file=settings.ca_file,
            max_redirects=settings.max_redirects,
        )
        self._made.append(client)
        return client

    def close(self) -> None:
        while self._made:
            self._made.pop().close()


def parties(config: Config, clients: Clients, problems: list[Problem]) -> Parties:
    """All that can be made of what is configured; what cannot is told in `problems`."""
    per_lane = config.worker.per_lane
    sources = {name: _source(one, config, clients, per_lane, problems) for name, one in config.sources.items()}
    sinks = {name: _target(one, clients, per_lane, problems) for name, one in config.sinks.items()}
    return Parties(
        sources={name: one for name, one in sources.items() if one},
        sinks={name: one for name, one in sinks.items() if one},
        routes=config.routes,
    )


def _source(
    one: SourceConfig, config: Config, clients: Clients, per_lane: int, problems: list[Problem]
) -> Source | None:
    where = f"sources.{one.name}"

    def make() -> tuple[Provider, Scheme]:
        provider = one.kind(one.name, one.settings, config.service.public_url or "")
        return provider, provider.scheme()

    made = _made(make, where, problems)
    if made is None:
        return None
    provider, scheme = made
    if provider.needs_url_token() and not one.tokens:
        expected = (
            "a URL token that nobody guesses (webhook-svc gen-secret), or `secrets`: nothing else keeps strangers out"
        )
        problems.append(Problem(where=f"{where}.tokens", found="nothing", expected=expected))
        return None
    if scheme.needs_proxy and not one.proxies:
        expected = "the networks of the proxy that ends TLS, such as 10.0.0.7: anybody else can send its header as well"
        problems.append(Problem(where=f"{where}.proxies", found="nothing", expected=expected))
        return None
    polls_every = provider.polls_every()
    if one.reconcile and polls_every is None:
        expected = "0 or nothing: this provider has no list of completed signings"
        problems.append(Problem(where=f"{where}.reconcile", found=f"{one.reconcile:g}", expected=expected))
        return None
    return Source(
        name=one.name,
        provider=provider,
        scheme=scheme,
        http=clients.make(provider.hosts()),
        sinks=one.sinks,
        parts=tuple(part for part in one.parts if part in provider.offers() or part == CALLBACK),
        meta=one.meta,
        wait_for_parts=one.wait_for_parts,
        tokens=one.tokens,
        networks=tuple(ip_network(text) for text in one.addresses),
        proxies=tuple(ip_network(text) for text in one.proxies),
        reconcile=(polls_every or 0.0) if one.reconcile is None else one.reconcile,
        overlap=one.overlap,
        slots=one.concurrency or per_lane,
    )


def _target(one: SinkConfig, clients: Clients, per_lane: int, problems: list[Problem]) -> Target | None:
    kind: type[Sink] = SINKS.load(one.kind)

    def make() -> Sink:
        bare = kind(one.name, one.settings, clients.make(frozenset()))
        return kind(one.name, one.settings, clients.make(bare.hosts()))

    sink = _made(make, f"sinks.{one.name}", problems)
    return sink and Target(
        name=one.name,
        sink=sink,
        path=one.template,
        parts=one.parts,
        zipped=one.pack == "zip",
        slots=one.concurrency or per_lane,
    )


def _made(make: Callable[[], Any], where: str, problems: list[Problem]) -> Any:
    try:
        return make()
    except ValueError as error:
        problems.append(Problem(where=where, found="settings that do not work together", expected=str(error)))
        return None


def outside_problems(config: Config) -> Iterator[Problem]:
    """What is wrong with the keys that only the room they are for can judge. The address of a vault is not shown."""
    try:
        Clients(config).make(frozenset()).close()
    except (FileNotFoundError, PermissionError) as error:
        yield Problem(where="http.ca_file", found=str(error.strerror), expected="a file that can be read")
    except OSError:
        yield Problem(where="http.ca_file", found="no certificates", expected="a file of certificates in PEM form")
    try:
        if config.vault.url:
            read_address(config.vault.url)
    except ValueError as error:
        yield Problem(where="vault.url", found="something else", expected=str(error))
