"""The command by which a person decides about work that stopped: replay."""

from dataclasses import replace

import click

from ..core.asking import Backfill, Query, Replayed, ReplayOrder, pages
from .frame import as_json, fail, opened
from .moments import since_when
from .printing import echo_json, plain, table

PAGE = 100
"""Dead letters that are brought back in one transaction."""


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all-dead", is_flag=True, help="Every dead letter, instead of ids.")
@click.option("--source", default="", help="With --all-dead: only of this source.")
@click.option("--sink", default="", help="With --all-dead: only for this sink.")
@click.option("--to", metavar="SINK", default="", help="Hand on to this sink what was fetched before it was there.")
@click.option(
    "--since",
    metavar="TIME",
    callback=since_when,
    help="With --to: from then on (2026-11-01, 12h, 3d).",
)
@click.option("--release", is_flag=True, help="Let go what was held for a decision.")
@click.option("--again", is_flag=True, help="Repeat finished work; needs --reason.")
@click.option("--reason", default="", help="Why, written beside each.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@as_json
def replay(
    ids: tuple[str, ...],
    all_dead: bool,
    source: str,
    sink: str,
    to: str,
    since: float | None,
    release: bool,
    again: bool,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring stopped work back to life.

    Given up: tried again. Held: let go with --release. Finished: repeated with --again.
    A sink that was added later is given with --to what today's routes would send it. Exit code 1 if anything was left
    alone.

    \b
    Example:
      webhook-svc replay --all-dead --sink archive --dry-run
      webhook-svc replay --to archive --since 90d
    """
    if to:
        if ids or all_dead or sink or release or again or since is None:
            raise click.UsageError("--to SINK goes with --since TIME, and with --source and --dry-run if wished")
        order = Backfill(sink=to, since=since, source=source, dry_run=dry_run)
        _tell(_handed_on(order), as_json, "nothing is lacking there")
        return
    if bool(ids) == all_dead:
        raise click.UsageError("name ids, or say --all-dead, or --to SINK")
    if (source or sink) and not all_dead:
        raise click.UsageError("--source and --sink belong to --all-dead")
    if since is not None:
        raise click.UsageError("--since belongs to --to")
    if again and (all_dead or not reason.strip()):
        raise click.UsageError("--again repeats finished work: it needs ids and --reason TEXT")
    wanted = ReplayOrder(ids=ids, release=release, again=again, reason=reason, dry_run=dry_run)
    _tell(_all_dead(wanted, source, sink) if all_dead else _named(wanted), as_json, "there is no dead letter to replay")


def _tell(done: list[Replayed], as_json: bool, nothing: str) -> None:
    if as_json:
        echo_json([{"id": one.id, "ok": one.ok, "what": one.what} for one in done])
    elif done:
        rows = [("✓" if one.ok else "✗", one.id, one.what) for one in done]
        click.echo(table(("", "ID", "WHAT"), rows))
    if not done and not as_json:
        click.echo(nothing, err=True)
    left = sum(not one.ok for one in done)
    if left:
        fail(f"{left} of {len(done)} were left alone")


def _handed_on(order: Backfill) -> list[Replayed]:
    """In one go over all signings, a page at a time."""
    from .. import wiring

    made = wiring.service(wiring.configured())
    click.get_current_context().call_on_close(made.close)
    if order.sink not in made.parties.sinks:
        known = ", ".join(made.parties.sinks) or "there is none"
        raise click.UsageError(f"no sink is called {plain(order.sink)!r} ({known})")
    if order.source and order.source not in made.parties.sources:
        known = ", ".join(made.parties.sources) or "there is none"
        raise click.UsageError(f"no source is called {plain(order.source)!r} ({known})")
    done: list[Replayed] = []
    for one in made.backfiller().run(order):
        done.append(one)
        if not len(done) % PAGE:
            click.echo(plain(f"{len(done)} …"), err=True)
    return done


def _named(order: ReplayOrder) -> list[Replayed]:
    with opened() as made:
        return made.store.replay(order)


def _all_dead(order: ReplayOrder, source: str, sink: str) -> list[Replayed]:
    """A page at a time, so that no transaction grows long; what is held stays unless it is to be released."""
    done: list[Replayed] = []
    with opened() as made:
        for page in pages(made.store.list, Query(kind="dead", source=source, sink=sink, limit=PAGE)):
            ids = tuple(str(row["id"]) for row in page if order.release or row["state"] != "held")
            if ids:
                done += made.store.replay(replace(order, ids=ids))
                click.echo(plain(f"{len(done)} …"), err=True)
    return done
