"""The web process: `gunicorn -c config/gunicorn.py "webhook_svc.wiring:wsgi()"`. Command line options still win."""

from webhook_svc.config import environment, load
from webhook_svc.core.errors import ConfigError
from webhook_svc.log import dict_config
from webhook_svc.web.server import options

try:
    # Sources and sinks are judged by the application: here only the sections count.
    settings = load(environment())
except ConfigError as error:
    raise SystemExit(f"The configuration cannot be used:\n{error}") from None

globals().update(options(settings))
logconfig_dict = dict_config(settings.log.level, settings.log.format)
