"""The command that asks the providers' own lists for what no callback told of: reconcile."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..core.asking import Looked
from .frame import as_json, fail
from .moments import since_when
from .printing import echo_json, iso, plain, table, when

if TYPE_CHECKING:
    from ..wiring import Service


@click.command()
@click.argument("source", required=False)
@click.option(
    "--since",
    metavar="TIME",
    callback=since_when,
    help="From then on (2026-11-01, 2026-11-01T12:00Z, 12h, 3d), instead of the last look.",
)
@click.option("--dry-run", is_flag=True, help="Say what is new, and store nothing.")
@as_json
def reconcile(source: str | None, since: float | None, dry_run: bool, as_json: bool) -> None:
    """Find what no callback told of.

    Asks the provider of SOURCE, or of every source whose provider has a list, what was completed, and makes events of
    the signings that are missing here. It looks now, whatever the schedule says; a worker or `up` then fetches and
    delivers them. Exit code 1 where a list could not be read, 2 where SOURCE is unknown or has no list.

    \b
    Example:
      webhook-svc reconcile contracts --since 3d --dry-run
    """
    from .. import wiring

    made = wiring.service(wiring.configured())
    click.get_current_context().call_on_close(made.close)
    found: list[Looked] = []
    with wiring.quiet():
        for looked in _look(made, _names(made, source), since, dry_run=dry_run):
            found.append(looked)
            if not as_json:
                _print(looked, dry_run=dry_run)
    if as_json:
        echo_json([{**_row(looked), "dry_run": dry_run} for looked in found])
    elif not found:
        click.echo("no source has a provider with a list of completed signings", err=True)
    elif not dry_run and any(looked.new for looked in found):
        click.echo("a running worker fetches and delivers what is new: webhook-svc worker, or up", err=True)
    failed = [looked.source for looked in found if looked.error]
    if failed:
        fail(f"not reconciled: {', '.join(map(plain, failed))}")


def _names(made: "Service", source: str | None) -> list[str]:
    if source is None:
        return made.listed()
    known = ", ".join(made.parties.sources) or "none"
    if source not in made.parties.sources:
        raise click.UsageError(f"unknown source {plain(source)} (known: {known})")
    if source not in made.listed():
        raise click.UsageError(f"the provider of {plain(source)} has no list of completed signings")
    return [source]


def _look(made: "Service", names: list[str], since: float | None, *, dry_run: bool) -> Iterator[Looked]:
    if names:
        reconciling = made.reconcile()
        look = reconciling.dry_run if dry_run else reconciling.now
        yield from (look(name, since) for name in names)


def _row(looked: Looked) -> dict[str, Any]:
    new = [{"id": ref.id, "round": ref.round, "title": ref.name, "completed": iso(ref.completed)} for ref in looked.new]
    return {
        "source": looked.source,
        "since": looked.since,
        "listed": looked.listed,
        "known": looked.known,
        "new": new,
        "warnings": looked.warnings,
        "error": looked.error,
        "next_at": looked.next_at,
    }


def _print(looked: Looked, *, dry_run: bool) -> None:
    name, now = plain(looked.source), time.time()
    if looked.error:
        click.echo(f"{click.style('✗', fg='red')} {name}: {plain(looked.error)}")
    else:
        counts = f"{looked.listed} listed since {iso(looked.since)}, {looked.known} known already"
        new = f"{len(looked.new)} {'would be new' if dry_run else 'new'}"
        click.echo(f"{click.style('✓', fg='green')} {name}: {counts}, {new}")
    if dry_run and looked.new:
        rows = [(ref.id, ref.round, iso(ref.completed), ref.name) for ref in looked.new]
        click.echo(table(("DOCUMENT", "ROUND", "COMPLETED", "TITLE"), rows))
    for warning in looked.warnings:
        click.secho(f"warning: {plain(warning)}", fg="yellow", bold=True)
    if looked.next_at is not None:
        click.echo(f"next look: {when(looked.next_at, now)}")
    elif not looked.error:
        click.echo("next look: never by itself (reconcile = 0)")
