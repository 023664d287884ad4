"""Config becomes objects: which vault, which authorities, and that all of it is closed again."""

import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import certifi
import pytest

from webhook_svc import wiring
from webhook_svc.core.errors import ConfigError, StoreUnavailable
from webhook_svc.http import HttpClient
from webhook_svc.providers.firma import Firma
from webhook_svc.vault.bucket import BucketVault
from webhook_svc.vault.local import LocalVault


def made(tmp_path: Path, text: str = "", **environ: str) -> wiring.Service:
    toml = f'[store]\nurl = "sqlite:///{tmp_path}/x.db"\n{text}'
    variables: Mapping[str, str] = {"WEBHOOK_SVC_CONFIG_TOML": toml, **environ}
    return wiring.service(wiring.configured(variables))


def problems(tmp_path: Path, text: str = "", **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, text, **environ)
    return [str(problem) for problem in caught.value.problems]


FOLDER_SINK = '[sinks.archive]\nkind = "folder"\npath = "PATH"\n[sources.x]\nprovider = "firma"\n'
FOLDER_SINK += f'secrets = ["{"ab" * 32}"]\napi_key = "k"\nsinks = ["archive"]\n'


@pytest.fixture
def open_clients(monkeypatch: pytest.MonkeyPatch) -> list[HttpClient]:
    """The clients that were made and not closed yet."""
    alive: list[HttpClient] = []
    init, close = HttpClient.__init__, HttpClient.close

    def opened(self: HttpClient, **options: Any) -> None:
        init(self, **options)
        alive.append(self)

    def closed(self: HttpClient) -> None:
        close(self)
        alive.remove(self)

    monkeypatch.setattr(HttpClient, "__init__", opened)
    monkeypatch.setattr(HttpClient, "close", closed)
    return alive


def test_without_an_address_the_vault_is_the_folder(tmp_path: Path) -> None:
    service = made(tmp_path)
    assert isinstance(service.vault, LocalVault)
    service.close()


def test_with_an_address_the_vault_is_the_bucket(tmp_path: Path) -> None:
    service = made(tmp_path, VAULT_URL="s3://AKID:hunter2@acme/v1?region=eu-central-1")
    assert isinstance(service.vault, BucketVault)
    assert service.vault.shared
    assert "hunter2" not in repr(service.config)
    service.close()


def test_an_address_that_no_vault_is_at_is_a_problem_that_does_not_show_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, VAULT_URL="s3://AKID:hunter2/hunter2@acme")
    assert problem.startswith("vault.url: found something else, expected KEY_ID:SECRET@")
    assert "hunter2" not in problem


def test_all_that_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    text = '[http]\nca_file = "missing.pem"\n[vault]\nurl = "ftp://x"\n'
    assert ["http.ca_file: found No such file or directory", "vault.url: found something else"] == [
        problem.partition(", expected")[0] for problem in problems(tmp_path, text)
    ]


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\n%%%\n"])
def test_a_file_without_authorities_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    expected = "http.ca_file: found no certificates, expected a file of certificates in PEM form"
    assert [expected] == problems(tmp_path, f'[http]\nca_file = "{tmp_path}/ca.pem"')


def test_every_client_knows_the_additional_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    init = HttpClient.__init__

    def noted(self: HttpClient, **options: Any) -> None:
        given.append(options["ca_file"])
        init(self, **options)

    monkeypatch.setattr(HttpClient, "__init__", noted)
    text = f'[http]\nca_file = "{certifi.where()}"\n{FOLDER_SINK.replace("PATH", str(tmp_path))}'
    made(tmp_path, text).close()
    assert {certifi.where()} == set(given)
    assert len(given) > 2


def test_closing_closes_every_client_and_the_store(tmp_path: Path, open_clients: list[HttpClient]) -> None:
    text = FOLDER_SINK.replace("PATH", str(tmp_path))
    service = made(tmp_path, text, VAULT_URL="s3://AKID:hunter2@acme/v1")
    assert isinstance(service.vault, BucketVault)
    assert "" == service.store.ready()
    assert len(open_clients) > 3
    service.close()
    assert [] == open_clients
    with pytest.raises(StoreUnavailable):
        service.store.lease("vault", "w1", 60.0)


