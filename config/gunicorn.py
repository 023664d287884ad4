"""The web process: `gunicorn -c config/gunicorn.py "webhook_svc.wiring:wsgi()"`. Command line options still win."""

import os
import socket

from webhook_svc.config import environment, load
from webhook_svc.core.errors import ConfigError
from webhook_svc.log import dict_config


def _everywhere(port: int) -> str:
    """IPv6 and IPv4 through one socket where the machine can, else IPv4."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
            both = not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        both = False
    return f"[::]:{port}" if both else f"0.0.0.0:{port}"


try:
    # Sources and sinks are judged by the application: here only the sections count.
    settings = load(environment())
except ConfigError as error:
    raise SystemExit(f"The configuration cannot be used:\n{error}") from None

bind = [_everywhere(settings.service.port)]
workers = settings.web_processes
worker_class = "gthread"
threads = settings.service.threads
preload_app = False  # connections and threads belong to the process that uses them
max_requests = 0

timeout = 60  # a heartbeat of the process, no limit of a request
graceful_timeout = max(20, int(settings.service.body_deadline + settings.service.accept_timeout) + 1)
keepalive = 95  # longer than the 90 s that a router keeps its connections

limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 16380  # above it 431

worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - gunicorn makes its own files there
control_socket_disable = True  # no socket and no extra thread in the master
logconfig_dict = dict_config(settings.log.level, settings.log.format)
