"""Commands that run the service, or say whether it could: demo, up, worker, migrate."""

import dataclasses
from typing import TYPE_CHECKING

import click

from ..config import environment, load
from .printing import plain

if TYPE_CHECKING:
    from ..wiring import Service


@click.command()
@click.option("--serve", is_flag=True, help="Leave it running to look at, until Ctrl-C.")
@click.pass_context
def demo(ctx: click.Context, serve: bool) -> None:
    """Show the whole job on this machine.

    It needs no network and no configuration. A simulated provider sends signed callbacks (one twice, one forged, one
    whose first download fails), the service fetches the documents and hands them to a folder and a mailbox. Exit
    code 0 only if all arrived as it should.

    \b
    Example:
      webhook-svc demo
    """
    from ..demo import run

    ctx.exit(run(serve_on=serve))


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Listen here instead of at the configured port.")
def up(port: int | None) -> None:
    """Receive callbacks and work them off.

    Web and worker in one process: all that one machine needs.

    \b
    Example:
      webhook-svc up --port 8000
    """
    from .. import wiring
    from ..up import Up

    def make() -> "Service":
        config = wiring.configured()
        if port is not None:
            config = dataclasses.replace(config, service=dataclasses.replace(config.service, port=port))
        return wiring.service(config)

    make()  # A bad configuration is told here, before gunicorn's master is there to repeat it.
    Up(make).run()


@click.command()
def worker() -> None:
    """Work off what was accepted.

    SIGTERM or Ctrl-C finishes what runs, then ends.

    \b
    Example:
      webhook-svc worker
    """
    from .. import wiring

    wiring.run_worker(wiring.service(wiring.configured()))


@click.command()
def migrate() -> None:
    """Bring the schema up to date.

    Harmless to repeat, and to run twice at once.

    \b
    Example:
      DATABASE_URL=postgresql://localhost/webhooks webhook-svc migrate
    """
    from .. import wiring

    store = wiring.open_store(load(environment()))
    try:
        click.echo(plain(store.migrate()))
    finally:
        store.close()
