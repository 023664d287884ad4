"""A process that is tied to the one that started it goes with it, and with all that it forked."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from webhook_svc.stage.processes import until

PARENT = """
import os, subprocess, sys
program = [sys.executable, "-m", "webhook_svc.prove.tied", str(os.getpid()), "forking"]
subprocess.Popen(program, start_new_session=True).wait()
"""
FORKING = """
import os, pathlib, signal
child = os.fork()
if child:
    pathlib.Path("pids.new").write_text(f"{os.getpid()} {child}")
    os.rename("pids.new", "pids")
while True:
    signal.pause()
"""


def test_a_tied_process_and_its_children_end_after_their_parent_was_killed(tmp_path: Path) -> None:
    (tmp_path / "forking.py").write_text(FORKING)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    try:
        until((tmp_path / "pids").exists, "the tied process to run")
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert [True, True] == [lives(pid) for pid in pids]
    finally:
        parent.kill()
        parent.wait()

    until(lambda: not any(map(lives, pids)), "both to be gone", 10)


def test_it_ends_too_where_its_parent_was_gone_before_it_could_look(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text("import signal\nsignal.pause()")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    program = [sys.executable, "-m", "webhook_svc.prove.tied", str(os.getppid()), "waiting"]
    late = subprocess.Popen(program, env={**os.environ, "PYTHONPATH": path}, start_new_session=True)

    assert -signal.SIGKILL == late.wait(30)


def lives(pid: int) -> bool:
    """What nobody has waited for yet lives no more."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return shown.strip()[:1] not in ("", "Z")
