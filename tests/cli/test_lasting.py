"""Programs that go on without their client: start, ps, logs, wait, signal, stop, inspect."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from procnursery.client.blocking import connect
from tests.cli.command import procnursery, spawn
from tests.daemons import Daemon, eventually, processes_with


def start(daemon: Daemon, *arguments: str) -> str:
    done = procnursery("start", *arguments, host=daemon.address)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    text = done.stdout.decode()
    assert text == text.strip() + "\n"
    return text.strip()


def inspect(daemon: Daemon, process_id: str) -> dict[str, Any]:
    done = procnursery("inspect", process_id, "--json", host=daemon.address)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_life(daemon: Daemon, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo one; while ! [ -e {gate} ]; do sleep 0.02; done; echo two; exit 5"
    started = start(daemon, "--", "sh", "-c", script)
    eventually(
        lambda: procnursery("logs", started, host=daemon.address).stdout == b"one\n",
        "the first line",
    )
    found = inspect(daemon, started)
    assert found["state"] == "running"
    assert found["spec"]["argv"] == ["sh", "-c", script]
    listed = json.loads(procnursery("ps", "--json", host=daemon.address).stdout)
    assert [(one["id"], one["state"]) for one in listed] == [(started, "running")]
    with spawn("logs", "-f", started, host=daemon.address) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"one\n"
        with spawn("wait", started, host=daemon.address) as waiting:
            gate.touch()
            assert waiting.wait(30) == 5
        assert following.stdout.read() == b"two\n"
        assert following.wait(30) == 0
    for offset in range(9):
        done = procnursery("logs", "--offset", str(offset), started, host=daemon.address)
        assert (done.stdout, done.returncode) == (b"one\ntwo\n"[offset:], 0)
    assert procnursery("logs", "--offset", "9", started, host=daemon.address).returncode == 255
    assert procnursery("wait", started, host=daemon.address).returncode == 5
    table = procnursery("ps", host=daemon.address).stdout.decode()
    assert started in table
    assert "exited with status 5" in table
    assert procnursery("ps", "--live", "--json", host=daemon.address).stdout == b"[]\n"


def test_stop_ends_the_tree(contained_daemon: Daemon) -> None:
    mark = f"stop-{os.getpid()}-{time.monotonic_ns()}"
    started = start(
        contained_daemon,
        "--",
        "sh",
        "-c",
        f"trap '' TERM; setsid sh -c 'sleep 1000; : {mark}' & wait",
    )
    eventually(lambda: len(processes_with(mark)) >= 2, "the tree is there")
    done = procnursery("stop", started, "--grace", "0.3", host=contained_daemon.address)
    assert done.returncode == 0, done.stderr
    assert not processes_with(mark)
    found = inspect(contained_daemon, started)
    assert found["state"] == "closed"
    assert found["tree"]["verdict"] == "empty"
    assert [act["act"] for act in found["acts"]][:1] == ["stop"]
    waited = procnursery("wait", started, host=contained_daemon.address)
    assert waited.returncode in (128 + 9, 128 + 15)
    again = procnursery("stop", started, host=contained_daemon.address)
    assert again.returncode == 0


def test_only_settings_that_mean_something_are_shown(daemon: Daemon) -> None:
    started = start(daemon, "--", "true")
    assert inspect(daemon, started)["spec"]["stdout"] == {"mode": "spool"}
    text = procnursery("inspect", started, host=daemon.address).stdout
    assert b"mode: spool" in text
    assert b"capacity" not in text
    with connect(daemon.address) as connection:
        started = connection.start(["true"], stdout="pipe", on_disconnect="keep").id
    shown = inspect(daemon, started)["spec"]["stdout"]
    assert shown == {"mode": "pipe", "full": "block", "capacity": 1_048_576}


def test_signal(daemon: Daemon) -> None:
    started = start(daemon, "--", "sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.02; done")
    for name in ("USR1",):
        eventually(
            lambda: procnursery("signal", started, "0", host=daemon.address).returncode == 255,
            "signal 0 is no signal",
        )
        # sent until the shell has set its trap: before, USR1 ends it
        assert procnursery("signal", started, name, host=daemon.address).returncode == 0
    status = procnursery("wait", started, host=daemon.address).returncode
    assert status in (9, 128 + 10)
    done = procnursery("signal", started, "TERM", host=daemon.address)
    assert done.returncode == 255
    assert b"closed" in done.stderr


def test_a_started_program_goes_on_without_its_client(daemon: Daemon) -> None:
    with spawn("start", "--", "sleep", "1000", host=daemon.address) as command:
        assert command.stdout is not None
        started = command.stdout.read().decode().strip()
    assert inspect(daemon, started)["state"] == "running"
    assert inspect(daemon, started)["on_disconnect"] == "keep"
    assert procnursery("stop", started, host=daemon.address).returncode == 0


def test_failed_start(daemon: Daemon) -> None:
    done = procnursery("start", "--", "/no/such/file", host=daemon.address)
    assert (done.stdout, done.returncode) == (b"", 127)
    assert json.loads(procnursery("ps", "--json", host=daemon.address).stdout) == []


def test_token(daemon: Daemon) -> None:
    first = start(daemon, "--token", "t", "--", "true")
    assert start(daemon, "--token", "t", "--", "true") == first
    other = procnursery("start", "--token", "t", "--", "false", host=daemon.address)
    assert other.returncode == 255
    assert b"token" in other.stderr


@pytest.mark.parametrize(
    "arguments",
    [["start", "--", "true"], ["ps"], ["logs", "p1"], ["wait", "p1"], ["stop", "p1"]],
)
def test_local_daemons_last_for_one_command(arguments: list[str]) -> None:
    done = procnursery(*arguments)
    assert done.returncode == 255
    assert b"procnurseryd --listen" in done.stderr


@pytest.mark.parametrize("command", ["logs", "wait", "signal", "stop", "inspect"])
def test_unknown_ids(daemon: Daemon, command: str) -> None:
    done = procnursery(command, "p77", host=daemon.address)
    assert done.returncode == 255
    assert b"p77" in done.stderr


def test_info_and_ping(daemon: Daemon) -> None:
    assert procnursery("ping", host=daemon.address).returncode == 0
    found = json.loads(procnursery("info", "--json", host=daemon.address).stdout)
    assert found["daemon"]["pid"] == daemon.pid
    assert found["spawner"]["form"] == "python"
    assert found["containment"]["kind"] in ("cgroup", "session")
    assert Path(f"/proc/{found['spawner']['pid']}").exists()
    assert procnursery("ping", host="unix:///no/such").returncode == 255


def test_stdio_carries_the_protocol(daemon: Daemon) -> None:
    hello = b"\x94\x00\x00\xa5hello\x82\xa8protocol\x01\xa6client\x81\xa4name\xa1x"
    with spawn("stdio", host=daemon.address, stdin=subprocess.PIPE) as bridge:
        assert bridge.stdin is not None
        assert bridge.stdout is not None
        bridge.stdin.write(len(hello).to_bytes(4, "big") + hello)
        bridge.stdin.flush()
        size = int.from_bytes(bridge.stdout.read(4), "big")
        reply = bridge.stdout.read(size)
        assert reply.startswith(b"\x94\x01\x00\xc0")
        assert b"boot_id" in reply
        bridge.stdin.close()
        assert b"goodbye" in bridge.stdout.read()
        assert bridge.wait(30) == 0
