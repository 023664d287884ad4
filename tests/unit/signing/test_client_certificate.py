"""Client certificates as proxies pass them on: real ones, in every known form, and whatever else may stand there."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest
from webhook_svc.signing.client_certificate import presented
from webhook_svc.signing.verify import Verifier, VerifySettings

NOW = 1_767_225_600
HEADER = "x-client-cert"


def certificate(name: str = "sender", begins: float = NOW - 1000, ends: float = NOW + 1000) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(datetime.fromtimestamp(begins, UTC))
    return builder.not_valid_after(datetime.fromtimestamp(ends, UTC)).sign(key, hashes.SHA256())


SENDER, OTHER = certificate(), certificate("other")
DER, PEM = SENDER.public_bytes(Encoding.DER), SENDER.public_bytes(Encoding.PEM).decode()
SHA256 = hashlib.sha256(DER).hexdigest()
OTHER_PEM = OTHER.public_bytes(Encoding.PEM).decode()
NGINX = quote(PEM, safe="")
AMAZON = quote(PEM, safe="+=/")

FORMS = {
    "nginx": NGINX,
    "AWS": AMAZON,
    "AWS with a chain": quote(PEM + OTHER_PEM, safe="+=/"),
    "nginx without line breaks": PEM.replace("\n", " "),
    "nginx with tabs": PEM.replace("\n", "\t"),
    "RFC 9440": f":{base64.b64encode(DER).decode()}:",
    "base64": base64.b64encode(DER).decode(),
    "a fingerprint": SHA256,
    "a fingerprint with colons": SENDER.fingerprint(hashes.SHA256()).hex(":").upper(),
    "Envoy's hash": f'By=spiffe://a/b;Hash={SHA256};Subject="/C=US/CN=a \\"quoted\\", b;=";URI=spiffe://c/d',
    "Envoy's certificate": f'Cert="{quote(PEM, safe="")}"',
    "both of Envoy's": f'Hash={SHA256};Cert="{NGINX}";Chain="{NGINX}";Subject="";URI=a;URI=b',
}


def verifier(*secrets: str, **given: Any) -> Verifier:
    settings = VerifySettings(**{"preset": "client-certificate", "signature": f"header:{HEADER}", **given})
    return Verifier(settings, [Secret(secret) for secret in secrets or (SHA256,)])


def sent(*texts: str) -> RawRequest:
    return RawRequest(headers=tuple((HEADER, text) for text in texts), body=b"{}")


def reason(*texts: str, now: float = NOW) -> str:
    with pytest.raises(NotGenuine) as caught:
        verifier().verify(sent(*texts), now)
    return caught.value.reason


@pytest.mark.parametrize("form", FORMS)
def test_the_certificate_is_known_in_every_form_and_masked_by_the_same_mark(form: str) -> None:
    mark = verifier().verify(sent(FORMS[form]), NOW)
    assert fingerprint(SHA256) == mark
    assert ((HEADER, mark),) == verifier().mask(sent(FORMS[form])).headers


@pytest.mark.parametrize("form", FORMS)
def test_another_certificate_is_refused_and_masked_too(form: str) -> None:
    only_other = verifier(hashlib.sha256(OTHER.public_bytes(Encoding.DER)).hexdigest())
    with pytest.raises(NotGenuine) as caught:
        only_other.verify(sent(FORMS[form]), NOW)
    assert "bad_signature" == caught.value.reason
    assert ((HEADER, fingerprint(SHA256)),) == only_other.mask(sent(FORMS[form])).headers


def test_the_mark_is_that_of_the_secret_as_it_is_written() -> None:
    written = SENDER.fingerprint(hashes.SHA256()).hex(":").upper()
    two = verifier("00" * 32, written)
    assert fingerprint(written) == two.verify(sent(NGINX), NOW)
    assert ((HEADER, fingerprint(written)),) == two.mask(sent(NGINX)).headers


def test_a_certificate_counts_only_while_it_is_valid() -> None:
    for now in (NOW - 1000, NOW + 1000):
        assert verifier().verify(sent(NGINX), now)
    for now in (NOW - 1001, NOW + 1001):
        assert "stale" == reason(NGINX, now=now)
    assert verifier().verify(sent(SHA256), NOW + 1001), "of a hash alone only the proxy knows"


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        ((), "no_signature"),
        (("",), "no_signature"),
        ((" ",), "no_signature"),
        ((NGINX, NGINX), "doubled"),
        ((SHA256, SHA256), "doubled"),
        (("(null)",), "malformed"),
        (("SUCCESS",), "malformed"),
        ((SHA256[:-1],), "malformed"),
        ((SHA256 + ":00",), "malformed"),
        ((f"{SHA256},{SHA256}",), "malformed"),
        ((NGINX[:-30],), "malformed"),
        ((NGINX.replace("CERTIFICATE", "TRUST"),), "malformed"),
        (("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----",), "malformed"),
        (("-----BEGIN CERTIFICATE-----AAA-----END CERTIFICATE-----",), "malformed"),
        (("%2D" * 5 + "BEGIN",), "malformed"),
        ((":AAA:",), "malformed"),
        ((f"Hash={SHA256},Hash={SHA256}",), "malformed"),
        ((f"Hash={SHA256};Hash={SHA256}",), "malformed"),
        ((f"hash={SHA256};HASH={SHA256}",), "malformed"),
        ((f'Hash={"00" * 32};Cert="{NGINX}"',), "malformed"),
        ((f'By=a;Subject="x;Hash={SHA256}',), "malformed"),
        ((f'By=a;Subject="x";URI=Hash={SHA256}',), "malformed"),
        (("By=a;Subject=b",), "malformed"),
        (("Hash=",), "malformed"),
        (("é" * 64,), "malformed"),
        (("A" * 16385,), "too_long"),
    ],
)
def test_what_is_no_certificate_is_refused(texts: tuple[str, ...], word: str) -> None:
    assert word == reason(*texts)


def test_an_allowed_fingerprint_of_what_is_no_certificate_is_refused() -> None:
    junk = b"\x30\x03junk"
    with pytest.raises(NotGenuine) as caught:
        verifier(hashlib.sha256(junk).hexdigest()).verify(sent(base64.b64encode(junk).decode()), NOW)
    assert "malformed" == caught.value.reason


@pytest.mark.parametrize("secret", ["ab", "zz" * 32, "ab" * 20, "AB:" * 32, ":" + "ab" * 32, PEM])
def test_a_secret_that_is_no_fingerprint_is_refused_when_the_verifier_is_made(secret: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        verifier(secret)


@pytest.mark.parametrize(
    "setting",
    [{"message": "{body}"}, {"encoding": "base64"}, {"pattern": "(.*)"}, {"tolerance": 3}, {"covers": ("date",)}],
)
def test_settings_that_a_certificate_does_not_need_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="would never be looked at"):
        verifier(**setting)


@pytest.mark.parametrize("place", ["query:cert", "json:/cert", "header:x-.*"])
def test_a_certificate_stands_in_one_header(place: str) -> None:
    with pytest.raises(ValueError, match="header:NAME here"):
        verifier(signature=place)


def test_the_words_of_its_holder_are_protected_and_a_proxy_is_needed() -> None:
    assert VerifySettings(preset="client-certificate").protects("/data/id")
    assert (True, False) == (verifier().needs_proxy, Verifier(VerifySettings(alg="none"), ()).needs_proxy)


@hypothesis.settings(deadline=None, max_examples=200)
@given(st.one_of(st.text(), st.text(alphabet=';,="\\HashCert%:-0aF', max_size=200)))
def test_any_text_is_a_certificate_or_a_value_error(text: str) -> None:
    try:
        found = presented(text)
    except ValueError:
        return
    assert 32 == len(found.sha256)
