"""What the mailbox sink puts where, and what it makes of everything a mail server may answer."""

import re
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest

from tests.guard import secret
from webhook_svc.core.errors import ArtifactLost, ClaimLost, Conflict, Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.imap import Imap, ImapSettings
from webhook_svc.sinks.mail.mailbox import encoded_name

from .rigs.base import large_delivery
from .rigs.certificate import certificate
from .rigs.imap import ImapRig, dovecot

NOW = 1_790_000_000.0
PASSWORD = secret("password")
DEED = b"%PDF-1.7 deed %%EOF"
DROP = "drop"


@dataclass
class MailServer:
    """An IMAP server with one mailbox that says what it is told to.

    `says` maps the beginning of a command to its answers in turn; without one it does what is asked.
    """

    says: dict[str, list[str]] = field(default_factory=dict)
    capabilities: str = "IMAP4rev1 AUTH=PLAIN UIDPLUS"
    greeting: str = "* OK ready"
    there: bool = True
    separator: str = "/"
    rights: str = "lrsi"
    heard: list[str] = field(default_factory=list)
    mails: dict[int, bytes] = field(default_factory=dict)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection, connection.makefile("rb") as reader:
                try:
                    self._talk(connection, reader)
                except (OSError, EOFError):
                    self.heard.append("(broken off)")

    def _talk(self, connection: socket.socket, reader: Any) -> None:
        def say(line: str) -> None:
            connection.sendall(line.encode() + b"\r\n")

        say(self.greeting)
        while line := reader.readline().decode().strip():
            tag, _, command = line.partition(" ")
            self.heard.append(command)
            answer = self._told(command)
            if answer == DROP:
                return
            if answer is None:
                answer = self._done(command, say, reader)
            say(answer if answer.startswith("*") else f"{tag} {answer}")
            if answer.startswith("*") or command == "LOGOUT":
                return

    def _told(self, command: str) -> str | None:
        for beginning, answers in self.says.items():
            if command.startswith(beginning) and answers:
                return answers.pop(0)
        return None

    def _done(self, command: str, say: Callable[[str], None], reader: Any) -> str:
        verb = command.removeprefix("UID ").split()[0].lower()
        return str(getattr(self, f"_{verb}", lambda *_: "OK done")(command, say, reader))

    def _capability(self, _: str, say: Callable[[str], None], __: Any) -> str:
        say(f"* CAPABILITY {self.capabilities}")
        return "OK done"

    def _authenticate(self, _: str, say: Callable[[str], None], reader: Any) -> str:
        say("+ ")
        reader.readline()
        return "OK in"

    def _list(self, _: str, say: Callable[[str], None], __: Any) -> str:
        say(rf'* LIST (\Noselect) "{self.separator}" ""')
        return "OK done"

    def _myrights(self, _: str, say: Callable[[str], None], __: Any) -> str:
        say(f"* MYRIGHTS Signed {self.rights}")
        return "OK done"

    def _examine(self, _: str, say: Callable[[str], None], __: Any) -> str:
        if not self.there:
            return "NO there is none"
        say("* 0 EXISTS")
        say("* OK [UIDVALIDITY 7] fine")
        return "OK open"

    _select = _examine

    def _create(self, *_: Any) -> str:
        self.there = True
        return "OK made"

    def _search(self, command: str, say: Callable[[str], None], _: Any) -> str:
        wanted = command.split('"')[1].encode()
        say("* SEARCH" + "".join(f" {uid}" for uid, mail in self.mails.items() if wanted in mail))
        return "OK done"

    def _append(self, command: str, say: Callable[[str], None], reader: Any) -> str:
        size = int(command.partition("{")[2].rstrip("}"))
        say("+ go")
        mail = reader.read(size)
        if len(mail) < size or reader.read(2) != b"\r\n":
            raise EOFError
        answer = self._told("end of APPEND")
        if answer is None or answer in (DROP, "OK done"):
            self.mails[max(self.mails, default=0) + 1] = mail
        return answer or f"OK [APPENDUID 7 {max(self.mails)}] done"

    def _fetch(self, command: str, say: Callable[[str], None], _: Any) -> str:
        uid, number, start, size = map(int, re.findall(r"\d+", command))
        mail = message_from_bytes(self.mails[uid], policy=policy.default)
        payload = mail.get_payload()
        part = str(cast(list[EmailMessage], payload)[number - 1].get_payload()) if mail.is_multipart() else ""
        piece = part.replace("\r\n", "\n").replace("\n", "\r\n")[start : start + size]
        say(
            f"* 1 FETCH (UID {uid} BODY[{number}]<{start}> {{{len(piece)}}}\r\n{piece})"
            if piece
            else "* 1 FETCH (X NIL)"
        )
        return "OK done"

    def _expunge(self, command: str, *_: Any) -> str:
        del self.mails[int(command.split()[-1])]
        return "OK done"

    def _logout(self, _: str, say: Callable[[str], None], __: Any) -> str:
        say("* BYE")
        return "OK out"


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture
def port(server: MailServer) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=server.serve, args=(listener,))
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def make(port: int) -> Callable[..., Imap]:
    def _make(*, now: float = NOW, **changes: Any) -> Imap:
        common = {"server": Secret(f"imap://bot:{PASSWORD}@127.0.0.1:{port}"), "tls": "none"}
        return Imap("legal", settings(**{**common, **changes}), cast(Any, None), clock=lambda: now)

    return _make


