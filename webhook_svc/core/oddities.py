"""What is allowed in a configuration and yet odd: `check` says it, and so does the log at the start."""

from collections.abc import Iterator, Mapping

from .pathname import META
from .routing import SIGNER, Facts, Route, meets, name_of
from .sections import Config, SinkConfig


def warnings(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    if not config.sources:
        yield "no source configured: every callback is answered with 404"
    for source in config.sources.values():
        routed = any(_is_for(route, source.name) for route in config.routes)
        if not source.sinks and not routed:
            yield f"source {source.name} has no sinks and no route: its documents are fetched and go nowhere"
    lists = [*(one.sinks for one in config.sources.values()), *(one.sinks for one in config.routes)]
    used = {sink for sinks in lists for sink in sinks}
    for unused in sorted(set(config.sinks) - used):
        yield f"sink {unused} is named by no source and no route"
    for number, route in enumerate(config.routes, 1):
        yield from _never_met(route, name_of(route, number), config)
    for sink in config.sinks.values():
        yield from _never_filled(sink, config)
        yield from _never_given(sink, config)
    if environ.get("DYNO"):
        for name in (name for name, sink in config.sinks.items() if sink.kind == "folder"):
            yield f"sink {name} writes to a disk that does not last: after a restart its documents are gone"
    if environ.get("DYNO") and not config.vault.url:
        yield "the vault is on a disk that does not last: after a restart documents are fetched again"


def _never_met(route: Route, name: str, config: Config) -> Iterator[str]:
    matching = [one for one in config.sources.values() if _is_for(route, one.name)]
    if not matching:
        yield f"{name} fits no source"
    named = {meta for source in matching for meta in source.meta}
    for wanted in sorted({*route.meta, *([SIGNER] if route.signer else [])} - named):
        yield f"{name} asks for meta.{wanted}, which no source that it fits names"


def _never_given(sink: SinkConfig, config: Config) -> Iterator[str]:
    for source in config.sources.values():
        if sink.parts and sink.name in source.sinks and not set(sink.parts) & set(source.parts):
            yield f"sink {sink.name} takes none of the parts that source {source.name} fetches"


def _is_for(route: Route, source: str) -> bool:
    """Could a signing of that source meet it?"""
    return meets(Route(sinks=route.sinks, source=route.source), Facts(source=source))


def _never_filled(sink: SinkConfig, config: Config) -> Iterator[str]:
    named = {f"meta.{meta}" for source in config.sources.values() for meta in source.meta}
    for field in sink.template.fields:
        if META.fullmatch(field.name) and field.name not in named:
            yield f"sink {sink.name}: {field} is always 'none', for no source names it in its meta"
