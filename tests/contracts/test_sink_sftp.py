"""What the SFTP sink makes of host keys, refusals, lines that break and servers that do not keep what they are sent."""

import socket
import struct
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from tests.guard import secret
from webhook_svc.core.errors import ArtifactLost, ClaimLost, Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.sftp import SftpSettings

from .rigs.base import make_sink
from .rigs.servers import Servers
from .rigs.sftp import Server, SftpRig

KEY = "contracts/doc-1/deed.pdf"
DEED = b"%PDF-1.7 deed %%EOF"


@pytest.fixture
def rig(servers: Servers, tmp_path: Path, start: ExitStack) -> SftpRig:
    return SftpRig(servers, tmp_path, start)


def fingerprint(host_key: str) -> str:
    kind, blob = host_key.split()[:2]
    return str(paramiko.PKey.from_type_string(kind, b64decode(blob)).fingerprint)


# --- whom it speaks to ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1], ids=["ed25519", "ecdsa"])
@pytest.mark.parametrize("written", [str, fingerprint], ids=["key", "fingerprint"])
def test_each_of_the_servers_keys_can_be_pinned(rig: SftpRig, number: int, written: Callable[[str], str]) -> None:
    pinned = [written(rig.server.host_keys[number])]
    if written is fingerprint and number:  # of which type it is, nobody can tell; the server shows its first
        pinned.append(written(rig.server.host_keys[0]))
    assert "can be written" in rig.make(host_key=pinned).check()


def test_a_server_that_shows_another_key_is_told_nothing(rig: SftpRig, bundle: Any, progress: Any) -> None:
    other = "SHA256:" + b64encode(b"x" * 32).decode().rstrip("=")
    sink = rig.make(host_key=[other], private_key=None, password=secret("password"))
    log = rig.server.home / "log"
    before = log.read_text().count("password")
    with pytest.raises(Retryable, match="another host key") as caught:
        sink.deliver(bundle().delivery(), progress)
    assert fingerprint(rig.server.host_keys[0]) in str(caught.value)
    assert before == log.read_text().count("password")


def test_a_server_without_a_key_of_the_pinned_type_is_not_spoken_to(rig: SftpRig) -> None:
    rsa = f"ssh-rsa {paramiko.RSAKey.generate(1024).get_base64()}"
    with pytest.raises(Retryable, match="broke off"):
        rig.make(host_key=[rsa]).check()


def test_a_refused_login_may_be_granted_later_and_nothing_of_it_is_logged(
    rig: SftpRig, bundle: Any, progress: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Retryable, match="refused the login"):
        rig.broken.deliver(bundle().delivery(), progress)
    assert [] == caplog.records


def test_a_key_may_have_a_passphrase_and_stand_in_one_line(rig: SftpRig) -> None:
    """Environment variables often hold `\\n` where the file has a line break."""
    key = paramiko.ECDSAKey.generate()
    kept = rig.server.home / "protected"
    key.write_private_key_file(str(kept), password=secret("passphrase"))
    authorized = rig.server.home / "authorized"
    authorized.write_text(f"{authorized.read_text()}\n{key.get_name()} {key.get_base64()}\n")
    text = kept.read_text().replace("\n", "\\n")
    assert "can be written" in rig.make(private_key=text, passphrase=secret("passphrase")).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": "a b"}, "host"),
        ({"host": "user@host"}, "host"),
        ({"port": 0}, "port"),
        ({"user": " "}, "user"),
        ({"path": ""}, "path"),
        ({"password": None}, "private_key"),
        ({"private_key": Secret(secret("none"))}, "Ed25519"),
        ({"host_key": ()}, "host_key"),
        ({"host_key": ("AAAAC3NzaC1lZDI1NTE5",)}, "host_key"),
        ({"host_key": ("ssh-ed25519 AAAAB3NzaC1yc2E=",)}, "host_key"),
        ({"host_key": ("SHA256:short",)}, "host_key"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], said: str) -> None:
    common = {"host": "files.acme.example", "user": "bot", "password": Secret(secret("password")), "path": "in"}
    pinned = "SHA256:" + "A" * 43
    SftpSettings(**common, host_key=(pinned,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said) as caught:
        SftpSettings(**{**common, "host_key": (pinned,), **changes})
    assert secret("none") not in str(caught.value)


# --- what stands there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_no_file_at_the_target_is_a_conflict(rig: SftpRig, bundle: Any, progress: Any, kind: str) -> None:
    rig.plant("contracts/doc-1/other.txt", b"")
    target = rig.root / KEY
    target.mkdir() if kind == "folder" else target.symlink_to("nowhere")
    with pytest.raises(Conflict, match="not a file"):
        rig.sink.deliver(bundle().delivery(), progress)


def test_a_conflict_of_the_last_file_is_seen_before_the_first_is_written(
    rig: SftpRig, bundle: Any, progress: Any
) -> None:
    rig.plant("contracts/doc-1/manifest.json", b"another")
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)
    assert {"contracts/doc-1/manifest.json": b"another"} == rig.visible()


