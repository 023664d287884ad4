"""Reading foreign JSON, in which every value may be missing or of another type."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from .errors import Permanent
from .moment import moment
from .types import RawRequest, as_text, at_path, parse_json

_MOST_SEEN: Final = 20_000
"""Elements of a sender's lists that are worth a look."""


def object_of(request: RawRequest, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Mapping[str, Any]:
    """The JSON object that a callback is, made by `pairs` (see `unambiguous`). ValueError where it is none."""
    body = parse_json(request.body, pairs)
    if not isinstance(body, Mapping):
        raise ValueError("the body is not a JSON object")
    return body


def unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which a key that stands twice with different values is None: where customers may add keys, nobody
    knows which of the two is the sender's."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = value if found.get(key, value) == value else None
    return found


def told_id(request: RawRequest, *paths: str) -> str:
    """The first of these paths that leads to an id, for `Provider.delivery_id`; "" whatever is wrong."""
    try:
        return first_text(request.json(), *paths)
    except (ValueError, Permanent):
        return ""


def first_text(body: Any, *paths: str) -> str:
    """The first of these paths that leads to a value, as text; "" where none does. Permanent where it is no scalar."""
    return next((as_text(value) for path in paths if (value := at_path(body, path)) is not None), "")


def text_at(value: Any, path: str) -> str:
    """The text at the path; "" where there is none, or something else."""
    found = at_path(value, path)
    return found if isinstance(found, str) else ""


def moment_at(value: Any, *paths: str) -> float | None:
    """The time at the first of these paths where one can be read."""
    return next((at for path in paths if (at := moment(at_path(value, path))) is not None), None)


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list; what is no list has none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """A whole number; None for everything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def texts_at(value: Any, path: str, most: int = 100) -> tuple[str, ...]:
    """The first so many scalars at the path, as text; `*` in it stands for all of a list: `/signers/*/email`. A list at
    its end counts as its scalars; what is no scalar is left out. Of huge lists only the beginning is looked at."""
    seen = islice(_seen(value, path), _MOST_SEEN)
    texts = (str(one) for one in seen if isinstance(one, str | int | float) and not isinstance(one, bool))
    return tuple(islice(texts, most))


def _seen(value: Any, path: str) -> Iterator[Any]:
    """What stands at the path, and a None for each element on the way, so that whoever counts can stop."""
    before, star, after = path.partition("/*")
    found = at_path(value, before) if before else value
    if not star:
        yield from found if isinstance(found, list) else [found]
        return
    for one in found if isinstance(found, list) else ():
        yield None
        yield from _seen(one, after)
