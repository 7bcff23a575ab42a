"""What a campaign of experiments uses: names, labels, readiness, the gate, instants, events."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import procnursery, spawn
from tests.cli.test_lasting import inspect, start
from tests.daemons import Daemon, eventually


def ps(daemon: Daemon, *arguments: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(
        procnursery("ps", "--json", *arguments, host=daemon.address).stdout
    )
    return listed


def test_names_and_restart(daemon: Daemon) -> None:
    first = start(daemon, "--name", "srv", "--", "sh", "-c", "echo $$; exec sleep 1000")
    done = procnursery("start", "--name", "srv", "--", "true", host=daemon.address)
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"srv" in done.stderr
    assert b"name_in_use" in done.stderr
    assert [one["id"] for one in ps(daemon, "--name", "srv")] == [first]
    restarted = procnursery("restart", "--grace", "5", "srv", host=daemon.address)
    assert restarted.returncode == 0, restarted.stderr
    second = restarted.stdout.decode().strip()
    assert second != first
    assert inspect(daemon, first)["state"] == "closed"
    assert (inspect(daemon, "srv")["id"], inspect(daemon, "srv")["incarnation"]) == (second, 2)
    table = procnursery("ps", "--name", "srv", host=daemon.address).stdout.decode()
    assert "srv #1" in table
    assert "srv #2" in table
    assert procnursery("stop", "srv", host=daemon.address).returncode == 0
    assert procnursery("logs", "srv", host=daemon.address).stdout.strip().isdigit()
    unnamed = start(daemon, "--", "true")
    done = procnursery("restart", unnamed, host=daemon.address)
    assert (done.returncode, b"no_name" in done.stderr) == (255, True)


@pytest.mark.parametrize("name", ["p1", "", "1x", "a b", "x" * 65])
def test_wrong_names(daemon: Daemon, name: str) -> None:
    done = procnursery("start", "--name", name, "--", "true", host=daemon.address)
    assert done.returncode == 255
    assert b"is no name" in done.stderr
    assert ps(daemon) == []


def test_labels(daemon: Daemon) -> None:
    ids = [
        start(daemon, "--label", f"role={role}", "--label", "run=1", "--", "sleep", "1000")
        for role in ("a", "b", "a")
    ]
    assert [one["id"] for one in ps(daemon, "--label", "role=a")] == [ids[0], ids[2]]
    assert procnursery("stop", "--label", "role=a", host=daemon.address).returncode == 0
    assert [one["id"] for one in ps(daemon, "--live", "--label", "run=1")] == [ids[1]]
    done = procnursery("stop", "--label", "role=c", host=daemon.address)
    assert (done.returncode, b"role=c" in done.stderr) == (255, True)
    done = procnursery("stop", host=daemon.address)
    assert (done.returncode, b"label" in done.stderr) == (255, True)
    done = procnursery("ps", "--label", "nonsense", host=daemon.address)
    assert (done.returncode, b"is no label" in done.stderr) == (255, True)
    assert procnursery("stop", "--label", "run=1", host=daemon.address).returncode == 0


def test_hold_and_release(daemon: Daemon, tmp_path: Path) -> None:
    files = [tmp_path / str(index) for index in range(3)]
    for file in files:
        start(daemon, "--hold", "--label", "run=1", "--", "sh", "-c", f"date +%s%N > {file}")
    assert [one["state"] for one in ps(daemon)] == ["held"] * 3
    assert not any(file.exists() for file in files)
    before = time.time_ns()
    done = procnursery("release", "--json", "--at", "+0.5", "--label", "run=1", host=daemon.address)
    assert done.returncode == 0, done.stderr
    releases = json.loads(done.stdout)
    due = {tuple(one["release"]["due"]) for one in releases}
    assert len(due) == 1
    seconds, nanoseconds = due.pop()
    at = seconds * 10**9 + nanoseconds
    assert at >= before + 5 * 10**8
    for one in releases:
        assert procnursery("wait", one["id"], host=daemon.address).returncode == 0
    assert all(int(file.read_text()) >= at for file in files)
    done = procnursery("release", releases[0]["id"], host=daemon.address)
    assert (done.returncode, b"not_held" in done.stderr) == (255, True)


def test_release_of_what_cannot_be_executed(daemon: Daemon) -> None:
    held = start(daemon, "--hold", "--", "/no/such/program")
    done = procnursery("release", held, host=daemon.address)
    assert done.returncode == 127
    assert b"ENOENT" in done.stderr
    assert procnursery("wait", held, host=daemon.address).returncode == 127
    assert inspect(daemon, held)["outcome"]["kind"] == "start_failed"


def test_stop_of_a_held_program(daemon: Daemon, tmp_path: Path) -> None:
    held = start(daemon, "--hold", "--", "touch", str(tmp_path / "x"))
    assert procnursery("stop", held, host=daemon.address).returncode == 0
    assert inspect(daemon, held)["outcome"]["stage"] == "gate"
    assert not (tmp_path / "x").exists()


READY = {
    "--ready-output": "listening on [0-9]*",
    "--ready-stderr": "up",
    "--ready-notify": None,
    "--ready-connect": None,
}


@pytest.mark.parametrize("option", READY)
def test_start_until_ready(daemon: Daemon, option: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    programs = {
        "--ready-output": "print('listening on 80', flush=True)",
        "--ready-stderr": "import sys; print('all is up', file=sys.stderr, flush=True)",
        "--ready-notify": (
            "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
            r"s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'].replace('@', '\0', 1))"
        ),
        "--ready-connect": (
            f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen()"
        ),
    }
    value = READY[option]
    arguments = [option] if value is None else [option, value]
    if option == "--ready-connect":
        arguments = [option, f"unix://{path}"]
    program = f"import time; {programs[option]}; time.sleep(1000)"
    process = start(daemon, *arguments, "--", sys.executable, "-c", program)
    assert inspect(daemon, process)["ready"]["state"] == "ready"
    waiting = procnursery("wait", "--until", "ready", process, host=daemon.address)
    assert waiting.returncode == 0, waiting.stderr
    assert procnursery("stop", "--grace", "0", process, host=daemon.address).returncode == 0


def test_start_that_does_not_become_ready(daemon: Daemon) -> None:
    script = "echo trying; echo no port >&2; exec sleep 1000"
    arguments = ("--ready-output", "listening", "--ready-timeout", "0.3", "--", "sh", "-c", script)
    done = procnursery("start", *arguments, host=daemon.address)
    assert done.returncode == 124
    assert done.stdout.startswith(b"p")
    for text in (b"not ready after 0.3 s", b"trying\n", b"no port\n"):
        assert text in done.stderr
    script = "echo cannot bind; exit 3"
    done = procnursery(
        "start", "--ready-output", "listening", "--", "sh", "-c", script, host=daemon.address
    )
    assert done.returncode == 3
    assert b"cannot bind" in done.stderr
    done = procnursery("start", "--ready-output", "x", "--", "true", host=daemon.address)
    assert done.returncode == 255  # it ended well, but it never was ready
    done = procnursery(
        "start", "--ready-notify", "--ready-output", "x", "--", "true", host=daemon.address
    )
    assert (done.returncode, b"one way" in done.stderr) == (255, True)
    done = procnursery("wait", "--until", "ready", start(daemon, "--", "true"), host=daemon.address)
    assert done.returncode == 255


def test_acts_at_an_instant(daemon: Daemon) -> None:
    process = start(daemon, "--", "sleep", "1000")
    before = time.time_ns()
    done = procnursery("signal", "--at", "+0.4", process, "SIGUSR1", host=daemon.address)
    assert done.returncode == 0, done.stderr
    (act,) = inspect(daemon, process)["acts"]
    delivered = act["delivered"]["realtime"]
    assert delivered[0] * 10**9 + delivered[1] >= before + 4 * 10**8
    other = start(daemon, "--", "sleep", "1000")
    at = time.time() + 0.4
    assert procnursery("stop", "--at", f"{at:.6f}", other, host=daemon.address).returncode == 0
    delivered = inspect(daemon, other)["acts"][0]["delivered"]["realtime"]
    assert delivered[0] + delivered[1] / 1e9 >= at - 1e-6
    done = procnursery("stop", "--at", "soon", other, host=daemon.address)
    assert (done.returncode, b"is no instant" in done.stderr) == (255, True)
    third = start(daemon, "--", "sleep", "1000")
    with spawn("stop", "--at", "2999-01-01T00:00:00Z", third, host=daemon.address) as waiting:
        eventually(
            lambda: (
                json.loads(procnursery("info", "--json", host=daemon.address).stdout)["counts"][
                    "connections"
                ]
                >= 2
            ),
            "the command's connection",
        )
        waiting.terminate()
    assert inspect(daemon, third)["state"] == "running"
    assert procnursery("stop", "--grace", "0", third, host=daemon.address).returncode == 0


def test_events(daemon: Daemon) -> None:
    first = start(daemon, "--name", "one", "--label", "a=b", "--", "sh", "-c", "exit 3")
    procnursery("wait", first, host=daemon.address)
    arguments = ("events", "--after", "0", "--json", "--count", "5")
    lines = procnursery(*arguments, host=daemon.address).stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert [one["seq"] for one in told] == [1, 2, 3, 4, 5]
    assert told[0]["kind"] == "started"
    assert told[-1]["kind"] == "closed"
    assert (told[-1]["outcome"]["code"], told[-1]["name"]) == (3, "one")
    rest = procnursery("events", "--after", "4", "--count", "1", host=daemon.address).stdout
    assert rest.startswith(b"5 ")
    assert b"(one #1) closed: exited with status 3" in rest
    running = start(daemon, "--label", "a=b", "--", "sleep", "1000")
    with spawn("events", "--snapshot", "--json", "--label", "a=b", host=daemon.address) as live:
        assert live.stdout is not None
        shown = [json.loads(live.stdout.readline()) for _ in range(2)]
        assert [(one["kind"], one["id"], one["state"]) for one in shown] == [
            ("process", first, "closed"),
            ("process", running, "running"),
        ]
        start(daemon, "--", "true")
        procnursery("stop", "--grace", "0", running, host=daemon.address)
        event = json.loads(live.stdout.readline())
        assert (event["kind"], event["id"], event["act"]["signal"]) == ("act", running, "SIGTERM")
        live.terminate()
    done = procnursery("events", "--after", "1000000", host=daemon.address)
    assert done.returncode == 255
    done = procnursery("events", "--after", "0", "--snapshot", host=daemon.address)
    assert done.returncode == 255


def test_name_and_labels_of_run(daemon: Daemon) -> None:
    with spawn(
        "run", "--name", "fg", "--label", "x=y", "--", "sleep", "1000", host=daemon.address
    ) as running:
        eventually(lambda: bool(ps(daemon, "--label", "x=y")), "the program")
        assert ps(daemon)[0]["name"] == "fg"
        assert procnursery("stop", "fg", host=daemon.address).returncode == 0
        assert running.wait(30) == 143


def test_a_port_that_never_opens_costs_little(daemon: Daemon) -> None:
    """Nothing tells that a port is open: the tries are few, and end with the process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    with spawn(
        *("start", "--ready-connect", address, "--ready-timeout", "600", "--", "sleep", "1000"),
        host=daemon.address,
    ) as waiting:
        assert waiting.stdout is not None
        process = waiting.stdout.readline().decode().strip()
        assert procnursery("stop", process, host=daemon.address).returncode == 0
        assert waiting.wait(30) == 143


