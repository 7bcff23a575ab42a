"""What a daemon does about the name of its socket, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from procnursery.containment.cgroup import own_cgroup, remove_cgroups
from procnursery.daemon.socketlock import lock_socket, unlock_socket
from tests.daemon.command import COMMAND, procnurseryd
from tests.daemons import (
    Daemon,
    running_daemon,
    why_no_cgroup,
)


def test_live_socket_is_never_taken_over(daemon: Daemon, short_path: Path) -> None:
    done = procnurseryd("--listen", daemon.address, "--state-dir", str(short_path / "other"))
    assert done.returncode == 1
    assert daemon.address in done.stderr
    assert "live daemon" in done.stderr
    assert "--listen" in done.stderr
    with connect(daemon.address) as client:
        client.ping()


def test_live_socket_of_another_program(short_path: Path) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        done = procnurseryd("--listen", f"unix://{path}", "--state-dir", str(short_path / "st"))
        assert done.returncode == 1
        assert "something alive listens there" in done.stderr
    assert path.exists()


def test_stale_socket_is_taken_over(short_path: Path) -> None:
    path = short_path / "d" / "s"
    with running_daemon(short_path / "d") as daemon:
        daemon.sigkill()
        assert path.exists()
    with running_daemon(short_path / "d") as daemon, connect(daemon.address) as client:
        assert client.hello.daemon.pid == daemon.pid
    assert not path.exists()


def test_a_file_in_the_way_is_kept(short_path: Path) -> None:
    path = short_path / "s"
    path.write_text("precious")
    done = procnurseryd("--listen", f"unix://{path}", "--state-dir", str(short_path / "st"))
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert path.read_text() == "precious"


def test_a_failing_daemon_leaves_nothing(short_path: Path) -> None:
    """Whatever its address is: no lock and no directory but that for its state."""
    file, directory = short_path / "passwd", short_path / "directory"
    file.write_text("precious")
    directory.mkdir()
    for path, complaint in (
        (file, "not a socket"),
        (directory, "that is a directory"),
        (file / "s", "make its directory"),
        (short_path / "no" / "such" / "s", "make its directory"),
    ):
        done = procnurseryd("--listen", f"unix://{path}", "--state-dir", f"{short_path}/state")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert f"unix://{path}: " in done.stderr
        assert complaint in done.stderr
    assert sorted(one.name for one in short_path.iterdir()) == ["directory", "passwd", "state"]
    assert file.read_text() == "precious"
    assert list(directory.iterdir()) == []


def test_a_failing_daemon_leaves_no_cgroup(short_path: Path) -> None:
    if (reason := why_no_cgroup()) is not None:
        pytest.skip(reason)
    root = own_cgroup() / f"test-{os.getpid()}"
    config = short_path / "daemon.toml"
    config.write_text(f'containment = "cgroup"\ncgroup_root = "{root}"\n')
    root.mkdir()
    try:
        done = procnurseryd(
            *("--config", str(config), "--state-dir", f"{short_path}/state"),
            *("--listen", f"unix://{short_path}"),
        )
        assert done.returncode == 1
        assert "that is a directory" in done.stderr
        assert [one for one in root.iterdir() if one.is_dir()] == []
    finally:
        remove_cgroups(root)


def test_a_lock_that_lost_its_name_is_none(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removes the file between another daemon's open and flock."""
    path = short_path / "s"
    first = lock_socket(path)
    flock = fcntl.flock

    def lose_then_lock(lock: int, how: int) -> None:
        monkeypatch.undo()
        unlock_socket(path, first)
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", lose_then_lock)
    second = lock_socket(path)
    assert fcntl.flock is flock
    with pytest.raises(OSError, match="live daemon"):
        lock_socket(path)
    unlock_socket(path, second)
    assert list(short_path.iterdir()) == []


def test_of_daemons_that_begin_at_once_one_serves(short_path: Path) -> None:
    """A stale socket is there, which every one of them may take over."""
    with running_daemon(short_path / "d") as daemon:
        daemon.sigkill()
    gate, opener = os.pipe()
    listen = f"unix://{short_path}/d/s"
    processes = [
        subprocess.Popen(
            [
                *("sh", "-c", 'read x; exec "$@"', "sh", *COMMAND),
                *("--listen", listen, "--state-dir", f"{short_path}/{number}", "--ready-fd", "1"),
            ],
            stdin=gate,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    os.close(gate)
    os.close(opener)
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        served = [process for process in processes if process.stdout and process.stdout.readline()]
        assert len(served) == 1
        with connect(listen) as client:
            assert client.hello.daemon.pid == served[0].pid
        for process in processes:
            if process not in served:
                assert process.stderr is not None
                assert "live daemon" in process.stderr.read()
                assert process.wait() == 1
        served[0].terminate()
        assert served[0].wait() == 0
    assert [one.name for one in (short_path / "d").iterdir() if one.name.startswith("s")] == [
        "state"
    ]


def test_sockets_are_private(daemon: Daemon) -> None:
    mode = os.stat(daemon.address.removeprefix("unix://")).st_mode
    assert stat.S_IMODE(mode) == 0o600
