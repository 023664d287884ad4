"""Tokens that vouch for us: what is signed, by which key, however the key is written."""

import json
from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from tests.guard import secret
from webhook_svc.core.settings import Secret
from webhook_svc.signing.outgoing.jwt import signed
from webhook_svc.simulators.docusign import private_key, rsa_key


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.mark.parametrize("pem", [private_key(), private_key().replace("\\n", "\n")], ids=["one line", "many lines"])
def test_a_key_may_stand_in_one_line(pem: str) -> None:
    head, claims, signature = signed({"sub": "ü"}, Secret(pem)).split(".")
    assert ({"alg": "RS256", "typ": "JWT"}, {"sub": "ü"}) == (json.loads(decoded(head)), json.loads(decoded(claims)))
    rsa_key().public_key().verify(decoded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())


@pytest.mark.parametrize("text", [secret("key"), "-----BEGIN RSA PRIVATE KEY-----\\n", private_key()[:-60], "\ud800"])
def test_what_is_no_key_is_told_without_a_word_of_it(text: str) -> None:
    with pytest.raises(ValueError, match="an RSA private key in PEM form") as raised:
        signed({}, Secret(text))
    assert text not in str(raised.value)
