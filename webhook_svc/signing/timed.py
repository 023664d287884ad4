"""The header `t=<Unix seconds>,v1=<hex>` that many senders share: HMAC-SHA256 over `<seconds>.<body>`."""

from collections.abc import Sequence
from typing import Final

from ..core.settings import Secret
from .verify import Verifier, VerifySettings

_ONE_TIME: Final = r"\A(?:(?!\s*t=)[^,]*,)*\s*t=([0-9]{1,12})\s*(?:,(?!\s*t=)[^,]*)*\Z"
_SIGNATURES: Final = r"(?:\A|,)\s*v1=([0-9a-f]{64})\s*(?=,|\Z)"


def timed(header: str, secrets: Sequence[Secret], tolerance: int) -> Verifier:
    """Blanks, unknown keys and several `v1` are fine, several times are not. The secret is used as its text."""
    table = VerifySettings(
        alg="hmac-sha256",
        message="{ts}.{body}",
        signature=f"header:{header}",
        pattern=_SIGNATURES,
        vars={"ts": f"header:{header} ~ {_ONE_TIME}"},
        tolerance=tolerance,
    )
    return Verifier(table, secrets)
