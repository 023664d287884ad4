"""TOML and environment become one frozen Config, judged whole: every problem at once."""

import dataclasses
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from .core.errors import ConfigError, Problem
from .core.expand import expand
from .core.oddities import warnings
from .core.pathname import path_template
from .core.ports import Provider, Sink
from .core.registry import Registry
from .core.retry import RetryPolicy
from .core.routing import Route
from .core.sections import (
    Config,
    HttpSettings,
    LogSettings,
    RetentionSettings,
    ServiceSettings,
    SinkConfig,
    SinkKeys,
    SourceConfig,
    SourceKeys,
    StoreSettings,
    VaultSettings,
    WorkerSettings,
)
from .core.settings import build, suggestion, unknown_key

DEFAULT_PATH: Final = "config/webhook_svc.toml"
SECTIONS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "service": ServiceSettings,
        "worker": WorkerSettings,
        "store": StoreSettings,
        "vault": VaultSettings,
        "http": HttpSettings,
        "retry": RetryPolicy,
        "retention": RetentionSettings,
        "log": LogSettings,
    }
)
PLATFORM: Final[Mapping[str, str]] = MappingProxyType(
    {
        "service.public_url": "PUBLIC_URL",
        "service.port": "PORT",
        "service.processes": "WEB_CONCURRENCY",
        "service.threads": "WEB_THREADS",
        "service.admin_token": "ADMIN_TOKEN",
        "store.url": "DATABASE_URL",
        "vault.url": "VAULT_URL",
        "log.format": "LOG_FORMAT",
    }
)
"""Keys that the platform's environment fills where the file does not."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """The plugins that a configuration may name."""

    providers: Registry
    sinks: Registry


def environment() -> Mapping[str, str]:
    """The one way to the process environment."""
    return os.environ


def load(
    environ: Mapping[str, str], kinds: Kinds | None = None, *, path: Path | None = None, only: str | None = None
) -> Config:
    """The configuration, or ConfigError with everything that is wrong with it.

    Without `kinds` sources and sinks are left out. `only` reads [service] and that one source, so that a dry run
    needs no other value to be set.
    """
    problems: list[Problem] = []
    file, text = _text(environ, path, problems)
    written = _without_others(_parsed(text, file, problems), only)
    tree = expand(_with_platform(written), f"{file}: ", _lookup(environ), problems)
    config = _Reading(file, kinds, problems).config(tree, check_sinks=only is None)
    if environ.get("DYNO") and only is None and config.store and config.store.embedded:
        problems.append(_store_on_a_dyno(file))
    if problems:
        raise ConfigError([_blame(problem, file, written) for problem in dict.fromkeys(problems)])
    return dataclasses.replace(config, warnings=tuple(warnings(config, environ))) if only is None else config


def _text(environ: Mapping[str, str], path: Path | None, problems: list[Problem]) -> tuple[str, str]:
    """Where the text comes from, and the text. Only the default file may be missing."""
    if path is None and (text := environ.get("WEBHOOK_SVC_CONFIG_TOML")):
        return "WEBHOOK_SVC_CONFIG_TOML", text
    named = str(path) if path else environ.get("WEBHOOK_SVC_CONFIG")
    file = named or DEFAULT_PATH
    try:
        return file, Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if named:
            problems.append(Problem(where=file, found="no such file", expected="the configuration that was named"))
    except (OSError, UnicodeDecodeError) as error:
        found = "bytes that are not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
        problems.append(Problem(where=file, found=found, expected="a readable TOML file"))
    return file, ""


def _parsed(text: str, file: str, problems: list[Problem]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problems.append(Problem(where=file, found=str(error), expected="TOML"))
        return {}


def _without_others(tree: dict[str, Any], only: str | None) -> dict[str, Any]:
    if only is None:
        return tree
    sources = tree.get("sources")
    if not isinstance(sources, dict) or only not in sources:
        known = list(sources) if isinstance(sources, dict) else []
        raise ConfigError([Problem(where=f"sources.{only}", found="nothing", expected=suggestion(only, known))])
    return {"service": tree.get("service", {}), "sources": {only: sources[only]}}


def _with_platform(tree: dict[str, Any]) -> dict[str, Any]:
    filled = dict(tree)
    for place, variable in PLATFORM.items():
        section, key = place.split(".")
        table = filled.get(section, {})
        if isinstance(table, dict):
            filled[section] = {key: f"${{{variable}:-}}", **table}
    return filled


def _lookup(environ: Mapping[str, str]) -> Callable[[str], str | None]:
    """A variable, else the content of the file that `X_FILE` names; empty counts as unset."""

    def value(name: str) -> str | None:
        if (found := environ.get(name)) or not (file := environ.get(f"{name}_FILE")):
            return found or None
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"a readable UTF-8 file in {name}_FILE ({type(error).__name__})") from error
        return text.removesuffix("\n") or None

    return value


def _blame(problem: Problem, file: str, written: Mapping[str, Any]) -> Problem:
    """A problem of a value that the environment filled in names its variable."""
    place = problem.where.removeprefix(f"{file}: ")
    section, _, key = place.partition(".")
    if place in PLATFORM and key not in written.get(section, {}):
        return dataclasses.replace(problem, where=f"the environment variable {PLATFORM[place]}")
    return problem


def _store_on_a_dyno(file: str) -> Problem:
    return Problem(
        where=f"{file}: store.url",
        found="SQLite on a dyno: that disk does not last",
        expected="a Postgres address, which the platform's database add-on puts into DATABASE_URL",
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reading of an expanded tree; what is wrong is added to `problems`."""

    file: str
    kinds: Kinds | None
    problems: list[Problem]

    def config(self, tree: Mapping[str, Any], *, check_sinks: bool) -> Config:
        known = (*SECTIONS, "sources", "sinks", "routes")
        for key in tree:
            if key not in known:
                unknown = unknown_key("", key, known)
                self._wrong(f"{self.file}: {key}", unknown.found, unknown.expected)
        sections = {
            name: build(kind, self._table(tree, name), f"{self.file}: {name}", self.problems)
            for name, kind in SECTIONS.items()
        }
        sources, sinks = self._table(tree, "sources"), self._table(tree, "sinks")
        if self.kinds is None:
            return Config(**sections)
        found_sinks = {name: self._sink(name, sinks, self.kinds.sinks) for name in sinks}
        found_sources = {name: self._source(name, sources, self.kinds.providers) for name in sources}
        if check_sinks:
            for name in sources:
                self._check_sinks(name, sources[name], found_sources[name], list(sinks))
        routes = self._routes(tree.get("routes", []), list(sinks)) if check_sinks else ()
        return Config(
            **sections,
            sources=MappingProxyType(found_sources),
            sinks=MappingProxyType(found_sinks),
            routes=routes,
        )

    def _routes(self, tables: Any, sinks: list[str]) -> tuple[Route, ...]:
        if not isinstance(tables, list):
            self._wrong(f"{self.file}: routes", "something else", "tables that begin with [[routes]]")
            return ()
        found = []
        for index, table in enumerate(tables):
            where = f"{self.file}: routes[{index}]"
            route = build(Route, table, where, self.problems) if isinstance(table, Mapping) else None
            if not isinstance(table, Mapping):
                self._wrong(where, "a value", "a table")
            if route:
                found.append(route)
                self._known_sinks(where, route.sinks, sinks)
        return tuple(found)

    def _source(self, name: str, tables: Mapping[str, Any], registry: Registry) -> Any:
        where = self._named("sources", name)
        table = self._table(tables, name, where)
        common, rest = _split(SourceKeys, table)
        keys = build(SourceKeys, common, where, self.problems)
        kind = self._plugin(registry, Provider, table.get("provider"), f"{where}.provider")
        settings = build(kind.Settings, rest, where, self.problems, also=_keys(SourceKeys)) if kind else None
        if keys is None or settings is None:
            return None
        common = {key: getattr(keys, key) for key in _keys(SourceKeys)}
        return SourceConfig(name=name, kind=kind, settings=settings, **common)

    def _sink(self, name: str, tables: Mapping[str, Any], registry: Registry) -> Any:
        where = self._named("sinks", name)
        table = self._table(tables, name, where)
        common, rest = _split(SinkKeys, table)
        keys = build(SinkKeys, common, where, self.problems)
        kind = self._plugin(registry, Sink, table.get("kind"), f"{where}.kind")
        settings = build(kind.Settings, rest, where, self.problems, also=_keys(SinkKeys)) if kind else None
        template = path_template(keys.name, f"{where}.name", self.problems) if keys else None
        if keys is None or settings is None or template is None:
            return None
        return SinkConfig(
            name=name,
            kind=keys.kind,
            template=template,
            settings=settings,
            parts=keys.parts,
            pack=keys.pack,
            concurrency=keys.concurrency,
        )

    def _check_sinks(self, name: str, table: Any, source: SourceConfig | None, known: list[str]) -> None:
        written = table.get("sinks", ()) if isinstance(table, Mapping) else ()
        sinks = source.sinks if source else written if isinstance(written, list) else ()
        self._known_sinks(f"{self.file}: sources.{name}", sinks, known)

    def _known_sinks(self, where: str, sinks: Iterable[Any], known: list[str]) -> None:
        for index, sink in enumerate(sinks):
            if isinstance(sink, str) and sink and sink not in known:
                self._wrong(f"{where}.sinks[{index}]", f"the unknown sink {sink!r}", suggestion(sink, known))

    def _plugin(self, registry: Registry, base: type, name: Any, where: str) -> Any:
        """The plugin's class. A name that is missing or no text was reported with the common keys."""
        if not isinstance(name, str) or not name:
            return None
        try:
            if not registry.knows(name):
                return self._wrong(where, f"the unknown name {name!r}", suggestion(name, registry.names()))
            loaded = registry.load(name)
        except ConfigError as error:
            if error.problems:
                return self.problems.extend(error.problems)
            return self._wrong(where, f"{name!r}, which cannot be used", str(error))
        if not issubclass(loaded, base):
            return self._wrong(where, f"{name!r}, which is a {loaded.__name__}", f"a subclass of {base.__name__}")
        return loaded

    def _named(self, group: str, name: str) -> str:
        where = f"{self.file}: {group}.{name}"
        if not _NAME.fullmatch(name):
            expected = "at most 63 of a-z, 0-9, - and _ that begin with a letter or digit: it stands in a URL"
            self._wrong(where, f"the name {name!r}", expected)
        return where

    def _table(self, tree: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
        table = tree.get(key, {})
        if isinstance(table, Mapping):
            return table
        self._wrong(where or f"{self.file}: {key}", "a value", "a table")
        return {}

    def _wrong(self, where: str, found: str, expected: str) -> None:
        self.problems.append(Problem(where=where, found=found, expected=expected))


def _keys(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _split(kind: type, table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys that `kind` has, and the rest."""
    keys = _keys(kind)
    common = {key: value for key, value in table.items() if key in keys}
    return common, {key: value for key, value in table.items() if key not in keys}
