"""The Flask application: routes put together, errors in one form."""

from flask import Flask, Response
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from ..pipeline.ingest import Ingest
from .body import Watch
from .health import Watched, health, problem
from .hooks import hooks


def create_app(ingest: Ingest, watched: Watched, body_deadline: float) -> Flask:
    """The WSGI application over an `Ingest`; `body_deadline` in seconds."""
    app = Flask("webhook_svc", static_folder=None)
    app.url_map.strict_slashes = False
    app.register_blueprint(hooks(ingest, Watch(body_deadline)))
    app.register_blueprint(health(watched))
    app.register_error_handler(HTTPException, _as_problem)
    if watched.proxies:
        hops = watched.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    return app


def _as_problem(error: HTTPException) -> Response:
    return problem(error.code or 500, error.name)
