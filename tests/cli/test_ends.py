"""Whatever dies, nothing of its tree is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from tests.cli.command import spawn
from tests.daemons import (
    NOBODY,
    Daemon,
    eventually,
    processes_with,
    running_daemon,
    why_no_other_user,
)

LIMIT = 5.0

TREE = """
import os, signal, sys, time
mark = sys.argv[1]

def stay(*ignored):
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)

def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid

def in_new_session():
    os.setsid()
    stay(signal.SIGTERM, signal.SIGHUP)

def double_forked():
    os.setsid()
    if os.fork():
        os._exit(0)
    stay(signal.SIGTERM, signal.SIGHUP)

child(lambda: stay())
child(lambda: stay(signal.SIGTERM))
child(in_new_session)
os.waitpid(child(double_forked), 0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
stay()
"""
SIZE = 5


@pytest.fixture
def mark() -> Iterator[str]:
    text = f"tree-{os.getpid()}-{time.monotonic_ns()}"
    yield text
    for pid in processes_with(text):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run_tree(host: str, mark: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    program = tmp_path / "tree.py"
    program.write_text(TREE)
    program.chmod(0o644)
    command = spawn("run", "--cwd", "/", "--", sys.executable, str(program), mark, host=host)
    assert command.stdout is not None
    assert command.stdout.readline() == b"ready\n"
    # the command itself has the mark in its arguments, too
    assert len([pid for pid in processes_with(mark) if pid != command.pid]) == SIZE
    return command


def none_left(mark: str, limit: float = LIMIT) -> None:
    eventually(lambda: not processes_with(mark), "the whole tree is gone", limit)


def test_killed_client(contained_daemon: Daemon, mark: str, short_path: Path) -> None:
    with run_tree(contained_daemon.address, mark, short_path) as command:
        command.kill()
        command.wait()
        none_left(mark)


def test_killed_client_of_an_embedded_daemon(mark: str, short_path: Path) -> None:
    with run_tree("local:", mark, short_path) as command:
        command.kill()
        command.wait()
        none_left(mark)


@pytest.mark.spec("PN-5.2-4", "PN-12.2-4")
def test_killed_daemon(contained_daemon: Daemon, mark: str, short_path: Path) -> None:
    with run_tree(contained_daemon.address, mark, short_path) as command:
        contained_daemon.sigkill()
        killed = time.monotonic()
        assert command.wait(30) == 255
        assert time.monotonic() - killed < LIMIT
        assert command.stderr is not None
        assert b"is gone" in command.stderr.read()
        none_left(mark)


def test_killed_daemon_and_a_program_without_markers(
    contained_daemon: Daemon, mark: str, short_path: Path
) -> None:
    """``env -i`` clears the marker from the main process itself."""
    host = contained_daemon.address
    script = f"echo ready; while :; do sleep 0.05; done; : {mark}"
    with connect(host) as client:
        before = client.info().spawner.pid
        assert before is not None
        first = client.start(["env", "-i", "/bin/sh", "-c", script], on_disconnect="keep")
        os.kill(before, signal.SIGKILL)
        eventually(lambda: client.info().spawner.restarts == 1, "another spawner is there")
        second = client.start(["env", "-i", "/bin/sh", "-c", script], on_disconnect="keep")
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
    assert len(processes_with(mark)) >= 2  # a shell that forks is there twice for a moment
    contained_daemon.sigkill()
    none_left(mark)


def test_killed_embedded_daemon(mark: str, short_path: Path) -> None:
    with run_tree("local:", mark, short_path) as command:
        children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), signal.SIGKILL)
        assert command.wait(30) == 255
        none_left(mark)


def test_terminated_daemon(contained_daemon: Daemon, mark: str, short_path: Path) -> None:
    """SIGTERM, and then a second one, since the tree ignores the stop signal."""
    with run_tree(contained_daemon.address, mark, short_path) as command:
        contained_daemon.process.send_signal(signal.SIGTERM)
        eventually(lambda: "stopping" in contained_daemon.read_log(), "it is stopping")
        contained_daemon.process.send_signal(signal.SIGTERM)
        assert contained_daemon.process.wait(30) == 0
        assert command.wait(30) == 128 + 9
        assert command.stderr is not None
        assert b"shutdown" in command.stderr.read()
        none_left(mark)


def test_unprivileged_session_mode(mark: str, short_path: Path) -> None:
    if (reason := why_no_other_user()) is not None:
        pytest.skip(reason)
    config = 'containment = "session"\n'
    with running_daemon(short_path / "d", config=config, user=NOBODY) as daemon:
        with run_tree(daemon.address, mark, short_path) as command:
            for pid in processes_with(mark):
                if pid != command.pid:
                    assert os.stat(f"/proc/{pid}").st_uid == NOBODY
            command.kill()
            command.wait()
            none_left(mark)
        with run_tree(daemon.address, mark, short_path) as command:
            daemon.sigkill()
            assert command.wait(30) == 255
            none_left(mark)
