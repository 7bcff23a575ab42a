"""``run``: bytes, exit statuses, reports."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import COMMAND, environment, procnursery, spawn
from tests.daemons import Daemon, eventually, processes_with


@pytest.fixture(params=["local:", "daemon"])
def host(request: pytest.FixtureRequest) -> str:
    """An embedded daemon, and a lasting one."""
    if request.param == "local:":
        return "local:"
    daemon: Daemon = request.getfixturevalue("daemon")
    return daemon.address


def reported(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def test_streams_and_status(host: str, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    done = procnursery(
        *("run", "--report", str(report), "--", "sh", "-c", "echo out; echo err >&2; exit 7"),
        host=host,
    )
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)
    found = reported(report)
    assert found["outcome"]["kind"] == "exited"
    assert found["outcome"]["code"] == 7
    assert found["cause"] == "own"
    assert found["host"] == socket.gethostname()
    assert found["argv"] == ["sh", "-c", "echo out; echo err >&2; exit 7"]
    assert found["streams"]["stdout"]["bytes"] == 4
    assert found["streams"]["stderr"]["bytes"] == 4
    assert found["streams"]["stdout"]["gaps"] == []
    assert found["tree"] == {"verdict": "empty", "killed": 0, "survivors": []}
    assert found["acts"] == []
    assert found["usage"]["max_rss_bytes"] > 0
    assert found["usage"]["user_s"] >= 0
    times = found["times"]
    assert (
        times["requested"]["monotonic"]
        <= times["exec"]["monotonic"]
        <= times["exited"]["monotonic"]
        <= times["closed"]["monotonic"]
    )


def test_ended_by_a_signal(host: str, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    done = procnursery("run", "--report", str(report), "--", "sh", "-c", "kill -SEGV $$", host=host)
    assert done.returncode == 139
    assert done.stdout == b""
    assert b"SIGSEGV" in done.stderr
    assert done.stderr.count(b"\n") == 1
    outcome = reported(report)["outcome"]
    assert (outcome["kind"], outcome["signal"]) == ("signalled", "SIGSEGV")
    assert isinstance(outcome["core_dumped"], bool)


@pytest.mark.parametrize(
    ("arguments", "status", "errno", "stage"),
    [
        (["--", "/no/such/file"], 127, "ENOENT", "exec"),
        (["--", "no-such-command-anywhere"], 127, "ENOENT", "exec"),
        (["--", "/etc/passwd"], 126, "EACCES", "exec"),
        (["--cwd", "/no/such/directory", "--", "true"], 126, "ENOENT", "cwd"),
        (["--user", "no-such-user", "--", "true"], 126, None, "user"),
    ],
)
def test_failed_start(
    host: str, tmp_path: Path, arguments: list[str], status: int, errno: str | None, stage: str
) -> None:
    report = tmp_path / "r.json"
    done = procnursery("run", "--report", str(report), *arguments, host=host)
    assert done.returncode == status
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    if errno is not None:
        assert errno.encode() in done.stderr
    outcome = reported(report)["outcome"]
    assert outcome["kind"] == "start_failed"
    assert outcome["stage"] == stage
    assert outcome["errno"] == errno


def test_small_input(host: str) -> None:
    assert procnursery("run", "--", "cat", host=host, input=b"x").stdout == b"x"


def test_no_input(host: str) -> None:
    done = procnursery("run", "-n", "--", "cat", host=host, input=b"not for it")
    assert (done.stdout, done.returncode) == (b"", 0)


def test_much_input_and_output(host: str) -> None:
    data = os.urandom(50_000_000)
    done = procnursery("run", "--", "cat", host=host, input=data)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_200_megabytes(host: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    digest = hashlib.sha256()
    with source.open("wb") as file:
        for _ in range(200):
            block = os.urandom(1_000_000)
            digest.update(block)
            file.write(block)
    copied = hashlib.sha256()
    with subprocess.Popen(
        [*COMMAND, "-H", host, "run", "-n", "--", "cat", str(source)],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        while block := process.stdout.read(1_000_000):
            copied.update(block)
    assert process.returncode == 0
    assert copied.digest() == digest.digest()
    assert not target.exists()


def test_odd_bytes(host: str) -> None:
    odd = b"\xff\xfe caf\xe9\n\x80"
    done = procnursery(
        *("run", "--env", b"ODD=" + odd, "--", "sh", "-c", 'printf %s "$ODD"; printf %s "$1"'),
        *("sh", odd),
        host=host,
    )
    assert done.stdout == odd + odd


def test_a_subshell_keeps_its_output(host: str) -> None:
    done = procnursery("run", "--", "bash", "-c", "seq 100000 > >(sort | tail -1)", host=host)
    assert (done.stdout, done.returncode) == (b"99999\n", 0)


def test_reader_gone(host: str) -> None:
    mark = f"yes-{os.getpid()}-{time.monotonic_ns()}"
    began = time.monotonic()
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -1', "sh", *COMMAND, "-H", host, "run", "--", "yes", mark],
        capture_output=True,
        env=environment(),
        timeout=60,
        check=True,
    )
    assert done.stdout == mark.encode() + b"\n"
    # the limit is one second on an idle machine; the point is that it ends at all
    assert time.monotonic() - began < 10
    eventually(lambda: not processes_with(mark), "the program is gone")


def test_timeout(host: str, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    done = procnursery(
        "run", "--timeout", "0.2", "--report", str(report), "--", "sleep", "60", host=host
    )
    assert done.returncode == 124
    assert b"SIGTERM" in done.stderr
    found = reported(report)
    assert found["cause"] == "timeout"
    assert found["outcome"]["signal"] == "SIGTERM"
    assert [act["act"] for act in found["acts"]] == ["stop"]
    assert found["acts"][0]["delivered"] is not None


def test_timeout_of_a_program_that_ignores_the_stop_signal(host: str) -> None:
    done = procnursery(
        *("run", "--timeout", "0.2", "--grace", "0.2", "--"),
        *("sh", "-c", "trap '' TERM; while :; do sleep 1; done"),
        host=host,
    )
    assert done.returncode == 124
    assert b"SIGKILL" in done.stderr


def test_usage_errors_are_255() -> None:
    for arguments in (
        ["run"],
        ["run", "--no-such-option", "--", "true"],
        ["run", "--nice", "99", "--", "true"],
        ["run", "--env", "=x", "--", "true"],
        ["run", "--rlimit", "nofile", "--", "true"],
        ["run", "--affinity", "3-1", "--", "true"],
        ["run", "--stop-signal", "SIGNONE", "--", "true"],
        ["no-such-command"],
        ["run", "--rlimit", "nosuchlimit=3", "--", "true"],
        ["run", "--affinity", "9999", "--", "true"],
    ):
        done = procnursery(*arguments)
        assert done.returncode == 255, arguments
        assert done.stdout == b""
        assert done.stderr != b""


def test_no_daemon_is_255() -> None:
    for host in ("unix:///no/such/socket", "tcp://127.0.0.1:1", "ftp://x", "unix://relative"):
        done = procnursery("run", "--", "true", host=host)
        assert done.returncode == 255, host
        assert host.encode() in done.stderr


def test_report_that_cannot_be_written_starts_nothing(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    done = procnursery("run", "--report", "/no/such/dir/r.json", "--", "touch", str(touched))
    assert done.returncode == 255
    assert b"/no/such/dir/r.json" in done.stderr
    assert not touched.exists()


def test_environment_of_a_lasting_daemon(daemon: Daemon) -> None:
    done = procnursery(
        *("run", "--env", "A=1", "--env", "KEPT", "--", "env", "-0"),
        host=daemon.address,
        env=environment(KEPT="yes", DROPPED="no"),
    )
    env = dict(entry.split(b"=", 1) for entry in done.stdout.rstrip(b"\0").split(b"\0"))
    user = pwd.getpwuid(os.getuid())
    assert env[b"HOME"] == user.pw_dir.encode()
    assert env[b"USER"] == env[b"LOGNAME"] == user.pw_name.encode()
    assert env[b"SHELL"] == user.pw_shell.encode()
    assert env[b"A"] == b"1"
    assert env[b"KEPT"] == b"yes"
    assert set(env) == {
        *(b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL", b"LANG", b"A", b"KEPT"),
        *(b"PROCNURSERY_ID", b"PROCNURSERY_INSTANCE"),
    }
    pwd_done = procnursery("run", "--", "pwd", host=daemon.address)
    assert pwd_done.stdout == user.pw_dir.encode() + b"\n"


def test_environment_and_directory_of_local(tmp_path: Path) -> None:
    done = procnursery(
        "run", "--", "sh", "-c", "echo $MINE; pwd", env=environment(MINE="here"), cwd=tmp_path
    )
    assert done.stdout == f"here\n{tmp_path}\n".encode()


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(gone), *COMMAND, "-H", "local:", "run", "--", "true"],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 255
    assert b"--cwd" in done.stderr


def test_settings_reach_the_program(host: str) -> None:
    script = "ulimit -n; ulimit -Hn; nice; grep Cpus_allowed_list /proc/self/status"
    done = procnursery(
        *("run", "--rlimit", "nofile=100:200", "--nice", "5", "--affinity", "0"),
        *("--", "bash", "-c", script),
        host=host,
    )
    assert done.stdout == b"100\n200\n5\nCpus_allowed_list:\t0\n"


@pytest.mark.parametrize("mode", ["spool", "direct", "null"])
def test_output_modes(host: str, mode: str) -> None:
    done = procnursery("run", "--output-mode", mode, "--", "echo", "x", host=host)
    assert done.returncode == 0
    assert done.stdout == (b"" if mode == "null" else b"x\n")


def test_default_address_comes_from_the_environment(daemon: Daemon) -> None:
    done = subprocess.run(
        [*COMMAND, "ping"],
        env=environment(PROCNURSERY_HOST=daemon.address),
        capture_output=True,
        check=True,
    )
    assert str(daemon.pid).encode() in done.stdout


def test_interrupt_goes_to_the_program(host: str) -> None:
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    command = spawn("run", "--", "sh", "-c", script, host=host)
    with command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"ready\n"
        command.send_signal(2)
        assert command.stdout.read() == b"caught\n"
        assert command.wait(30) == 3


def test_second_interrupt_stops_it(host: str) -> None:
    script = "trap 'echo caught' INT; echo ready; while :; do sleep 0.05; done"
    command = spawn("run", "--", "sh", "-c", script, host=host)
    with command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.readline() == b"ready\n"
        command.send_signal(2)
        assert command.stdout.readline() == b"caught\n"
        command.send_signal(2)
        assert command.wait(30) == 128 + 15
        assert b"SIGTERM" in command.stderr.read()


def test_third_interrupt_gives_up(host: str) -> None:
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    script = f"trap '' TERM; trap 'echo caught' INT; echo {mark}; while :; do sleep 0.05; done"
    command = spawn("run", "--grace", "60", "--", "sh", "-c", script, host=host)
    with command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.readline() == f"{mark}\n".encode()
        command.send_signal(2)
        assert command.stdout.readline() == b"caught\n"
        command.send_signal(2)
        assert b"stopping" in command.stderr.readline()
        command.send_signal(2)
        assert command.wait(30) == 255
        assert b"gave up" in command.stderr.read()
    eventually(lambda: not processes_with(mark), "the daemon ends what has no client")
