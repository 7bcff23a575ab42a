"""The daemon's command line: what it refuses, takes over, announces."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from procnursery.daemon.config import Config, ConfigError, load_config
from tests.daemons import NOBODY, Daemon, eventually, running_daemon, why_no_other_user

COMMAND = (sys.executable, "-P", "-m", "procnursery.daemon")


def procnurseryd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A daemon that is expected not to start."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | environment,
        check=False,
    )


def test_help_names_the_places() -> None:
    done = procnurseryd("--help")
    assert done.returncode == 0
    for word in ("--listen", "--state-dir", "--config", "/run/procnursery", "/var/lib/procnursery"):
        assert word in done.stdout


def test_usage_errors() -> None:
    assert procnurseryd("--no-such-option").returncode == 2
    assert procnurseryd("--embedded-fd", "0", "--listen", "unix:///x").returncode == 2


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


def test_one_daemon_per_state_directory(daemon: Daemon, short_path: Path) -> None:
    state = short_path / "d" / "state"
    done = procnurseryd("--listen", f"unix://{short_path}/t", "--state-dir", str(state))
    assert done.returncode == 1
    assert str(state) in done.stderr


def test_unwritable_state_directory(short_path: Path) -> None:
    file = short_path / "file"
    file.touch()
    done = procnurseryd("--listen", f"unix://{short_path}/t", "--state-dir", f"{file}/state")
    assert done.returncode == 1
    assert f"{file}/state" in done.stderr
    assert "--state-dir" in done.stderr


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
        ('listen = ["tcp://127.0.0.1:0"]', "--insecure"),
        ('listen = ["tcp://192.0.2.1:1"]\ninsecure = true', "loopback"),
        ('listen = ["http://x"]', "unix:///"),
        ('listen = ["local:"]', "not an address to listen on"),
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


def test_the_command_line_overrules_the_configuration(short_path: Path) -> None:
    config = 'listen = ["unix:///no/such/dir/s"]\nlog_format = "json"\n'
    with running_daemon(short_path / "d", config=config) as daemon:
        assert daemon.address == f"unix://{short_path}/d/s"
        first = json.loads(daemon.read_log().splitlines()[0])
        assert (first["level"], first["message"]) == ("info", "ready")
        assert first["listen"] == daemon.address


def test_defaults_are_as_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, re.MULTILINE))
    config = Config()
    for name in ("max_frame", "max_requests", "hello_timeout", "write_timeout", "keep_closed"):
        assert rows[name] == str(getattr(config, name))
    assert rows["containment"] == f'"{config.containment}"'


def test_unknown_options_are_refused_with_their_name(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("colour = 1\n")
    with pytest.raises(ConfigError, match="colour"):
        load_config(path, {})


def test_sockets_are_private(daemon: Daemon) -> None:
    mode = os.stat(daemon.address.removeprefix("unix://")).st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_other_users_are_refused(short_path: Path) -> None:
    if (reason := why_no_other_user()) is not None:
        pytest.skip(reason)
    code = (
        "import sys; from procnursery.client.blocking import connect; "
        "connect(sys.argv[1]).ping(); print('served')"
    )

    def try_as_nobody(address: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", code, address],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )

    with running_daemon(short_path / "a") as daemon:
        (short_path / "a").chmod(0o755)
        assert "served" not in try_as_nobody(daemon.address).stdout
    config = 'allow_users = ["nobody"]\n'
    with running_daemon(short_path / "b", config=config) as daemon:
        (short_path / "b").chmod(0o755)
        assert "served" in try_as_nobody(daemon.address).stdout


def test_several_listeners(short_path: Path) -> None:
    listen = [f"unix://{short_path}/a", f"unix://{short_path}/b", "tcp://127.0.0.1:0"]
    with running_daemon(short_path / "d", listen=listen, insecure=True) as daemon:
        assert len(daemon.addresses) == 3
        pids = set()
        for address in daemon.addresses:
            with connect(address) as client:
                pids.add(client.hello.daemon.pid)
        assert pids == {daemon.pid}


def test_too_many_connections(short_path: Path) -> None:
    with running_daemon(short_path / "d", config="max_connections = 2\n") as daemon:
        with connect(daemon.address), connect(daemon.address):
            with socket.socket(socket.AF_UNIX) as third:
                third.connect(daemon.address.removeprefix("unix://"))
                data = b""
                while piece := third.recv(4096):
                    data += piece
            assert b"too_many_connections" in data
        eventually(lambda: _can_connect(daemon.address), "there is room again")


def _can_connect(address: str) -> bool:
    try:
        connect(address).close()
    except Exception:
        return False
    return True


def test_ids_go_on_after_a_restart(short_path: Path) -> None:
    with running_daemon(short_path / "d") as daemon, connect(daemon.address) as client:
        first = [client.start(["true"]).id for _ in range(3)]
        instance = client.hello.daemon.instance
    with running_daemon(short_path / "d") as daemon, connect(daemon.address) as client:
        assert client.hello.daemon.instance != instance
        assert client.start(["true"]).id not in first
    with running_daemon(short_path / "d") as daemon:
        with connect(daemon.address) as client:
            later = client.start(["true"]).id
        daemon.sigkill()
    with running_daemon(short_path / "d") as daemon, connect(daemon.address) as client:
        assert client.start(["true"]).id not in (*first, later)


def test_the_oldest_closed_are_forgotten(short_path: Path) -> None:
    output = short_path / "d" / "state" / "output"
    with (
        running_daemon(short_path / "d", config="keep_closed = 3\n") as daemon,
        connect(daemon.address) as client,
    ):
        for _ in range(6):
            client.run(["true"], stdout="spool")
        eventually(lambda: len(client.list()) == 3, "three are left")
        assert [one.id for one in client.list()] == ["p4", "p5", "p6"]
        eventually(lambda: len(list(output.iterdir())) == 3, "of their output, too")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_orderly_end(short_path: Path, number: signal.Signals) -> None:
    with running_daemon(short_path / "d") as daemon:
        daemon.process.send_signal(number)
        assert daemon.process.wait(30) == 0
    assert not (short_path / "d" / "s").exists()
