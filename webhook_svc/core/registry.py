"""A map of names to plugins, loaded when used and closed to overwriting."""

import importlib
import importlib.metadata
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from .errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a plugin's class is (`package.module:Class`) and the extra its libraries come with ("" = none)."""

    target: str
    extra: str = ""


class Registry:
    """The plugins of one kind. Third parties join through the entry-point group of the same name."""

    def __init__(self, group: str, builtin: Mapping[str, Entry]) -> None:
        self.group = group
        self._builtin = MappingProxyType(dict(builtin))

    def names(self) -> list[str]:
        return sorted({*self._builtin, *self._third_parties()})

    def load(self, name: str) -> type:
        """The plugin's class. ConfigError with the known names, or with the install line of a missing extra."""
        entry = self._builtin.get(name) or self._third_parties().get(name)
        if entry is None:
            raise ConfigError(unknown(name, self.names()))
        module, _, attribute = entry.target.partition(":")
        try:
            loaded = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if entry.extra and isinstance(error, ModuleNotFoundError):
                raise ConfigError(f"{name!r} needs: pip install 'webhook-svc[{entry.extra}]'") from error
            raise ConfigError(f"{entry.target} does not load: {error}") from error
        if not isinstance(loaded, type):
            raise ConfigError(f"{entry.target} is not a class")
        return loaded

    def extra_of(self, name: str) -> str:
        """The extra that its libraries come with ("" = none)."""
        return self._builtin[name].extra if name in self._builtin else ""

    def _third_parties(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for point in importlib.metadata.entry_points(group=self.group):
            if point.name in self._builtin:
                if point.value != self._builtin[point.name].target:
                    raise ConfigError(f"{point.value} may not replace the built-in {point.name!r}")
            elif point.name in found and found[point.name].target != point.value:
                raise ConfigError(f"{point.value} and {found[point.name].target} both call themselves {point.name!r}")
            else:
                found[point.name] = Entry(target=point.value)
        return found


def guide_of(kind: type) -> str:
    """How to set a plugin up: its own `guide`, else the Markdown file beside its module ("" where there is none)."""
    own = str(getattr(kind, "guide", ""))
    beside = Path(sys.modules[kind.__module__].__file__ or "").with_suffix(".md")
    return own or (beside.read_text("utf-8") if beside.is_file() else "")


def unknown(name: str, known: list[str]) -> str:
    """`unknown name 'fima', did you mean 'firma'? known: …`"""
    close = get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return f"unknown name {name!r}{hint} (known: {', '.join(known) or 'none'})"
