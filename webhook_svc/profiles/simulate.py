"""What the simulator of a described sender has to know beside the description: how callbacks look."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..core.settings import setting
from ..core.template import Template
from .asked import texts_in
from .description import Description

NAMES: Final = ("document", "title", "type", "id", "ts", "iso", "signature", "number")
"""What templates of a callback may use: `id` is new for every event, `ts` Unix seconds, `iso` the same time as text.
`{ts:number}` alone is a number. Answers also have `{link}`, or `{link:certificate}`, an address where the part is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulate:
    """Callbacks of one signing: those of `before`, then `ready`."""

    callback: Any = setting("the JSON of a callback; its texts are templates")
    before: tuple[str, ...] = setting("types of event that come before the signing is complete", ())
    ready: str = setting("the type that says ready; unset: the first under event.ready or event.changed", "")
    signature: str = setting("how the signature is written where it stands", "{signature}")
    rotated: str = setting("the same while two secrets are in use: {signature} and {old}", "")
    answers: tuple[Any, ...] = setting("what each asking download step is answered, in order, as JSON of templates", ())
    headers: Mapping[str, str] = setting("more headers of a callback", factory=dict)
    form: Mapping[str, str] = setting("more fields where the callback is a form", factory=dict)
    secret: str = setting("how a made-up secret is written", "{secret}")

    def check(self, described: Description) -> None:
        """ValueError where a template speaks of something that nobody knows."""
        _check(texts_in(self.callback), NAMES)
        _check((*self.headers.values(), *self.form.values()), NAMES)
        _check((self.signature, self.rotated), (*NAMES, "old"))
        _check((self.secret,), ("secret",))
        _check(texts_in(self.answers), (*NAMES, "link"))
        asking = [step for step in described.download if step.asks]
        if len(asking) != len(self.answers):
            raise ValueError(f"{len(asking)} answers in simulate.answers: one for each asking step")
        if described.event.type and not self.kind(described):
            raise ValueError("a type in simulate.ready")

    def kind(self, described: Description) -> str:
        return self.ready or next(iter((*described.event.ready, *described.event.changed)), "")


def _check(texts: Iterable[str], known: Sequence[str]) -> None:
    for text in texts:
        for field in Template.parse(text).fields:
            if field.name not in known:
                raise ValueError(f"simulate without {field} (known: {', '.join(known)})")
