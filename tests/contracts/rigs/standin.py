"""What the stand-ins for web services have in common: a table of routes, refusals, and a token that must be right."""

import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ClassVar

from werkzeug.wrappers import Request, Response

from tests.guard import secret

TOKEN = secret("access-token")
TALKATIVE = f"no: {secret('said-by-the-service')}"
"""What stands in every refusal's text: a sink repeats none of it."""


class Refusal(Exception):
    """The service says no."""

    def __init__(self, status: int, code: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.more = more


class StandIn:
    """A WSGI application. A route is a method, a pattern of the whole path, and the name of what answers it.

    Requests are answered one after the other: what one finds is still so when it writes.
    """

    routes: ClassVar[tuple[tuple[str, str, str], ...]]
    one_at_a_time: ClassVar[threading.Lock]

    def __init_subclass__(cls) -> None:
        cls.one_at_a_time = threading.Lock()

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        with Request(environ) as request:
            request.get_data()
            try:
                with self.one_at_a_time:
                    response = self._routed(request)
            except Refusal as refusal:
                response = self.refused(refusal)
                response.headers.extend(refusal.headers)
        return response(environ, start_response)

    def refused(self, refusal: Refusal) -> Response:
        """How this service words its errors."""
        raise NotImplementedError

    def _routed(self, request: Request) -> Response:
        for method, pattern, name in self.routes:
            match = re.fullmatch(pattern, request.path, re.DOTALL)
            if match and method == request.method:
                answer: Response = getattr(self, name)(request, *match.groups())
                return answer
        raise Refusal(404, "no such route")


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")


def must(condition: object, status: int, code: str) -> None:
    if not condition:
        raise Refusal(status, code)


def only(given: Iterable[str], known: Collection[str], status: int = 400, code: str = "invalidRequest") -> None:
    """What is not known is refused, as strict services do."""
    must(set(given) <= set(known), status, code)


def check_bearer(request: Request, code: str = "InvalidAuthenticationToken") -> None:
    must(request.headers.get("Authorization") == f"Bearer {TOKEN}", 401, code)


def json_of(request: Request) -> dict[str, Any]:
    """The object that a request must carry, with its content type."""
    must(request.mimetype == "application/json", 415, "UnsupportedMediaType")
    found = request.get_json(silent=True)
    if not isinstance(found, dict):
        raise Refusal(400, "invalidRequest")
    return found