def settings(**changes: Any) -> ImapSettings:
    common = {"server": Secret("imap://bot:x@127.0.0.1"), "from_": "Bot <bot@acme.example>", "tls": "none"}
    return ImapSettings(**{**common, "to": ("ann@acme.example",), "mailbox": "Signed", **changes})


def mail_in(server: MailServer, uid: int = 1) -> EmailMessage:
    return message_from_bytes(server.mails[uid], policy=policy.default)


# --- what the server says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer", "fate", "said"),
    [
        ("AUTHENTICATE", "NO [AUTHENTICATIONFAILED] no: hunter2", Retryable, "AUTHENTICATIONFAILED"),
        ("AUTHENTICATE", "NO [AUTHORIZATIONFAILED] no: hunter2", Retryable, "AUTHORIZATIONFAILED"),
        ("AUTHENTICATE", "NO [EXPIRED] no: hunter2", Retryable, "EXPIRED"),
        ("AUTHENTICATE", "NO [UNAVAILABLE] no: hunter2", Retryable, "UNAVAILABLE"),
        ("AUTHENTICATE", "NO [CONTACTADMIN] no: hunter2", Retryable, "CONTACTADMIN"),
        ("AUTHENTICATE", "NO [PRIVACYREQUIRED] no: hunter2", Permanent, "wants TLS"),
        ("AUTHENTICATE", "NO no: hunter2", Retryable, "logging in"),
        ("AUTHENTICATE", "* BYE [UNAVAILABLE] no: hunter2", Retryable, "broke off"),
        ("AUTHENTICATE", DROP, Retryable, "broke off"),
        ("LIST", "BAD User is authenticated but not connected", Unlikely, "too busy"),
        ("EXAMINE", "NO [NOPERM] no: hunter2", Retryable, "NOPERM"),
        ("EXAMINE", "NO [INUSE] no: hunter2", Retryable, "INUSE"),
        ("EXAMINE", "NO [UNAVAILABLE] no: hunter2", Retryable, "UNAVAILABLE"),
        ("UID SEARCH", "NO [SERVERBUG] no: hunter2", Retryable, "SERVERBUG"),
        ("UID SEARCH", "BAD what?", Unlikely, "did not understand"),
        ("APPEND", "NO [TRYCREATE] no: hunter2", Retryable, "TRYCREATE"),
        ("APPEND", "NO [OVERQUOTA] no: hunter2", Retryable, "OVERQUOTA"),
        ("APPEND", "NO [TOOBIG] no: hunter2", Permanent, "attach_limit"),
        ("APPEND", "NO [CLIENTBUG] no: hunter2", Unlikely, "CLIENTBUG"),
        ("APPEND", "NO [XLIST-HUNTER2] no: hunter2", Retryable, "refused$"),
        ("end of APPEND", "NO [OVERQUOTA] no: hunter2", Retryable, "the mailbox is full"),
        ("end of APPEND", "NO [LIMIT] no: hunter2", Retryable, "LIMIT"),
        ("end of APPEND", "NO no: hunter2", Retryable, "putting the mail there: the mail server refused$"),
        ("end of APPEND", "* BYE hunter2", Retryable, "broke off"),
    ],
)
def test_the_answer_decides_the_fate(
    make: Any, server: MailServer, bundle: Any, progress: Any, command: str, answer: str, fate: type, said: str
) -> None:
    server.says = {command: [answer]}
    with pytest.raises(WebhookError, match=said) as caught:
        make().deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert "hunter2" not in str(caught.value)
    assert {} == server.mails


