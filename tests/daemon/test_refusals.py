"""Why a daemon does not start: one line with the cause, and advice that can be followed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from procnursery.daemon.config import ConfigError, load_config
from tests.daemon.command import COMMAND, procnurseryd
from tests.daemons import (
    Daemon,
)


def test_unwritable_state_directory(short_path: Path) -> None:
    file = short_path / "file"
    file.touch()
    done = procnurseryd("--listen", f"unix://{short_path}/t", "--state-dir", f"{file}/state")
    assert done.returncode == 1
    assert f"{file}/state" in done.stderr
    assert "something on the way to it is no directory" in done.stderr
    assert "--state-dir" in done.stderr


def test_a_file_as_state_directory(short_path: Path) -> None:
    file = short_path / "file"
    file.touch()
    done = procnurseryd("--listen", f"unix://{short_path}/t", "--state-dir", str(file))
    assert done.returncode == 1
    assert done.stderr == (
        f"procnurseryd: the state directory {file} cannot be used: it is no directory; "
        "give another one with --state-dir\n"
    )


def test_advice_that_can_be_followed(short_path: Path) -> None:
    """No option is named that would be refused in its turn."""
    done = procnurseryd("--listen", "tcp://0.0.0.0:0", "--state-dir", f"{short_path}/st")
    assert done.returncode == 1
    assert "127.0.0.0/8" in done.stderr
    done = procnurseryd("--listen", "foo", "--state-dir", f"{short_path}/st")
    assert done.returncode == 1
    assert "unix:///absolute/path" in done.stderr
    assert "local:" not in done.stderr


@pytest.mark.parametrize("option", ["--ready-fd", "--embedded-fd"])
@pytest.mark.parametrize("number", ["99", "-1", "99999999999999999999"])
def test_a_descriptor_that_is_not_there(short_path: Path, option: str, number: str) -> None:
    listen = [] if option == "--embedded-fd" else ["--listen", f"unix://{short_path}/s"]
    done = procnurseryd(*listen, "--state-dir", f"{short_path}/st", f"{option}={number}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"{option} {number}" in done.stderr
    assert list(short_path.iterdir()) == []


def test_nobody_listens_for_readiness(short_path: Path) -> None:
    """Whoever wanted to know is gone; that is no reason not to serve."""
    reading, writing = os.pipe()
    os.close(reading)
    address = f"unix://{short_path}/s"
    arguments = ["--listen", address, "--state-dir", f"{short_path}/st", f"--ready-fd={writing}"]
    with subprocess.Popen(
        [*COMMAND, *arguments], pass_fds=[writing], stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writing)
        assert process.stderr is not None
        assert "ready" in process.stderr.readline()
        assert "nobody could be told of readiness" in process.stderr.readline()
        with connect(address) as client:
            client.ping()
        process.terminate()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_too_few_descriptors(short_path: Path) -> None:
    """Wherever in its beginning the daemon runs out of them: one line with the cause."""
    failures = []
    for limit in range(7, 64):
        line, complaint, status = _begin_with_few_descriptors(short_path, limit)
        if line:
            break
        failures.append((limit, complaint, status))
    else:
        pytest.fail("it never began")
    assert len(failures) > 3
    for _limit, complaint, status in failures:
        assert status == 1, failures
        assert len(complaint.splitlines()) == 1, failures
        assert "Too many open files" in complaint, failures
    assert "ulimit -n" in failures[-1][1]
    assert list(short_path.glob("s*")) == []


def _begin_with_few_descriptors(path: Path, limit: int) -> tuple[str, str, int]:
    """(announcement, complaint, exit status) of a daemon that is ended if it begins."""
    with subprocess.Popen(
        [
            *("sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"),
            *COMMAND,
            *("--listen", f"unix://{path}/s", "--state-dir", f"{path}/d", "--ready-fd", "1"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        process.terminate()
        complaint = process.stderr.read()
    return line, complaint, process.returncode


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("listne = []", "listne"),
        ('containment = "jail"', "cgroup"),
        ("max_requests = 0", "between"),
        ("max_requests = 1.5", "number"),
        ("max_requests = true", "number"),
        ("insecure = 1", "true or false"),
        ('listen = "unix:///x"', "array"),
        ('state_dir = "relative"', "absolute"),
        ("= 3", "not TOML"),
        ('allow_users = ["no-such-user"]', "no-such-user"),
        ('allow_users = ["no-such-user"]', "there is no user"),
        ('listen = ["tcp://127.0.0.1:0"]', "--insecure"),
        ('listen = ["tcp://0.0.0.0:0"]', "loopback"),
        ('listen = ["tcp://192.0.2.1:1"]\ninsecure = true', "loopback"),
        ('listen = ["http://x"]', "unix:///"),
        ('listen = ["local:"]', "is no address; addresses are unix:///"),
        ('containment = "cgroup"\ncgroup_root = "/no/such"', "/no/such"),
    ],
)
def test_bad_configuration(short_path: Path, text: str, complaint: str) -> None:
    config = short_path / "daemon.toml"
    config.write_text(text + "\n")
    listen = [] if "listen" in text else ["--listen", f"unix://{short_path}/s"]
    done = procnurseryd("--config", str(config), "--state-dir", str(short_path / "st"), *listen)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_configuration(short_path: Path) -> None:
    done = procnurseryd("--config", f"{short_path}/none.toml", "--listen", f"unix://{short_path}/s")
    assert done.returncode == 1
    assert "none.toml" in done.stderr


def test_usage_errors() -> None:
    assert procnurseryd("--no-such-option").returncode == 2
    assert procnurseryd("--embedded-fd", "0", "--listen", "unix:///x").returncode == 2


def test_one_daemon_per_state_directory(daemon: Daemon, short_path: Path) -> None:
    state = short_path / "d" / "state"
    done = procnurseryd("--listen", f"unix://{short_path}/t", "--state-dir", str(state))
    assert done.returncode == 1
    assert str(state) in done.stderr


def test_unknown_options_are_refused_with_their_name(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("colour = 1\n")
    with pytest.raises(ConfigError, match="colour"):
        load_config(path, {})