@pytest.mark.parametrize(("planted", "fate"), [(b"others", Conflict), (DEED, None)])
def test_what_slips_in_between_look_and_rename_stays(
    rig: SftpRig, bundle: Any, progress: Any, planted: bytes, fate: type[WebhookError] | None
) -> None:
    def slip_in() -> None:
        if not rig.visible().get(KEY):
            rig.plant(KEY, planted)

    with pytest.raises(fate) if fate else ExitStack():
        rig.sink.deliver(bundle(still_ours=slip_in).delivery(), progress)
    assert planted == rig.visible()[KEY]
    assert [] == [name for name in rig.visible() if name.endswith(".part")]


@pytest.mark.parametrize("above", ["contracts", "contracts/doc-1"])
def test_a_file_where_a_folder_is_needed_is_given_up(rig: SftpRig, bundle: Any, progress: Any, above: str) -> None:
    rig.plant(above, b"")
    with pytest.raises(Permanent, match="a file stands"):
        rig.sink.deliver(bundle().delivery(), progress)


def test_a_folder_that_may_not_be_written_is_tried_again(rig: SftpRig, bundle: Any, progress: Any) -> None:
    rig.plant("contracts/other.txt", b"")
    (rig.root / "contracts").chmod(0o555)
    with pytest.raises(Retryable, match="denies the permission"):
        rig.sink.deliver(bundle().delivery(), progress)
    with pytest.raises(Retryable, match="denies the permission"):
        rig.make(path=str(rig.root / "contracts/deep/deeper")).check()
    (rig.root / "contracts").chmod(0o755)
    assert not rig.sink.deliver(bundle().delivery(), progress).found


@pytest.mark.parametrize("path", ["../out.pdf", "a/../../out.pdf", "/etc/out.pdf"])
def test_a_path_that_leads_out_of_the_root_is_refused(rig: SftpRig, bundle: Any, progress: Any, path: str) -> None:
    with pytest.raises(Permanent, match="leads out"):
        rig.sink.deliver(bundle(files={path: DEED}).delivery(), progress)


def test_a_root_from_the_login_folder_and_one_with_dots_are_fine(rig: SftpRig, bundle: Any, progress: Any) -> None:
    receipt = rig.make(path=f"{rig.root}/a/../b/").deliver(bundle().delivery(), progress)
    assert f"127.0.0.1:{rig.root}/b/{KEY}" == receipt.location


# --- whether it arrived ---------------------------------------------------------------------------------------------


