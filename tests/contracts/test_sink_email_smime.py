"""S/MIME mails, read by somebody else: the `openssl` command."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Retryable
from webhook_svc.core.settings import Secret, build
from webhook_svc.sinks.email import Email, EmailSettings
from webhook_svc.sinks.mail.smime import Smime

from .mail import DEED, NOW, PASSWORD, MailServer, serving, settings
from .smime import Person, attachments, needs_openssl, opened, openssl, person, verified

pytestmark = needs_openssl

KEY_PASSWORD = secret("key-password")
ANN, BOB = "ann@acme.example", "bob@acme.example"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    folder = tmp_path_factory.mktemp("people")
    root = person(folder, "root@acme.example", curve=True, ca=True)
    middle = person(folder, "middle@acme.example", root, curve=True, ca=True)
    return {
        "root": root,
        "bot": person(folder, "bot@acme.example", middle),
        "curve": person(folder, "curve@acme.example", middle, curve=True),
        "ann": person(folder, ANN),
        "bob": person(folder, BOB),
        "eve": person(folder, "eve@evil.example"),
    }


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture
def make(server: MailServer) -> Iterator[Callable[..., Email]]:
    with serving(server) as port:

        def _make(smime: Smime, *, now: float = NOW, **changes: Any) -> Email:
            where = Secret(f"smtp://bot:{PASSWORD}@127.0.0.1:{port}")
            given = {"server": where, "to": (ANN, BOB), "smime": smime, **changes}
            return Email("legal", settings(**given), cast(Any, None), clock=lambda: now)

        yield _make


def signing(who: Person) -> dict[str, Any]:
    return {"certificate": who.chain, "key": Secret(who.files[1])}


def encrypting(people: dict[str, Person]) -> dict[str, Any]:
    return {"recipients": {ANN: people["ann"].files[0], BOB: people["bob"].pem}}


# --- what others read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["bot", "curve"], ids=["RSA", "EC"])
def test_a_signed_mail_is_verified_up_to_its_root(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person], who: str
) -> None:
    sink = make(Smime(**signing(people[who])), text=".계약 {title}\n.", html="<p>é</p>", manifest=True)
    receipt = sink.deliver(bundle(files={"a/계약 🖋️.pdf": DEED * 9000}).delivery(), progress)
    mail = server.mails[0][1]
    found = attachments(verified(mail, people["root"]))
    assert ["계약 🖋️.pdf", "manifest.json"] == list(found)
    assert DEED * 9000 == found["계약 🖋️.pdf"]
    assert "signed" == receipt.details["smime"]
    assert "Signed: Lease" == server.mail()["Subject"]
    assert "multipart/signed" == server.mail().get_content_type()


def test_who_cannot_verify_reads_a_signed_mail_all_the_same(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person]
) -> None:
    make(Smime(**signing(people["bot"]))).deliver(bundle().delivery(), progress)
    content, signature = server.mail().iter_parts()
    assert "smime.p7s" == signature.get_filename()
    assert {"deed.pdf": DEED} == attachments(content.as_bytes())


@pytest.mark.parametrize("old", [b"is signed and complete", b'filename="deed.pdf"', b"JVBERi"])
def test_a_signed_mail_that_was_altered_is_noticed(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person], old: bytes
) -> None:
    make(Smime(**signing(people["bot"]))).deliver(bundle().delivery(), progress)
    mail = server.mails[0][1]
    assert 1 == mail.count(old)
    assert verified(mail, people["root"]) is not None
    assert verified(mail.replace(old, old.swapcase()), people["root"]) is None


def test_everybody_it_is_for_opens_an_encrypted_mail_and_nobody_else(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person]
) -> None:
    sent = bundle(files={"a/계약 🖋️.pdf": DEED * 9000})
    receipt = make(Smime(**encrypting(people))).deliver(sent.delivery(), progress)
    assert [ANN, BOB] == server.to()
    for name in ("ann", "bob"):
        assert {"계약 🖋️.pdf": DEED * 9000} == attachments(opened(server.mails[0][1], people[name]))
    assert opened(server.mails[0][1], people["eve"]) is None
    assert "encrypted" == receipt.details["smime"]


def test_an_encrypted_mail_shows_its_subject_and_nothing_else(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person]
) -> None:
    sink = make(Smime(**encrypting(people)), subject="A document for you", html="<p>{title}</p>")
    sink.deliver(bundle(title="Lease of Acme").delivery(), progress)
    mail = server.mail()
    assert ("application/pkcs7-mime", "enveloped-data") == (
        mail.get_content_type(), mail["Content-Type"].params["smime-type"],
    )  # fmt: skip
    assert "A document for you" == mail["Subject"]
    assert [] == [word for word in (b"Lease", b"deed.pdf", b"JVBERi", b"contracts,") if word in server.mails[0][1]]
    printed = openssl("-cmsout", "-print", given=server.mails[0][1])
    assert printed
    assert b"aes-256-cbc" in printed


def test_what_is_signed_and_encrypted_is_opened_and_then_verified(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person]
) -> None:
    sink = make(Smime(**signing(people["bot"]), **encrypting(people)))
    assert "signed and encrypted" == sink.deliver(bundle().delivery(), progress).details["smime"]
    inner = opened(server.mails[0][1], people["bob"])
    assert inner
    assert {"deed.pdf": DEED} == attachments(verified(inner, people["root"]))


def test_an_encrypted_mail_fits_into_what_the_server_takes(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person]
) -> None:
    server.features = ("AUTH PLAIN", "SIZE 60000")
    sink = make(Smime(**encrypting(people)))
    sent = bundle(files={"a/deed.pdf": b"x" * 25_000})
    receipt = sink.deliver(sent.delivery(), progress)
    assert [] == receipt.details["attached"]
    assert {} == attachments(opened(server.mails[0][1], people["ann"]))
    said = [line.lower() for line in server.heard if line.startswith("MAIL")]
    assert [f"mail from:<bot@acme.example> size={len(mail)}" for _, mail in server.mails] == said


# --- certificates and keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-400, 400], ids=["not yet valid", "expired"])
@pytest.mark.parametrize("use", ["sign", "encrypt"])
def test_a_certificate_out_of_its_time_is_told_and_waited_for(
    make: Any, server: MailServer, bundle: Any, progress: Any, people: dict[str, Person], days: int, use: str
) -> None:
    smime = Smime(**(signing(people["bot"]) if use == "sign" else encrypting(people)))
    sink = make(smime, now=NOW + days * 86400)
    with pytest.raises(Retryable, match=r"certificate of (our sender|a\*{3}@acme\.example) is valid from"):
        sink.check()
    with pytest.raises(Retryable, match="certificate of"):
        sink.deliver(bundle().delivery(), progress)
    assert [] == server.mails


def test_check_says_when_the_first_certificate_ends(make: Any, people: dict[str, Person]) -> None:
    assert make(Smime(**signing(people["bot"]))).check().endswith("; the first S/MIME certificate ends on 2027-09-21")
    assert "S/MIME" not in make(Smime()).check()


def test_without_certificates_a_mail_is_as_ever(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    assert "smime" not in make(Smime()).deliver(bundle().delivery(), progress).details
    assert "multipart/mixed" == server.mail().get_content_type()


def test_a_key_may_be_encrypted(people: dict[str, Person]) -> None:
    bot = people["bot"]
    key = Secret(bot.key_pem(KEY_PASSWORD))
    assert Smime(certificate=bot.pem, key=key, password=Secret(KEY_PASSWORD))
    for wrong in (None, Secret("another-" + KEY_PASSWORD)):
        with pytest.raises(ValueError, match="private key") as caught:
            Smime(certificate=bot.pem, key=key, password=wrong)
        assert "-----" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        lambda people: {"certificate": people["bot"].pem},
        lambda people: {"key": Secret(people["bot"].key_pem())},
        lambda people: {"certificate": people["bot"].pem, "key": Secret(people["ann"].key_pem())},
        lambda people: {"certificate": people["bot"].pem, "key": Secret(people["bot"].pem)},
        lambda people: {"certificate": people["bot"].key_pem(), "key": Secret(people["bot"].key_pem())},
        lambda people: {"certificate": people["bot"].pem, "key": Secret("no-such-file.pem")},
        lambda _: {"recipients": {ANN: "no-such-file.pem"}},
        lambda _: {"recipients": {ANN: "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----"}},
        lambda people: {"recipients": {ANN: people["curve"].pem}},
    ],
)
def test_what_cannot_be_used_is_found_at_the_start(people: dict[str, Person], changes: Any) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        Smime(**changes(people))
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize("more", [{"to": (ANN, BOB, "cid@acme.example")}, {"to": (ANN,), "bcc": (BOB,)}])
def test_nobody_is_sent_in_the_clear_what_others_are_sent_encrypted(
    people: dict[str, Person], more: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"smime|bcc"):
        settings(smime=Smime(**encrypting(people)), **more)


def test_nothing_is_encrypted_for_somebody_who_is_sent_nothing(people: dict[str, Person]) -> None:
    with pytest.raises(ValueError, match=f"somebody who is sent nothing, such as {BOB}"):
        settings(smime=Smime(**encrypting(people)), to=(ANN,))


def test_the_settings_are_a_table_within_those_of_the_sink(people: dict[str, Person]) -> None:
    problems: list[Any] = []
    table = {
        "server": "smtp://127.0.0.1", "from": "bot@acme.example", "to": [ANN],
        "smime": {"recipients": {ANN: people["ann"].files[0]}},
    }  # fmt: skip
    built = build(EmailSettings, table, "sinks.legal", problems)
    assert ([], {ANN: people["ann"].files[0]}) == (problems, dict(built.smime.recipients))
    build(EmailSettings, {**table, "smime": {"recipients": {ANN: "gone.pem"}}}, "sinks.legal", problems)
    assert ["sinks.legal.smime"] == [one.where for one in problems]
