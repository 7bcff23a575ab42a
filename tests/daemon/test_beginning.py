"""The daemon's command line: what it announces, and what stays from one run to the next."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from procnursery.daemon.config import Config
from tests.daemon.command import procnurseryd
from tests.daemons import (
    NOBODY,
    eventually,
    running_daemon,
    why_no_other_user,
)


def test_help_names_the_places() -> None:
    done = procnurseryd("--help")
    assert done.returncode == 0
    for word in ("--listen", "--state-dir", "--config", "/run/procnursery", "/var/lib/procnursery"):
        assert word in done.stdout


def test_output_of_earlier_daemons_is_mentioned(short_path: Path) -> None:
    with running_daemon(short_path / "d") as daemon, connect(daemon.address) as client:
        for _ in range(2):
            client.run(["printf", "twelve bytes"], stdout="spool", stderr="null")
    assert "earlier daemons" not in daemon.read_log()
    with running_daemon(short_path / "d") as daemon:
        pass
    (line,) = [one for one in daemon.read_log().splitlines() if "earlier daemons" in one]
    assert "warning" in line
    assert "processes=2 bytes=24" in line
    assert f"{short_path}/d/state/output" in line


def test_the_end_is_told(short_path: Path) -> None:
    with (
        running_daemon(short_path / "d", config='log_format = "json"\n') as daemon,
        connect(daemon.address) as client,
    ):
        client.start(["sleep", "1000"])
    last = json.loads(daemon.read_log().splitlines()[-1])
    assert (last["level"], last["message"], last["left"]) == ("info", "stopped", 0)
    assert 0 < last["seconds"] < 30


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
    assert [one.name for one in (short_path / "d").iterdir() if one.name.startswith("s")] == [
        "state"
    ]
