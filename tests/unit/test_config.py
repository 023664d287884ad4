"""TOML and environment become one Config, or everything that is wrong with them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from webhook_svc import config
from webhook_svc.config import Kinds, load
from webhook_svc.core.errors import ConfigError
from webhook_svc.core.ports import Provider, Scheme, Sink
from webhook_svc.core.registry import Entry, Registry
from webhook_svc.core.routing import Route
from webhook_svc.core.sections import Config
from webhook_svc.core.settings import Secret, setting
from webhook_svc.core.template import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSettings:
    secrets: tuple[Secret, ...] = setting("the secrets")
    region: str = setting("where", "eu")


class Sender(Provider):
    Settings = SenderSettings

    def scheme(self) -> Scheme:
        raise AssertionError("the configuration never verifies")

    def parse(self, *_: Any) -> list[Any]:
        raise AssertionError("the configuration never parses")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfSettings:
    path: str = setting("where")


class Shelf(Sink):
    Settings = ShelfSettings
    proof = "none"

    def deliver(self, *_: Any) -> Any:
        raise AssertionError("the configuration never delivers")

    def check(self) -> str:
        return ""


class Loaded(Registry):
    """A registry whose classes need no module."""

    def load(self, name: str) -> type:
        return {"sender": Sender, "shelf": Shelf, "stranger": dict}.get(name) or super().load(name)


KINDS = Kinds(
    providers=Loaded(
        "webhook_svc.test",
        {
            "sender": Entry(target="x:Sender"),
            "stranger": Entry(target="x:Stranger"),
            "extra": Entry(target="no_such_library:X", extra="sftp"),
        },
    ),
    sinks=Loaded("webhook_svc.test", {"shelf": Entry(target="x:Shelf")}),
)

GOOD = """
[service]
public_url = "https://hooks.example/"
[sources.contracts]
provider = "sender"
secrets = ["${SECRET}", "${OLD_SECRET:-}"]
sinks = ["archive"]
tokens = ["tok-1"]
concurrency = 3
[sinks.archive]
kind = "shelf"
path = "here"
name = "{source}/{completed:%Y-%m}/{document}/{filename}"
"""


def loaded(text: str, **environ: str) -> Config:
    return load({"WEBHOOK_SVC_CONFIG_TOML": text, **environ}, KINDS)


def wrong(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(text, **environ)
    return [str(problem).removeprefix("WEBHOOK_SVC_CONFIG_TOML: ") for problem in caught.value.problems]


def source(extra: str) -> str:
    return f'[sources.a]\nprovider = "sender"\nsecrets = ["s"]\n{extra}'


def sink(name: str) -> str:
    return f"[sinks.a]\nkind = 'shelf'\npath = 'x'\nname = '{name}'"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_source_and_its_sink_become_values() -> None:
    built = loaded(GOOD, SECRET="s3cret")
    contracts, archive = built.sources["contracts"], built.sinks["archive"]
    assert ("contracts", "sender", ("archive",), 3) == (
        contracts.name,
        contracts.provider,
        contracts.sinks,
        contracts.concurrency,
    )
    assert SenderSettings(secrets=(Secret("s3cret"),)) == contracts.settings
    assert (("document", "certificate"), 600.0, (Secret("tok-1"),)) == (
        contracts.parts,
        contracts.wait_for_parts,
        contracts.tokens,
    )
    assert ("archive", "shelf", ShelfSettings(path="here")) == (archive.name, archive.kind, archive.settings)
    assert Template.parse("{source}/{completed:%Y-%m}/{document}/{filename}") == archive.template
    assert ("https://hooks.example", ()) == (built.service.public_url, built.warnings)


@pytest.mark.usefixtures("here")
def test_no_configuration_at_all_is_valid_and_says_so() -> None:
    built = load({}, KINDS)
    assert ("no source configured: every callback is answered with 404",) == built.warnings
    assert ("sqlite:///data/webhook_svc.db", "data/vault", 8000, 32, 1) == (
        built.store.url,
        built.vault.path,
        built.service.port,
        built.service.threads,
        built.web_processes,
    )


def test_the_default_file_is_read_where_nothing_is_named(here: Path) -> None:
    (here / "config").mkdir()
    (here / config.DEFAULT_PATH).write_text("[service]\nport = 9", encoding="utf-8-sig")
    assert 9 == load({}, KINDS).service.port


@pytest.mark.usefixtures("here")
def test_a_named_file_that_is_missing_is_an_error() -> None:
    for arguments in ({"environ": {"WEBHOOK_SVC_CONFIG": "no.toml"}}, {"environ": {}, "path": Path("no.toml")}):
        with pytest.raises(ConfigError, match=r"no\.toml: found no such file"):
            load(kinds=KINDS, **arguments)


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda file: file.write_bytes(b"a = '\xff'"), "bytes that are not UTF-8"),
        (lambda file: file.mkdir(), "Is a directory"),
        (lambda file: file.write_text("[service]\nport = \n"), r"Invalid value \(at line 2"),
        (lambda file: file.write_text("a = " + "[" * 20000), "found"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_its_line(
    tmp_path: Path, write: Callable[[Path], object], found: str
) -> None:
    file = tmp_path / "c.toml"
    write(file)
    with pytest.raises(ConfigError, match=found) as caught:
        load({"WEBHOOK_SVC_CONFIG": str(file)}, KINDS)
    assert [str(file)] == [problem.where for problem in caught.value.problems]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = """
