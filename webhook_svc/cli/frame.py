"""What all commands share: one clear sentence for every error, the `--json` switch, and how they open the service."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ..config import environment, load
from ..core.errors import ConfigError, WebhookError
from .printing import plain

if TYPE_CHECKING:
    from ..wiring import Service

Command = TypeVar("Command", bound=Callable[..., Any])

as_json: Callable[[Command], Command] = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)
# The wiring loads every room: commands import it when they run, so that `--help` answers at once.


class Commands(click.Group):
    """The commands; what goes wrong in one of them ends as a sentence on standard error and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            problems = [f"  {plain(problem)}" for problem in error.problems]
            fail("\n".join(["the configuration cannot be used:", *problems]) if problems else plain(error))
        except WebhookError as error:
            fail(plain(error))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            fail(plain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"))


def fail(sentence: str) -> NoReturn:
    raise click.ClickException(sentence)


@contextmanager
def opened() -> Iterator["Service"]:
    """The service with its store and nothing else: sources and sinks, and their secrets, are not looked at."""
    from .. import wiring

    config = load(environment())
    if config.store.file is not None and not config.store.file.exists():
        fail(f"there is no database at {config.store.file.absolute()}")
    made = wiring.service(config)
    try:
        yield made
    finally:
        made.close()
