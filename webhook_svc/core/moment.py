"""Points in time as senders write them."""

import re
from datetime import UTC, datetime
from typing import Any

_MILLISECONDS = 1e11  # larger numbers of seconds lie after the year 5100
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def moment(value: Any) -> float | None:
    """Unix seconds of ISO 8601 text (without a zone: UTC) or of a number of (milli)seconds; None if it is neither."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float) or (
            isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
        ):
            number = float(value)
            return _plausible(number / 1000 if abs(number) > _MILLISECONDS else number)
        parsed = datetime.fromisoformat(value)
        return _plausible((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


def local_moment(text: str, hours: str) -> float | None:
    """Unix seconds of ISO 8601 text from a place so many hours east of UTC (`-8`, `5.5`), unless it names its zone."""
    if not re.fullmatch(r"[+-]?[0-9]{1,2}(\.[0-9]{1,2})?", hours):
        return moment(text)
    if _DATE.fullmatch(text):
        text += "T00:00"  # a date alone takes no zone
    minutes = round(float(hours) * 60)
    whole, rest = divmod(abs(minutes), 60)
    zoned = moment(f"{text}{'-' if minutes < 0 else '+'}{whole:02}:{rest:02}")
    return moment(text) if zoned is None else zoned


def _plausible(seconds: float) -> float | None:
    """Nothing before 1970 and nothing that a calendar cannot show: infinity and NaN fail the comparison."""
    return seconds if 0 <= seconds <= _MILLISECONDS else None
