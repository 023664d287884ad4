"""Names become plugins."""

from importlib.metadata import EntryPoint

import pytest

from webhook_svc.core.errors import ConfigError
from webhook_svc.core.registry import Entry, Registry, unknown

ORDERED = Entry(target="collections:OrderedDict")


@pytest.fixture
def third_parties(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    points: list[EntryPoint] = []

    def entry_points(group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    return points


def registry(**builtin: Entry) -> Registry:
    return Registry("webhook_svc.test", builtin)


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="webhook_svc.test")


def test_a_built_in_plugin_is_loaded_when_it_is_asked_for() -> None:
    assert "OrderedDict" == registry(ordered=ORDERED, broken=Entry(target="no.such:Thing")).load("ordered").__name__


def test_a_third_party_joins_through_its_entry_point(third_parties: list[EntryPoint]) -> None:
    third_parties.append(point("counter", "collections:Counter"))
    plugins = registry(ordered=ORDERED)
    assert ["counter", "ordered"] == plugins.names()
    assert "Counter" == plugins.load("counter").__name__


def test_a_third_party_may_not_replace_what_is_built_in(third_parties: list[EntryPoint]) -> None:
    third_parties.append(point("ordered", "collections:Counter"))
    with pytest.raises(ConfigError, match="may not replace the built-in 'ordered'"):
        registry(ordered=ORDERED).names()


def test_two_third_parties_may_not_share_a_name(third_parties: list[EntryPoint]) -> None:
    third_parties += [point("x", "collections:Counter"), point("x", "collections:OrderedDict")]
    with pytest.raises(ConfigError, match="both call themselves 'x'"):
        registry().names()


def test_one_distribution_seen_twice_is_one_plugin(third_parties: list[EntryPoint]) -> None:
    third_parties += [point("x", "collections:Counter"), point("x", "collections:Counter")]
    assert ["x"] == registry().names()


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown name 'orderd', did you mean 'ordered'\? \(known: ordered\)"):
        registry(ordered=ORDERED).load("orderd")
    assert "unknown name 'x' (known: none)" == unknown("x", [])


def test_a_missing_extra_is_answered_with_its_install_line() -> None:
    with pytest.raises(ConfigError, match=r"'sftp' needs: pip install 'webhook-svc\[sftp\]'"):
        registry(sftp=Entry(target="no_such_library:Sink", extra="sftp")).load("sftp")


@pytest.mark.parametrize("target", ["no_such_module:X", "collections:NoSuchName"])
def test_a_broken_plugin_is_a_problem_of_the_configuration(target: str) -> None:
    with pytest.raises(ConfigError, match=f"{target} does not load"):
        registry(broken=Entry(target=target)).load("broken")


def test_a_target_that_is_no_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not a class"):
        registry(x=Entry(target="json:dumps")).load("x")


def test_nobody_can_add_to_a_registry_afterwards() -> None:
    builtin = {"ordered": ORDERED}
    plugins = Registry("webhook_svc.test", builtin)
    builtin["late"] = ORDERED
    assert ["ordered"] == plugins.names()
