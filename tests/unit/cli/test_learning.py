"""`webhook-svc learn`: from a captured request and a secret to what the configuration has to say."""

import base64
import hmac
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.guard import secret
from webhook_svc.cli import cli
from webhook_svc.config import load
from webhook_svc.core.rawhttp import parse_request, raw_text
from webhook_svc.core.types import RawRequest
from webhook_svc.providers import PROVIDERS
from webhook_svc.simulators import SIMULATORS
from webhook_svc.wiring import KINDS
from webhook_svc.wiring.learning import _settings, learned, tried

KEY = secret("of-acme")
NOW = 1_790_000_000
BODY = b'{"id": "d-1"}'


def digest(message: bytes, key: str = KEY) -> str:
    return hmac.digest(key.encode(), message, "sha256").hex()


def raw(*headers: tuple[str, str], body: bytes = BODY, query: str = "") -> bytes:
    named = (("host", "hooks.acme.example"), *headers)
    return raw_text(RawRequest(path="/hooks/acme", query=query, headers=named, body=body))


TIMED = raw(("x-acme", f"t={NOW},s={digest(b'%d.' % NOW + BODY)}"))
OF_YOUSIGN = (
    b'{"event_id": "e-1", "event_name": "signature_request.done", "data": {"signature_request": {"id": "d-1"}}}'
)
YOUSIGN = raw(("x-yousign-signature-256", f"sha256={digest(OF_YOUSIGN)}"), body=OF_YOUSIGN)


def run(request: bytes, *words: str, text: str = KEY) -> Result:
    """The request is on standard input, the secret in the environment."""
    return CliRunner().invoke(cli, ["learn", "-", "--secret-env", "ACME", *words], input=request, env={"ACME": text})


def test_a_sender_that_is_in_the_box_is_called_by_its_name() -> None:
    result = run(YOUSIGN)
    assert 0 == result.exit_code
    assert '# this is yousign: provider = "yousign"; `webhook-svc providers yousign` prints the rest' in result.stdout
    assert "yousign" == tomllib.loads(result.stdout)["sources"]["NAME"]["provider"]


def test_a_sender_that_signs_like_one_in_the_box_but_says_other_things_is_not_called_by_its_name() -> None:
    result = run(raw(("x-yousign-signature-256", f"sha256={digest(BODY)}")))
    assert "# these sign alike, but do not understand it: yousign" in result.stdout
    assert "generic" == tomllib.loads(result.stdout)["sources"]["NAME"]["provider"]


@pytest.mark.parametrize("request_", [TIMED, raw(("x-acme", f"HMAC {digest(BODY)}"))], ids=["pairs", "a word"])
def test_what_is_printed_is_a_configuration_that_accepts_the_callback(request_: bytes, tmp_path: Path) -> None:
    result = run(request_)
    assert 0 == result.exit_code
    more = '[sources.acme.event]\ndocument = "/id"\n[[sources.acme.download]]\n'
    more += 'get = "https://acme.example/{document}"\nsave = "document"\n'
    text = result.stdout.replace("sources.NAME", "sources.acme").replace("NAME_SECRET", "ACME") + more
    environ = {"WEBHOOK_SVC_CONFIG_TOML": text, "ACME": KEY}
    assert "header:x-acme" == load(environ, KINDS, only="acme").sources["acme"].settings.verify.signature
    file = tmp_path / "request.http"
    file.write_bytes(request_)
    judged = CliRunner().invoke(cli, ["verify", "acme", str(file), "--at", str(NOW)], env=environ)
    assert 0 == judged.exit_code


def test_a_preset_is_named_instead_of_what_it_holds() -> None:
    result = run(raw(("x-hub-signature-256", f"sha256={digest(BODY)}")))
    assert {"preset": "github"} == tomllib.loads(result.stdout)["sources"]["NAME"]["verify"]
    assert "# warning: no time is signed" in result.stdout


def test_where_nothing_fits_it_is_told_what_was_tried() -> None:
    result = run(TIMED, text=secret("of-somebody-else"))
    assert 1 == result.exit_code
    assert "nothing fits: 1 texts could be signatures, " in result.stdout
    assert "is it this sender's secret, and is the body saved byte for byte?" in result.stdout


