"""Every command: what it prints, where, and its exit code."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.guard import leaks, secret
from tests.unit.cli.conftest import SECRET
from webhook_svc import __version__
from webhook_svc.cli import cli
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.types import RawRequest
from webhook_svc.simulators.play import Play
from webhook_svc.simulators.serve import serve

COMMANDS = sorted(cli.commands)
BROKEN = {"WEBHOOK_SVC_CONFIG_TOML": "[sources.x]\nprovider = 'fima'\n[store]\nurl = 'mysql://x'"}
STORE_COMMANDS = [["events"], ["deliveries"], ["dead"], ["event", "evt_x"], ["replay", "evt_x"], ["migrate"], ["check"]]


def raw(request: RawRequest) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers)
    return f"{request.method} {request.path} HTTP/1.1\r\n{headers}\r\n".encode("latin-1") + request.body


# --- help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *COMMANDS])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_help_text_has_an_example_and_needs_no_configuration(name: str, flag: str) -> None:
    result = CliRunner().invoke(cli, [*name.split(), flag], env=BROKEN)
    assert 0 == result.exit_code
    example = result.stdout.partition("\n  Example:\n")[2].partition("\n\n")[0]
    assert f"webhook-svc {name}" in example


def test_all_commands_of_the_design_are_there() -> None:
    wanted = (
        "check dead deliveries demo event events gen-secret lanes learn migrate prove providers reconcile replay"
        " simulate sinks"
    )
    assert [*wanted.split(), "up", "verify", "worker"] == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    options = [one for one in cli.commands[name].params if isinstance(one, click.Option)]
    assert [] == [one.name for one in options if not one.help]


def test_the_version_is_told() -> None:
    assert f"webhook-svc, version {__version__}\n" == CliRunner().invoke(cli, ["--version"]).stdout


def test_help_does_not_load_the_service() -> None:
    code = "import sys, webhook_svc.__main__; print({'sqlalchemy', 'flask', 'requests'} & set(sys.modules))"
    assert "set()\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


EXPLAIN = [["providers"], ["sinks"], ["providers", "firma"], ["sinks", "folder"], ["gen-secret"]]


@pytest.mark.parametrize("words", EXPLAIN)
def test_commands_that_explain_need_no_configuration(words: list[str]) -> None:
    result = CliRunner().invoke(cli, words, env=BROKEN)
    assert (0, "") == (result.exit_code, result.stderr)


def test_the_demonstration_decides_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_svc.demo.run", lambda *, serve_on: 3 if serve_on else 0)
    assert [0, 3] == [CliRunner().invoke(cli, words, env=BROKEN).exit_code for words in (["demo"], ["demo", "--serve"])]


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["check"], ["up"], ["worker"]])
def test_every_problem_of_the_configuration_is_told_at_once(words: list[str]) -> None:
    result = CliRunner().invoke(cli, words, env=BROKEN)
    assert (1, "") == (result.exit_code, result.stdout)
    assert "sources.x.provider: found the unknown name 'fima', expected 'firma' (did you mean that?)" in result.stderr
    assert "store" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", STORE_COMMANDS, ids=lambda words: words[0])
def test_a_store_that_is_away_is_told_in_one_sentence(words: list[str]) -> None:
    toml = f"[store]\nurl = 'postgresql://user:{secret('password')}@127.0.0.1:1/db'"
    result = CliRunner().invoke(cli, words, env={"WEBHOOK_SVC_CONFIG_TOML": toml})
    assert 1 == result.exit_code
    assert isinstance(result.exception, SystemExit)
    assert "connection" in result.output
    assert [] == leaks(result.output)


@pytest.mark.parametrize("words", STORE_COMMANDS, ids=lambda words: words[0])
def test_a_store_that_cannot_be_made_is_told_in_one_sentence(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    toml = f"[store]\nurl = 'sqlite:///{tmp_path}/file/store.db'"
    result = CliRunner().invoke(cli, words, env={"WEBHOOK_SVC_CONFIG_TOML": toml})
    assert 1 == result.exit_code
    assert isinstance(result.exception, SystemExit)
    assert str(tmp_path) in result.output


def test_a_closed_pipe_is_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        words = [sys.executable, "-m", "webhook_svc", "providers", "generic"]
        result = subprocess.run(words, stdout=closed, stderr=subprocess.PIPE)
    assert b"" == result.stderr


def test_a_terminal_without_unicode_gets_escapes() -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    words = [sys.executable, "-m", "webhook_svc", "event", "-h"]
    result = subprocess.run(words, capture_output=True, env=environ)
    assert (0, b"") == (result.returncode, result.stderr)
    assert rb"evt_\u2026" in result.stdout


# --- check, migrate, providers, sinks, gen-secret -----------------------------------------------------------------


def test_check_shows_sources_sinks_and_the_store(world: Any) -> None:
    result = world.run("check")
    assert 0 == result.exit_code
    shown = result.stdout
    assert f"contracts  firma     secret {fingerprint(SECRET)}  document, certificate  archive" in shown
    assert "https://hooks.acme.example/hooks/contracts" in shown
    assert "archive  folder  {document}/{filename}" in shown
    assert "✓ store: reachable" in shown


def test_check_shows_which_setting_serves_as_the_secret(world: Any) -> None:
    world.extra = '\n[sources.leases]\nprovider = "dropbox-sign"\napi_key = "abcdef0123456789"\nsinks = ["archive"]\n'
    assert f"leases     dropbox-sign  secret {fingerprint('abcdef0123456789')}" in world.run("check").stdout


def test_check_never_shows_a_secret_or_a_url_token(world: Any) -> None:
    world.tables["sources.contracts"]["tokens"] = [secret("url-token")]
    shown = world.run("check").output + world.run("check", "--json").output
    assert "/hooks/contracts/<token>" in shown
    assert [] == leaks(shown)


def test_check_shows_what_a_provider_can_bring_how_often_its_list_is_asked_and_the_whole_url(world: Any) -> None:
    world.tables["sources.leases"] = {
        "provider": "okdokument",
        "api_base": "https://okdokument.example",
        "api_key": secret("okdokument-key"),
        "secrets": [secret("a-long-token-for-okdokument")],
        "sinks": ["archive"],
        "reconcile": 7200,
    }
    told = {one["source"]: one for one in world.json("check")["sources"]}
    assert (["document"], 7200) == (told["leases"]["parts"], told["leases"]["reconcile"])
    shown = world.run("check").stdout
    assert "every 7200 s" in shown
    assert "https://hooks.acme.example/hooks/leases?token=<secret>" in shown


def test_check_is_loud_about_a_source_that_anybody_can_call(world: Any) -> None:
    world.tables["sources.open"] = {
        "provider": "generic",
        "sinks": ["archive"],
        "verify": {"alg": "none"},
        "event": {"document": "/id"},
        "download": [{"get": "https://sender.example/{document}", "save": "document"}],
    }
    result = world.run("check")
    assert "open       generic   NOTHING" in result.stdout
    assert "warning: source open accepts callbacks of anybody" in result.stdout


def test_check_live_asks_every_sink(world: Any) -> None:
    (world.folder / "taken").write_text("no folder")
    world.tables["sinks.broken"] = {"kind": "folder", "path": f"{world.folder}/taken"}
    result = world.run("check", "--live")
    assert 1 == result.exit_code
    assert "✓ sink archive: " in result.stdout
    assert "✗ sink broken: " in result.stdout
    said = {one["sink"]: one["ok"] for one in world.json("check", "--live")["live"]}
    assert {"archive": True, "broken": False} == said


def test_migrate_brings_the_schema_up_to_date_and_may_be_repeated(world: Any) -> None:
    assert "the schema went from nothing to" in world.run("migrate").stdout
    assert "already" in world.run("migrate").stdout


@pytest.mark.parametrize(("kind", "name"), [("providers", "firma"), ("providers", "generic"), ("sinks", "folder")])
def test_a_plugin_is_explained_with_its_guide_and_settings(kind: str, name: str) -> None:
    listed = {one["name"]: one["what"] for one in json.loads(CliRunner().invoke(cli, [kind, "--json"]).stdout)}
    shown = CliRunner().invoke(cli, [kind, name]).stdout
    assert shown.startswith(f"{name}: {listed[name]}\n")
    told = json.loads(CliRunner().invoke(cli, [kind, name, "--json"]).stdout)
    assert told["guide"].strip() in shown
    assert all(one["key"] in shown and one["doc"] in shown for one in told["settings"])


def test_the_settings_of_a_table_in_the_table_are_listed_too() -> None:
    told = json.loads(CliRunner().invoke(cli, ["providers", "generic", "--json"]).stdout)
    keys = [one["key"] for one in told["settings"]]
    assert {"provider", "sinks", "verify", "verify.alg", "event.document", "download.get"} <= set(keys)


def test_a_kind_that_lacks_its_extra_is_listed_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in [name for name in sys.modules if name.startswith("webhook_svc.sinks.s")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "paramiko", None)
    listed = {one["name"]: one["what"] for one in json.loads(CliRunner().invoke(cli, ["sinks", "--json"]).stdout)}
    assert "'sftp' needs: pip install 'webhook-svc[sftp]'" == listed["sftp"]
    assert listed["folder"].startswith("A folder")


def test_an_unknown_plugin_is_answered_with_the_known_ones() -> None:
    result = CliRunner().invoke(cli, ["providers", "fima"])
    assert 1 == result.exit_code
    assert "did you mean 'firma'?" in result.stderr


def test_a_secret_has_the_bytes_that_were_asked_for_and_is_new_each_time() -> None:
    made = [CliRunner().invoke(cli, ["gen-secret", "--bytes", "16"]).stdout.strip() for _ in range(2)]
    assert [16, 16] == [len(bytes.fromhex(text)) for text in made]
    assert made[0] != made[1]
    assert 2 == CliRunner().invoke(cli, ["gen-secret", "--bytes", "4"]).exit_code


# --- verify -------------------------------------------------------------------------------------------------------


def test_verify_tells_the_secret_the_delivery_id_and_the_meaning(world: Any) -> None:
    result = world.run("verify", "contracts", "-", input=raw(world.callback("doc-1")))
    assert 0 == result.exit_code
    assert f"accepted, the sender hears 200: verified by secret {fingerprint(SECRET)}" in result.stdout
    assert "delivery id: evt_" in result.stdout
    assert "event: signing_request.completed, which means ready" in result.stdout
    assert "document doc-1" in result.stdout


def test_verify_says_why_a_callback_is_refused(world: Any, tmp_path: Path) -> None:
    file = tmp_path / "request.http"
    file.write_bytes(raw(world.callback("doc-1")) + b"\n")
    result = world.run("verify", "contracts", str(file))
    assert 1 == result.exit_code
    assert "refused, the sender hears 401: no secret gives this signature (bad_signature)" in result.stdout


def test_verify_explains_what_was_looked_at_and_which_mistake_would_make_it_fit(world: Any) -> None:
    result = world.run("verify", "contracts", "-", input=raw(world.callback("doc-1")) + b"\n")
    shown = result.stdout
    assert "looked at header:X-Firma-Signature for the signature and {ts}: it is there, " in shown
    assert "found 1 signature: 64 characters, hex, 32 bytes" in shown
    assert "before the time it is judged at; 300 s are allowed" in shown
    assert f"secret {fingerprint(SECRET)} would fit with: the body without the line break at its end" in shown
    assert "the body was changed on the way" in shown


def test_verify_names_the_headers_that_resemble_the_one_that_is_missing(world: Any) -> None:
    request = b"POST / HTTP/1.1\nX-Firma-Signatur: v1=\n\n{}"
    shown = world.run("verify", "contracts", "-", input=request).stdout
    assert (
        "looked at header:X-Firma-Signature for the signature and {ts}: it is missing; there is header:x-firma-signatur"
        in shown
    )


def test_verify_explains_an_accepted_callback_by_the_scheme_that_holds(world: Any) -> None:
    shown = world.run("verify", "contracts", "-", input=raw(world.callback("doc-1"))).stdout
    assert f"secret {fingerprint(SECRET)} fits" in shown
    assert "it is missing" not in shown


def test_verify_gives_the_explanation_to_machines_too(world: Any) -> None:
    result = world.run("verify", "contracts", "-", "--json", input=raw(world.callback("doc-1")) + b"\n")
    told = json.loads(result.stdout)["explanation"]
    assert [fingerprint(SECRET)] == [one["match"]["secret"] for one in told if one["match"]]
    assert {"scheme", "reason", "places", "candidates", "time", "secrets", "match", "tried"} <= set(told[0])


def test_verify_shows_neither_the_secret_nor_the_body_nor_a_signature(world: Any) -> None:
    callback = world.callback("doc-1", title="Confidential")
    sent = dict(callback.headers)["x-firma-signature"].partition("v1=")[2]
    for words in ((), ("--json",)):
        shown = world.run("verify", "contracts", "-", *words, input=raw(callback) + b" ").stdout
        assert [] == [word for word in (SECRET, "Confidential", sent[:16]) if word in shown]


def test_verify_judges_at_the_time_it_is_given(world: Any) -> None:
    result = world.run("verify", "contracts", "-", "--at", "0", input=raw(world.callback("doc-1")))
    assert 1 == result.exit_code
    assert "(stale), judged at 1970-01-01T00:00:00Z" in result.stdout


def test_verify_says_that_a_genuine_callback_cannot_be_understood(world: Any) -> None:
    world.tables["sources.open"] = {
        "provider": "generic",
        "verify": {"alg": "none"},
        "event": {"document": "/id"},
        "download": [{"get": "https://sender.example/{document}", "save": "document"}],
    }
    result = world.run("verify", "open", "-", input=b"POST / HTTP/1.1\n\nno json")
    assert 0 == result.exit_code
    assert "anybody could have sent it: a hint" in result.stdout
    assert "but it cannot be understood: not JSON" in result.stdout


def test_verify_notes_a_body_that_is_not_as_long_as_announced(world: Any) -> None:
    request = b"POST / HTTP/1.1\nContent-Length: 2\n\n{}\n"
    shown = world.run("verify", "contracts", "-", input=request).stdout
    assert "note: the body has 3 bytes, its Content-Length says 2" in shown


def test_verify_needs_the_values_of_its_own_source_only(world: Any) -> None:
    world.tables["sources.other"] = {"provider": "unheard-of"}
    world.tables["sinks.archive"] = {"kind": "nothing"}
    assert 0 == world.run("verify", "contracts", "-", input=raw(world.callback("doc-1"))).exit_code


def test_verify_takes_either_a_file_or_a_refused_id(world: Any) -> None:
    assert 2 == world.run("verify", "contracts").exit_code
    assert 2 == world.run("verify", "contracts", "-", "--refused", "ref_x", input="").exit_code
    assert 2 == world.run("verify", "contracts", "/no/such/file").exit_code


def test_verify_says_what_is_wrong_with_the_file_or_the_source(world: Any) -> None:
    result = world.run("verify", "contracts", "-", input="{}")
    assert (1, "Error: the request file cannot be used: no empty line ends the headers\n") == (
        result.exit_code,
        result.stderr,
    )
    assert "'contracts' (did you mean that?)" in world.run("verify", "contract", "-", input="").stderr


def test_a_refused_callback_is_judged_again_at_the_time_it_came(world: Any) -> None:
    world.receive_forged("doc-1")
    kept = world.json("events", "--refused")[0]["id"]
    result = world.run("verify", "contracts", "--refused", kept)
    assert 1 == result.exit_code
    assert "(bad_signature)" in result.stdout
    assert "note: it was refused with 401 bad_signature, sent from 192.0.2.1" in result.stdout
    world.tables["sources.contracts"]["secrets"] = ["somebody else's"]
    assert 0 == world.run("verify", "contracts", "--refused", kept).exit_code


def test_verify_says_where_a_refused_callback_was_kept_without_its_secrets(world: Any) -> None:
    callback = world.callback("doc-1")
    headers = (*callback.headers, ("authorization", "Bearer x"))
    world.receive(RawRequest(headers=headers, body=callback.body + b" "))
    kept = world.json("events", "--refused")[0]["id"]
    assert "fingerprints in the place of secrets" in world.run("verify", "contracts", "--refused", kept).stdout


def test_verify_says_where_a_token_of_the_url_was_kept_masked(world: Any) -> None:
    callback = world.callback("doc-1")
    world.receive(RawRequest(path="/hooks/contracts/t0ken", headers=callback.headers, body=callback.body + b" "))
    kept = world.json("events", "--refused")[0]["id"]
    shown = world.run("verify", "contracts", "--refused", kept).stdout
    assert "with a fingerprint in the place of the token in its URL: no signature over that holds" in shown


def test_verify_knows_a_secret_that_was_kept_masked_by_its_fingerprint(world: Any) -> None:
    world.tables["sources.contracts"] |= {"provider": "documenso", "api_key": "k", "tokens": []}
    world.tables["sources.contracts"].pop("workspace_keys", None)
    headers = (("x-documenso-secret", SECRET), ("content-encoding", "gzip"))
    world.receive(RawRequest(path="/hooks/contracts", headers=headers, body=b"{}"))
    kept = world.json("events", "--refused")[0]["id"]
    shown = world.run("verify", "contracts", "--refused", kept).stdout
    assert (
        f"secret {fingerprint(SECRET)} would fit with: the fingerprint stands there in the place of the secret" in shown
    )


def test_an_unknown_refused_id_is_told(world: Any) -> None:
    world.receive()
    result = world.run("verify", "contracts", "--refused", "ref_\x1b")
    assert (1, True) == (result.exit_code, r"ref_\x1b is kept" in result.stderr)


# --- events, event, deliveries, dead, replay ----------------------------------------------------------------------


def test_an_empty_store_is_listed_as_nothing(world: Any) -> None:
    world.receive()
    for words in (["events"], ["events", "--refused"], ["deliveries"], ["dead"]):
        result = world.run(*words)
        assert (0, "", "nothing found\n") == (result.exit_code, result.stdout, result.stderr)
        assert [] == world.json(*words)


def test_what_arrived_and_what_went_is_listed(world: Any) -> None:
    world.receive(world.callback("doc-1", title="Lease 東京"))
    assert "signing_request.completed" in world.run("events", "--source", "contracts", "--state", "parsed").stdout
    shown = world.run("deliveries", "--sink", "archive", "--state", "delivered").stdout
    assert "Lease 東京" in shown
    assert f"{world.folder}/archive/doc-1/" in shown
    assert [] == world.json("deliveries", "--sink", "elsewhere")


def test_a_listing_goes_on_where_the_page_before_ended(world: Any) -> None:
    world.receive(*(world.callback(f"doc-{number}") for number in range(3)))
    first = world.run("events", "--limit", "2", "--json")
    rows = json.loads(first.stdout)
    more = world.run("events", "--limit", "2")
    assert f"there may be more: --before {rows[-1]['id']}\n" == more.stderr
    rest = world.json("events", "--before", rows[-1]["id"])
    assert 3 == len({row["id"] for row in [*rows, *rest]})


def test_the_story_of_any_of_its_ids_is_the_same(world: Any) -> None:
    world.receive(world.callback("doc-1", title="Lease"))
    event = world.json("events")[0]["id"]
    delivery = world.json("deliveries")[0]
    stories = [world.json("event", one) for one in (event, delivery["id"], delivery["signing_id"])]
    assert stories[0] == stories[1] == stories[2]
    shown = world.run("event", event).stdout
    for told in ("received", "verified by secret", "understood", "fetched", "delivered", "document doc-1 “Lease”"):
        assert told in shown
    assert "written, synced and hashed" in shown
    assert world.simulator.document_bytes("doc-1")[:5] == b"%PDF-"


def test_the_story_tells_why_something_failed_and_when_it_is_tried_next(world: Any) -> None:
    world.simulator.misbehave("rate_limited", times=9)
    world.receive(world.callback("doc-1"))
    shown = world.run("event", world.json("events")[0]["id"]).stdout
    assert "Retryable: Firma answered 429: the rate limit is reached" in shown
    assert "next: fetch" in shown


def test_an_unknown_id_has_no_story(world: Any) -> None:
    world.receive()
    assert (1, "Error: nothing is known of evt_x\n") == ((found := world.run("event", "evt_x")).exit_code, found.stderr)
    assert "verify SOURCE --refused ref_x" in world.run("event", "ref_x").stderr


def test_a_hostile_text_cannot_steer_the_terminal(world: Any) -> None:
    hostile = "\x1b[2J\u202eowned\nfake row"
    callback = world.simulator._callback("x", json.dumps({"id": "evt_1", "type": hostile}).encode())
    world.receive(callback)
    event = world.json("events")[0]["id"]
    for words in (["events"], ["event", event], ["verify", "contracts", "-"]):
        shown = world.run(*words, input=raw(callback)).output
        assert not {"\x1b", "\u202e"} & set(shown)
        assert r"\x1b[2J\u202eowned\nfake row" in shown


def test_dead_letters_are_listed_with_their_reason_and_tried_again(world: Any) -> None:
    world.receive_unknown("doc-1")
    assert "Firma answered 404: no such signing request" in world.run("dead").stdout
    signing = world.json("dead")[0]["id"]
    dry = world.run("replay", signing, "--dry-run")
    assert (0, True) == (dry.exit_code, "would fetch it again (now dead)" in dry.stdout)
    assert 1 == len(world.json("dead"))
    assert 0 == world.run("replay", signing).exit_code
    assert [] == world.json("dead")


def test_all_dead_letters_are_tried_again_page_by_page(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_svc.cli.deciding.PAGE", 2)
    world.receive_conflict("held-1")
    for number in range(5):
        world.receive_unknown(f"doc-{number}")
    result = world.run("replay", "--all-dead")
    assert (0, 5) == (result.exit_code, result.stdout.count("will fetch it again"))
    assert ["held"] == [row["state"] for row in world.json("dead")]


def test_held_work_goes_only_when_it_is_released(world: Any) -> None:
    world.receive_conflict("doc-1")
    held = world.json("dead", "--sink", "archive")[0]["id"]
    left = world.run("replay", held)
    assert 1 == left.exit_code
    assert "--release lets it go" in left.stdout
    assert "Error: 1 of 1 were left alone\n" == left.stderr
    assert 0 == world.run("replay", held, "--release").exit_code


def test_finished_work_is_repeated_only_with_a_reason(world: Any) -> None:
    world.receive(world.callback("doc-1"))
    delivery = world.json("deliveries")[0]["id"]
    assert 1 == world.run("replay", delivery).exit_code
    assert 2 == world.run("replay", delivery, "--again").exit_code
    assert 0 == world.run("replay", delivery, "--again", "--reason", "the archive burnt down").exit_code
    assert "the archive burnt down" in world.run("event", delivery).stdout


@pytest.mark.parametrize(
    "words",
    [[], ["x", "--all-dead"], ["x", "--sink", "archive"], ["--all-dead", "--again", "--reason", "x"]],
)
def test_a_replay_must_say_what_it_means(words: list[str], world: Any) -> None:
    assert 2 == world.run("replay", *words).exit_code


def test_nothing_to_replay_is_said_and_is_fine(world: Any) -> None:
    world.receive()
    result = world.run("replay", "--all-dead")
    assert (0, "there is no dead letter to replay\n") == (result.exit_code, result.stderr)


def test_a_database_that_is_not_there_is_told_and_not_made(world: Any) -> None:
    result = world.run("dead")
    assert (1, True) == (result.exit_code, "there is no database at" in result.stderr)
    assert not (world.folder / "store.db").exists()


@pytest.mark.parametrize("at", ["inf", "nan", "1e300"])
def test_a_time_that_no_calendar_shows_is_wrong_usage(world: Any, at: str) -> None:
    result = world.run("verify", "contracts", "-", "--at", at, input=b"POST /hooks/contracts HTTP/1.1\r\n\r\n{}")
    assert (2, True) == (result.exit_code, "between the years 1970 and 9999" in result.output)


# --- simulate -----------------------------------------------------------------------------------------------------


class Hook:
    """A service that answers every callback with the same status."""

    def __init__(self, status: str = "200 OK") -> None:
        self.status = status
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.bodies.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start(self.status, [("Webhook-Event", "evt_1")])
        return [b""]


shows_secrets = pytest.mark.shows_secrets("simulate prints the configuration to paste, with the secrets it made up")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_svc.cli.trying.QUIET", 0.05)


@shows_secrets
def test_simulate_prints_the_source_and_sends_signed_callbacks() -> None:
    hook = Hook()
    with serve(hook) as served:
        words = ["simulate", "firma", "--to", f"{served.url}/hooks/legal", "--secret", "s3cret", "--send", "2"]
        result = CliRunner().invoke(cli, words)
    assert 0 == result.exit_code
    table = tomllib.loads(result.stdout.partition("\n\n")[0])["sources"]["legal"]
    assert ("firma", ["s3cret"]) == (table["provider"], table["secrets"])
    assert [] == leaks(result.stdout.partition("\n\n")[2] + result.stderr)
    assert 4 == len(hook.bodies)
    assert "2/2" in result.stdout
    assert "evt_1" in result.stdout


def test_simulate_goes_on_where_a_service_goes_away_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([200, 200, None, 200, 200])

    def send(_url: str, _callback: RawRequest) -> tuple[int, dict[str, str], bytes]:
        status = next(answers)
        if status is None:
            raise ConnectionRefusedError("refused")
        return status, {}, b""

    monkeypatch.setattr("webhook_svc.simulators.play.send", send)
    to = "http://127.0.0.1:1/hooks/legal"
    words = ["simulate", "firma", "--to", to, "--secret", "s", "--api-key", "k", "--send", "3"]
    result = CliRunner().invoke(cli, words)
    assert 1 == result.exit_code
    assert "2/3" in result.stdout
    assert "no answer from the service: refused" in result.stdout
    assert "3/3" in result.stdout
    assert "1 callbacks were not accepted" in result.stderr


@shows_secrets
def test_simulate_fails_where_callbacks_are_not_accepted() -> None:
    with serve(Hook("401 Unauthorized")) as served:
        result = CliRunner().invoke(cli, ["simulate", "firma", "--to", f"{served.url}/hooks/x"])
    assert 1 == result.exit_code
    assert "Error: 2 callbacks were not accepted\n" in result.stderr


@shows_secrets
def test_simulate_serves_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = iter([False, False])

    def wait(_play: Play, _seconds: float) -> bool:
        try:
            return next(waits)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(Play, "wait_until_quiet", wait)
    with serve(Hook()) as served:
        result = CliRunner().invoke(cli, ["simulate", "firma", "--to", served.url, "--serve"])
    assert 0 == result.exit_code
    assert "Ctrl-C ends it" in result.stderr
    assert [] == list(waits)


@shows_secrets
def test_simulate_misbehaves_on_demand() -> None:
    hook = Hook()
    with serve(hook) as served:
        words = ["simulate", "generic", "--to", served.url, "--quirk", "duplicate"]
        CliRunner().invoke(cli, words)
    assert hook.bodies[0] == hook.bodies[1]


@shows_secrets
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["firma", "--to", "http://127.0.0.1:1/hooks/x"], 1, "no answer from the service"),
        (["firma", "--to", "ftp://x"], 2, "http(s)://host/path"),
        (["firma", "--to", "http://x", "--quirk", "lazy"], 2, "unknown quirk 'lazy' (known: duplicate"),
        (["fima", "--to", "http://x"], 1, "did you mean 'firma'?"),
    ],
)
def test_simulate_says_what_is_wrong(words: list[str], code: int, sentence: str) -> None:
    result = CliRunner().invoke(cli, ["simulate", *words])
    assert code == result.exit_code
    assert sentence in result.stderr


def test_simulate_says_that_its_port_is_taken() -> None:
    with serve(Hook()) as served:
        port = served.url.rpartition(":")[2]
        result = CliRunner().invoke(cli, ["simulate", "firma", "--to", served.url, "--port", port])
    assert 1 == result.exit_code
    assert "in use" in result.stderr
