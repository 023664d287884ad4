"""The command that puts the promises to the proof: prove."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
    against what arrived in a folder and a mailbox, byte for byte. It opens ten connections to Postgres, seven with one
    worker.

    It leaves nothing behind, also after Ctrl-C. After kill -9 of this command its processes end within a second; the
    schema or the file that it has named in its first lines, and the folder of the simulated sinks, stay: drop the
    schema (DROP SCHEMA webhook_svc_prove_... CASCADE), or remove the files (webhook_svc_prove_...).

    Exit code 0: every promise held. 1: one was broken, and is named. 2: the proof could not be run.

    \b
    Example:
      DATABASE_URL=postgresql://localhost/webhooks webhook-svc prove --rounds 20
    """
    from ..prove import Order, prove

    order = Order(rounds=rounds, workers=workers, seed=int(time.time()) if seed is None else seed)

    def say(line: str) -> None:
        click.echo(plain(line), err=as_json)

    say(f"{rounds} rounds, seed {order.seed}")
    with _could_not_run(ctx):
        verdict = prove(load(environment()).store.url, order, say)
    if as_json:
        echo_json({"seed": order.seed, "rounds": rounds, **verdict.document()})
    else:
        for line in verdict.lines():
            say(line)
    ctx.exit(0 if verdict.good else 1)


@contextmanager
def _could_not_run(ctx: click.Context) -> Iterator[None]:
    """Whatever keeps the proof from its end, a signal too: what was made for it is removed, and the exit code is 2."""
    kept = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted: the proof is not finished, and nothing of it is left behind.", err=True)
        ctx.exit(2)
    except (WebhookError, OSError, ValueError) as error:  # TimeoutError is an OSError: the service did not start
        for line in f"Error: the proof could not be run: {error}".splitlines():
            click.echo(plain(line), err=True)
        ctx.exit(2)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
