"""Values of a callback that are nobody's to read later, such as a signer's own link: what is kept has fingerprints."""

from collections.abc import Sequence
from dataclasses import replace

from ..core.ids import fingerprint
from ..core.masks import mask_values
from ..core.payload import texts_at
from ..core.settings import Secret
from ..core.types import RawRequest, parse_json
from ..signing.forms import replaced, viewed
from ..signing.verify import Verifier
from .description import Description

_MOST = 20_000


class Hiding(Verifier):
    """A described scheme that masks what the description hides beside the secrets."""

    def __init__(self, described: Description, secrets: Sequence[Secret], public_url: str = "") -> None:
        super().__init__(described.verify, secrets, public_url)
        self._view = described.verify.body_view
        self._paths = described.event.hide

    def mask(self, request: RawRequest) -> RawRequest:
        return without_hidden(super().mask(request), self._paths, self._view)


def without_hidden(request: RawRequest, paths: Sequence[str], view: str = "") -> RawRequest:
    """The request with fingerprints in the place of the texts and whole numbers at these paths, wherever the JSON holds
    them; the request itself where it has none, or is no JSON."""
    try:
        field = viewed(request, view)
        document = parse_json(field)
    except ValueError:
        return request
    found = {text for path in paths for text in texts_at(document, path, _MOST) if text}
    if not found:
        return request
    masked = mask_values(field, {text: fingerprint(text) for text in found})
    return replace(request, body=replaced(request, view, masked))
