"""`webhook-svc verify` gives the vectors' verdicts: each as a configuration and a raw request in a file."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from webhook_svc.cli import cli
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.tomltext import table_text

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors"
if not FOLDER.is_dir():
    pytest.skip("the folder ../shared/vectors is absent", allow_module_level=True)

ALL = [vector for name in ("published", "made_here") for vector in json.loads((FOLDER / f"{name}.json").read_text())]
KEYS = {"sig": "signature", "sig_re": "pattern"}
SAME = ("alg", "key", "message", "encoding", "vars", "tolerance", "body_view")


def configuration(vector: dict[str, Any]) -> str:
    verify = {KEYS.get(key, key): value for key, value in vector["params"].items() if key in (*KEYS, *SAME)}
    source = {
        "provider": "generic",
        "secrets": [vector["secret_or_key"]],
        "verify": verify,
        "event": {"document": "/id"},
        "download": [{"get": "https://sender.example/{document}", "save": "document"}],
    }
    url = urlsplit(vector.get("url") or "https://hooks.example/hooks/x")
    service = table_text("service", {"public_url": f"{url.scheme}://{url.netloc}"})
    return f"{service}\n{table_text('sources.x', source)}"


def raw_request(vector: dict[str, Any]) -> bytes:
    """As it would come to us: a callback is a POST, also where the vector's GET shows the sender's handshake."""
    url = urlsplit(vector.get("url") or "https://hooks.example/hooks/x")
    target = url.path + (f"?{url.query}" if url.query else "")
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in vector["headers"].items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body_of(vector)


def body_of(vector: dict[str, Any]) -> bytes:
    if "body_generator" in vector:
        generator = vector["body_generator"]
        body: bytes = generator["repeat"].encode() * generator["count"]
        return body
    return base64.b64decode(vector["body_base64"]) if "body_base64" in vector else vector["body"].encode()


def cases(expected: str) -> list[Any]:
    return [pytest.param(vector, id=vector["id"]) for vector in ALL if vector["expected"] == expected]


def verdict(vector: dict[str, Any], folder: Path) -> Any:
    file = folder / "request.http"
    file.write_bytes(raw_request(vector))
    at = str(vector.get("verify_at") or 0)
    environ = {"WEBHOOK_SVC_CONFIG_TOML": configuration(vector)}
    return CliRunner().invoke(cli, ["verify", "x", str(file), "--at", at, "--json"], env=environ)


@pytest.mark.parametrize("vector", cases("valid"))
def test_a_valid_vector_is_accepted_on_the_command_line(vector: dict[str, Any], tmp_path: Path) -> None:
    result = verdict(vector, tmp_path)
    assert 0 == result.exit_code, result.stderr
    assert fingerprint(vector["secret_or_key"]) == json.loads(result.stdout)["verdict"]["verified_by"]


@pytest.mark.parametrize("vector", cases("invalid"))
def test_an_invalid_vector_is_refused_on_the_command_line(vector: dict[str, Any], tmp_path: Path) -> None:
    result = verdict(vector, tmp_path)
    assert 1 == result.exit_code
    if vector["secret_or_key"]:
        assert 401 == json.loads(result.stdout)["verdict"]["status"]
    else:
        assert "an empty secret" in result.stderr
