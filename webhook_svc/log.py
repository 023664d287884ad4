"""One line per thing that happened: structlog over the standard library, every library's lines in the same form."""

import logging
import logging.config
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .core.settings import Secret

MASK: Final = "***"
LONGEST: Final = 2000  # characters of one value: platforms cut lines at about 10 kB
DEEPEST: Final = 6
FRAMES: Final = 8

_SECRET_KEY: Final = re.compile(
    r"secret|token|passw|authorization|api[_-]?key|signature|cookie|credential|private[_-]?key", re.IGNORECASE
)
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>]+", re.IGNORECASE)
_USERINFO: Final = re.compile(r"://[^/?#]*@")
_QUERY: Final = re.compile(r"\?[^\s\"'<>?]*=[^\s\"'<>]*")
_BEARER: Final = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/-]{12,}=*", re.IGNORECASE)
_ASSIGNED: Final = re.compile(
    r"((?:secret|token|passw\w*|authorization|api[_-]?key|signature)[\"']?\s?=\s?[\"']?)[^\s&,;\"']+", re.IGNORECASE
)


def configure(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:
    """Sets up structlog and the standard library for this process; again is harmless."""
    logging.config.dictConfig(dict_config(level, format, stream))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """What a command prints is its own: meanwhile nothing is logged."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def dict_config(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> dict[str, Any]:
    """The standard library's part of it, which gunicorn takes as `logconfig_dict`."""
    quiet: dict[str, Any] = {"level": "ERROR" if level == "error" else "WARNING", "handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": _formatter, "format": format, "stream": stream}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": stream or "ext://sys.stdout",
            }
        },
        "root": {"level": level.upper(), "handlers": ["out"]},
        "loggers": {
            **dict.fromkeys(("werkzeug", "urllib3", "alembic"), quiet),
            # At "debug" gunicorn prints the path of every request, and with it the URL token.
            "gunicorn.error": {
                "level": "INFO" if level == "debug" else level.upper(),
                "handlers": [],
                "propagate": True,
            },
            # The web layer logs each request itself, without path and query, whatever --access-logfile says.
            "gunicorn.access": {"level": logging.CRITICAL + 1, "handlers": [], "propagate": False},
        },
    }


def _formatter(format: str, stream: TextIO | None) -> logging.Formatter:
    terminal = (stream or sys.stdout).isatty()
    console = format == "console" or (format == "auto" and terminal)
    last: list[Processor] = (
        [_traces_as_text, structlog.dev.ConsoleRenderer(colors=terminal)]
        if console
        else [structlog.processors.JSONRenderer()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_shared()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, traces, redact, *last],
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def traces(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """`exc_info` becomes `exception`: the chain of errors, each with its last frames and no locals."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given if isinstance(given, BaseException) else None
    if error is None and given is True:
        error = sys.exc_info()[1]
    if error is not None:
        event["exception"] = list(_chain(error))
    return event


def _chain(error: BaseException | None) -> Iterator[dict[str, Any]]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < DEEPEST:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        yield {
            "type": type(error).__name__,
            "message": str(error),
            "trace": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _traces_as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if chain := event.get("exception"):
        lines = [f"{part['type']}: {part['message']}\n  " + "\n  ".join(part["trace"]) for part in chain]
        event["exception"] = "\ncaused by ".join(lines)
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Nothing that is a secret leaves: by the name of its key, and by its look inside of texts."""
    return {str(key): _redacted(key, value, DEEPEST) for key, value in event.items()}


def _redacted(key: Any, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Secret) or (isinstance(key, str) and _SECRET_KEY.search(key)):
        return MASK
    if isinstance(value, int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redacted_inside(value, depth - 1) if depth else "…"
    return redact_text(value if isinstance(value, str) else str(value))


def _redacted_inside(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _redacted(key, inner, depth) for key, inner in value.items()}
    return [_redacted("", inner, depth) for inner in value]


def redact_text(text: str) -> str:
    """The text without the query, fragment and login of its URLs, without credentials, and not endless."""
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    text = _URL.sub(lambda match: _bare_url(match.group()), text)
    text = _QUERY.sub("?" + MASK, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _ASSIGNED.sub(rf"\g<1>{MASK}", text)


def _bare_url(url: str) -> str:
    bare = _USERINFO.sub("://", url, count=1)
    ends = [place for place in (bare.find("?"), bare.find("#")) if place >= 0]
    return f"{bare[: min(ends)]}?{MASK}" if ends else bare
