"""What the answers of a web API mean for a delivery: the one table of the sinks that speak HTTP."""

from collections.abc import Mapping
from typing import Any, Final

from ...core.errors import Permanent, Retryable, WebhookError
from ...core.flow import told
from ...core.outgoing import Answer

MAY_PASS: Final[Mapping[int, str]] = {
    401: "our credentials are not accepted",
    403: "we are not allowed to",
    408: "it took too long",
    409: "another request is in the way",
    423: "it is locked",
    425: "it is too early",
    429: "the rate limit is reached",
    507: "no space is left there",
}
"""Refusals too: keys are rotated, rights granted and quotas raised, and then nothing has to be replayed."""


def failure(act: str, answer: Answer, said: Any = "") -> WebhookError:
    """What an answer that is no success means: its class is the fate. `act` says what we were about ("writing").

    `said` is the service's own short word for it: a code, never a text that may repeat what it was sent.
    """
    word = told(said, 60)
    told_so = f"{act}: the answer was {answer.status}" + (f" {word}" if word else "")
    if answer.status in MAY_PASS or answer.status >= 500:
        meaning = MAY_PASS.get(answer.status, "")
        return Retryable(told_so + (f", {meaning}" if meaning else ""), after=answer.retry_after())
    if 300 <= answer.status < 400:
        return Permanent(f"{told_so}: it sends us elsewhere; the settings need its final address")
    return Permanent(told_so)
