"""What a provider supports, in the words of the table that `webhook-svc providers` prints."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """`verify` and `handshake` in words ("" = there is none), the parts it can bring, whether it has a list of
    completed signings, and what of all this its documentation does not say ("" = it says all)."""

    verify: str = ""
    handshake: str = ""
    parts: tuple[str, ...] = ("document",)
    lists: bool = False
    inferred: str = ""