def test_machines_are_told_the_same() -> None:
    told = json.loads(run(TIMED, "--json").stdout)
    assert ([], "{ts}.{body}", float(NOW)) == (told["providers"], told["verify"]["message"], told["moment"])
    assert tomllib.loads(told["toml"])["sources"]["NAME"]["verify"] == told["verify"]
    assert ["yousign"] == json.loads(run(YOUSIGN, "--json").stdout)["providers"]
    nothing = run(raw(), "--json")
    assert (1, "", {}) == (nothing.exit_code, json.loads(nothing.stdout)["toml"], json.loads(nothing.stdout)["verify"])


def test_a_line_break_that_an_editor_added_is_told() -> None:
    for request in (TIMED, YOUSIGN):
        shown = run(request + b"\n").stdout
        assert "# note: it fits with the body without the line break at its end" in shown


def test_a_body_that_a_tool_printed_anew_is_told() -> None:
    pretty = json.dumps(json.loads(OF_YOUSIGN), indent=2).encode()
    sent = json.dumps(json.loads(OF_YOUSIGN), separators=(",", ":")).encode()
    result = run(raw(("x-yousign-signature-256", f"sha256={digest(sent)}"), body=pretty))
    assert "# this is yousign" in result.stdout
    assert "# note: it fits with the body printed again as compact JSON" in result.stdout


def test_blanks_around_the_secret_are_told() -> None:
    result = run(TIMED, text=f"' {KEY}'")
    assert (1, False) == (result.exit_code, "blanks or quotes" in result.stdout)
    result = run(TIMED, text=f' "{KEY}" ')
    assert (0, True) == (result.exit_code, "the secret fits without the blanks or quotes" in result.stdout)


def test_the_password_alone_is_enough_to_find_basic_credentials() -> None:
    pair = base64.b64encode(f"acme:{KEY}".encode()).decode()
    result = run(raw(("authorization", f"Basic {pair}")))
    assert {"preset": "basic"} == tomllib.loads(result.stdout)["sources"]["NAME"]["verify"]
    assert "# note: the secret is to be written user:password" in result.stdout


def test_a_time_of_arrival_at_which_it_is_refused_is_told() -> None:
    assert "at that time it is refused all the same" in run(TIMED, "--at", str(NOW + 1000)).stdout
    assert "it is refused" not in run(TIMED, "--at", str(NOW + 10)).stdout


@pytest.mark.parametrize("words", [(), ("--url", "https://other.example")])
def test_our_address_is_what_is_said_else_the_host_that_was_asked(words: tuple[str, ...]) -> None:
    url = words[1] if words else "https://hooks.acme.example"
    signature = digest(f"{url}/hooks/acme?a=1".encode() + BODY)
    shown = run(raw(("x-acme", signature), query="a=1"), *words).stdout
    assert 'message = "{url}{body}"' in shown
    assert f'# note: [service] public_url = "{url}"' in shown


def test_an_address_with_the_path_of_the_callback_is_fine() -> None:
    signature = digest(b"https://other.example/hooks/acme" + BODY)
    assert 0 == run(raw(("x-acme", signature)), "--url", "https://other.example/hooks/acme").exit_code


def test_keys_of_the_callback_cannot_steer_a_terminal() -> None:
    key = "\u202e\x9b31m"
    body = json.dumps({"a": {key: "e-1", "hash": digest(b"e-1")}}, ensure_ascii=False).encode()
    result = run(raw(body=body))
    assert (0, []) == (result.exit_code, [one for one in result.stdout if not one.isprintable() and one != "\n"])
    assert f"{{json:/a/{key}}}" == tomllib.loads(result.stdout)["sources"]["NAME"]["verify"]["message"]


@pytest.mark.parametrize("host", ["", "[", "a b", "\xe9", "x" * 5000])
def test_a_host_that_is_none_is_no_obstacle(host: str) -> None:
    request = RawRequest(path="/hooks/acme", headers=(("host", host), ("x-acme", digest(BODY))), body=BODY)
    assert 0 == run(raw_text(request)).exit_code


