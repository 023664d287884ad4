"""The README is kept true: its commands exist, its configurations load, its provider works."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from webhook_svc import wiring
from webhook_svc.cli import cli
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest
from webhook_svc.providers import PROVIDERS
from webhook_svc.sinks import SINKS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TESTS = ".venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
CALLBACK = b'{"id": "e1", "type": "completed", "document": "d/1"}'
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/webhook-svc demo"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_the_first_two_commands_are_the_demo_and_the_tests() -> None:
    assert [DEMO, TESTS] == [text.strip() for text in blocks("sh")[:2]]


def test_ci_runs_the_same_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    steps = [step.removeprefix(".venv/bin/pip install ") for line in (DEMO, TESTS) for step in line.split(" && ")[1:]]

    assert [] == [step for step in steps if step not in script]


@pytest.mark.parametrize("text", blocks("toml"), ids=lambda text: text.split("\n", 1)[0])
def test_every_configuration_can_be_used(text: str) -> None:
    made_up = {name: "smtp://127.0.0.1:2525" if "SMTP" in name else "s3cret" for name in re.findall(r"\$\{(\w+)", text)}

    config = wiring.configured(made_up | {"WEBHOOK_SVC_CONFIG_TOML": text})

    assert set(tomllib.loads(text)["sources"]) == set(wiring.service(config).parties.sources)


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"webhook-svc ([a-z][a-z-]+)", README))
    known = set(cli.list_commands(click.Context(cli)))

    assert set() == named - known


def test_every_provider_and_sink_that_comes_along_is_named() -> None:
    assert [] == [name for name in (*PROVIDERS.names(), *SINKS.names()) if name not in README]


def test_the_provider_that_it_shows_works() -> None:
    text = next(text for text in blocks("python") if "AcmeSign" in text).replace("from ..", "from webhook_svc.")
    room: dict[str, object] = {"__name__": "acme"}
    exec(compile(text, "README.md", "exec"), room)  # noqa: S102 - our own text
    kind = room["AcmeSign"]
    settings = room["AcmeSettings"]

    assert callable(kind)
    assert callable(settings)
    provider = kind("contracts", settings(secrets=(Secret("x"),), api_key=Secret("k")))
    steps = provider.steps(provider.parse(RawRequest(body=CALLBACK))[0].documents[0])

    assert "https://api.acme.example/documents/d%2F1/pdf" == next(steps).request.url
