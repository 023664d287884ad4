"""Points in time as people write them."""

import re
import time
from typing import Final

import click

from ..core.moment import moment

_YEAR_10000: Final = 253_402_300_800.0
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d.*")


def since_when(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """A point in time, or how long ago it was, as Unix seconds."""
    if value is None:
        return None
    found, now = _seconds(value, time.time()), time.time()
    if found is None:
        raise click.BadParameter("a date or time as in 2026-11-01T12:00Z, or how long ago, as in 12h or 3d")
    if found > now:
        raise click.BadParameter("a time that is over")
    return found


def at_moment(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """Unix seconds that a calendar can show."""
    if value is not None and not 0 <= value < _YEAR_10000:
        raise click.BadParameter("Unix seconds between the years 1970 and 9999")
    return value


def _seconds(text: str, now: float) -> float | None:
    if ago := _DURATION.fullmatch(text):
        return max(now - int(ago[1]) * _UNITS[ago[2]], 0.0)
    return moment(text) if _DATE.fullmatch(text) else None