# --- the secret's way in ------------------------------------------------------------------------------------------


def asked(folder: Path, *words: str, input: str | bytes | None = None) -> Result:
    file = folder / "request.http"
    file.write_bytes(TIMED)
    return CliRunner().invoke(cli, ["learn", str(file), *words], input=input)


def test_the_secret_may_come_from_a_file_or_a_line_of_standard_input(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{KEY}\n")
    assert 0 == asked(tmp_path, "--secret-file", str(tmp_path / "secret")).exit_code
    assert 0 == asked(tmp_path, "--secret", "-", input=f"{KEY}\r\nmore\n").exit_code


def test_a_key_in_pem_is_read_to_its_end(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file = tmp_path / "request.http"
    file.write_bytes(raw(("x-acme", base64.b64encode(key.sign(BODY)).decode())))
    result = CliRunner().invoke(cli, ["learn", str(file), "--secret", "-"], input=pem)
    assert (0, True) == (result.exit_code, 'alg = "ed25519"' in result.stdout)


def test_the_secret_is_no_argument_and_not_repeated(tmp_path: Path) -> None:
    result = asked(tmp_path, "--secret", KEY)
    assert (2, True) == (result.exit_code, "--secret takes only `-`" in result.stderr)
    assert KEY not in result.output


@pytest.mark.parametrize(
    "words", [(), ("--secret", "-", "--secret-env", "ACME"), ("--secret-file", "/no/such/file"), ("--url", "x")]
)
def test_what_the_command_cannot_mean_is_wrong_usage(words: tuple[str, ...], tmp_path: Path) -> None:
    more = ("--secret", "-") if words[:1] == ("--url",) else ()
    assert 2 == asked(tmp_path, *words, *more, input=f"{KEY}\n").exit_code


def test_standard_input_is_not_both_the_callback_and_the_secret() -> None:
    assert 2 == CliRunner().invoke(cli, ["learn", "-", "--secret", "-"], input=TIMED).exit_code


@pytest.mark.parametrize("text", ["", " \n", b"\xff\xfe\n"])
def test_a_secret_that_is_none_is_told(text: str | bytes, tmp_path: Path) -> None:
    result = asked(tmp_path, "--secret", "-", input=text)
    assert (1, True) == (result.exit_code, "the secret is" in result.stderr)


def test_a_file_that_is_no_request_is_told() -> None:
    result = run(b"{}")
    assert (1, True) == (result.exit_code, "the request file cannot be used" in result.stderr)


def test_neither_secret_nor_body_nor_signature_is_shown() -> None:
    for request in (TIMED, YOUSIGN, raw(("x-token", KEY)), raw(("x-a", "b"))):
        for words in ((), ("--json",)):
            shown = run(request, *words).output
            assert [] == [word for word in (KEY, "d-1", digest(BODY)) if word in shown]


# --- every provider -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SIMULATORS.names() if name != "generic"])
def test_the_callbacks_of_a_simulator_are_recognised(name: str) -> None:
    kind: Any = SIMULATORS.load(name)
    simulator = kind(secret="", api_key=secret("api"))
    given = simulator.source("http://127.0.0.1:1").get("secrets", [secret("api")])[0]
    request = parse_request(raw_text(simulator.finish("doc-1", title="Lease")[-1]))
    signs = bool(list(tried(name, given, ["https://hooks.acme.example"])))
    taught = learned(request, given, ["https://hooks.acme.example"], float(NOW))
    assert signs == (name in taught.providers)


@pytest.mark.parametrize("name", [name for name in PROVIDERS.names() if name != "generic"])
def test_every_provider_can_be_tried(name: str) -> None:
    public_key = "+7E99DXiiQXvceNX4nHm3Lbm5mqPWad5RhDr2ufuCik="
    made = list(tried(name, public_key, [""]))
    if not made:  # it believes everybody, and takes no secret for that
        with pytest.raises(ValueError, match="alg = none"):
            _settings(PROVIDERS.load(name).Settings, public_key)  # type: ignore[attr-defined]  # a Provider
    assert all(provider.scheme().signs for provider in made)
