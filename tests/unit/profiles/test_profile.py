"""A profile in a file: in the box, or a user's own; what a source brings, what it may change, what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from tests.guard import secret
from tests.kinds import provider_kind
from webhook_svc import wiring
from webhook_svc.config import Kinds, load
from webhook_svc.core.errors import ConfigError
from webhook_svc.core.sections import Config
from webhook_svc.core.tomltext import table_text
from webhook_svc.core.types import RawRequest
from webhook_svc.providers import PROVIDERS
from webhook_svc.simulators import SIMULATORS
from webhook_svc.sinks import SINKS

KINDS = Kinds(providers=PROVIDERS, sinks=SINKS)
ACME = """
[profile]
what = "Acme: contracts of the house."
deadline = 7

[settings]
api_key = { kind = "secret", doc = "API key" }
api_base = { kind = "address", doc = "address of the API", default = "https://api.acme.example/v1" }
tenant = { kind = "text", doc = "our tenant", default = "main" }

[verify]
alg = "hmac-sha256"
message = "{body}"
signature = "header:X-Acme"
pattern = "^v1=([0-9a-f]{64})$"

[event]
type = "/type"
ready = ["done"]
document = "/id"

[[download]]
get = "{api_base}/{tenant}/contracts/{document}"
headers = { Authorization = "Bearer {api_key}" }
save = "document"

