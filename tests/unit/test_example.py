"""config/example.toml is the reference: it loads, it is complete, and it tells the truth about defaults."""

import dataclasses
import inspect
import re
import tomllib
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.contracts.rigs.google import service_account_key
from webhook_svc.config import SECTIONS, Kinds, load
from webhook_svc.core.registry import Registry
from webhook_svc.core.sections import Config, SinkKeys, SourceKeys
from webhook_svc.providers import PROVIDERS
from webhook_svc.simulators.docusign import private_key
from webhook_svc.sinks import SINKS


def a_private_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


EXAMPLE = Path(__file__).parents[2] / "config/example.toml"
KINDS = Kinds(providers=PROVIDERS, sinks=SINKS)
FAKE = {
    "AZURE_SAS_TOKEN": "sv=2021-12-02&sp=cr&sr=c&sig=x",
    "FIRMA_WEBHOOK_SECRET": "ab" * 32,
    "GCS_KEY": service_account_key(),
    "GDRIVE_KEY": service_account_key(),
    "IMAP_URL": "imaps://user:password@mail.example",
    "PLATFORM_PUBLIC_KEY": "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=",
    "ANVIL_PRIVATE_KEY": private_key(),
    "SFTP_PRIVATE_KEY": a_private_key(),
    "SMTP_URL": "smtps://user:password@mail.example",
}


def active() -> str:
    return EXAMPLE.read_text(encoding="utf-8")


def everything() -> str:
    """The text with the keys switched on that are off: a comment without a space after its '#'."""
    return re.sub(r"^#(?=[a-z\[])", "", active(), flags=re.MULTILINE)


def loaded(text: str) -> Config:
    required = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "0123456789abcdef")
    return load({"WEBHOOK_SVC_CONFIG_TOML": text, **required, **FAKE}, KINDS)


def inner_settings(hint: Any) -> type | None:
    """The dataclass that stands in a field's type, as itself, optional, in a list or in a table."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    if get_origin(hint) in (Union, types.UnionType, tuple) or hasattr(get_origin(hint), "__getitem__"):
        return next((found for found in map(inner_settings, get_args(hint)) if found), None)
    return None


def key_of(field: dataclasses.Field[Any]) -> str:
    return field.name.rstrip("_")


def missing(kind: type, tables: list[Mapping[str, Any]], where: str) -> Iterator[str]:
    """The keys of `kind` that stand in none of the tables."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        found = [table[key_of(field)] for table in tables if key_of(field) in table]
        inner = inner_settings(hints[field.name])
        if not found:
            yield f"{where}.{key_of(field)}"
        elif inner:
            flat = [item for value in found for item in (value if isinstance(value, list) else [value])]
            yield from missing(inner, flat, f"{where}.{key_of(field)}")


def plugins(group: str, key: str, registry: Registry) -> Iterator[tuple[str, type, list[Mapping[str, Any]]]]:
    tables = tomllib.loads(everything())[group].values()
    for name in registry.names():
        yield name, registry.load(name).Settings, [table for table in tables if table[key] == name]  # type: ignore[attr-defined]  # what the registry holds has Settings


def stands_with_a_relative(key: str, kind: type, found: list[tuple[str, type, list[Mapping[str, Any]]]]) -> bool:
    """What several kinds inherit stands in the table of one of them."""
    bases = [base for base in kind.__mro__[1:] if {key, f"{key}_"} & inspect.get_annotations(base).keys()]
    others = [tables for _, other, tables in found if any(issubclass(other, base) for base in bases)]
    return any(key in table for tables in others for table in tables)


def described_requests(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Tables of one kind of request: a key that one of them shows, the others have too."""
    return [*table.get("download", []), *(table[name] for name in ("login", "list") if name in table)]


def test_the_example_loads_with_nothing_to_complain_about() -> None:
    assert () == loaded(active()).warnings


def test_the_example_loads_with_every_key_switched_on() -> None:
    assert loaded(active()).sources.keys() == loaded(everything()).sources.keys()


def test_every_key_of_every_section_stands_in_the_example() -> None:
    tree = tomllib.loads(everything())
    assert [] == [
        key for name, kind in SECTIONS.items() for key in missing(kind, [tree[name]] if name in tree else [], name)
    ]


def test_every_common_key_of_sources_and_sinks_stands_in_the_example() -> None:
    tree = tomllib.loads(everything())
    for group, kind in (("sources", SourceKeys), ("sinks", SinkKeys)):
        assert [] == list(missing(kind, list(tree[group].values()), group))


@pytest.mark.parametrize(("group", "key", "registry"), [("sources", "provider", PROVIDERS), ("sinks", "kind", SINKS)])
def test_every_setting_of_every_plugin_stands_in_the_example(group: str, key: str, registry: Registry) -> None:
    found = [one for one in plugins(group, key, registry) if not hasattr(registry.load(one[0]), "profile")]
    requests = [table for _, _, tables in found for one in tables for table in described_requests(one)]
    assert [] == [
        place
        for name, kind, tables in found
        for place in missing(kind, tables, name)
        if not stands_with_a_relative(place.rpartition(".")[2], kind, found)
        if not any(place.rpartition(".")[2] in table for table in requests)
    ]


@pytest.mark.parametrize(
    ("group", "key", "registry", "common"),
    [("sources", "provider", PROVIDERS, SourceKeys), ("sinks", "kind", SINKS, SinkKeys)],
)
def test_no_setting_of_a_plugin_is_called_like_a_common_key(
    group: str, key: str, registry: Registry, common: type
) -> None:
    taken = {field.name for field in dataclasses.fields(common)}
    assert [] == [
        f"{name}.{key_of(field)}"
        for name, kind, _ in plugins(group, key, registry)
        for field in dataclasses.fields(kind)
        if key_of(field) in taken
    ]


def test_every_setting_says_what_it_does() -> None:
    kinds = [*SECTIONS.values(), SourceKeys, SinkKeys]
    kinds += [kind for _, kind, _ in (*plugins("sources", "provider", PROVIDERS), *plugins("sinks", "kind", SINKS))]
    assert [] == [
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in dataclasses.fields(kind)
        if not field.metadata.get("doc")
    ]


def test_the_sections_of_the_example_are_the_defaults() -> None:
    example, plain = loaded(active()), Config()
    assert [] == [name for name in SECTIONS if getattr(example, name) != getattr(plain, name)]


@pytest.mark.parametrize("name", ["archive", "local", "legal", "papers", "partner", "team", "everywhere"])
def test_what_the_example_shows_of_a_sink_is_required_or_the_default(name: str) -> None:
    settings = loaded(active()).sinks[name].settings
    assert [] == [
        key_of(field)
        for field in dataclasses.fields(settings)
        if field.default is not dataclasses.MISSING and getattr(settings, field.name) != field.default
    ]


def test_what_the_example_shows_of_firma_is_required_or_the_default() -> None:
    settings = loaded(active()).sources["contracts"].settings
    assert type(settings)(secrets=settings.secrets, api_key=settings.api_key) == settings
