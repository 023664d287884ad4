"""Connections of the mail sink: kept for the next mail, replaced where they ended, and whom they trust."""

import os
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

from webhook_svc.core.errors import ArtifactLost, Permanent, Retryable
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.email import Email
from webhook_svc.sinks.mail.smtp import Lines, dotted

from .mail import DROP, NOW, PASSWORD, MailServer, secured, serving, settings
from .rigs.certificate import certificate

ANN = ("ann@acme.example",)
TWO = ("ann@acme.example", "bob@acme.example")


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture
def port(server: MailServer) -> Iterator[int]:
    with serving(server) as port:
        yield port


@pytest.fixture
def make(port: int) -> Callable[..., Email]:
    def _make(*, url: str = "smtp://bot:{password}@127.0.0.1:{port}", **changes: Any) -> Email:
        given = {"to": ANN, "server": Secret(url.format(password=PASSWORD, port=port)), **changes}
        return Email("legal", settings(**given), cast(Any, None), clock=lambda: NOW)

    return _make


@pytest.fixture
def lines(port: int) -> Lines:
    return Lines(settings(server=Secret(f"smtp://127.0.0.1:{port}")).connection(), keep=60)


# --- a line serves one mail after the other -----------------------------------------------------------------------


def test_the_next_delivery_uses_the_same_connection(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    sink = make()
    for _ in range(3):
        sink.deliver(bundle().delivery(), type(progress)())
    assert (1, 3) == (server.lines, len(server.mails))
    assert 1 == sum(line.startswith("AUTH") for line in server.heard)


def test_nothing_is_kept_where_the_settings_say_so(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    sink = make(keep_open=0)
    for _ in range(2):
        sink.deliver(bundle().delivery(), type(progress)())
        server.threads[-1].join()
        assert "QUIT" == server.heard[-1]
    assert 2 == server.lines


@pytest.mark.parametrize(
    "says",
    [
        {"RSET": [DROP]},
        {"RSET": ["421 idle for too long"]},
        {"MAIL": ["250 OK", DROP]},
        {"MAIL": ["250 OK", "421 enough mails on this line"]},
    ],
    ids=["gone", "told to go", "gone at the mail", "told to go at the mail"],
)
def test_a_kept_connection_that_ended_is_no_failed_try(
    make: Any, server: MailServer, bundle: Any, progress: Any, says: dict[str, list[str]]
) -> None:
    server.says = says
    sink = make()
    for _ in range(2):
        sink.deliver(bundle().delivery(), type(progress)())
    assert (2, 2) == (server.lines, len(server.mails))


@pytest.mark.parametrize("end", [DROP, "421 enough mails on this line"])
def test_a_server_that_takes_few_mails_on_a_line_is_given_the_rest_on_another(
    make: Any, server: MailServer, bundle: Any, progress: Any, end: str
) -> None:
    server.says = {"MAIL": ["250 OK", end]}
    receipt = make(to=TWO).deliver(bundle().delivery(), progress)
    assert list(TWO) == server.to()
    assert (2, 0) == (server.lines, receipt.details["repeats"])


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    sink = make()
    sink.deliver(bundle().delivery(), progress)
    server.hang_up()
    sink.deliver(bundle().delivery(), type(progress)())
    assert (2, 2) == (server.lines, len(server.mails))


def test_a_line_is_not_kept_after_an_error(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    sink = make()
    damaged = replace(bundle().delivery(), open=lambda _: BytesIO(b"other bytes"))
    with pytest.raises(ArtifactLost):
        sink.deliver(damaged, progress)
    server.threads[0].join()
    assert ["DATA", "(broken off)"] == server.heard[-2:]
    sink.deliver(bundle().delivery(), progress)
    assert (2, 1) == (server.lines, len(server.mails))


def test_two_deliveries_at_once_have_a_line_each_and_both_are_kept(lines: Lines, server: MailServer) -> None:
    with lines.talk() as one, lines.talk() as two:
        both = {one.smtp, two.smtp}
    assert 2 == len(both)
    with lines.talk() as one, lines.talk() as two:
        assert both == {one.smtp, two.smtp}
    assert 2 == server.lines


def test_a_forked_process_never_speaks_on_its_parents_line(
    lines: Lines, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lines.talk():
        pass
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with lines.talk():
        pass
    server.threads[0].join()
    assert ["EHLO acme.example"] * 2 == server.heard


def test_a_forked_process_that_ends_says_nothing_on_its_parents_line(
    port: int, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(settings(server=Secret(f"smtp://127.0.0.1:{port}")).connection(), keep=60)
    with lines.talk():
        pass
    monkeypatch.setattr(os, "getpid", lambda: 1)
    del lines
    server.threads[0].join()
    assert ["EHLO acme.example"] == server.heard


def test_idle_lines_are_watched_by_one_thread_which_ends_with_them(port: int) -> None:
    def watching() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if isinstance(one, threading.Timer)}

    lines = Lines(settings(server=Secret(f"smtp://127.0.0.1:{port}")).connection(), keep=60)
    before = watching()
    for _ in range(5):
        with lines.talk() as one, lines.talk() as two:
            assert one.smtp is not two.smtp
    (watch,) = watching() - before
    del one, two, lines
    watch.join()


def test_an_idle_line_ends_with_a_farewell(port: int, server: MailServer) -> None:
    lines = Lines(settings(server=Secret(f"smtp://127.0.0.1:{port}")).connection(), keep=0.01)
    with lines.talk():
        pass
    server.threads[0].join()
    assert "QUIT" == server.heard[-1]
    assert lines.take() is None


def test_a_line_ends_with_who_kept_it(port: int, server: MailServer) -> None:
    lines = Lines(settings(server=Secret(f"smtp://127.0.0.1:{port}")).connection(), keep=60)
    with lines.talk():
        pass
    del lines
    server.threads[0].join()
    assert "QUIT" == server.heard[-1]


# --- what is said on it -------------------------------------------------------------------------------------------


def test_the_server_is_told_the_exact_size_where_it_asks(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.features = ("AUTH PLAIN", "SIZE 1000000")
    make(text=".dot\n..\n", html="<p>.</p>").deliver(bundle(files={"a/계약.pdf": b"x" * 1000}).delivery(), progress)
    (said,) = (line for line in server.heard if line.startswith("MAIL"))
    assert f"MAIL FROM:<bot@acme.example> SIZE={len(server.mails[0][1])}".lower() == said.lower()


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "end of data"])
def test_a_mail_that_is_too_large_after_all_is_given_up(
    make: Any, server: MailServer, bundle: Any, progress: Any, command: str
) -> None:
    server.features = ("AUTH PLAIN", "SIZE")
    server.says = {command: ["552 5.3.4 too large"]}
    with pytest.raises(Permanent, match="552"):
        make().deliver(bundle().delivery(), progress)


def test_who_is_in_doubt_stays_so_when_put_off(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    server.says = {"end of data": [DROP], "RCPT TO:<ann": ["250 OK", "451 later"]}
    for _ in range(2):
        with pytest.raises(Retryable):
            make(to=TWO).deliver(bundle().delivery(), progress)
    assert ["ann@acme.example", "bob@acme.example"] == server.to()
    assert 1 == make(to=TWO).deliver(bundle().delivery(), progress).details["repeats"]
    assert ["ann@acme.example", "bob@acme.example", "ann@acme.example"] == server.to()


def test_a_mail_that_broke_off_before_its_end_leaves_no_doubt(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    with pytest.raises(ArtifactLost):
        make().deliver(replace(bundle().delivery(), open=lambda _: BytesIO(b"other bytes")), progress)
    assert 0 == make().deliver(bundle().delivery(), progress).details["repeats"]
    assert 1 == len(server.mails)


@pytest.mark.parametrize("cut", range(1, 12))
def test_dots_are_doubled_wherever_the_chunks_end(cut: int) -> None:
    mail = b".a\r\n..\r\n.\r\nb.c\r\n"
    sent = b"".join(dotted(iter((mail[:cut], b"", mail[cut:]))))
    assert b"..a\r\n...\r\n..\r\nb.c\r\n" == sent


# --- whom it trusts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "starttls"])
def test_an_authority_of_ones_own_is_trusted_by_its_file(
    make: Any, server: MailServer, bundle: Any, progress: Any, tmp_path: Path, implicit: bool
) -> None:
    path = certificate(tmp_path, "127.0.0.1")
    sink = make(url=secured(server, path, implicit), tls="auto", ca_file=str(path))
    sink.deliver(bundle().delivery(), progress)
    sink.deliver(bundle().delivery(), type(progress)())
    assert (1, 2) == (server.lines, len(server.mails))


def test_a_server_that_asks_for_a_certificate_is_shown_ours(
    make: Any, server: MailServer, bundle: Any, progress: Any, tmp_path: Path
) -> None:
    path = certificate(tmp_path, "127.0.0.1")
    url = secured(server, path, implicit=True)
    assert server.context
    server.context.verify_mode = ssl.CERT_REQUIRED
    server.context.load_verify_locations(path)
    common = {"url": url, "tls": "auto", "ca_file": str(path)}
    with pytest.raises(Retryable):
        make(**common).deliver(bundle().delivery(), progress)
    make(**common, certificate_file=str(path)).deliver(bundle().delivery(), progress)
    assert 1 == len(server.mails)


@pytest.mark.parametrize("name", ["ca_file", "certificate_file"])
@pytest.mark.parametrize("content", [None, b"", b"no PEM"], ids=["missing", "empty", "no PEM"])
def test_a_file_that_cannot_be_used_is_found_at_the_start(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / "x.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="can be used"):
        settings(**{name: str(path)})


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(ValueError, match="certificate_file"):
        settings(key_file="key.pem")
