"""What a letter says: templates, HTML, places of files, headers; and the bytes that it becomes."""

import re
from dataclasses import replace
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.rigs.base import MANIFEST, NOW, Bundle
from webhook_svc.core.errors import ArtifactLost
from webhook_svc.sinks.mail.letter import Letter, LetterSettings, Writer
from webhook_svc.sinks.mail.mime import compose

KOREAN = "임대차 계약서 (최종) 🖋️.pdf"


def settings(**changes: Any) -> LetterSettings:
    return LetterSettings(**{"from_": "Acme Bot <bot@acme.example>", "to": ("ann@acme.example",), **changes})


def written(bundle: Bundle | None = None, *, attached: bool = True, **changes: Any) -> Letter:
    return Writer(settings(**changes)).write((bundle or Bundle()).delivery(), date=NOW, attached=attached)


def read(letter: Letter) -> EmailMessage:
    return message_from_bytes(b"".join(compose(letter).chunks()), policy=policy.default)


# --- HTML ---------------------------------------------------------------------------------------------------------


def test_a_letter_without_an_html_template_has_none() -> None:
    assert "" == written().html
    assert "multipart/mixed text/plain application/pdf" == " ".join(
        part.get_content_type() for part in read(written()).walk()
    )


def test_html_stands_beside_the_text() -> None:
    mail = read(written(html="<h1>{title}</h1>{files}"))
    kinds = [part.get_content_type() for part in mail.walk()]
    assert ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"] == kinds


def test_what_is_put_into_html_is_escaped() -> None:
    name = "<img src=x onerror=alert(1)> & 'co'.pdf"
    bundle = Bundle(title="<script>alert(1)</script>", files={f"a/{name}": b"x"})
    html = written(bundle, html="<h1 title='{title}'>{title}</h1>{files}").html
    assert "<script>" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; &#x27;co&#x27;.pdf" in html


def test_the_text_is_not_escaped() -> None:
    assert "Fish & <Chips>" in written(Bundle(title="Fish & <Chips>"), html="{title}").text


@pytest.mark.parametrize(
    ("html", "end"), [("<p>Done.</p>", "</ul>"), ("<html><body><p>Done.</p></body></html>", "</ul>\n</body></html>")]
)
def test_a_notice_in_html_lists_the_files_whatever_the_template_says(html: str, end: str) -> None:
    said = written(attached=False, html=html).html
    assert "<li>deed.pdf (19 bytes, SHA-256 " in said
    assert said.endswith(end)


# --- where files are found ----------------------------------------------------------------------------------------


def test_a_place_that_all_share_is_named_once() -> None:
    letter = written(attached=False, location="s3://acme/{document}", text="{files}\n{location}")
    assert "They are at s3://acme/doc-1\n- deed.pdf (19 bytes" in letter.text
    assert letter.text.endswith("\ns3://acme/doc-1")


def test_each_file_may_have_a_place_of_its_own() -> None:
    bundle = Bundle(files={"2026/a b/계약.pdf": b"x", "2026/a b/audit.pdf": b"y"})
    letter = written(bundle, attached=False, location="https://acme.example/f/{path}", html="{files}")
    links = [f"https://acme.example/f/2026/a%20b/{name}" for name in ("%EA%B3%84%EC%95%BD.pdf", "audit.pdf")]
    assert links == [line.strip() for line in letter.text.splitlines() if line.strip().startswith("https:")]
    assert [True, True] == [f'<a href="{link}">{link}</a>' in letter.html for link in links]


def test_a_value_cannot_bend_an_address_of_the_web() -> None:
    letter = written(Bundle(title="a/../?x=1#\"'> b"), attached=False, location="https://acme.example/{title}")
    assert "https://acme.example/a%2F..%2F%3Fx%3D1%23%22%27%3E%20b" in letter.text


def test_what_is_attached_needs_no_place() -> None:
    letter = written(location="https://acme.example/{sha256}", html="{files}")
    assert "https:" not in letter.text + letter.html


# --- templates in files -------------------------------------------------------------------------------------------


def test_templates_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeff계약 {title}", "utf-8")
    (tmp_path / "a.html").write_text("<b>{title}</b>", "utf-8")
    letter = written(text_file=str(tmp_path / "a.txt"), html_file=str(tmp_path / "a.html"))
    assert ("계약 Lease", "<b>Lease</b>") == (letter.text, letter.html)


