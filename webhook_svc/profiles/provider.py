"""The engine behind every sender that is described: `generic`, whose description stands in the configuration, and those
of a profile."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from ..core.outgoing import Token
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.registry import OF_A_FILE
from ..core.settings import Secret
from ..core.types import DocumentRef, RawRequest, Reply, SourceEvent
from ..signing.verify import Verifier
from . import callback, flows, steps
from .description import Description
from .hidden import Hiding
from .profile import TABLES, Profile


class Described(Provider):
    """`described` is the sender, `values` what its templates find under the operator's names."""

    described: Description
    values: Mapping[str, str]
    secrets: tuple[Secret, ...]

    def scheme(self) -> Scheme:
        if self.described.event.hide:
            return Hiding(self.described, self.secrets, self.public_url)
        return Verifier(self.described.verify, self.secrets, self.public_url)

    def offers(self) -> frozenset[str]:
        return self.described.parts

    def hosts(self) -> frozenset[str]:
        return steps.trusted_hosts(self.described.asked, self.values)

    def acknowledge(self, request: RawRequest) -> Reply:
        return callback.acknowledgement(request, self.described)

    def challenge(self, request: RawRequest) -> Reply | None:
        return callback.handshake(request, self.described)

    def proves_handshakes(self) -> bool:
        return self.described.challenge is not None and self.described.challenge.genuine

    def contents(self, request: RawRequest) -> list[Any]:
        return callback.contents_of(request, self.described)

    def proves(self, path: str) -> bool:
        """Who sends the secret itself is believed all that it says; who signs nothing, nothing."""
        verify = self.described.verify
        return verify.alg == "equal" or (verify.alg != "none" and verify.protects(path))

    def hints(self) -> bool:
        return not self.proves(self.described.event.document)

    def delivery_id(self, request: RawRequest) -> str:
        return callback.id_in(request, self.described)

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        return callback.events_in(request, self._believed)

    @cached_property
    def _believed(self) -> Description:
        """The description without a title that a stranger may have put into a captured callback: it would steer where
        the document goes."""
        said = self.described
        proved = said.verify.alg in ("none", "equal") or not said.event.name or said.verify.protects(said.event.name)
        return said if proved else replace(said, event=replace(said.event, name=""))

    def steps(self, ref: DocumentRef) -> Steps:
        return steps.run(self.described.download, ref, self.source, self.values)

    def login(self) -> Flow[Token]:
        if self.described.login is None:
            return super().login()
        return flows.log_in(self.described.login, self.values)

    def polls_every(self) -> float | None:
        return self.described.list_.every if self.described.list_ else None

    def completed_since(self, when: float) -> Steps:
        if self.described.list_ is None:
            return super().completed_since(when)
        return flows.completed(self.described.list_, when, self.source, self.values)

    def warnings(self) -> list[str]:
        if self.described.verify.alg == "none":
            return ['`alg = "none"`: anybody who knows the URL can make this source ask the sender for documents']
        return [
            f"the signature does not cover {path}: a captured callback verifies with any other value there, "
            "so what it says must be asked of the sender"
            for path in self.described.uncovered()
        ]


class FromFile(Described):
    """A sender whose description is a profile. `settings` are such as `settings_of` makes."""

    profile: ClassVar[Profile]

    def __init__(self, source: str, settings: Any, public_url: str = "") -> None:
        super().__init__(source, settings, public_url)
        self.described = settings.described
        self.values = values_of(self.profile, settings)
        self.secrets = secrets_of(self.profile, settings)

    def hints(self) -> bool:
        return self.profile.about.url_token or super().hints()

    def needs_url_token(self) -> bool:
        return self.profile.about.url_token or self.described.verify.alg == "none"

    def warnings(self) -> list[str]:
        """What a profile of the box lacks is in its guide; of another, or a changed one, it is told."""
        own = self.profile.name.startswith(OF_A_FILE) or any(getattr(self.settings, name) for name in TABLES)
        return super().warnings() if own else []


def values_of(profile: Profile, settings: Any) -> dict[str, str]:
    """What templates find under the names that the profile declares."""
    given = {name: getattr(settings, name) for name in profile.settings}
    return {name: one.reveal() if isinstance(one, Secret) else str(one) for name, one in given.items()}


def secrets_of(profile: Profile, settings: Any) -> tuple[Secret, ...]:
    """The secrets of a source, or the setting that serves in their place."""
    if settings.secrets or not profile.about.secret or settings.described.verify.alg == "none":
        return tuple(settings.secrets)
    return (Secret(str(values_of(profile, settings)[profile.about.secret])),)