[simulate]
callback = { type = "{type}", id = "{document}" }
signature = "v1={signature}"
"""
SOURCE: dict[str, Any] = {"secrets": [secret("acme")], "api_key": secret("key")}


def written(folder: Path, text: str = ACME) -> Path:
    path = folder / "acme.toml"
    path.write_text(text)
    return path


def loaded(path: Path | str, **changed: Any) -> Config:
    table = {"provider": path if isinstance(path, str) else f"file:{path}", **SOURCE, **changed}
    return load({"WEBHOOK_SVC_CONFIG_TOML": table_text("sources.x", table)}, KINDS)


def told(folder: Path, text: str, **changed: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        loaded(written(folder, text), **changed)
    return str(raised.value)


def test_a_profile_of_a_user_is_named_by_its_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    config = loaded(path)
    kind = provider_kind(f"file:{path}")
    provider = kind("x", config.sources["x"].settings)
    assert ("Acme: contracts of the house.", 7.0) == (kind.what, kind.deadline)
    assert {"https://api.acme.example:443"} == provider.hosts()
    assert {"document"} == provider.offers()


def test_a_profile_of_a_user_can_be_simulated(tmp_path: Path) -> None:
    name = f"file:{written(tmp_path)}"
    simulator = SIMULATORS.load(name)()
    [callback] = simulator.finish("d-1")
    table = simulator.source("http://127.0.0.1:1")
    settings = loaded(name, **{key: value for key, value in table.items() if key != "provider"}).sources["x"].settings
    PROVIDERS.load(name)("x", settings).scheme().verify(callback, 0.0)
    assert {"type": "done", "id": "d-1"} == json.loads(callback.body)


def test_a_simulator_tells_requests_apart_that_look_alike_by_what_its_answers_told(tmp_path: Path) -> None:
    listed = '{ each = "/files", only = { "/type" = "%s" }, get = "{api_base}/{document}", take = { %s = "/id" } }'
    file = '{ get = "{api_base}/parts/{%s}", save = "%s", optional = %s }'
    steps = [listed % ("main", "main"), file % ("main", "document", "false")]
    steps += [listed % ("proof", "proof"), file % ("proof", "certificate", "true")]
    answer = '{ files = [{ id = "m-{document}", type = "main" }, { id = "p-{document}", type = "proof" }] }'
    head, _, rest = ACME.partition("[[download]]")
    simulated = rest.partition("[simulate]")[2] + f"answers = [{answer}, {answer}]"
    text = f"download = [{', '.join(steps)}]\n{head}[simulate]{simulated}"
    simulator = SIMULATORS.load(f"file:{written(tmp_path, text)}")()
    simulator.finish("d-1")
    client = Client(simulator.wsgi())
    assert 404 == client.get("/parts/p-d-1").status_code
    assert 200 == client.get("/d-1").status_code
    assert simulator.document_bytes("d-1", "certificate") == client.get("/parts/p-d-1").data
    assert simulator.document_bytes("d-1") == client.get("/parts/m-d-1").data


def test_a_profile_without_a_simulation_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, ACME.partition("[simulate]")[0])
    with pytest.raises(ConfigError, match=r"no \[simulate\]"):
        SIMULATORS.load(f"file:{path}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"{body}"', '"{url}{body}"'),
        ('signature = "v1={signature}"', ""),
        ('alg = "hmac-sha256"', 'alg = "ecdsa-p256-sha256"\nkey = "base64"'),
    ],
)
def test_a_profile_that_cannot_be_played_says_so_at_once(tmp_path: Path, before: str, after: str) -> None:
    path = written(tmp_path, ACME.replace(before, after))
    with pytest.raises(ConfigError, match="cannot be simulated"):
        SIMULATORS.load(f"file:{path}")


@pytest.mark.parametrize("text", ["{link}", "{old}", "{secret}"])
def test_a_callback_has_no_link_and_no_secret_to_fill_in(tmp_path: Path, text: str) -> None:
    assert "simulate without" in told(tmp_path, ACME.replace('id = "{document}" }', f'id = "{text}" }}'))


def test_a_source_may_change_a_key_of_its_profile(tmp_path: Path) -> None:
    described = loaded(written(tmp_path), event={"document": "/contract"}).sources["x"].settings.described
    assert ("/contract", ("done",)) == (described.event.document, described.event.ready)


def test_another_way_to_sign_takes_the_place_of_the_profile_s(tmp_path: Path) -> None:
    config = loaded(written(tmp_path), verify={"alg": "equal", "signature": "header:X-Token"})
    provider = PROVIDERS.load(f"file:{tmp_path / 'acme.toml'}")("x", config.sources["x"].settings)
    provider.scheme().verify(RawRequest(headers=(("x-token", secret("acme")),)), 0.0)


def test_a_profile_that_signs_nothing_needs_a_url_token(tmp_path: Path) -> None:
    config = loaded(written(tmp_path), verify={"alg": "none"}, secrets=[])
    assert PROVIDERS.load(f"file:{tmp_path / 'acme.toml'}")("x", config.sources["x"].settings).needs_url_token()


def test_another_setting_may_serve_as_the_secret(tmp_path: Path) -> None:
    path = written(tmp_path, ACME.replace("deadline = 7", 'secret = "api_key"'))
    config = load(
        {"WEBHOOK_SVC_CONFIG_TOML": table_text("sources.x", {"provider": f"file:{path}", "api_key": "k" * 9})}, KINDS
    )
    [held] = PROVIDERS.load(f"file:{path}")("x", config.sources["x"].settings).secrets
    assert "k" * 9 == held.reveal()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("what =", "waht =", "profile.waht: found an unknown key, expected 'what' (did you mean that?)"),
        ("[event]", "[events]", "events: found an unknown key, expected 'event' (did you mean that?)"),
        ('ready = ["done"]', "ready = []", "nothing would ever be fetched"),
        ('kind = "text"', 'kind = "txt"', "did you mean 'text'?"),
        ("tenant = {", "document = {", "settings.document: found a name that means something else"),
        ('"https://api.acme.example/v1"', '"api.acme.example"', "a default that is no address"),
        ("{tenant}", "{tennant}", "download step 1 without {tennant}"),
        ("Bearer {api_key}", "Bearer {api_key}\\r\\nX: y", "a line break or NUL cannot stand in a header"),
        ("hmac-sha256", "hmac-sha257", "hmac-sha256"),
        ("{document}", "{docment}", "{docment}"),
        ('v1={signature}"', 'v1={sig}"', "simulate without {sig}"),
        ("[verify]", "[verify", "expected a profile: TOML"),
        ("tenant = {", "class = {", "settings.class: found a name that means something else"),
        ("tenant = {", "wait_for_parts = {", "settings.wait_for_parts: found a name that means something else"),
        ("deadline = 7", 'secret = "tenant"', "found one of kind text, expected a secret"),
        ("deadline = 7", "deadline = nan", "a deadline from 0.5"),
        ("^v1=([0-9a-f]{64})$", "^v1=(?:[0-9a-f]+)+$", "verify"),
        ("deadline = 7", 'secret = "nobody"', "profile.secret: found a name of nothing"),
    ],
)
def test_what_is_wrong_with_a_profile_is_told_with_its_place(
    tmp_path: Path, before: str, after: str, expected: str
) -> None:
    assert before in ACME
    sentence = told(tmp_path, ACME.replace(before, after, 1))
    assert expected in sentence
    assert secret("acme") not in sentence


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * 70_000, b"", b"a = " + b"[" * 50_000])
def test_a_file_that_is_no_profile_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "acme.toml").write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path / "acme.toml")
    assert "acme.toml" in str(raised.value)


def test_a_guide_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.with_suffix(".md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"UTF-8 text in acme\.md"):
        loaded(path)


def test_a_name_that_no_file_can_have_is_told() -> None:
    with pytest.raises(ConfigError, match="null byte"):
        loaded("file:a\0b")


def test_a_profile_is_read_once_for_all(tmp_path: Path) -> None:
    path = written(tmp_path)
    config = loaded(path)
    path.write_text(ACME.replace("tenant = {", "region = {").replace("{tenant}", "{region}"))
    made = wiring.service(config)
    made.close()
    assert ["x"] == list(made.parties.sources)


def test_a_profile_of_a_user_is_told_what_its_signature_does_not_cover(tmp_path: Path) -> None:
    path = written(tmp_path, ACME.replace('"{body}"', '"{json:/type}"'))
    config = loaded(path)
    provider = provider_kind(f"file:{path}")("x", config.sources["x"].settings)
    assert ["the signature does not cover /id"] == [one.partition(":")[0] for one in provider.warnings()]


def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        loaded(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"api_kye": "x"}, "did you mean"),
        ({"event": {"documnet": "/a"}}, "event.documnet"),
        ({"verify": {"tolerance": 5}}, "tolerance needs ts"),
        ({"secrets": []}, "at least one secret"),
        ({"api_base": "nowhere"}, "an http(s) address"),
        ({"download": [{"get": "{link}", "save": "document"}]}, "{link}"),
    ],
)
def test_what_is_wrong_with_a_source_of_a_profile_is_told(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    assert expected in told(tmp_path, ACME, **changed)


def test_an_unknown_name_offers_the_profiles_in_the_box() -> None:
    with pytest.raises(ConfigError, match="'yousign'"):
        loaded("yuosign")
