"""What happens in the demonstration: six contracts at five providers, on a bad day."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A signing that completes at a provider; `quirk` is how that provider misbehaves on this day."""

    id: str
    title: str
    source: str
    provider: str
    parts: tuple[str, ...] = ("document",)
    quirk: str
    times: int = 1
    story: str


BOTH = ("document", "certificate")
CONTRACTS = (
    Contract(
        id="contract-1",
        title="Lease of 12 Acacia Avenue",
        source="contracts",
        provider="firma",
        parts=BOTH,
        quirk="unavailable",
        times=2,
        story="Firma answers the first questions with 503",
    ),
    Contract(
        id="contract-2",
        title="고용 계약서",
        source="korea",
        provider="esignon",
        parts=BOTH,
        quirk="token_expired",
        story="eSignon's token expires in the middle",
    ),
    Contract(
        id="contract-3",
        title="Care plan",
        source="health",
        provider="indexhealth",
        quirk="expired_link",
        story="Index Health's first link no longer opens",
    ),
    Contract(
        id="contract-4",
        title="Letter of authority",
        source="numbers",
        provider="telnyx",
        quirk="not_ready",
        story="Telnyx still looks for viruses",
    ),
    Contract(
        id="contract-5",
        title="Nájomná zmluva č. 7",
        source="leases",
        provider="okdokument",
        quirk="truncated",
        story="OKdokument's first answer is cut in half",
    ),
    Contract(
        id="contract-6",
        title="Liefervertrag Müller & Söhne",
        source="contracts",
        provider="firma",
        parts=BOTH,
        quirk="wrong_signature",
        times=2,
        story="Firma's callbacks never come as they should",
    ),
)
FIRST, LOST = CONTRACTS[0], CONTRACTS[-1]
RETRIED = ("unavailable", "not_ready", "truncated")
"""The quirks that cost a try of their own; the others are overcome within one."""
