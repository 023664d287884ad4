"""Schemes made of others: a callback is genuine where one of several holds, or none is."""

from dataclasses import dataclass, replace

from ..core.errors import NotGenuine
from ..core.explanation import Explanation
from ..core.ports import Explains, Scheme
from ..core.types import RawRequest
from .verify import Verifier, VerifySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """A `core.ports.Scheme`. Tried in order; where none holds, the reason of the first that found a signature."""

    schemes: tuple[Scheme, ...]

    @property
    def signs(self) -> bool:
        return all(scheme.signs for scheme in self.schemes)

    @property
    def needs_proxy(self) -> bool:
        return any(scheme.needs_proxy for scheme in self.schemes)

    def verify(self, request: RawRequest, now: float) -> str:
        refusals: list[NotGenuine] = []
        for scheme in self.schemes:
            try:
                return scheme.verify(request, now)
            except NotGenuine as refusal:
                refusals.append(refusal)
        raise next((one for one in refusals if one.reason != "no_signature"), refusals[0])

    def explain(self, request: RawRequest, now: float) -> tuple[Explanation, ...]:
        able = [scheme for scheme in self.schemes if isinstance(scheme, Explains)]
        return tuple(one for scheme in able for one in scheme.explain(request, now))

    def mask(self, request: RawRequest) -> RawRequest:
        """What any of them masks; nothing is masked twice, for the fingerprint is to be compared."""
        masked = [one for scheme in self.schemes if (one := scheme.mask(request)) is not request]
        if not masked:
            return request
        headers = tuple(
            next((one.headers[place] for one in masked if one.headers[place] != header), header)
            for place, header in enumerate(request.headers)
        )
        query = next((one.query for one in masked if one.query != request.query), request.query)
        body = next((one.body for one in masked if one.body != request.body), request.body)
        return replace(request, headers=headers, query=query, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """A `core.ports.Scheme` that refuses everybody: of a source that expects no callbacks."""

    signs: bool = True
    needs_proxy: bool = False

    def verify(self, request: RawRequest, now: float) -> str:  # noqa: ARG002  nothing is looked at
        raise NotGenuine("no_secret", "this source has no secret, so it takes no callbacks")

    def explain(self, request: RawRequest, now: float) -> tuple[Explanation, ...]:  # noqa: ARG002  as above
        return (Explanation(scheme="no secret", reason="no_secret", notes=("this source takes no callbacks",)),)

    def mask(self, request: RawRequest) -> RawRequest:
        return Verifier(VerifySettings(alg="none"), ()).mask(request)
