"""Who takes part: the configured sources and sinks with everything the pipeline needs of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network

from ..core.ports import Http, Provider, Scheme, Sink
from ..core.routing import Route
from ..core.settings import Secret
from ..core.template import Template
from ..core.types import CERTIFICATE, DOCUMENT, EMPTY, sink_lane, source_lane

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class Source:
    """A configured account at a provider. `slots` is how many of its jobs one worker runs at once.

    `meta` names values of the callback's JSON by their paths. `networks` are those that callbacks may come from,
    `proxies` those of the last proxy before us, none: all. `reconcile` is the seconds between two looks at the
    provider's list of completed signings (0: never), `overlap` how far each reaches back behind the last.
    """

    name: str
    provider: Provider
    scheme: Scheme
    http: Http
    sinks: tuple[str, ...] = ()
    parts: tuple[str, ...] = (DOCUMENT, CERTIFICATE)
    meta: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    wait_for_parts: float = 600.0
    tokens: tuple[Secret, ...] = ()
    networks: tuple[Network, ...] = ()
    proxies: tuple[Network, ...] = ()
    slots: int = 8
    reconcile: float = 0.0
    overlap: float = 3600.0

    @cached_property
    def hint(self) -> bool:
        """Is a callback no proof of what it says?"""
        return not self.scheme.signs or self.provider.hints()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A configured sink, and the template of its paths. `parts` are the kinds it is given (none: all), `zipped` in one
    zip."""

    name: str
    sink: Sink
    path: Template
    parts: tuple[str, ...] = ()
    zipped: bool = False
    slots: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    sources: Mapping[str, Source]
    sinks: Mapping[str, Target]
    routes: tuple[Route, ...] = ()

    def lanes(self) -> dict[str, int]:
        """The lanes this process can serve, and how many jobs of each at once."""
        return {source_lane(name): source.slots for name, source in self.sources.items()} | {
            sink_lane(name): target.slots for name, target in self.sinks.items()
        }