def test_freeze_and_thaw(daemon: Daemon, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    ids = [
        start(
            *(daemon, "--name", file.name, "--label", "run=1", "--"),
            *("sh", "-c", f"while :; do echo x >> {file}; sleep 0.01; done"),
        )
        for file in files
    ]
    held = start(daemon, "--hold", "--label", "run=1", "--", "true")
    eventually(lambda: all(file.exists() for file in files), "they write")
    for command in (("freeze", "--label", "run=1"), ("freeze", *ids), ("freeze", "a", "b")):
        done = procnursery(*command, host=daemon.address)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    before = [file.stat().st_size for file in files]
    assert [one.get("frozen", False) for one in ps(daemon)] == [True, True, False]
    assert [inspect(daemon, one)["frozen"] for one in ids] == [True, True]
    table = procnursery("ps", host=daemon.address).stdout.decode()
    assert table.count("running, frozen") == 2
    assert [file.stat().st_size for file in files] == before
    assert (
        procnursery("thaw", "--at", "+0.1", "--label", "run=1", host=daemon.address).returncode == 0
    )
    eventually(lambda: all(f.stat().st_size > n for f, n in zip(files, before, strict=True)), "on")
    told = procnursery(
        "events", "--after", "0", "--kind", "act", "--count", "4", host=daemon.address
    )
    lines = told.stdout.decode().splitlines()
    assert sum("freeze of the tree by" in one for one in lines) == 2
    assert sum("thaw of the tree by" in one for one in lines) == 2
    done = procnursery("freeze", held, host=daemon.address)
    assert (done.returncode, b"not_running" in done.stderr) == (255, True)
    assert procnursery("freeze", "a", host=daemon.address).returncode == 0
    assert procnursery("stop", "--label", "run=1", host=daemon.address).returncode == 0
    assert inspect(daemon, ids[0])["outcome"]["signal"] == "SIGTERM"


@pytest.mark.parametrize("command", ["freeze", "thaw"])
def test_freeze_of_nothing(daemon: Daemon, command: str) -> None:
    for arguments, word in (
        ((), b"give an id"),
        (("p77",), b"p77"),
        (("--label", "a=b"), b"a=b"),
        (("--at", "soon", "p1"), b"is no instant"),
    ):
        done = procnursery(command, *arguments, host=daemon.address)
        assert (done.returncode, word in done.stderr) == (255, True)


def test_labels_of_what_has_ended(daemon: Daemon) -> None:
    process = start(daemon, "--label", "a=1", "--", "sleep", "1000")
    done = procnursery("signal", "--label", "a=1", "USR1", host=daemon.address)
    assert done.returncode == 0, done.stderr
    procnursery("wait", process, host=daemon.address)
    assert inspect(daemon, process)["outcome"]["signal"] == "SIGUSR1"
    assert procnursery("stop", "--label", "a=1", host=daemon.address).returncode == 0
    done = procnursery(
        *("start", "--label", "a=1", "--label", "a=2", "--", "true"), host=daemon.address
    )
    assert (done.returncode, b"two values" in done.stderr) == (255, True)


def test_an_instant_long_ago(daemon: Daemon) -> None:
    """Seconds that were meant as a distance, for example."""
    held = start(daemon, "--hold", "--", "true")
    done = procnursery("release", "--at", "5", held, host=daemon.address)
    assert done.returncode == 0, done.stderr
    assert b"has passed" in done.stderr
    assert procnursery("wait", held, host=daemon.address).returncode == 0
    assert inspect(daemon, held)["release"]["missed"] is True
    other = start(daemon, "--", "sleep", "1000")
    done = procnursery("stop", "--at", "5", other, host=daemon.address)
    assert (done.returncode, b"has passed" in done.stderr) == (0, True)


def test_status_of_what_was_never_executed(daemon: Daemon) -> None:
    held = start(daemon, "--hold", "--", "true")
    assert procnursery("stop", held, host=daemon.address).returncode == 0
    done = procnursery("wait", held, host=daemon.address)
    assert done.returncode == 126
    assert b"at stage gate" in done.stderr


def test_what_was_ready_once(daemon: Daemon) -> None:
    process = start(daemon, "--ready-output", "up", "--", "sh", "-c", "echo up; exec sleep 1000")
    assert procnursery("stop", process, host=daemon.address).returncode == 0
    done = procnursery("wait", "--until", "ready", process, host=daemon.address)
    assert done.returncode == 143
    assert b"was ready, but has ended" in done.stderr


def test_why_a_port_was_not_open(daemon: Daemon, tmp_path: Path) -> None:
    arguments = ("--ready-connect", f"unix://{tmp_path}/none", "--ready-timeout", "0.3")
    done = procnursery("start", *arguments, "--", "sleep", "1000", host=daemon.address)
    assert done.returncode == 124
    assert b"No such file" in done.stderr


def test_events_of_what_is_not_known(daemon: Daemon) -> None:
    done = procnursery("events", "p99", host=daemon.address)
    assert (done.returncode, b"not_found" in done.stderr) == (255, True)
