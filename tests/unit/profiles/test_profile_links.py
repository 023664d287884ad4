"""Links out of an answer, through the real client: never to our own port, never to what is not public."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, jsonify

from tests.guard import secret
from webhook_svc import wiring
from webhook_svc.core.errors import Permanent
from webhook_svc.core.tomltext import table_text
from webhook_svc.core.types import DocumentRef
from webhook_svc.download.fetch import Fetcher
from webhook_svc.simulators.serve import Served, serve
from webhook_svc.vault.local import LocalVault

OUR_PORT = 18_999


@pytest.fixture
def api() -> Iterator[Served]:
    """An API whose answers name whatever link the document's id asks for."""
    app = Flask(__name__)
    links = {
        "ours": f"http://127.0.0.1:{OUR_PORT}/hooks/x",
        "metadata": "http://169.254.169.254/latest/meta-data/",
        "private": "http://10.0.0.1/file",
        "ours-by-name": f"http://localhost:{OUR_PORT}/readyz",
        "file": "file:///etc/passwd",
    }
    app.add_url_rule("/c/<name>", view_func=lambda name: jsonify(url=links[name]))
    with serve(app) as served:
        yield served


@pytest.mark.parametrize("allowed", [[], ["127.0.0.1", "localhost"]], ids=["usual", "own host allowed"])
@pytest.mark.parametrize("link", ["ours", "ours-by-name", "metadata", "private", "file"])
def test_a_link_to_a_forbidden_place_is_never_followed(
    api: Served, tmp_path: Path, link: str, allowed: list[str]
) -> None:
    source: dict[str, Any] = {
        "provider": "generic",
        "secrets": [secret("in-house")],
        "values": {"api_base": api.url},
        "verify": {"alg": "hmac-sha256", "message": "{body}", "signature": "header:X-Signature"},
        "event": {"document": "/id"},
        "download": [
            {"get": "{api_base}/c/{document}", "take": {"link": "/url"}},
            {"get": "{link}", "save": "document"},
        ],
    }
    tables: dict[str, dict[str, Any]] = {
        "service": {"port": OUR_PORT},
        "http": {"allow_hosts": allowed},
        "sources.x": source,
    }
    text = "\n".join(table_text(name, table) for name, table in tables.items())
    made = wiring.service(wiring.configured({"WEBHOOK_SVC_CONFIG_TOML": text}))
    one, fetcher = made.parties.sources["x"], Fetcher(LocalVault(tmp_path))
    with pytest.raises(Permanent) as raised:
        fetcher.fetch(one.provider, one.http, DocumentRef(id=link))
    made.close()
    assert "://" not in str(raised.value)
