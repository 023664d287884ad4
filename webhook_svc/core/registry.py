"""A map of names to plugins, loaded when used and closed to overwriting."""

import importlib
import importlib.metadata
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from .errors import ConfigError

OF_A_FILE: Final = "file:"
"""What the name of a plugin begins with that a file of the user's describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a plugin's class is (`package.module:Class`) and the extra its libraries come with ("" = none)."""

    target: str
    extra: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlFiles:
    """Plugins that TOML files in a folder describe. `target` (`package.module:function`) makes the class of one, out of
    its file and its name; ConfigError with everything that is wrong with the file."""

    folder: Path
    target: str

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.toml"))

    def make(self, name: str) -> type:
        module, _, function = self.target.partition(":")
        make = getattr(importlib.import_module(module), function)
        own = name.removeprefix(OF_A_FILE)
        return make(Path(own), "") if own != name else make(self.folder / f"{name}.toml", name)  # type: ignore[no-any-return]


class Registry:
    """The plugins of one kind. Third parties join through the entry-point group of the same name."""

    def __init__(self, group: str, builtin: Mapping[str, Entry], files: TomlFiles | None = None) -> None:
        self.group = group
        self._builtin = MappingProxyType(dict(builtin))
        self._files = files
        self._made: dict[str, type] = {}

    @cached_property
    def _in_the_box(self) -> frozenset[str]:
        return frozenset(self._files.names() if self._files else ())

    def names(self) -> list[str]:
        return sorted({*self._builtin, *self._in_the_box, *self._third_parties})

    def knows(self, name: str) -> bool:
        return (name.startswith(OF_A_FILE) and self._files is not None) or name in self.names()

    def load(self, name: str) -> type:
        """The plugin's class. ConfigError with the known names, or with the install line of a missing extra."""
        if self._files and name.startswith(OF_A_FILE):
            return self._files.make(name)
        if self._files and name in self._in_the_box:
            return self._made.get(name) or self._made.setdefault(name, self._files.make(name))
        entry = self._builtin.get(name) or self._third_parties.get(name)
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

    @cached_property
    def _third_parties(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for point in importlib.metadata.entry_points(group=self.group):
            if point.name in self._in_the_box:
                raise ConfigError(f"{point.value} may not replace the built-in {point.name!r}")
            if point.name in self._builtin:
                if point.value != self._builtin[point.name].target:
                    raise ConfigError(f"{point.value} may not replace the built-in {point.name!r}")
            elif point.name in found and found[point.name].target != point.value:
                raise ConfigError(f"{point.value} and {found[point.name].target} both call themselves {point.name!r}")
            else:
                found[point.name] = Entry(target=point.value)
        return found


def what_of(kind: type) -> str:
    """The sentence that says what a plugin is for: its own `what`, else the first line of its module."""
    text = getattr(kind, "what", "") or sys.modules[kind.__module__].__doc__ or kind.__doc__ or ""
    return str(text).strip().split("\n", 1)[0]


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