def test_size_is_enough_of_a_proof_for_a_new_file_alone(rig: SftpRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(verify="size")
    assert "size of the stored file" == sink.deliver(bundle().delivery(), progress).proof
    (rig.root / KEY).write_bytes(DEED[::-1])
    with pytest.raises(Conflict):
        sink.deliver(bundle().delivery(), progress)


@pytest.mark.parametrize(
    ("kept", "said"), [(lambda data: data[::-1], "other bytes"), (lambda data: data[:-1], "did not keep all")]
)
def test_a_server_that_does_not_keep_what_it_was_sent_is_found_out_before_the_rename(
    rig: SftpRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch, kept: Callable[[bytes], bytes], said: str
) -> None:
    write = paramiko.SFTPFile.write
    monkeypatch.setattr(paramiko.SFTPFile, "write", lambda self, data: write(self, kept(data)))
    with pytest.raises(Retryable, match=said):
        rig.sink.deliver(bundle().delivery(), progress)
    assert {} == rig.visible()


def test_a_file_of_several_windows_is_read_back_whole(
    rig: SftpRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_svc.sinks.sftp._WINDOW", 300_000)
    content = bytes(range(256)) * 4000
    rig.sink.deliver(bundle(files={KEY: content}).delivery(), progress)
    (rig.root / KEY).write_bytes(content[:-1] + b"!")
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle(files={KEY: content}).delivery(), progress)


# --- lines that break -----------------------------------------------------------------------------------------------


class Line:
    """A way to a server that breaks after so many bytes to it, or hangs."""

    def __init__(self, server: Server, breaks_after: int) -> None:
        self._server = server
        self._left = breaks_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        near, _ = self._listener.accept()
        with near, socket.create_connection(("127.0.0.1", self._server.port)) as far:
            back = threading.Thread(target=_pass_on, args=(far, near))
            back.start()
            while self._left > 0 and (data := near.recv(65536)):
                self._left -= len(data)
                far.sendall(data)
            for one in (near, far):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _shut(one)
            back.join()

    def close(self) -> None:
        self._listener.close()
        self._thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        _shut(target)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("after", [10, 1000, 4_000, 100_000, 3_000_000])
def test_what_a_broken_line_left_is_removed_by_the_next_try(
    rig: SftpRig, bundle: Any, progress: Any, after: int
) -> None:
    sent = bundle(files={KEY: bytes(range(256)) * 15_000})
    with closing(Line(rig.server, after)) as line, pytest.raises(Retryable):
        rig.make(port=line.port, timeout=5.0).deliver(sent.delivery(), progress)
    assert [] == [name for name in rig.visible() if not name.endswith(".part")]
    rig.again().deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()


def test_who_lost_the_claim_to_a_worker_that_cleared_up_after_it_stops(
    rig: SftpRig, bundle: Any, progress: Any
) -> None:
    asked = []

    def cleared() -> None:
        asked.append(len(rig.visible()))
        if len(asked) > 1:
            raise ClaimLost
        for path in rig.root.rglob("*.part"):
            path.unlink()

    with pytest.raises(ClaimLost):
        rig.sink.deliver(bundle(still_ours=cleared).delivery(), progress)
    assert {} == rig.visible()
    assert [1, 0] == asked


class Silent(paramiko.ServerInterface):
    """Lets everybody in, and then says no more."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended

    def check_auth_password(self, username: str, password: str) -> int:  # noqa: ARG002 - paramiko's
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - paramiko's
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:  # noqa: ARG002 - paramiko's
        self._ended.wait(30)
        return False


@pytest.fixture
def silent() -> Iterator[dict[str, Any]]:
    """The table of a server that hangs behind the login."""
    key, ended = paramiko.ECDSAKey.generate(), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = listener.accept()
        transport = paramiko.Transport(line)
        transport.add_server_key(key)
        transport.start_server(server=Silent(ended))
        ended.wait(30)
        transport.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield {
        "host": "127.0.0.1", "port": listener.getsockname()[1], "user": "bot", "password": secret("password"),
        "host_key": [f"{key.get_name()} {key.get_base64()}"], "path": "in",
    }  # fmt: skip
    ended.set()
    thread.join()
    listener.close()


def test_a_server_that_hangs_behind_the_login_is_left_in_time(silent: dict[str, Any]) -> None:
    with pytest.raises(Retryable, match="broke off"):
        make_sink("sftp", {**silent, "timeout": 0.7}).check()


def test_a_server_that_says_nothing_at_all_is_left_in_time(rig: SftpRig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Retryable):
        rig.make(port=listener.getsockname()[1], timeout=0.2).check()


def test_nobody_at_the_port_is_tried_again(rig: SftpRig) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(Retryable, match="ConnectionRefusedError"):
            rig.make(port=probe.getsockname()[1]).check()


def test_a_copy_that_is_damaged_at_its_end_never_gets_its_name(rig: SftpRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(ArtifactLost):
        rig.sink.deliver(bundle(lost={"deed.pdf": len(DEED)}).delivery(), progress)
    assert {} == rig.visible()
