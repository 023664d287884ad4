"""Every error the service knows. The class is the fate.

WebhookError
├── ConfigError            the start stops; every problem at once
├── Refused                a callback that is answered with a 4xx and never acted on
│   ├── NotGenuine         401  the signature does not hold
│   ├── UnknownSource      404  no such source, or the URL token is wrong
│   ├── WrongMethod        405
│   ├── BodyTooSlow        408
│   ├── BodyTooLarge       413
│   ├── EncodedBody        415
│   ├── TooManyRefusals    429  refused callbacks per address, unsigned hints per source
│   ├── HeadersTooLarge    431
│   └── BrokenRequest      400  HTTP itself is broken
├── StoreUnavailable       503: our database or disk cannot take it, the sender should come back
├── Ignored                the event is closed, visible, and no dead letter
├── NotReady               the provider has not finished the file; its own schedule, burns no tries
├── RenewToken             the provider wants a new token; renewed once, then its `otherwise` is the fate
├── Retryable              next try at a known time
│   ├── Unlikely           it hardly works later: a few tries, then a dead letter
│   └── DocumentCheckFailed  the bytes are not what was announced; held when the tries are used up
├── Permanent              dead letter with its reason
│   └── Held               a dead letter that waits for a person's decision
│       └── Conflict       other bytes stand at the target; never overwritten
├── ArtifactLost           our copy is gone or damaged: fetched again, never delivered
└── ClaimLost              the job belongs to another worker now; nothing more may be done

Retryable speaks of its provider or sink as a whole, but for the two below it: enough of them in a row pause its lane.
An exception outside this tree counts as retryable: a deploy may cure it, the dead letter keeps it if not.
Messages never hold a secret, a body or the query of a link.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class WebhookError(Exception):
    """The base. The class docstring is the message where none is given."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0].rstrip("."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with the configuration."""

    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}, expected {self.expected}"


class ConfigError(WebhookError):
    """The configuration cannot be used."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, self.problems)))


class Refused(WebhookError):
    """The callback is not acted on."""

    status: ClassVar[int] = 400
    reason: str

    def __init__(self, reason: str, message: str = "") -> None:
        """`reason` is one stable word for logs and counters, `message` a sentence for a person."""
        self.reason = reason
        super().__init__(message or reason.replace("_", " "))


class NotGenuine(Refused):
    """The signature does not hold."""

    status = 401


class UnknownSource(Refused):
    """No such source, or the URL token is wrong."""

    status = 404


class WrongMethod(Refused):
    """The method is not one this source answers."""

    status = 405


class BodyTooSlow(Refused):
    """The body took longer than its deadline."""

    status = 408


class BodyTooLarge(Refused):
    """The body is larger than the limit."""

    status = 413


class EncodedBody(Refused):
    """The body is compressed; signatures cover the bytes as they are."""

    status = 415


class TooManyRefusals(Refused):
    """Too many refused callbacks from one address, or too many unsigned hints for one source."""

    status = 429

    def __init__(self, reason: str, message: str = "", *, after: float = 60.0) -> None:
        self.after = after
        super().__init__(reason, message)


class HeadersTooLarge(Refused):
    """The headers are larger than the limit."""

    status = 431


class BrokenRequest(Refused):
    """HTTP itself is broken."""

    status = 400


class StoreUnavailable(WebhookError):
    """The store cannot take it now."""


class Ignored(WebhookError):
    """The event asks for nothing."""


class NotReady(WebhookError):
    """The provider has not finished the file."""

    def __init__(self, message: str = "", *, after: float | None = None) -> None:
        self.after = after
        super().__init__(message)


class RenewToken(WebhookError):
    """The provider wants a new token."""

    def __init__(self, message: str = "", *, otherwise: WebhookError | None = None) -> None:
        """`otherwise` is what it means if a new token is refused as well."""
        self.otherwise = otherwise or Retryable("a new token was refused too")
        super().__init__(message)


class Retryable(WebhookError):
    """It may work later."""

    def __init__(self, message: str = "", *, after: float | None = None) -> None:
        self.after = after
        super().__init__(message)


class Unlikely(Retryable):
    """It hardly works later."""


class DocumentCheckFailed(Retryable):
    """The bytes are not the document that was announced."""


class Permanent(WebhookError):
    """It will not work by itself."""


class Held(Permanent):
    """A person has to decide."""


class Conflict(Held):
    """Other bytes stand at the target."""


class ArtifactLost(WebhookError):
    """Our copy of the document is gone or damaged."""


class ClaimLost(WebhookError):
    """The job belongs to another worker now."""
