"""JSON made of a profile's examples: templates filled, values put where paths lead."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response

from ..core.template import Field, Template
from ..profiles.asked import NUMBER


def put(tree: Any, path: str, value: Any) -> None:
    """The value at `/a/b` or `a.b`, with all that is needed above it; at `/a/*/b` in a list of one."""
    path, star, after = path.partition("/*")
    if star:
        inner: dict[str, Any] = {}
        put(inner, after, value)
        value = [inner]
    *way, last = path[1:].split("/") if path.startswith("/") else path.split(".")
    for key in way:
        tree = tree[int(key)] if isinstance(tree, list) else tree.setdefault(key, {})
    tree[int(last) if isinstance(tree, list) else last] = value


def placed(places: Mapping[str, Any]) -> Response:
    """Values by path; `/` alone is the whole answer."""
    if "/" in places:
        content = places["/"]
    else:
        content = {}
        for path, value in places.items():
            put(content, path, value)
    return Response(json.dumps(content), mimetype="application/json")


def typed(value: Any, names: Mapping[str, str], link: Callable[[Field], str] | None = None) -> Any:
    """The value with its templates filled; `{ts:number}` alone becomes a number."""
    if isinstance(value, Mapping):
        return {key: typed(inner, names, link) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [typed(inner, names, link) for inner in value]
    if not isinstance(value, str):
        return value
    template = Template.parse(value)
    if template.whole and template.whole.detail == NUMBER:
        return int(names[template.whole.name])
    return template.render(lambda field: link(field) if link and field.name == "link" else names[field.name])
