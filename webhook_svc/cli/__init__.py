"""The command line. Commands print; they decide nothing."""

import click

from .. import __version__
from .checking import check
from .deciding import replay
from .frame import Commands
from .lanes import lanes
from .learning import learn
from .looking import dead, deliveries, event, events
from .plugins import providers, sinks
from .proving import prove
from .reconciling import reconcile
from .running import demo, migrate, up, worker
from .trying import gen_secret, simulate, verify


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", prog_name="webhook-svc")
def cli() -> None:
    """Receive signing-completed callbacks, fetch the signed document, hand it to where it belongs.

    The configuration is config/webhook_svc.toml, the file that WEBHOOK_SVC_CONFIG names, or the text in
    WEBHOOK_SVC_CONFIG_TOML. Exit codes: 0 all is well, 1 something is wrong, 2 the command was not understood.

    \b
    Example:
      webhook-svc demo
    """


for command in (
    *(demo, up, worker, migrate, check, providers, sinks, simulate, verify, learn),
    *(events, event, deliveries, dead, lanes, replay, reconcile, gen_secret, prove),
):
    cli.add_command(command)
