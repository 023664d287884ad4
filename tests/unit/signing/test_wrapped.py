"""What is encrypted for the holder of an RSA key, as Anvil's library writes it."""

import base64
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from webhook_svc.core.settings import Secret
from webhook_svc.signing.wrapped import unwrapped, wrapped

CONTENT = '{"name": "Lease ÅÄÖ"}'.encode()
OAEP = padding.OAEP(mgf=padding.MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303  the sender's choice
AES_KEY, IV = bytes(range(32)), bytes(range(16))


@pytest.fixture(scope="module")
def pair() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def key(pair: rsa.RSAPrivateKey) -> Secret:
    return Secret(pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def as_the_library_writes(pair: rsa.RSAPrivateKey, content: bytes, aes_key: bytes = AES_KEY) -> str:
    pad = 16 - len(content) % 16
    cipher = Cipher(algorithms.AES(aes_key), modes.CBC(IV)).encryptor()
    body = cipher.update(content + bytes([pad]) * pad) + cipher.finalize()
    sealed = pair.public_key().encrypt(aes_key.hex().encode(), OAEP)
    return f"{base64.b64encode(sealed).decode()}:{IV.hex()}:{body.hex()}"


def test_what_the_library_writes_opens(pair: rsa.RSAPrivateKey, key: Secret) -> None:
    assert CONTENT == unwrapped(as_the_library_writes(pair, CONTENT), key)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_what_is_wrapped_opens_whatever_its_size(pair: rsa.RSAPrivateKey, key: Secret, size: int) -> None:
    content = os.urandom(size)
    assert content == unwrapped(wrapped(content, pair.public_key(), os.urandom), key)


def spoiled(text: str) -> list[str]:
    sealed, iv, body = text.split(":")
    return [
        *("", ":", "::", ":::", "not encrypted", "é", "\ud800:\ud800:\ud800"),
        *(f"{sealed}:{iv}", f"{sealed}:{iv}:", f"{sealed}::{body}", f":{iv}:{body}", f"{text}:00"),
        *(f"{sealed[:-8]}:{iv}:{body}", f"{sealed[::-1]}:{iv}:{body}", f"{iv}:{iv}:{iv}"),
        *(f"{sealed}:{iv[:-2]}:{body}", f"{sealed}:{iv}:{body[:-2]}", f"{sealed}:{iv}:{body[:-1]}g"),
        f"{sealed}:{iv}:{body[:-32]}{'00' * 16}",
    ]


def test_what_does_not_open_is_one_error_that_says_nothing_of_it(pair: rsa.RSAPrivateKey, key: Secret) -> None:
    for text in spoiled(as_the_library_writes(pair, CONTENT)):
        with pytest.raises(ValueError, match=r"^what is encrypted does not open with the private key$"):
            unwrapped(text, key)


@pytest.mark.parametrize("aes_key", [b"", b"k" * 16, b"k" * 64])
def test_a_key_of_another_length_does_not_open(pair: rsa.RSAPrivateKey, key: Secret, aes_key: bytes) -> None:
    sealed = pair.public_key().encrypt(aes_key.hex().encode(), OAEP)
    rest = as_the_library_writes(pair, CONTENT).partition(":")[2]
    with pytest.raises(ValueError, match="does not open"):
        unwrapped(f"{base64.b64encode(sealed).decode()}:{rest}", key)


def test_another_key_opens_nothing(pair: rsa.RSAPrivateKey) -> None:
    other: Any = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="does not open"):
        unwrapped(as_the_library_writes(pair, CONTENT), Secret(pem))


def test_what_is_no_private_key_is_told_without_a_word_of_it() -> None:
    with pytest.raises(ValueError, match=r"^an RSA private key in PEM form, without a password$"):
        unwrapped("a:b:c", Secret("no key of any kind"))