def test_a_file_is_read_at_the_start_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("first", "utf-8")
    writer = Writer(settings(text_file=str(path)))
    path.write_text("{", "utf-8")
    assert "first" == writer.write(Bundle().delivery(), date=NOW, attached=True).text


@pytest.mark.parametrize("content", [None, b"\xff", b"{titel}", b"{"], ids=["missing", "no UTF-8", "unknown", "lone"])
@pytest.mark.parametrize("name", ["text_file", "html_file"])
def test_a_file_that_cannot_be_used_is_found_at_the_start(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError):
        settings(**{name: str(tmp_path / "a")})


@pytest.mark.parametrize(
    "changes",
    [
        {"html": "{password}"},
        {"html": "x", "html_file": "a"},
        {"text": "x", "text_file": "a"},
        {"text": "{title:.3}"},
        {"list_id": "{path}"},
        {"attach_limit": -1},
        {"to": (), "bcc": ()},
        {"reply_to": ("nobody",)},
        {"from_": f"{'n' * 500} <bot@acme.example>"},
        {"headers": {"Subject": "x"}},
        {"headers": {"bcc": "x"}},
        {"headers": {"Content-Type": "x"}},
        {"headers": {"Resent-To": "x"}},
        {"headers": {"X-A: b\r\nBcc": "x"}},
        {"headers": {"": "x"}},
        {"headers": {"X-A": "{files}"}},
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        settings(**changes)


# --- headers ------------------------------------------------------------------------------------------------------


def test_filters_may_go_by_the_list_and_its_source() -> None:
    assert "<contracts.archive.acme.example>" == read(written())["List-Id"]
    assert "List-Id" not in read(written(list_id=""))
    assert "<a-b-c.acme.example>" == read(written(Bundle(title="a >\r\nb c"), list_id="{title}.{domain}"))["List-Id"]


def test_no_line_is_longer_than_a_mail_server_takes() -> None:
    long = "w" * 3000
    bundle = Bundle(title=long, files={f"a/{long}.pdf": b"x"})
    name = f"{'n' * 480} <bot@acme.example>"
    mail = written(bundle, list_id="{title}.{domain}", headers={"X-Long": "{title}"}, from_=name, text=long, html=long)
    assert 998 >= max(map(len, b"".join(compose(mail).chunks()).split(b"\r\n")))


def test_no_machine_answers() -> None:
    assert "auto-generated" == read(written())["Auto-Submitted"]


def test_headers_may_be_added() -> None:
    mail = read(written(Bundle(title="계약\r\nBcc: eve@evil.example"), headers={"X-Department": "Récht {title}"}))
    assert "Récht 계약 Bcc: eve@evil.example" == mail["X-Department"]
    assert mail["Bcc"] is None


def test_answers_go_where_the_settings_say() -> None:
    mail = read(written(reply_to=("Récht <law@acme.example>", "b@acme.example")))
    assert "Récht <law@acme.example>, b@acme.example" == mail["Reply-To"]


def test_recipients_in_bcc_are_served_and_not_named() -> None:
    some = settings(bcc=("Eve <eve@acme.example>", "ann@acme.example"))
    assert ["ann@acme.example", "eve@acme.example"] == some.recipients()
    assert b"eve" not in b"".join(compose(written(bcc=("eve@acme.example",))).chunks())


@pytest.mark.parametrize("name", ["Änn, Ö.", "안 나", "🖋️ Team", 'A "B" C', "x" * 70, "가" * 40])
def test_names_of_people_survive(name: str) -> None:
    quoted = name.replace('"', '\\"')
    whole = b"".join(compose(written(to=(f'"{quoted}" <ann@acme.example>',))).chunks())
    ((found, ann),) = getaddresses([str(message_from_bytes(whole)["To"])])
    assert (name, "ann@acme.example") == (str(make_header(decode_header(found))), ann)


def test_a_long_address_and_a_name_of_any_script_stay_two_recipients() -> None:
    long = f"{'p' * 60}@{'d' * 60}.example"
    whole = b"".join(compose(written(to=(long, f"{'가' * 30} <{long}>", '"Ann, B" <b@acme.example>'))).chunks())
    lines = whole.partition(b"\r\n\r\n")[0].decode()
    (said,) = (line for line in re.sub("\r\n ", " ", lines).splitlines() if line.startswith("To: "))
    found = getaddresses([said.removeprefix("To: ")])
    assert [long, long, "b@acme.example"] == [one for _, one in found]
    assert ["", "가" * 30, "Ann, B"] == [str(make_header(decode_header(name))) for name, _ in found]


@pytest.mark.parametrize("word", ["<https://acme.example/" + "u" * 200 + ">", "a,b;c" * 30])
def test_a_long_word_in_a_header_is_left_as_it_is(word: str) -> None:
    letter = written(headers={"List-Unsubscribe": word}, from_=f"b@{'d' * 60}.{'e' * 60}.example")
    lines = b"".join(compose(letter).chunks()).decode().split("\r\n")
    assert f"List-Unsubscribe: {word}" in lines
    assert f"List-Id: <contracts.archive.{'d' * 60}.{'e' * 60}.example>" in lines
    assert f"Message-ID: {letter.message_id}" in lines


@pytest.mark.parametrize("title", ["=?utf-8?q?=0Ax?=", "a  b", "x" * 240, "word " * 40, "가 " * 100, "🖋️" * 60])
def test_a_subject_is_read_as_it_was_written(title: str) -> None:
    letter = written(Bundle(title=title), subject="{title}")
    whole = b"".join(compose(letter).chunks())
    said = message_from_bytes(whole)["Subject"].replace("\r\n", "").replace("\n", "")
    assert letter.subject == str(make_header(decode_header(said)))
    assert max(map(len, whole.partition(b"\r\n\r\n")[0].split(b"\r\n"))) < 260


def test_every_try_has_the_same_id() -> None:
    first, again = (written(Bundle(title=title)).message_id for title in ("a", "b"))
    assert first == again
    assert first != written(Bundle(id="dlv_02")).message_id


# --- bytes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 262_143, 262_144, 262_145])
@pytest.mark.parametrize("attached", [True, False])
def test_the_size_is_known_before_a_file_is_read(size: int, attached: bool) -> None:
    letter = written(Bundle(files={"a/x.pdf": b"x" * size, "a/계약.pdf": b"y"}), attached=attached, manifest=True)
    message = compose(letter)
    whole = b"".join(message.chunks())
    with message.open() as stream:
        assert whole == stream.read()
    assert len(whole) == message.size


def test_a_mail_goes_through_servers_of_seven_bits() -> None:
    bundle = Bundle(title="계약 é", files={f"a/{KOREAN}": bytes(range(256)) * 9})
    letter = written(
        bundle, text="{title}\r\n" + "가" * 2000 + "\n{files}", html="<p>é" + "x" * 3000, headers={"X-A": "é"}
    )
    whole = b"".join(compose(letter).chunks())
    assert whole.isascii()
    assert max(map(len, whole.split(b"\r\n"))) <= 998
    assert whole.count(b"\n") == whole.count(b"\r") == whole.count(b"\r\n")
    mail = message_from_bytes(whole, policy=policy.default)
    assert [] == [defect for part in mail.walk() for defect in part.defects]
    (attachment,) = mail.iter_attachments()
    assert (KOREAN, bytes(range(256)) * 9) == (attachment.get_filename(), attachment.get_content())


@pytest.mark.parametrize("name", [KOREAN, "가" * 58 + ".pdf", "🖋️" * 20 + ".pdf", 'a";b\\c.pdf', "a'%27b.pdf"])
def test_file_names_survive(name: str) -> None:
    (attachment,) = read(written(Bundle(files={f"a/{name}": b"x"}))).iter_attachments()
    assert name == attachment.get_filename()


@pytest.mark.parametrize("attached", [True, False])
def test_the_manifest_goes_along_if_wished(attached: bool) -> None:
    *files, manifest = read(written(attached=attached, manifest=True)).iter_attachments()
    assert [b"%PDF-1.7 deed %%EOF"] * attached == [one.get_content() for one in files]
    assert ("manifest.json", "application/json", MANIFEST) == (
        manifest.get_filename(), manifest.get_content_type(), manifest.get_content(),
    )  # fmt: skip


def test_another_file_than_was_announced_never_makes_a_whole_mail() -> None:
    letter = written()
    (attachment,) = letter.attachments
    damaged = replace(letter, attachments=(replace(attachment, open=lambda: BytesIO(b"%PDF-1.7 deed %%EOG")),))
    seen: list[bytes] = []
    with pytest.raises(ArtifactLost):
        seen.extend(compose(damaged).chunks())
    with pytest.raises(ArtifactLost), compose(damaged).open() as stream:
        stream.read()
    assert not b"".join(seen).endswith(b"--\r\n")
