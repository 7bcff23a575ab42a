"""Sockets that a service manager has opened: which are served, which are refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from procnursery.daemon.activation import take_descriptors
from procnursery.daemon.listeners import ListenError
from tests.daemon.service import running_service, service_argv
from tests.daemons import DEADLINE, eventually, running_daemon


@contextlib.contextmanager
def unix_socket(path: Path | bytes, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.bind(path if isinstance(path, bytes) else str(path))
        if kind == socket.SOCK_STREAM:
            one.listen()
        yield one


@contextlib.contextmanager
def tcp_socket(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_server((host, 0)) as one:
        yield one


def pid_at(address: str) -> int:
    with connect(address) as client:
        return client.hello.daemon.pid


def test_given_sockets_and_no_others_are_served(short_path: Path) -> None:
    path = short_path / "given"
    config = short_path / "daemon.toml"
    config.write_text(f'listen = ["unix://{short_path}/configured"]\ninsecure = true\n')
    with unix_socket(path) as first, tcp_socket() as second:
        path.chmod(0o640)
        with running_service(
            short_path, ["--config", str(config)], sockets=[first, second], names="local:net"
        ) as service:
            addresses = [f"unix://{path}", f"tcp://127.0.0.1:{second.getsockname()[1]}"]
            assert [pid_at(address) for address in addresses] == [service.pid] * 2
            with connect(addresses[0]) as client:
                assert list(client.info().daemon.listen) == addresses
            assert not (short_path / "configured").exists()
            assert "not listening where the configuration says" in service.read_log()
            assert f"{short_path}/configured" in service.read_log()
    # Both are the service manager's: the next daemon gets them again.
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_address_of_the_command_line_is_served_as_well(short_path: Path) -> None:
    more = f"unix://{short_path}/more"
    with (
        unix_socket(short_path / "given") as given,
        running_service(short_path, ["--listen", more], sockets=[given]) as service,
    ):
        assert pid_at(more) == pid_at(f"unix://{short_path}/given") == service.pid
    assert (short_path / "given").exists()
    assert not (short_path / "more").exists()


def test_connections_wait_for_the_daemon(short_path: Path) -> None:
    """What systemd starts the daemon for: a connection that was made before."""
    with unix_socket(short_path / "given") as given, socket.socket(socket.AF_UNIX) as early:
        early.connect(str(short_path / "given"))
        early.settimeout(30)
        with running_service(short_path, [], sockets=[given]) as service:
            service.stop()
            assert early.recv(1) != b"", "the goodbye of a daemon that served it"


def test_nothing_that_is_executed_finds_the_sockets(short_path: Path) -> None:
    with (
        unix_socket(short_path / "given") as given,
        running_service(short_path, [], sockets=[given], names="given") as service,
        connect(f"unix://{short_path}/given") as client,
    ):
        result = client.run(["env"], env_base="inherit")
        names = {line.partition(b"=")[0] for line in result.stdout.splitlines()}
        assert b"PATH" in names
        assert not {name for name in names if name.startswith((b"LISTEN_", b"NOTIFY_"))}
        inode = f"socket:[{os.fstat(given.fileno()).st_ino}]"
        assert os.readlink(f"/proc/{service.pid}/fd/3") == inode
        flags = Path(f"/proc/{service.pid}/fdinfo/3").read_text().split("flags:")[1].split()[0]
        assert int(flags, 8) & os.O_CLOEXEC
        fds = client.run(["sh", "-c", "ls -l /proc/self/fd"])
        assert inode not in fds.stdout.decode()
        spawner = Path(f"/proc/{client.info().spawner.pid}")
        assert b"LISTEN_" not in (spawner / "environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in (spawner / "environ").read_bytes()
        assert inode not in {os.readlink(fd) for fd in (spawner / "fd").iterdir()}


def test_socket_activation_by_systemd_itself(short_path: Path) -> None:
    """The same with the tool that systemd has for tests of services."""
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        pytest.skip("systemd-socket-activate is not installed")
    path = short_path / "given"
    argv = [tool, "-l", str(path), *service_argv(["--state-dir", f"{short_path}/state"])]
    with (short_path / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log, cwd="/")
    try:
        eventually(path.exists, "systemd has made the socket")
        eventually(lambda: _listens(path), "systemd listens")
        assert pid_at(f"unix://{path}") == process.pid
        process.terminate()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait(DEADLINE)
    assert path.exists()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def refused(short_path: Path, *fds: int, names: str = "", config: str = "") -> str:
    """What the daemon says, which must not start with these descriptors."""
    (short_path / "daemon.toml").write_text(config)
    arguments = ["--config", f"{short_path}/daemon.toml", "--state-dir", f"{short_path}/state"]
    done = subprocess.run(
        service_argv(arguments, fds, names),
        pass_fds=fds,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_tcp_needs_the_same_permission(short_path: Path) -> None:
    with tcp_socket() as given:
        message = refused(short_path, given.fileno(), names="net")
    assert "descriptor 3 (net)" in message
    assert "--insecure" in message


def test_tcp_is_served_on_loopback_only(short_path: Path) -> None:
    with tcp_socket("0.0.0.0") as given:
        message = refused(short_path, given.fileno(), config="insecure = true\n")
    assert "0.0.0.0 is not a loopback address" in message


@contextlib.contextmanager
def not_listening(_: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        yield one


@contextlib.contextmanager
def a_connection(_: Path) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield theirs


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: unix_socket(path / "s", socket.SOCK_DGRAM), "SOCK_DGRAM"),
        (lambda path: unix_socket(path / "s", socket.SOCK_SEQPACKET), "SOCK_SEQPACKET"),
        (lambda _: unix_socket(b"\0procnursery-test-%d" % os.getpid()), "absolute path"),
        (lambda _: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "ListenStream="),
        (not_listening, "does not listen"),
        (a_connection, "Accept=yes"),
        (lambda path: (path / "file").open("w"), "not a socket"),
    ],
    ids=["datagram", "seqpacket", "abstract", "udp", "unbound", "connection", "file"],
)
def test_other_descriptors_are_refused(
    short_path: Path,
    make: Callable[[Path], contextlib.AbstractContextManager[socket.socket]],
    complaint: str,
) -> None:
    with unix_socket(short_path / "good") as good, make(short_path) as bad:
        message = refused(short_path, good.fileno(), bad.fileno(), names="good:bad")
    assert "descriptor 4 (bad)" in message
    assert complaint in message


def test_embedded_daemons_take_no_sockets(short_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with unix_socket(short_path / "given") as given, ours, theirs:
        done = subprocess.run(
            service_argv(["--embedded-fd", "0"], [given.fileno()]),
            pass_fds=[given.fileno()],
            stdin=theirs.fileno(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        told = ours.recv(65_536)
    assert done.returncode == 1
    assert b"--embedded-fd" in told


def test_sockets_of_another_process_are_not_touched(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))  # inherited by the daemon
    monkeypatch.setenv("LISTEN_FDS", "7")
    with running_daemon(short_path / "d") as daemon:
        assert pid_at(daemon.address) == daemon.pid


def test_variables_are_removed_and_checked() -> None:
    ours = str(os.getpid())
    for wrong in (
        {"LISTEN_PID": "me", "LISTEN_FDS": "1"},
        {"LISTEN_PID": ours, "LISTEN_FDS": "-1"},
        {"LISTEN_PID": ours, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "one"},
        {"LISTEN_PID": ours, "LISTEN_FDS": "9999"},  # not all open
    ):
        environ = wrong | {"HOME": "/"}
        with pytest.raises(ListenError):
            take_descriptors(environ)
        assert environ == {"HOME": "/"}
    assert take_descriptors({"LISTEN_PID": ours, "LISTEN_FDS": "0", "LISTEN_FDNAMES": ""}) == []
    assert take_descriptors({"LISTEN_PID": ours}) == []
    assert take_descriptors({}) == []
