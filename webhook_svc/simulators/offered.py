"""The misbehaviour that an account of a described sender can show, and the requests that show it."""

from collections.abc import Iterator

from ..profiles.profile import Profile
from ..profiles.simulate import Simulate
from ..profiles.steps import DownloadStep
from .quirks import (
    API_QUIRKS,
    CALLBACK_QUIRKS,
    CERTIFICATE_QUIRKS,
    FILE_QUIRKS,
    LINK_QUIRKS,
    LIST_QUIRKS,
    ROTATION_QUIRKS,
    TIMED_QUIRKS,
    TOKEN_QUIRKS,
)
from .routes import route_of


def quirks_of(profile: Profile, simulated: Simulate) -> Iterator[str]:
    """The misbehaviour that such an account can show."""
    described = profile.description
    unsigned, first = described.verify.alg == "none", described.download[0]
    yield from (quirk for quirk in CALLBACK_QUIRKS if not (unsigned and quirk == "wrong_signature"))
    yield from TIMED_QUIRKS if described.verify.tolerance else ()
    yield from ROTATION_QUIRKS if simulated.rotated else ()
    yield from FILE_QUIRKS
    saves = next(step for step in described.download if step.save == "document")
    yield from LINK_QUIRKS if route_of(saves, profile.settings) is None else ()
    cannot = {"html_page": first.asks, "not_ready": shows_not_ready(profile)}
    yield from (quirk for quirk in API_QUIRKS if cannot.get(quirk, True))
    yield from CERTIFICATE_QUIRKS if shows_late(profile) else ()
    yield from TOKEN_QUIRKS if described.login else ()
    yield from LIST_QUIRKS if described.list_ and described.list_.total else ()


def shows_not_ready(profile: Profile) -> DownloadStep | None:
    """The first step that can say that the document is not ready."""
    return next((step for step in profile.description.download if step.expect or step.not_ready or step.take), None)


def shows_late(profile: Profile) -> DownloadStep | None:
    """The step that can say that there is no certificate yet."""
    steps = profile.description.download
    late = next((step for step in steps if step.save == "certificate" and step.optional), None)
    if late is None or route_of(late, profile.settings) is not None:
        return late
    return next((step for step in steps if _link(late) in step.take), None)


def late_path(profile: Profile) -> str:
    """Where the answer of that step says the certificate's address."""
    steps = profile.description.download
    name = next(_link(step) for step in steps if step.save == "certificate")
    return next(step.take[name] for step in steps if name in step.take)


def _link(step: DownloadStep) -> str:
    """The name of the link that its address is, "" where it is none."""
    return step.address.whole.name if step.address.whole else ""
