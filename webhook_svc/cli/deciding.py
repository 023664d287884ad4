"""The command by which a person decides about work that stopped: replay."""

from dataclasses import replace

import click

from ..core.asking import Query, Replayed, ReplayOrder, pages
from .frame import as_json, fail, opened
from .printing import echo_json, plain, table

PAGE = 100
"""Dead letters that are brought back in one transaction."""


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all-dead", is_flag=True, help="Every dead letter, instead of ids.")
@click.option("--source", default="", help="With --all-dead: only of this source.")
@click.option("--sink", default="", help="With --all-dead: only for this sink.")
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
    release: bool,
    again: bool,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring stopped work back to life.

    Given up: tried again. Held: let go with --release. Finished: repeated with --again.
    Exit code 1 if anything was left alone.

    \b
    Example:
      webhook-svc replay --all-dead --sink archive --dry-run
    """
    if bool(ids) == all_dead:
        raise click.UsageError("name ids, or say --all-dead")
    if (source or sink) and not all_dead:
        raise click.UsageError("--source and --sink belong to --all-dead")
    if again and (all_dead or not reason.strip()):
        raise click.UsageError("--again repeats finished work: it needs ids and --reason TEXT")
    order = ReplayOrder(ids=ids, release=release, again=again, reason=reason, dry_run=dry_run)
    done = _all_dead(order, source, sink) if all_dead else _named(order)
    if as_json:
        echo_json([{"id": one.id, "ok": one.ok, "what": one.what} for one in done])
    elif done:
        rows = [("✓" if one.ok else "✗", one.id, one.what) for one in done]
        click.echo(table(("", "ID", "WHAT"), rows))
    if not done and not as_json:
        click.echo("there is no dead letter to replay", err=True)
    left = sum(not one.ok for one in done)
    if left:
        fail(f"{left} of {len(done)} were left alone")


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
