"""Routes: which conditions a signing meets, and where it goes then."""

from typing import Any
from unicodedata import normalize

import pytest

from webhook_svc.core.routing import Facts, Route, Routed, merged, routed

FACTS = Facts(
    source="contracts",
    types=("signing_request.created", "signing_request.completed"),
    title="Lease 7, Straße",
    meta={"customer": ("ACME Nord",), "signer": ("eve@acme.example", "bob@other.example")},
)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"source": ("con*",)},
        {"source": ("hr", "contracts")},
        {"type": ("*.completed",)},
        {"title": ("lease ?, STRASSE", "*straße")},
        {"signer": ("*@other.example",)},
        {"meta": {"customer": "acme*"}},
        {"source": ("contracts",), "title": ("lease*",), "meta": {"customer": "*"}},
    ],
)
def test_a_route_is_met_where_every_condition_holds(conditions: dict[str, Any]) -> None:
    assert ("legal",) == routed([Route(sinks=("legal",), **conditions)], FACTS, ()).sinks


@pytest.mark.parametrize(
    "conditions",
    [
        {"source": ("contract",)},
        {"type": ("completed",)},
        {"title": ("*offer*",)},
        {"signer": ("*@acme.example.evil",)},
        {"meta": {"customer": "acme"}},
        {"meta": {"unknown": "*"}},
        {"source": ("contracts",), "title": ("offer*",)},
    ],
)
def test_one_condition_that_fails_is_enough(conditions: dict[str, Any]) -> None:
    assert ("archive",) == routed([Route(sinks=("legal",), **conditions)], FACTS, ["archive"]).sinks


def test_all_routes_that_are_met_choose_together_each_sink_once() -> None:
    routes = [
        Route(sinks=("legal", "archive"), name="leases", title=("lease*",)),
        Route(sinks=("hr",), source=("hr",)),
        Route(sinks=("archive", "board")),
    ]

    assert Routed(sinks=("legal", "archive", "board"), routes=("leases", "route 3")) == routed(routes, FACTS, ["x"])


@pytest.mark.parametrize(
    "table",
    [{"sinks": ()}, {"sinks": ("a", "a")}, {"sinks": ("a",), "title": ("",)}, {"sinks": ("a",), "title": ("x" * 201,)}],
)
def test_a_route_that_means_nothing_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Route(**table)


@pytest.mark.parametrize(("pattern", "title"), [("*계약*", "임대 계약서"), ("caf?", "Café"), ("caf[é]", "Café")])
@pytest.mark.parametrize("forms", [("NFC", "NFC"), ("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_letters_of_two_characters_are_the_same_letters(forms: tuple[Any, Any], pattern: str, title: str) -> None:
    route = Route(sinks=("legal",), title=(normalize(forms[0], pattern),))
    facts = Facts(source="s", title=normalize(forms[1], title))

    assert ("legal",) == routed([route], facts, ()).sinks


@pytest.mark.parametrize(
    "pattern", ["*a" * 90 + "b", "*" + "?*" * 90 + "b", "*" + "a?" * 90 + "b", "*[a-b]" * 30 + "c", "*aaaaab" * 25]
)
def test_a_pattern_with_many_stars_takes_no_time(pattern: str) -> None:
    hostile = Facts(source="s", title="a" * 400)

    assert () == routed([Route(sinks=("x",), title=(pattern,))], hostile, ()).sinks


def test_facts_add_up_in_whatever_order_events_come() -> None:
    one = {"event.type": "signed", "meta.customer": "ACME", "link": "old"}
    other = {"event.type": "sealed", "meta.customer": "", "meta.order": "7", "link": "new"}
    both = merged(one, other)

    assert {"event.type": "signed\nsealed", "meta.customer": "ACME", "meta.order": "7", "link": "new"} == both
    assert both == merged(both, other)
    assert {"link": "new"} == merged({"link": "old"}, {"link": "new"})
