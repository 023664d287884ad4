"""What would become of a callback: judged and parsed as if it had arrived, and nothing is kept."""

from ..core.asking import Destination, Verdict
from ..core.errors import Ignored, Permanent, Refused
from ..core.explanation import Explanation
from ..core.ports import Explains
from ..core.types import DocumentRef, Meaning, RawRequest, SourceEvent
from .ingest import handshake, judge
from .parties import Parties, Source
from .routes import astray, chosen, noted


def dry_run(source: Source, request: RawRequest, now: float, max_body: int) -> Verdict:
    """The verdict at the time `now`. URL and addresses are not judged: a saved request may have come another way."""
    try:
        challenge = handshake(source, request, now)
        if challenge is not None:
            return Verdict(accepted=True, status=challenge.status, handshake=True)
        event = judge(source, request, now, max_body)
    except Refused as refusal:
        return Verdict(accepted=False, status=refusal.status, reason=refusal.reason, detail=str(refusal))
    status, hint = source.provider.acknowledge(request).status, event.hint
    misread, ignored, events = _understood(source, request)
    return Verdict(
        accepted=True,
        status=status,
        hint=hint,
        verified_by=event.verified_by,
        delivery_id=event.delivery_id,
        misread=misread,
        ignored=ignored,
        events=events,
    )


def explained(source: Source, request: RawRequest, now: float) -> tuple[Explanation, ...]:
    """What the source's scheme saw; nothing for a handshake, or where the scheme cannot tell."""
    if source.provider.challenge(request) is not None or not isinstance(source.scheme, Explains):
        return ()
    return source.scheme.explain(request, now)


def _understood(source: Source, request: RawRequest) -> tuple[str, str, tuple[SourceEvent, ...]]:
    try:
        return "", "", tuple(source.provider.parse(request))
    except Ignored as error:
        return "", str(error), ()
    except (ValueError, Permanent) as error:
        return str(error), "", ()


def destinations(parties: Parties, source: Source, request: RawRequest) -> tuple[Destination, ...]:
    """Where each document of the callback would go, as far as the callback tells. Raises what parsing it raises."""
    events = noted(parties, source, request, source.provider.parse(request))
    wanted = [one for one in events if one.meaning in (Meaning.READY, Meaning.CHANGED)]
    return tuple(_destination(parties, source, ref) for event in wanted for ref in event.documents)


def _destination(parties: Parties, source: Source, ref: DocumentRef) -> Destination:
    found = chosen(parties, source, ref, ref.name)
    nowhere = "" if found.sinks else astray(parties, source) or f"the source {source.name!r} names no sinks"
    return Destination(document=ref.id, title=ref.name, sinks=found.sinks, routes=found.routes, nowhere=nowhere)