[servce]
x = 1
[service]
port = "80"
threds = 2
[sources.UP]
provider = "sendr"
[sources.a]
provider = "sender"
secrets = ["${NOT_SET}"]
sinks = ["archve"]
part = ["document"]
[sinks.archive]
kind = "shelf"
name = "{filename}"
[sinks.mail]
"""
    assert [
        "sources.a.secrets[0]: found ${NOT_SET}, which is not set, "
        "expected the environment variable NOT_SET or NOT_SET_FILE, or ${NOT_SET:-default}",
        "servce: found an unknown key, expected 'service' (did you mean that?)",
        "service.threds: found an unknown key, expected 'threads' (did you mean that?)",
        "service.port: found the text '80', expected a whole number",
        "sinks.archive.path: found nothing, expected text",
        "sinks.archive.name: found '{filename}', "
        "expected {document}, {sha256} or {delivery} in it, else two contracts would meet",
        "sinks.mail.kind: found nothing, expected text",
        "sources.UP: found the name 'UP', "
        "expected at most 63 of a-z, 0-9, - and _ that begin with a letter or digit: it stands in a URL",
        "sources.UP.provider: found the unknown name 'sendr', expected 'sender' (did you mean that?)",
        "sources.a.part: found an unknown key, expected 'parts' (did you mean that?)",
        "sources.a.sinks[0]: found the unknown sink 'archve', expected 'archive' (did you mean that?)",
    ] == wrong(text)


@pytest.mark.parametrize("table", ["service = 3", "sources = 3", "sources.a = 3", "sinks = []", "retry = 'x'"])
def test_what_should_be_a_table_and_is_none_is_a_problem(table: str) -> None:
    assert [True] == ["expected a table" in problem for problem in wrong(table)[:1]]


def test_a_plugin_whose_libraries_are_missing_names_its_install_line() -> None:
    problems = wrong("[sources.a]\nprovider = 'extra'")
    assert [True] == ["pip install 'webhook-svc[sftp]'" in problem for problem in problems]


def test_a_class_of_another_kind_is_no_provider() -> None:
    expected = ["sources.a.provider: found 'stranger', which is a dict, expected a subclass of Provider"]
    assert expected == wrong("[sources.a]\nprovider = 'stranger'")


@pytest.mark.parametrize("name", ["-a", "_a", "A", "a.b", "a b", "ä", "a" * 64, "", "a/b"])
def test_a_name_that_does_not_fit_a_url_is_refused(name: str) -> None:
    problems = wrong(
        f"[sources.'{name}']\nprovider = 'sender'\nsecrets = ['s']\n[sinks.'{name}']\nkind='shelf'\npath='x'"
    )
    assert [True, True] == ["it stands in a URL" in problem for problem in problems]


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("{source}/{filename}", "two contracts would meet"),
        ("{document}/{flename}", "'filename' (did you mean that?)"),
        ("{document", "a lone '{'"),
        ("{document:%Y}", "{document:.8} for its first 8 characters"),
        ("{document}/{completed:%Q}", "a time format"),
        ("{document}/{completed:%}", "a time format"),
        ("/{document}", "a relative path"),
        ("../{document}", "a relative path"),
        ("a//{document}", "a relative path"),
        ("{document}/", "a relative path"),
        ("", "two contracts would meet"),
    ],
)
def test_a_template_that_would_mislead_is_refused(template: str, part: str) -> None:
    problems = wrong(sink(template))
    assert part in problems[0]
    assert "sinks.a.name" == problems[0].split(":")[0]


@pytest.mark.parametrize(
    "template", ["{document}", "{sha256}.pdf", "x/{delivery}/{part}-{round}-{version}-{title}-{sink}"]
)
def test_a_template_that_tells_contracts_apart_is_taken(template: str) -> None:
    assert Template.parse(template) == loaded(sink(template)).sinks["a"].template


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("parts = []", "the document among the parts"),
        ("parts = ['certificate']", "the document among the parts"),
        ("parts = ['pages']", "one of: document, certificate, audit"),
        ("wait_for_parts = -1", "wait_for_parts from 0"),
        ("wait_for_parts = inf", "wait_for_parts from 0"),
        ("tokens = ['a/b']", "tokens of at most 200"),
        ("tokens = ['']", "a secret"),
        ("concurrency = 0", "concurrency from 1"),
        ("sinks = ['x', 'x']", "each sink once"),
    ],
)
def test_a_common_key_that_cannot_be_is_refused(extra: str, expected: str) -> None:
    assert expected in wrong(source(extra))[0]


@pytest.mark.parametrize(
    "text",
    [
        "[service]\nport = 70000",
        "[service]\nmax_body = 0",
        "[service]\nbody_deadline = nan",
        "[service]\nproxies = -1",
        "[service]\npublic_url = 'https://x.example/?a=b'",
        "[service]\npublic_url = 'x.example'",
        "[http]\nproxy = 'http://münchen.example:3128'",
        "[worker]\nlease = inf",
        "[worker]\nconcurrency = 0",
        "[store]\nurl = 'mysql://x'",
        "[http]\nmax_redirects = -1",
        "[retention]\nrefused = -1",
        "[retry]\nnot_ready = []",
        "[log]\nlevel = 'loud'",
    ],
)
def test_a_section_that_cannot_be_is_refused(text: str) -> None:
    assert 1 == len(wrong(text))


@pytest.mark.parametrize(
    "entry",
    [
        "https://files.acme.example/",
        "files.acme.example/",
        "a@files.example",
        "*.example",
        "[::1]:80",
        "münchen.example",
    ],
)
def test_an_allowed_host_that_would_match_nothing_is_refused(entry: str) -> None:
    [problem] = wrong(f"[http]\nallow_hosts = ['files.example', '{entry}']")
    assert "allow_hosts of host or host:port alone" in problem


def test_a_host_is_allowed_by_name_or_address_with_or_without_port() -> None:
    hosts = ("Files.example", "files_2.example:8443", "10.0.0.5:80", "fd12::1")
    assert hosts == loaded(f"[http]\nallow_hosts = {list(hosts)}").http.allow_hosts


def test_the_platform_fills_what_the_file_leaves_out() -> None:
    built = loaded(
        "",
        PUBLIC_URL="https://a.example",
        PORT="81",
        WEB_CONCURRENCY="4",
        WEB_THREADS="5",
        ADMIN_TOKEN="t",
        DATABASE_URL="postgres://u:p@h/d",
        VAULT_URL="s3://b",
        LOG_FORMAT="json",
    )
    assert ("https://a.example", 81, 4, 5, Secret("t"), "postgres://u:p@h/d", "s3://b", "json") == (
        built.service.public_url,
        built.service.port,
        built.web_processes,
        built.service.threads,
        built.service.admin_token,
        built.store.url,
        built.vault.url,
        built.log.format,
    )


def test_the_file_wins_over_the_platform() -> None:
    assert 9 == loaded("[service]\nport = 9", PORT="81").service.port


def test_a_wrong_value_of_the_platform_is_blamed_on_its_variable() -> None:
    expected = "the environment variable PORT: found a text, expected a whole number"
    assert [expected] == wrong("", PORT="http")
    assert ["service.port: found a text, expected a whole number"] == wrong("[service]\nport = '${X}'", X="http")


def test_on_sqlite_there_is_one_web_process_whatever_the_platform_says() -> None:
    assert 1 == loaded("", WEB_CONCURRENCY="17").web_processes


def test_a_store_on_a_disk_that_does_not_last_stops_the_start() -> None:
    assert ["SQLite on a dyno: that disk does not last" in problem for problem in wrong("", DYNO="web.1")] == [True]
    assert any("vault" in text for text in loaded("", DYNO="web.1", DATABASE_URL="postgres://h/d").warnings)


def test_an_empty_variable_counts_as_unset() -> None:
    assert 8000 == loaded("", PORT="").service.port
    assert "which is not set" in wrong(GOOD, SECRET="")[0]


@pytest.mark.parametrize(("content", "secret"), [("s\n", "s"), ("s\r\n", "s"), ("s", "s"), (" s\n\n", " s\n")])
def test_a_secret_may_stand_in_a_file(tmp_path: Path, content: str, secret: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    settings = loaded(GOOD, SECRET_FILE=str(tmp_path / "secret")).sources["contracts"].settings
    assert (Secret(secret),) == settings.secrets


def test_a_variable_wins_over_its_file(tmp_path: Path) -> None:
    assert loaded(GOOD, SECRET="s", SECRET_FILE=str(tmp_path / "missing")).sources["contracts"]


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_secret_file_that_cannot_be_read_is_a_problem(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    assert "a readable UTF-8 file in SECRET_FILE" in wrong(GOOD, SECRET_FILE=str(tmp_path / "secret"))[0]


def test_an_empty_secret_file_counts_as_unset(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    assert "which is not set" in wrong(GOOD, SECRET_FILE=str(tmp_path / "secret"))[0]


def test_what_goes_nowhere_or_is_never_used_is_a_warning() -> None:
    assert (
        "source a has no sinks and no route: its documents are fetched and go nowhere",
        "sink b is named by no source and no route",
    ) == loaded(source("[sinks.b]\nkind = 'shelf'\npath = 'x'")).warnings


ROUTED = source(
    "sinks = ['b']\n[sources.a.meta]\ncustomer = '/data/customer'\n[sinks.b]\nkind = 'shelf'\npath = 'x'\n"
    "[[routes]]\nname = 'leases'\n%s\nsinks = ['b']"
)


def test_a_route_becomes_a_value() -> None:
    built = loaded(ROUTED % "title = ['lease*']\nmeta = { customer = 'ACME*' }")
    assert (Route(sinks=("b",), name="leases", title=("lease*",), meta={"customer": "ACME*"}),) == built.routes
    assert () == built.warnings


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("sinks = ['bb']", "routes[0].sinks[0]: found the unknown sink 'bb', expected 'b'"),
        ("sinks = []", "at least one sink"),
        ("titel = ['x']", "routes[0].titel"),
        ("title = 'x'", "routes[0].title"),
        ("title = ['']", "patterns of 1 to 200 characters"),
    ],
)
def test_a_route_that_cannot_be_meant_is_refused(route: str, problem: str) -> None:
    text = (ROUTED % route).rpartition("\nsinks")[0] if route.startswith("sinks") else ROUTED % route
    assert any(problem in told for told in wrong(text))


def test_routes_that_are_no_tables_are_refused() -> None:
    assert any("routes: found something else" in told for told in wrong("routes = 'x'"))
    assert any("routes[0]: found a value" in told for told in wrong("routes = [1]"))


@pytest.mark.parametrize(
    ("route", "warning"),
    [
        ("source = ['b*']", "leases fits no source"),
        ("meta = { order = '*' }", "leases asks for meta.order, which no source that it fits names"),
        ("signer = ['*@x']", "leases asks for meta.signer, which no source that it fits names"),
    ],
)
def test_a_route_that_is_never_met_is_a_warning(route: str, warning: str) -> None:
    assert warning in loaded(ROUTED % route).warnings


def test_a_name_with_a_value_that_nobody_brings_is_a_warning() -> None:
    text = (ROUTED % "").replace("path = 'x'", "path = 'x'\nname = '{meta.order}/{document}'")
    assert ("sink b: {meta.order} is always 'none', for no source names it in its meta",) == loaded(text).warnings


def test_a_sink_that_takes_nothing_of_what_its_source_fetches_is_a_warning() -> None:
    text = source("sinks = ['b']\n[sinks.b]\nkind = 'shelf'\npath = 'x'\nparts = ['audit']")
    assert ("sink b takes none of the parts that source a fetches",) == loaded(text).warnings


@pytest.mark.parametrize("meta", ["customer = 'data/customer'", "'a b' = '/x'", "customer = ''"])
def test_meta_that_cannot_be_looked_up_is_refused(meta: str) -> None:
    assert any("in meta" in told for told in wrong(source(f"[sources.a.meta]\n{meta}")))


def test_a_dry_run_needs_only_the_values_of_its_source() -> None:
    other = '\n[store]\nurl = "${NOT_SET}"\n[sources.b]\nprovider = "sender"\nsecrets = ["${NOT_SET_EITHER}"]'
    built = load({"WEBHOOK_SVC_CONFIG_TOML": GOOD + other, "SECRET": "s", "DYNO": "web.1"}, KINDS, only="contracts")
    assert (["contracts"], []) == (list(built.sources), list(built.sinks))
    with pytest.raises(ConfigError, match=r"sources\.contrats: found nothing, expected 'contracts'"):
        load({"WEBHOOK_SVC_CONFIG_TOML": GOOD, "SECRET": "s"}, KINDS, only="contrats")


def test_without_kinds_only_the_sections_are_judged() -> None:
    built = load({"WEBHOOK_SVC_CONFIG_TOML": "[service]\nport = 9\n[sources.a]\nprovider = 'nobody knows'"})
    assert (9, {}) == (built.service.port, dict(built.sources))


def test_no_secret_stands_in_the_text_of_a_configuration() -> None:
    text = repr(loaded(GOOD, SECRET="hunter2", ADMIN_TOKEN="hunter3", DATABASE_URL="postgres://u:hunter4@h/d"))
    assert not any(secret in text for secret in ("hunter2", "hunter3", "hunter4", "tok-1"))


def test_no_value_of_the_environment_stands_in_a_problem() -> None:
    problems = wrong(GOOD, SECRET="s", PORT="hunter2", DATABASE_URL="hunter3://x", WEB_THREADS="-1")
    assert 2 <= len(problems)
    assert "hunter" not in "".join(problems)


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SVC_TEST", "x")
    assert "x" == config.environment()["WEBHOOK_SVC_TEST"]