@pytest.mark.parametrize(
    ("answer", "fate"), [("NO [CANNOT] bad name", Permanent), ("NO [NOPERM] no", Retryable), ("NO no", Retryable)]
)
def test_a_mailbox_that_cannot_be_made_is_named(
    make: Any, server: MailServer, bundle: Any, progress: Any, answer: str, fate: type
) -> None:
    server.there, server.says = False, {"CREATE": [answer]}
    with pytest.raises(WebhookError, match="making the mailbox") as caught:
        make().deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)


def test_a_mailbox_that_another_has_just_made_is_used(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"EXAMINE": ["NO there is none"], "CREATE": ["NO [ALREADYEXISTS] there it is"]}
    make().deliver(bundle().delivery(), progress)
    assert [1] == list(server.mails)


@pytest.mark.parametrize("greeting", ["* BYE too many", "* NO", "nonsense"])
def test_a_server_that_takes_no_conversation_is_asked_again(
    make: Any, server: MailServer, bundle: Any, progress: Any, greeting: str
) -> None:
    server.greeting = greeting
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)


def test_nobody_there_is_asked_again(bundle: Any, progress: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sink = Imap("legal", settings(server=Secret(f"imap://bot:x@127.0.0.1:{port}")), cast(Any, None))
    with pytest.raises(Retryable, match="ConnectionRefusedError"):
        sink.deliver(bundle().delivery(), progress)


def test_a_server_that_hangs_is_left_after_the_timeout(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = Secret(f"imap://bot:x@127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Retryable, match="TimeoutError"):
            make(server=where, timeout=0.05).deliver(bundle().delivery(), progress)
    assert [] == server.heard


def test_a_mail_whose_answer_was_lost_is_found_by_the_retry(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of APPEND": [DROP]}
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)
    assert make(now=NOW + 3600).deliver(bundle().delivery(), progress).found
    assert [1] == list(server.mails)


def test_a_server_without_uidplus_is_searched_for_the_mail(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of APPEND": ["OK done"]}
    receipt = make().deliver(bundle().delivery(), progress)
    assert (1, 7, False) == (receipt.details["uid"], receipt.details["uidvalidity"], receipt.found)


def test_a_mail_that_cannot_be_seen_yet_is_looked_for_again(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of APPEND": ["OK done"], "UID SEARCH": ["OK nothing", "OK nothing"]}
    with pytest.raises(Retryable, match="cannot be seen yet"):
        make().deliver(bundle().delivery(), progress)
    assert make().deliver(bundle().delivery(), progress).found


def test_the_later_of_two_mails_is_withdrawn_by_the_one_who_put_it_there(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    make().deliver(bundle().delivery(), progress)
    server.says = {"UID SEARCH": ["OK nothing"]}  # another worker's mail comes between look and write
    receipt = make().deliver(bundle().delivery(), progress)
    assert [1] == list(server.mails)
    assert (1, True) == (receipt.details["uid"], receipt.found)
    assert r"UID STORE 2 +FLAGS.SILENT (\Deleted)" in server.heard


def test_where_it_may_not_be_withdrawn_the_second_mail_stays(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    make().deliver(bundle().delivery(), progress)
    server.says = {"UID SEARCH": ["OK nothing"], "UID EXPUNGE": ["NO [NOPERM] no"], "UID STORE": ["NO [NOPERM] no"]}
    assert 1 == make().deliver(bundle().delivery(), progress).details["uid"]
    assert [1, 2] == list(server.mails)


@pytest.mark.parametrize("part", ["aGVsbG8", "a*b=", "aGVs=bG8="])
def test_an_attachment_that_is_no_base64_is_another(
    make: Any, server: MailServer, bundle: Any, progress: Any, part: str
) -> None:
    make().deliver(bundle().delivery(), progress)
    server.mails[1] = re.sub(
        rb"(\r\n\r\n)[A-Za-z0-9+/]{4,}=*(\r\n)", rb"\g<1>" + part.encode() + rb"\2", server.mails[1]
    )
    with pytest.raises(Conflict, match=r"deed\.pdf"):
        make().deliver(bundle().delivery(), progress)


def test_the_claim_is_asked_for_directly_before_the_last_bytes(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    def lost() -> None:
        assert server.heard[-1].startswith("APPEND")
        raise ClaimLost

    with pytest.raises(ClaimLost):
        make().deliver(bundle(still_ours=lost).delivery(), progress)
    assert {} == server.mails


def test_a_copy_damaged_after_its_last_byte_never_arrives(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    with pytest.raises(ArtifactLost):
        make().deliver(bundle(lost={"deed.pdf": len(DEED)}).delivery(), progress)
    assert {} == server.mails


# --- what is put there ----------------------------------------------------------------------------------------------


def test_a_later_try_puts_the_same_bytes_there(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    server.says = {"end of APPEND": ["NO [OVERQUOTA] full"]}
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)
    make(now=NOW + 3600).deliver(bundle().delivery(), progress)
    assert NOW == mail_in(server)["Date"].datetime.timestamp()
    assert '"21-Sep-2026 14:13:20 +0000"' in next(one for one in reversed(server.heard) if one.startswith("APPEND"))


@pytest.mark.parametrize("answer", ["NO [TOOBIG] too large", "NO [OVERQUOTA] full", "NO because"])
def test_a_lower_limit_counts_for_a_mail_that_is_not_there(
    make: Any, server: MailServer, bundle: Any, progress: Any, answer: str
) -> None:
    server.says = {"end of APPEND": [answer]}
    with pytest.raises((Retryable, Permanent)):
        make().deliver(bundle().delivery(), progress)
    assert [] == make(attach_limit=5).deliver(bundle().delivery(), progress).details["attached"]
    assert [] == list(mail_in(server).iter_attachments())


def test_a_mail_that_is_there_is_compared_as_it_was_put(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of APPEND": [DROP]}
    with pytest.raises(Retryable):
        make(attach_limit=5).deliver(bundle().delivery(), progress)
    assert make().deliver(bundle().delivery(), progress).found
    assert 1 == len(server.mails)


@pytest.mark.parametrize(
    ("announced", "attachments"), [("", 1), ("APPENDLIMIT", 1), ("APPENDLIMIT=90000", 1), ("APPENDLIMIT=30000", 0)]
)
def test_the_size_that_the_server_announces_counts_too(
    make: Any, server: MailServer, bundle: Any, progress: Any, announced: str, attachments: int
) -> None:
    server.capabilities += f" {announced}"
    receipt = make().deliver(bundle(files={"a/deed.pdf": DEED * 1000}).delivery(), progress)
    assert attachments == len(receipt.details["attached"])
    assert attachments == len(list(mail_in(server).iter_attachments()))


def test_above_the_limit_a_notice_says_where_the_files_are(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    sink = make(attach_limit=5, location="s3://acme/{document}")
    receipt = sink.deliver(bundle(lost={"deed.pdf": 0}).delivery(), progress)  # reading it would fail
    body = mail_in(server).get_body()
    assert body is not None
    assert "s3://acme/doc-1" in body.get_content()
    assert ("found by its Message-ID", []) == (receipt.proof, receipt.details["attached"])
    assert sink.deliver(bundle().delivery(), progress).found


def test_a_large_file_is_read_back_in_pieces(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    content = bytes(range(256)) * 4096  # 1.4 MB of Base64
    receipt = make().deliver(bundle(files={"a/deed.pdf": content}).delivery(), progress)
    assert "read back and hashed" == receipt.proof
    assert 2 == sum(one.startswith("UID FETCH") for one in server.heard)


def test_a_receipt_names_the_mail_for_ever(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    receipt = make(mailbox="계약/Signed & done").deliver(bundle().delivery(), progress)
    assert "imap://127.0.0.1/%EA%B3%84%EC%95%BD/Signed%20%26%20done;UIDVALIDITY=7/;UID=1" == receipt.location
    assert receipt.details["message_id"] == mail_in(server)["Message-ID"]


def test_a_password_is_quoted_where_only_login_is_known(
    make: Any, server: MailServer, bundle: Any, progress: Any, port: int
) -> None:
    server.capabilities = "IMAP4rev1"
    where = Secret(f"imap://b%22o%5Ct:{PASSWORD}%22@127.0.0.1:{port}")
    make(server=where).deliver(bundle().delivery(), progress)
    assert f'LOGIN "b\\"o\\\\t" "{PASSWORD}\\""' in server.heard


def test_a_server_that_wants_tls_is_given_no_password(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.capabilities = "IMAP4rev1 LOGINDISABLED"
    with pytest.raises(Permanent, match="TLS"):
        make().deliver(bundle().delivery(), progress)
    assert ["CAPABILITY"] == server.heard


def test_a_server_without_starttls_is_given_no_password(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    with pytest.raises(Permanent, match="STARTTLS"):
        make(tls="starttls").deliver(bundle().delivery(), progress)
    assert ["CAPABILITY"] == server.heard


# --- names, settings, check -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("INBOX", "INBOX"),
        ("A & B", "A &- B"),
        ("台北日本語", "&U,BTF2XlZyyKng-"),  # RFC 3501, 5.1.3
        ("Entwürfe", "Entw&APw-rfe"),
        ("Entwu\u0308rfe", "Entw&APw-rfe"),
        ("계약서📄", "&rMTFfQMc2D3cxA-".replace("rMTFfQMc", "rMTFfcEc")),
        ('a"b\\c', 'a"b\\c'),
    ],
)
def test_a_mailbox_has_its_name_in_modified_utf_7(name: str, encoded: str) -> None:
    assert encoded == encoded_name(name)


def test_a_slash_is_the_server_s_own_separator(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    server.separator = "\\\\"
    make(mailbox='Contracts/"Signed"').deliver(bundle().delivery(), progress)
    assert r'EXAMINE "Contracts\\\"Signed\""' in server.heard


@pytest.mark.parametrize(
    "changes",
    [
        {"mailbox": ""},
        {"mailbox": "a//b"},
        {"mailbox": "a\r\nb"},
        {"mailbox": "a*"},
        {"mailbox": "50%"},
        {"server": Secret("imap://127.0.0.1")},
        {"server": Secret("smtp://bot:x@127.0.0.1")},
        {"server": Secret("imap://bot:x@127.0.0.1/INBOX")},
        {"server": Secret("imap://bot:%0D%0Ax@127.0.0.1")},
        {"server": Secret("imap://bot:x@127.0.0.1:99999")},
        {"server": Secret("imap://bot:x@mail.example")},
    ],
)
def test_settings_that_do_not_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        settings(**changes)


@pytest.mark.parametrize(
    ("url", "tls", "expected"),
    [
        ("imaps://bot:x@mail.example", "auto", ("tls", 993)),
        ("imap://bot:x@mail.example", "auto", ("starttls", 143)),
        ("imap://bot:x@mail.example:1143", "tls", ("tls", 1143)),
        ("imap://bot:x@localhost", "none", ("none", 143)),
    ],
)
def test_the_address_says_how_the_line_is_protected(url: str, tls: str, expected: tuple[str, int]) -> None:
    found = settings(server=Secret(url), tls=tls).connection()
    assert expected == (found.tls, found.port)


def test_check_says_whether_the_mailbox_is_there(make: Any, server: MailServer) -> None:
    assert "127.0.0.1 takes our login, and the mailbox Signed is there" == make().check()
    server.there = False
    assert "127.0.0.1 takes our login; the mailbox Signed will be made" == make().check()
    with pytest.raises(Unlikely, match="Signed cannot be opened"):
        make(create=False).check()


@pytest.mark.parametrize(("rights", "works"), [("lrsi", True), ("lrs", False)])
def test_check_asks_whether_mails_may_be_put_there(make: Any, server: MailServer, rights: str, works: bool) -> None:
    server.capabilities += " ACL"
    server.rights = rights
    if works:
        assert make().check()
    else:
        with pytest.raises(Retryable, match="may not put"):
            make().check()


# --- at Dovecot -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rig(servers: Any, tmp_path: Path, start: ExitStack) -> ImapRig:
    return ImapRig(servers, tmp_path, start)


def test_a_full_mailbox_makes_the_delivery_wait(rig: ImapRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(server=rig.server.url("small"))
    with pytest.raises(Retryable, match="OVERQUOTA"):
        sink.deliver(bundle(files={"a/deed.pdf": bytes(200_000)}).delivery(), progress)


def test_a_large_mail_is_neither_held_when_it_goes_nor_when_it_is_read_back(rig: ImapRig, progress: Any) -> None:
    sent = large_delivery(8_000_000)
    tracemalloc.start()
    try:
        rig.sink.deliver(sent, progress)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


def test_the_mailbox_is_made_only_where_it_may_be(rig: ImapRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Unlikely, match="cannot be opened"):
        rig.make(create=False).deliver(bundle().delivery(), progress)
    rig.sink.deliver(bundle().delivery(), progress)
    assert rig.make(create=False).deliver(bundle().delivery(), progress).found


def test_a_worker_who_was_overtaken_in_the_last_moment_takes_its_mail_back(
    rig: ImapRig, bundle: Any, progress: Any
) -> None:
    def overtake() -> None:
        assert not rig.again().deliver(bundle().delivery(), type(progress)()).found

    receipt = rig.sink.deliver(bundle(still_ours=overtake).delivery(), progress)
    assert (1, True) == (receipt.details["uid"], receipt.found)
    assert rig.expected(bundle()) == rig.visible()


def test_a_mail_stays_unread_when_it_was_read_back(rig: ImapRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    rig.sink.deliver(bundle().delivery(), progress)
    assert 1 == rig.unseen()


def test_a_mail_of_another_delivery_is_left_alone(rig: ImapRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    rig.sink.deliver(bundle(id="dlv_02").delivery(), type(progress)())
    assert 2 == len(rig.mails())


@pytest.mark.parametrize("scheme", ["imap", "imaps"])
def test_a_certificate_that_holds_is_wanted_before_the_password(
    servers: Any, tmp_path: Path, start: ExitStack, bundle: Any, progress: Any, scheme: str
) -> None:
    chain = certificate(tmp_path)
    server = start.enter_context(dovecot(chain))
    port = server.safe_port if scheme == "imaps" else server.port
    where = server.url().replace("imap://", f"{scheme}://").replace(str(server.port), str(port))
    rig = ImapRig(servers, tmp_path, start)
    with pytest.raises(Retryable, match="certificate does not hold"):
        rig.make(server=where, tls="auto").deliver(bundle().delivery(), progress)
    sink = rig.make(server=where, tls="auto", ca_file=str(chain))
    assert not sink.deliver(bundle().delivery(), progress).found


@pytest.mark.parametrize(("text", "why"), [("no PEM", "no such PEM"), (None, "No such file")])
def test_authorities_that_cannot_be_read_are_found_at_the_start(tmp_path: Path, text: str | None, why: str) -> None:
    file = tmp_path / "ca.pem"
    if text:
        file.write_text(text)
    with pytest.raises(ValueError, match=why):
        settings(ca_file=str(file))