def test_closing_makes_nothing(tmp_path: Path) -> None:
    made(tmp_path).close()
    assert [] == list(tmp_path.iterdir())


def test_a_configuration_that_cannot_be_used_leaves_no_client_open(
    tmp_path: Path, open_clients: list[HttpClient]
) -> None:
    text = f'[vault]\nurl = "ftp://x"\n{FOLDER_SINK.replace("PATH", str(tmp_path))}'
    problems(tmp_path, text)
    assert [] == open_clients


ONLY_THE_URL = '[sources.open]\nprovider = "firma"\n' + f'secrets = ["{"ab" * 32}"]\napi_key = "k"\n'


def test_a_source_that_only_its_url_protects_needs_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Firma, "needs_url_token", lambda _: True)
    expected = (
        "a URL token that nobody guesses (webhook-svc gen-secret), or `secrets`: nothing else keeps strangers out"
    )
    assert [f"sources.open.tokens: found nothing, expected {expected}"] == problems(tmp_path, ONLY_THE_URL)


def test_a_source_with_a_token_may_be_protected_by_its_url_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Firma, "needs_url_token", lambda _: True)
    service = made(tmp_path, f'{ONLY_THE_URL}tokens = ["5ec2e7-not-guessed"]\n')
    assert ["5ec2e7-not-guessed"] == [token.reveal() for token in service.parties.sources["open"].tokens]
    service.close()


def test_a_source_that_is_protected_otherwise_needs_no_token(tmp_path: Path) -> None:
    service = made(tmp_path, ONLY_THE_URL)
    assert () == service.parties.sources["open"].tokens
    service.close()


@pytest.mark.parametrize("addresses", ['["192.0.2.0/24", "2001:db8::/32"]', '["192.0.2.7"]'])
def test_the_networks_of_a_source_are_read(tmp_path: Path, addresses: str) -> None:
    service = made(tmp_path, f"{ONLY_THE_URL}addresses = {addresses}\n")
    assert [str(ip_network(text)) for text in tomllib.loads(f"x = {addresses}")["x"]] == [
        str(network) for network in service.parties.sources["open"].networks
    ]
    service.close()


BEHIND = f'''
[sources.behind]
provider = "generic"
secrets = ["{"ab" * 32}"]
verify = {{ preset = "client-certificate" }}
event = {{ document = "/id" }}
download = [{{ get = "https://sender.example/{{document}}", save = "document" }}]
'''


def test_a_source_that_believes_a_proxys_header_must_name_the_proxy(tmp_path: Path) -> None:
    expected = "the networks of the proxy that ends TLS, such as 10.0.0.7: anybody else can send its header as well"
    assert [f"sources.behind.proxies: found nothing, expected {expected}"] == problems(tmp_path, BEHIND)


def test_a_source_that_names_its_proxies_is_made(tmp_path: Path) -> None:
    service = made(tmp_path, BEHIND.replace("verify", 'proxies = ["10.0.0.7", "2001:db8::/64"]\nverify'))
    assert ["10.0.0.7/32", "2001:db8::/64"] == [str(one) for one in service.parties.sources["behind"].proxies]
    service.close()


@pytest.mark.parametrize("proxy", ["0.0.0.0/0", "::/0", "proxy.example", "10.0.0.1/24", "::ffff:10.0.0.7"])
def test_everybody_is_no_proxy(tmp_path: Path, proxy: str) -> None:
    (problem,) = problems(tmp_path, f'{ONLY_THE_URL}proxies = ["{proxy}"]\n')
    assert "networks in which only the proxies are" in problem


@pytest.mark.parametrize("address", ["192.0.2.1/24", "example.test", "192.0.2.0/33", "::ffff:10.0.0.0/120", ""])
def test_what_is_no_network_is_a_problem(tmp_path: Path, address: str) -> None:
    (problem,) = problems(tmp_path, f'{ONLY_THE_URL}addresses = ["{address}"]\n')
    assert "addresses of the form 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32" in problem
