"""How gunicorn serves the application, for the Procfile and for `webhook-svc up` alike."""

import gc
import os
import socket
from typing import Any

from ..core.sections import Config
from .patient import Patience, patient


def options(config: Config) -> dict[str, Any]:
    """gunicorn's settings."""
    service = config.service
    return {
        "bind": [_address(service.host, service.port) if service.host else everywhere(service.port)],
        "workers": config.web_processes,
        "worker_class": patient(Patience(seconds=service.body_deadline, body=service.max_body)),
        "threads": service.threads,
        "worker_connections": 512,  # below the 1024 files that a process may usually have open
        "preload_app": False,  # connections and threads belong to the process that uses them
        "max_requests": 0,
        "timeout": 60,  # a heartbeat of the process, no limit of a request
        "graceful_timeout": max(20, int(service.body_deadline + service.accept_timeout) + 1),
        "keepalive": 95,  # longer than the 90 s that a router keeps its connections
        "limit_request_line": 8190,
        "limit_request_fields": 160,  # DocuSign sends up to 100 signatures, each in a header of its own
        "limit_request_field_size": 16380,  # above it 431
        "forwarder_headers": "",  # a sender has no say in what our path is
        "secure_scheme_headers": {},
        "post_worker_init": settle,
        "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108 - gunicorn's own files
        "control_socket_disable": True,  # no socket and no extra thread in the master
    }


def settle(_worker: Any) -> None:
    """What a process has loaded stays: the collector need not look through it again and again under load."""
    gc.collect()
    gc.freeze()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def everywhere(port: int) -> str:
    """IPv6 and IPv4 through one socket where the machine can, else IPv4."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
            both = not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        both = False
    return f"[::]:{port}" if both else f"0.0.0.0:{port}"
