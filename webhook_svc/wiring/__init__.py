"""Config becomes objects: the composition root. The only room, beside the demo, that knows every other."""

from ..log import quiet
from ..simulators.play import Play
from .configured import KINDS, configured, service, simulation
from .objects import Service, die, open_store
from .processes import run_worker, warn, warnings, wsgi

__all__ = [
    "KINDS",
    "Play",
    "Service",
    "configured",
    "die",
    "open_store",
    "quiet",
    "run_worker",
    "service",
    "simulation",
    "warn",
    "warnings",
    "wsgi",
]
