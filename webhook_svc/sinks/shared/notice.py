"""The words of a notice in a chat."""

from collections.abc import Callable
from typing import Final

from ...core.ids import storable
from ...core.types import Delivery
from .wording import FIELDS, filled, judge, listed, values

TEXT: Final = "{title} is signed and complete.\n{files}\nSource {source}, document {document}, delivery {delivery}."


def judged(template: str) -> None:
    """ValueError where the template cannot be filled."""
    judge(template, (*FIELDS, "files"))
    if not template.strip():
        raise ValueError("a text that says something")


def words(template: str, delivery: Delivery, limit: int, place: Callable[[str], str] = str) -> str:
    """Between 1 and `limit` characters. `place` makes foreign text harmless in the chat's own markup."""
    known = {name: place(value) for name, value in {**values(delivery), "files": listed(delivery)}.items()}
    text = storable(filled(template, delivery, known), limit)
    return text if text.strip() else delivery.id
