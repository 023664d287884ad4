"""The command that says whether the service could run, and where an example would go: check."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from ..core.asking import Destination
from ..core.errors import WebhookError
from ..core.ids import fingerprint
from ..core.rawhttp import parse_request
from ..core.routing import Route, name_of
from ..core.sections import Config
from ..core.settings import Secret
from .frame import as_json, fail
from .lanes import warnings as lane_warnings
from .printing import echo_json, plain, table

if TYPE_CHECKING:
    from ..wiring import Service


@click.command()
@click.option("--live", is_flag=True, help="Also ask every sink whether it works; leaves nothing behind there.")
@click.option(
    "--example",
    type=(str, click.File("rb")),
    metavar="SOURCE FILE",
    help="Say which sinks this saved callback would reach.",
)
@as_json
def check(live: bool, example: tuple[str, BinaryIO] | None, as_json: bool) -> None:
    """Judge the configuration and the store.

    Everything at once, before the first callback. Exit code 1 where something is wrong.

    --example reads a raw HTTP request, as `verify` does, and tells where its documents would go. Its signature is not
    looked at.

    \b
    Example:
      webhook-svc check --live
      webhook-svc check --example contracts request.http
    """
    from .. import wiring

    config = wiring.configured()
    made = wiring.service(config)
    click.get_current_context().call_on_close(made.close)
    report: dict[str, Any] = {
        "sources": [_source(made, name) for name in config.sources],
        "sinks": [_sink(config, name) for name in config.sinks],
        "routes": [_route(route, number) for number, route in enumerate(config.routes, 1)],
        "warnings": wiring.warnings(config, made),
    }
    if example is not None:
        report["example"] = _destinations(made, *example)
    if not as_json:
        _print_report(report)
    trouble = _store_trouble(made)
    report["store"] = trouble or "ready"
    rows = () if trouble else made.store.lane_rows()
    report["unserved"] = {row.lane: row.waiting for row in rows if row.waiting and not row.served_by}
    report["paused"] = [{"lane": row.lane, "since": row.since, "reason": row.reason} for row in rows if row.paused]
    if not as_json:
        click.echo(_mark(not trouble, "store", trouble or "reachable, its schema is current"))
        for warning in lane_warnings(rows, made.parties.lanes()):
            click.secho(f"warning: {plain(warning)}", fg="yellow", bold=True)
    report["live"] = list(_ask_sinks(made, quiet=as_json)) if live else []
    if as_json:
        echo_json(report)
    if trouble or not all(asked["ok"] for asked in report["live"]):
        fail("the service would not work like this")


def _destinations(made: "Service", source: str, file: BinaryIO) -> list[Destination]:
    if source not in made.parties.sources:
        known = ", ".join(made.parties.sources) or "there is none"
        raise click.UsageError(f"no source is called {plain(source)!r} ({known})")
    try:
        return list(made.destinations(source, parse_request(file.read())))
    except (ValueError, WebhookError) as error:
        fail(f"the example cannot be understood: {plain(error)}")


def _print_destinations(found: list[Destination]) -> None:
    for one in found:
        named = f"{one.document} {one.title!r}" if one.title else one.document
        by = f"by {', '.join(one.routes)}" if one.routes else "no route fits, by its source"
        where = f"nowhere: {one.nowhere}" if one.nowhere else f"to {', '.join(one.sinks)} ({by})"
        click.echo(plain(f"example: {named} goes {where}"))
    if not found:
        click.echo("example: it asks for no document")


def _source(made: "Service", name: str) -> dict[str, Any]:
    source, party = made.config.sources[name], made.parties.sources[name]
    url = f"{made.config.service.public_url or 'https://YOUR-HOST'}/hooks/{name}"
    url += ("/<token>" if source.tokens else "") + party.provider.callback_query()
    held = getattr(party.provider, "secrets", getattr(source.settings, "secrets", ()))
    secrets = [secret for secret in held if isinstance(secret, Secret)]
    return {
        "source": name,
        "provider": source.provider,
        "signed": party.scheme.signs,
        "secrets": [fingerprint(secret.reveal()) for secret in secrets],
        "sinks": list(source.sinks),
        "parts": list(party.parts),
        "reconcile": party.reconcile,
        "callback": url,
    }


def _sink(config: Config, name: str) -> dict[str, Any]:
    sink = config.sinks[name]
    path = "".join(map(str, sink.template.pieces))
    return {"sink": name, "kind": sink.kind, "parts": list(sink.parts), "pack": sink.pack, "path": path}


def _route(route: Route, number: int) -> dict[str, Any]:
    given = {name: list(getattr(route, name)) for name in ("source", "type", "title", "signer") if getattr(route, name)}
    when = given | {f"meta.{name}": [pattern] for name, pattern in route.meta.items()}
    return {"route": name_of(route, number), "when": when, "sinks": list(route.sinks)}


def _print_report(report: dict[str, Any]) -> None:
    if report["sources"]:
        rows = [
            (
                one["source"],
                one["provider"],
                _verified(one),
                *map(", ".join, (one["parts"], one["sinks"])),
                f"every {one['reconcile']:g} s" if one["reconcile"] else "never",
                one["callback"],
            )
            for one in report["sources"]
        ]
        click.echo(
            table(("SOURCE", "PROVIDER", "VERIFIED BY", "PARTS", "SINKS", "ASKS ITS LIST", "CALLBACK URL"), rows) + "\n"
        )
    if report["sinks"]:
        rows = [(one["sink"], one["kind"], one["path"]) for one in report["sinks"]]
        click.echo(table(("SINK", "KIND", "PATH OF A FILE"), rows) + "\n")
    if report["routes"]:
        rows = [(one["route"], _conditions(one["when"]), ", ".join(one["sinks"])) for one in report["routes"]]
        click.echo(table(("ROUTE", "WHEN", "SINKS"), rows) + "\n")
    if "example" in report:
        _print_destinations(report["example"])
    for warning in report["warnings"]:
        click.secho(f"warning: {plain(warning)}", fg="yellow", bold=True)


def _conditions(when: Mapping[str, list[str]]) -> str:
    return " and ".join(f"{name} is {' or '.join(patterns)}" for name, patterns in when.items()) or "always"


def _verified(source: dict[str, Any]) -> str:
    if not source["signed"]:
        return "NOTHING"
    return f"secret {', '.join(source['secrets'])}" if source["secrets"] else "signature"


def _store_trouble(made: "Service") -> str:
    """ "" or why nothing can be accepted. A store that cannot even be opened is told like one that is behind."""
    try:
        store = made.store
    except WebhookError as error:
        return str(error)
    return store.ready()


def _ask_sinks(made: "Service", *, quiet: bool) -> Iterator[dict[str, Any]]:
    for name, target in made.parties.sinks.items():
        try:
            ok, said = True, target.sink.check()
        except WebhookError as error:
            ok, said = False, str(error)
        except Exception as error:  # a sink is foreign code: what it raises is its verdict, and the next is asked too
            ok, said = False, f"it failed with {type(error).__name__}"
        if not quiet:
            click.echo(_mark(ok, f"sink {name}", said))
        yield {"sink": name, "ok": ok, "said": said}


def _mark(ok: bool, what: str, said: str) -> str:
    return f"{click.style('✓', fg='green') if ok else click.style('✗', fg='red')} {what}: {plain(said)}"
