"""Targets that every sink is held to: one rig a sink, in the file that bears its name."""

import importlib

from .base import Rig


def rig_of(kind: str) -> type[Rig]:
    """The rig of a kind of sink. A sink without one is an error."""
    module = importlib.import_module(f".{kind}", __name__)
    return next(
        one
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__ and issubclass(one, Rig)
    )
