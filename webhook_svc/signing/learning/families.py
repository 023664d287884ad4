"""Ways to sign that are known, but are one sender's own: no search would find all of each in one callback.

Sources: https://github.com/adnanh/webhook (docs/Hook-Rules.md, payload-hmac-*), https://docs.adyen.com (development
resources, webhooks, verify HMAC signatures), https://developer.paddle.com/webhooks/signature-verification.
"""

from collections.abc import Iterator
from typing import Final

from ..verify import VerifySettings

_ADYEN: Final = (
    *("pspReference", "originalReference", "merchantAccountCode", "merchantReference"),
    *("amount/value", "amount/currency", "eventCode", "success"),
)


def families() -> Iterator[tuple[str, VerifySettings]]:
    """(what it is, the settings)"""
    for alg, digits in (("sha512", 128), ("sha256", 64), ("sha1", 40)):  # a sender may send several: the strongest
        yield "a signature in X-Hub-Signature", _hub(alg, digits)
    for above in ("/notificationItems/0/NotificationRequestItem", ""):
        yield "Adyen's notifications", _adyen(above)
    yield "Paddle's notifications", _paddle()


def _hub(alg: str, digits: int) -> VerifySettings:
    return VerifySettings(
        alg=f"hmac-{alg}",  # type: ignore[arg-type]  # the three of the loop are algorithms
        message="{body}",
        signature="header:X-Hub-Signature",
        pattern=rf"(?:^|,)\s*(?:{alg}=)?([0-9a-fA-F]{{{digits}}})\s*(?=,|$)",
    )


def _adyen(above: str) -> VerifySettings:
    return VerifySettings(
        alg="hmac-sha256",
        key="hex",
        message=":".join(f"{{json:{above}/{name}}}" for name in _ADYEN),
        encoding="base64",
        signature=f"json:{above}/additionalData/hmacSignature",
    )


def _paddle() -> VerifySettings:
    return VerifySettings(
        alg="hmac-sha256",
        message="{ts}:{body}",
        signature="header:Paddle-Signature",
        pattern="(?:^|;)h1=([^;]+)",
        vars={"ts": "header:Paddle-Signature ~ (?:^|;)ts=([0-9]+)"},
        tolerance=5,
    )
