"""The yardstick for accepting: a Flask hook that verifies as the service does, and stores nothing."""

import time

from flask import Flask, Response, request

from webhook_svc import wiring
from webhook_svc.web.hooks import raw_request


def wsgi() -> Flask:
    sources = wiring.service(wiring.configured()).parties.sources
    app = Flask("reference", static_folder=None)

    @app.post("/hooks/<source>")
    def hook(source: str) -> Response:
        sources[source].scheme.verify(raw_request(request.environ, request.get_data()), time.time())
        return Response("", content_type="text/plain; charset=utf-8")

    return app
