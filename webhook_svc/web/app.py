"""The Flask application: routes put together, errors in one form."""

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.middleware.proxy_fix import ProxyFix

from ..pipeline.ingest import Ingest
from .health import Watched, health, problem
from .hooks import hooks
from .terse import tell_bug


def create_app(ingest: Ingest, watched: Watched) -> Flask:
    """The WSGI application over an `Ingest`."""
    app = Flask("webhook_svc", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirect is no answer to a callback
    app.register_blueprint(hooks(ingest))
    app.register_blueprint(health(watched))
    app.register_error_handler(HTTPException, _as_problem)
    app.register_error_handler(Exception, _as_our_fault)
    if watched.proxies:
        hops = watched.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    return app


def _as_problem(error: HTTPException) -> Response:
    response = problem(error.code or 500, error.name)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(error.valid_methods)
    return response


def _as_our_fault(error: Exception) -> Response:
    tell_bug(request.method, error)
    return problem(500, "Internal Server Error")
