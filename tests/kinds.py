"""The classes behind the names of plugins: a registry says of none what it is a class of."""

from collections.abc import Iterable

from webhook_svc.core.ports import Provider, Simulator, Sink
from webhook_svc.providers import PROVIDERS
from webhook_svc.simulators import SIMULATORS
from webhook_svc.sinks import SINKS


def provider_kind(name: str) -> type[Provider]:
    return PROVIDERS.load(name)


def sink_kind(name: str) -> type[Sink]:
    return SINKS.load(name)


def simulator_kind(name: str) -> type[Simulator]:
    return SIMULATORS.load(name)


def is_described(name: str) -> bool:
    """Is it a profile of the box?"""
    return hasattr(provider_kind(name), "profile")


def with_stores(names: Iterable[str]) -> list[tuple[str, str]]:
    """(store, provider) for cases on the whole way. The described ones are one engine, and what a provider says is the
    same on every store: `generic` shows it on both."""
    every = list(names)
    return [("sqlite", name) for name in every] + [("postgres", name) for name in every if not is_described(name)]


def can_list(name: str) -> bool:
    """Does the provider of this name list what was completed?"""
    return provider_kind(name).traits.lists
