"""The configuration, judged whole: by its own rules, and by the plugins that have to work with it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..config import Kinds, environment, load
from ..core.errors import ConfigError
from ..core.sections import Config
from ..providers import PROVIDERS
from ..simulators import SIMULATORS
from ..simulators.play import Play
from ..sinks import SINKS
from .objects import Service
from .parties import Clients, outside_problems, parties

KINDS = Kinds(providers=PROVIDERS, sinks=SINKS)


def configured(
    environ: Mapping[str, str] | None = None, *, path: Path | None = None, only: str | None = None
) -> Config:
    """The judged configuration. ConfigError with every problem."""
    return load(environment() if environ is None else environ, KINDS, path=path, only=only)


def simulation(provider: str, *, secret: str = "", api_key: str = "", port: int = 0) -> Play:
    """A simulator that serves its API. ConfigError with the known names."""
    return Play(SIMULATORS.load(provider)(secret=secret, api_key=api_key), port=port)


def service(config: Config) -> Service:
    """The objects over a configuration. ConfigError where a plugin cannot work with its settings."""
    problems = list(outside_problems(config))
    if any(problem.where == "http.ca_file" for problem in problems):
        config = replace(config, http=replace(config.http, ca_file=""))  # so that the rest is judged too
    clients = Clients(config)
    made = parties(config, clients, problems)
    if problems:
        clients.close()
        raise ConfigError(problems)
    return Service(config, made, clients)
