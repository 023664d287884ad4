"""The README is kept true: its commands exist, its configurations load, its provider works."""

import base64
import dataclasses
import json
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from tests.kinds import provider_kind, simulator_kind
from tests.readme import with_chapter
from webhook_svc import wiring
from webhook_svc.cli import cli
from webhook_svc.core.errors import Permanent, Problem, Retryable
from webhook_svc.core.outgoing import Answer, Save
from webhook_svc.core.ports import Provider, Simulator
from webhook_svc.core.sections import SourceKeys
from webhook_svc.core.settings import Secret, build
from webhook_svc.core.types import DocumentRef, RawRequest
from webhook_svc.providers import PROVIDERS
from webhook_svc.simulators.docusign import private_key
from webhook_svc.sinks import SINKS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TESTS = ".venv/bin/pip install -e '.[test]' && .venv/bin/pytest -n 4 --dist loadfile"
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/webhook-svc demo"
HOSTILE_BODIES = (
    *(b"", b"not json", b"\xff\xfe{}", b"null", b"1", b'"text"', b"[]", b"[[1]]", b"{}"),
    *(b"[" * 200_000, b'{"a":' * 200_000, b'{"id": ' + b"9" * 5_000 + b"}"),
    *(b'{"type": {}}', b'{"type": "completed", "document": []}', b'{"type": "completed", "document": "d", "id": {}}'),
)


def blocks(language: str) -> list[str]:
    """Those within another block (between longer fences) are its text."""
    found = re.findall(r"^( *)(`{3,})(\w*)\n(.*?)^ *\2$", README, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, _, kind, text in found if kind == language]


def test_the_first_two_commands_are_the_demo_and_the_tests() -> None:
    assert [DEMO, TESTS] == [text.strip() for text in blocks("sh")[:2]]


def test_ci_runs_the_same_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    steps = [step.removeprefix(".venv/bin/pip install ") for line in (DEMO, TESTS) for step in line.split(" && ")[1:]]

    assert [] == [step for step in steps if step not in script]


@pytest.mark.parametrize("text", blocks("toml"), ids=lambda text: text.split("\n", 1)[0])
def test_every_configuration_can_be_used(text: str) -> None:
    made_up = {name: value_for(name) for name in re.findall(r"\$\{(\w+)", text)}
    if "[sinks." not in text:  # the guide of a provider leaves them out
        text += '[sinks.archive]\nkind = "folder"\npath = "archive"\n'

    config = wiring.configured(made_up | {"WEBHOOK_SVC_CONFIG_TOML": text})

    assert set(tomllib.loads(text)["sources"]) == set(wiring.service(config).parties.sources)


def value_for(name: str) -> str:
    """A value that fits what the variable is called."""
    if "SMTP" in name:
        return "smtp://127.0.0.1:2525"
    if "PRIVATE_KEY" in name:
        return private_key()
    return base64.b64encode(bytes(32)).decode() if "PUBLIC_KEY" in name else "s3cret"


def test_the_chapter_on_providers_is_what_the_command_prints() -> None:
    assert README == with_chapter(README), "write it with: python -m tests.readme"


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"webhook-svc ([a-z][a-z-]+)", README))
    known = set(cli.list_commands(click.Context(cli)))

    assert set() == named - known


def test_every_provider_and_sink_that_comes_along_is_named() -> None:
    assert [] == [name for name in (*PROVIDERS.names(), *SINKS.names()) if name not in README]


def test_what_a_new_plugin_has_to_be_entered_in_is_named() -> None:
    section = README.partition("## Add a provider")[2].partition("\n## ")[0]
    assert [] == [name for name in ("config/example.toml", "setup.cfg", PROVIDERS.group) if name not in section]


def test_the_profile_that_it_shows_works(tmp_path: Path) -> None:
    text = next(text for text in blocks("text") if text.startswith("# profiles/acme.toml"))
    (tmp_path / "acme.toml").write_text(text, "utf-8")
    simulator = simulator_kind(f"file:{tmp_path / 'acme.toml'}")()

    provider, (callback,) = provider_of(simulator), simulator.finish("d-1", title="Lease")

    assert provider.scheme().verify(callback, 0.0)
    assert ["d-1"] == [ref.id for event in provider.parse(callback) for ref in event.documents]


def provider_of(simulator: Simulator) -> Provider:
    table, problems = simulator.source("http://127.0.0.1:1"), list[Problem]()
    kind = provider_kind(table.pop("provider"))
    provider = kind("x", build(kind.Settings, table, "sources.x", problems))
    assert [] == problems
    return provider


@pytest.fixture(scope="module")
def shown() -> Provider:
    """The provider in the README, as if it stood in a file of its own."""
    text = next(text for text in blocks("python") if "AcmeSign" in text).replace("from ..", "from webhook_svc.")
    room: dict[str, Any] = {"__name__": "acme"}
    exec(compile(text, "README.md", "exec"), room)  # noqa: S102 - our own text
    settings = room["AcmeSettings"](secrets=(Secret("x"),), api_key=Secret("k"))
    provider: Provider = room["AcmeSign"]("contracts", settings)
    return provider


def asked(provider: Provider, document: str) -> Save:
    callback = json.dumps({"id": "e1", "type": "completed", "document": document}).encode()
    step = next(provider.steps(provider.parse(RawRequest(body=callback))[0].documents[0]))
    assert isinstance(step, Save)
    return step


def test_the_provider_that_it_shows_works(shown: Provider) -> None:
    assert "https://api.acme.example/documents/d%2F1/pdf" == asked(shown, "d/1").request.url


def test_the_provider_that_it_shows_takes_an_error_for_what_it_is(shown: Provider) -> None:
    steps = shown.steps(DocumentRef(id="d1"))
    next(steps)
    with pytest.raises(Retryable):
        steps.send(Answer(status=503))


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=lambda body: repr(body[:20]))
def test_the_provider_that_it_shows_stands_hostile_bodies(shown: Provider, body: bytes) -> None:
    with suppress(ValueError, Permanent):
        assert [()] == [event.documents for event in shown.parse(RawRequest(body=body))]


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_the_provider_that_it_shows_asks_nobody_for_an_id_that_climbs(shown: Provider, document: str) -> None:
    with pytest.raises(Permanent):
        asked(shown, document)


def test_the_guide_of_the_provider_that_it_shows_can_be_pasted(shown: Provider) -> None:
    [table] = tomllib.loads(shown.guide.partition("```toml\n")[2].partition("```")[0])["sources"].values()
    problems: list[Problem] = []
    of_every_source = {field.name for field in dataclasses.fields(SourceKeys)}
    build(shown.Settings, {key: table[key] for key in table.keys() - of_every_source}, "guide", problems)
    assert ([], "acmesign") == (problems, table["provider"])
