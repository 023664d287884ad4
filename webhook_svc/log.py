"""One line per thing that happened: structlog's and the standard library's in the same form, secrets masked.

A line is formatted by the thread that says it and written in one system call, under no lock: threads that speak at
once do not wait for one another.
"""

import json
import logging
import logging.config
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
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
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:+-]*")  # no word of this can hold what the others seek
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
    lines = _Lines(stream or sys.stdout)
    structlog.configure(
        processors=[*_shared(), *_last(format, stream)],
        logger_factory=lambda *names: _Logger(names[0] if names else _caller(), lines),
        wrapper_class=structlog.make_filtering_bound_logger(level),
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
                "()": _Out,
                "formatter": "line",
                "stream": stream or "ext://sys.stdout",
            }
        },
        "root": {"level": level.upper(), "handlers": ["out"]},
        "loggers": {
            **dict.fromkeys(("werkzeug", "urllib3", "alembic"), quiet),
            # Its one warning, of odd headers, shows the whole address that was asked, and with it what a link opens by.
            "urllib3.connection": {**quiet, "level": "ERROR"},
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


class _Lines:
    """Where lines go. One that cannot be written is lost: it must not fail what it tells of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        try:
            self._number: int | None = stream.fileno()
        except (OSError, ValueError):  # a stream in memory
            self._number = None

    def write(self, line: str) -> None:
        try:
            if self._number is None:
                self._stream.write(line + "\n")
            else:
                _write(self._number, f"{line}\n".encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):
            return


def _write(number: int, line: bytes) -> None:
    while line:
        line = line[os.write(number, line) :]


class _Out(logging.Handler):
    """The standard library's way to the same lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._lines = _Lines(stream)

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the lock, under which others would wait while a line is formatted."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.write(self.format(record))
        except Exception:  # arguments that do not fit their message, as the standard library takes it
            self.handleError(record)


class _Logger:
    """What structlog hands its finished lines to."""

    def __init__(self, name: str, lines: _Lines) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = lines.write


def _caller() -> str:
    """The module that speaks, where it did not say its name."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_logging(frame.f_globals["__name__"]):
        frame = frame.f_back
    return str(frame.f_globals["__name__"])


def _is_logging(module: str) -> bool:
    return module == __name__ or module.startswith("structlog.")


def _formatter(format: str, stream: TextIO | None) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_shared()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(format, stream)],
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _last(format: str, stream: TextIO | None) -> list[Processor]:
    terminal = (stream or sys.stdout).isatty()
    if format == "console" or (format == "auto" and terminal):
        return [traces, redact, _traces_as_text, structlog.dev.ConsoleRenderer(colors=terminal)]
    return [traces, redact, _as_json]


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return json.dumps(event)


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
    if isinstance(value, Secret) or (isinstance(key, str) and _names_a_secret(key)):
        return MASK
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redacted_inside(value, depth - 1) if depth else "…"
    return redact_text(str(value))


@lru_cache(1024)
def _names_a_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _redacted_inside(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _redacted(key, inner, depth) for key, inner in value.items()}
    return [_redacted("", inner, depth) for inner in value]


def redact_text(text: str) -> str:
    """The text without the query, fragment and login of its URLs, without credentials, and not endless."""
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    elif _PLAIN.fullmatch(text):
        return text
    text = _URL.sub(lambda match: _bare_url(match.group()), text)
    text = _QUERY.sub("?" + MASK, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _ASSIGNED.sub(rf"\g<1>{MASK}", text)


def _bare_url(url: str) -> str:
    bare = _USERINFO.sub("://", url, count=1)
    ends = [place for place in (bare.find("?"), bare.find("#")) if place >= 0]
    return f"{bare[: min(ends)]}?{MASK}" if ends else bare
