"""The command that puts the promises to the proof: prove."""

import time

import click

from ..config import environment, load
from ..core.errors import WebhookError
from .frame import as_json
from .printing import echo_json, plain


@click.command()
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1), help="Blows; each takes seconds.")
@click.option("--seed", type=int, help="Of what is sent and killed; without it another each time.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 16), help="Worker processes.")
@as_json
@click.pass_context
def prove(ctx: click.Context, rounds: int, seed: int | None, workers: int, as_json: bool) -> None:
    """Kill the service while it works, and count what is lost.

    It runs on your own store, in a place apart: on Postgres in a new schema, on SQLite in a new file beside yours.
    Your tables, your sources and your sinks are not touched. Simulated providers send callbacks, a web process and
    workers of its own are killed (kill -9), providers and the mail server misbehave; then what was acknowledged is held
    against what arrived in a folder and a mailbox, byte for byte.

    Exit code 0: every promise held. 1: one was broken, and is named. 2: the proof could not be run.

    \b
    Example:
      DATABASE_URL=postgresql://localhost/webhooks webhook-svc prove --rounds 20
    """
    from ..prove import Order, prove

    url = load(environment()).store.url
    order = Order(rounds=rounds, workers=workers, seed=int(time.time()) if seed is None else seed)

    def say(line: str) -> None:
        click.echo(plain(line), err=as_json)

    say(f"{rounds} rounds, seed {order.seed}")
    try:
        verdict = prove(url, order, say)
    except (WebhookError, OSError, ValueError) as error:  # TimeoutError is an OSError: the service did not start
        click.echo(f"Error: the proof could not be run: {plain(error)}", err=True)
        ctx.exit(2)
    if as_json:
        echo_json({"seed": order.seed, "rounds": rounds, **verdict.document()})
    else:
        for line in verdict.lines():
            say(line)
    ctx.exit(0 if verdict.good else 1)
