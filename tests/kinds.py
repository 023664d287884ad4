"""The classes behind the names of plugins: a registry says of none what it is a class of."""

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


def can_list(name: str) -> bool:
    """Does the provider of this name list what was completed?"""
    return provider_kind(name).traits.lists
