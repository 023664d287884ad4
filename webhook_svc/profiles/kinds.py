"""A profile becomes a provider's class, with Settings that have what it declares."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..core.settings import Secret, Url, setting
from ..core.traits import Traits
from ..signing.verify import Verifier
from ..signing.words import in_words
from .description import Description
from .profile import TABLES, Declared, Profile, read
from .provider import FromFile, secrets_of, values_of
from .steps import trusted_hosts

ANY_URL: Final = "https://hooks.invalid"


def kind_of(path: Path, name: str = "") -> type:
    """The provider class of the profile in that file. ConfigError with everything that is wrong with it."""
    profile = read(path, name)
    described = profile.description
    members: dict[str, Any] = {
        "__doc__": profile.about.what,
        "__module__": __name__,
        "what": profile.about.what,
        "Settings": settings_of(profile),
        "profile": profile,
        "deadline": profile.about.deadline,
        "guide": profile.guide,
        "traits": Traits(
            verify=in_words(described.verify),
            handshake=_handshake(described),
            parts=tuple(part for part in ("document", "certificate", "audit") if part in described.parts),
            lists=described.list_ is not None,
            inferred=profile.about.inferred,
        ),
    }
    return type(f"Profile_{path.stem}", (FromFile,), members)


def settings_of(profile: Profile) -> type:
    """The Settings of its sources: what it declares, `secrets`, and its own tables for a source that differs."""
    needed = profile.description.verify.alg != "none" and not profile.about.secret
    doc = "secrets or public keys; two during a rotation"
    secrets = setting(doc) if needed else setting(doc, ())
    fields: list[Any] = [("secrets", tuple[Secret, ...], secrets)]
    fields += [(name, _type(one), _field(one)) for name, one in profile.settings.items()]
    for table in TABLES:
        if table == "download":
            fields.append((table, tuple[Any, ...], setting("download steps in the place of the profile's", ())))
        else:
            doc = f"keys of [{table}] that differ from the profile's"
            fields.append((table, Mapping[str, Any], setting(doc, factory=dict)))

    def check(self: Any) -> None:
        changes = {name: table for name in TABLES if (table := getattr(self, name))}
        object.__setattr__(self, "described", profile.described(changes) if changes else profile.description)
        Verifier(self.described.verify, secrets_of(profile, self), ANY_URL)
        trusted_hosts(self.described.asked, values_of(profile, self))

    namespace = {"__post_init__": check, "__doc__": profile.about.what, "__module__": __name__}
    return dataclasses.make_dataclass("ProfileSettings", fields, namespace=namespace, frozen=True, kw_only=True)


def _type(declared: Declared) -> type:
    return {"secret": Secret, "address": Url, "text": str}[declared.kind]


def _field(declared: Declared) -> Any:
    if declared.default is None:
        return setting(declared.doc)
    return setting(declared.doc, _type(declared)(declared.default))


def _handshake(described: Description) -> str:
    asked = described.challenge
    if asked is None:
        return "echo" if described.acknowledge.echo else ""
    return f"{asked.method}, echo" if asked.echo else f"{asked.method}, 200"
