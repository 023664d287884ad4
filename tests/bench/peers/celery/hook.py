"""The job as a good engineer would write it with Flask, Celery and Redis: the task is queued before the answer, is
acknowledged after the work, is tried again, and writes a file that is named after its document, whole or not at all;
with PEER_SYNC=1 also where the power fails.

Started by the benchmark in an environment of its own: `gunicorn hook:flask` and `celery -A hook worker`.
"""

import hashlib
import hmac
import json
import os
import threading
import time
from pathlib import Path

import requests
from celery import Celery
from flask import Flask, Response, request

SECRET, API_KEY = os.environ["PEER_SECRET"].encode(), os.environ["PEER_API_KEY"]
PROVIDER, ARCHIVE = os.environ["PEER_PROVIDER"], Path(os.environ["PEER_ARCHIVE"])
TOLERANCE, TIMEOUT = 300, 30
SYNC = bool(os.environ.get("PEER_SYNC"))

flask = Flask("hook", static_folder=None)
celery = Celery("hook", broker=os.environ["PEER_REDIS"])
celery.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": int(os.environ["PEER_VISIBILITY"])},
    broker_connection_retry_on_startup=True,
)
_local = threading.local()


def hook() -> Response:
    body = request.get_data()
    if not genuine(request.headers.get("X-Firma-Signature", ""), body):
        return Response(status=401)
    task.delay(json.loads(body)["data"]["signing_request"]["id"])
    return Response(status=200)


def genuine(header: str, body: bytes) -> bool:
    fields = dict(field.split("=", 1) for field in header.split(",") if "=" in field)
    stamp = fields.get("t", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > TOLERANCE:
        return False
    expected = hmac.new(SECRET, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, fields.get("v1", ""))


def fetch(document: str) -> None:
    answer = session().get(f"{PROVIDER}/signing-requests/{document}/download", timeout=TIMEOUT)
    answer.raise_for_status()
    partial = ARCHIVE / f".{document}.{threading.get_ident()}"
    with session().get(answer.json()["download_url"], stream=True, timeout=TIMEOUT) as download:
        download.raise_for_status()
        with partial.open("wb") as file:
            for chunk in download.iter_content(256 * 1024):
                file.write(chunk)
            if SYNC:
                file.flush()
                os.fsync(file.fileno())
    partial.replace(ARCHIVE / f"{document}.pdf")
    if SYNC:
        folder = os.open(ARCHIVE, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)


def session() -> requests.Session:
    """One for each thread, that keeps its connection."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.headers["Authorization"] = API_KEY
    found: requests.Session = _local.session
    return found


flask.add_url_rule("/hooks/contracts", view_func=hook, methods=["POST"])
task = celery.task(fetch, name="fetch", autoretry_for=(requests.RequestException,), retry_backoff=True, max_retries=10)
