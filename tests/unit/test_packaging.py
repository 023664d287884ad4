"""What the wheel holds, and what a platform reads at the top of the checkout."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook_svc.core.registry import Registry
from webhook_svc.providers import PROVIDERS
from webhook_svc.sinks import SINKS

ROOT = Path(__file__).parents[2]
SOURCES = ("webhook_svc", "tests", "config", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy, so that no build folder lands in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == built.returncode, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = [path for path in wheel.namelist() if path.endswith(f".dist-info/{name}")]
    return wheel.read(path).decode()


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def test_every_file_of_the_package_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    kept = {path for path in (ROOT / "webhook_svc").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert set() == {str(path.relative_to(ROOT)) for path in kept} - set(wheel.namelist())


def test_what_is_not_python_but_needed_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {"webhook_svc/py.typed", "webhook_svc/store/migrations/env.py"} <= set(names)
    assert any(re.fullmatch(r"webhook_svc/store/migrations/versions/\d{4}_\w+\.py", name) for name in names)


def test_nothing_but_the_package_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert {"webhook_svc"} == {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}


def test_the_command_and_the_plugins_are_entry_points(wheel: zipfile.ZipFile) -> None:
    points = configparser.ConfigParser()
    points.read_string(metadata(wheel, "entry_points.txt"))
    assert {"webhook-svc": "webhook_svc.__main__:main"} == dict(points["console_scripts"])
    assert {"console_scripts", PROVIDERS.group, SINKS.group} == set(points.sections())


@pytest.mark.parametrize("registry", [PROVIDERS, SINKS], ids=["providers", "sinks"])
def test_the_entry_points_name_what_is_built_in(wheel: zipfile.ZipFile, registry: Registry) -> None:
    points = configparser.ConfigParser()
    points.read_string(metadata(wheel, "entry_points.txt"))
    for name, target in points[registry.group].items():
        loaded = registry.load(name)
        assert target == f"{loaded.__module__}:{loaded.__name__}"
    coded = [name for name in registry.names() if not hasattr(registry.load(name), "profile")]
    assert coded == sorted(points[registry.group])


def test_the_metadata_names_python_licence_and_extras(wheel: zipfile.ZipFile) -> None:
    told = metadata(wheel, "METADATA").splitlines()
    assert {"Requires-Python: >=3.11", "License: MIT", "Provides-Extra: postgres"} <= set(told)


def test_a_platform_finds_exactly_one_kind_of_requirements() -> None:
    found = [name for name in ("requirements.txt", "Pipfile.lock", "poetry.lock", "uv.lock") if (ROOT / name).exists()]
    assert ["requirements.txt"] == found
    assert ["--constraint constraints.txt", "--editable .[postgres]"] == lines("requirements.txt")
    assert ["3.13"] == lines(".python-version")


def test_constraints_are_plain_pins_of_everything_that_is_required() -> None:
    pins = [line for line in lines("constraints.txt") if not line.startswith("#")]
    assert [] == [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin)]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = (setup["options"]["install_requires"] + "\n" + setup["options.extras_require"]["all"]).split("\n")
    names = {re.split(r"[\[><=]", line)[0].lower() for line in required if line}
    assert set() == names - {pin.split("==")[0].lower() for pin in pins}


def test_the_procfile_checks_before_it_replaces_and_starts_both_processes() -> None:
    assert [
        "release: webhook-svc migrate && webhook-svc check",
        'web: gunicorn -c config/gunicorn.py "webhook_svc.wiring:wsgi()"',
        "worker: webhook-svc worker",
    ] == lines("Procfile")


def test_the_button_starts_with_no_source_and_says_so() -> None:
    app = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
    needed = {name for name, value in app["env"].items() if value.get("required", True) and "value" not in value}
    assert {"ADMIN_TOKEN"} == needed
    assert "secret" == app["env"]["ADMIN_TOKEN"]["generator"]
    assert "no source configured" in app["description"]
    assert {"web", "worker"} == set(app["formation"])
    assert 30 >= len(app["name"])


def test_the_check_of_a_checkout_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert 0 == subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=False).returncode


def test_what_changed_stands_on_top_of_the_changelog() -> None:
    headings = [line for line in lines("CHANGELOG.md") if line.startswith("## ")]
    assert "## Unreleased" == headings[0]
