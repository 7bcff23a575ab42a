"""What the machine is and does, as people and programs see it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal

import attrs
import pytest

from procnursery.cli.rates import rows, size
from procnursery.model import Sample, Stamp, Unavailable
from tests.cli.command import procnursery, spawn
from tests.daemons import Daemon


def lines(output: bytes) -> list[str]:
    return output.decode().splitlines()


@pytest.mark.parametrize("local", [True, False])
def test_json(daemon: Daemon, local: bool) -> None:
    host = "local:" if local else daemon.address
    done = procnursery("stats", "--json", "--count", "3", "--interval", "0.05", host=host)
    assert (done.returncode, done.stderr) == (0, b"")
    found = [json.loads(line) for line in lines(done.stdout)]
    assert len(found) == 3
    for one in found:
        assert one.keys() == {"tick", "missed", "late_s", "sample"}
        assert one["sample"]["values"]["cpu.count"] == os.cpu_count()
        assert one["sample"]["cost_ns"] > 0


def test_groups_of_json(daemon: Daemon) -> None:
    start = procnursery("start", "--", "sleep", "1000", host=daemon.address)
    identifier = start.stdout.decode().strip()
    arguments = ("--group", "load", "--group", "processes", "--count", "1", "--json")
    [line] = lines(procnursery("stats", *arguments, host=daemon.address).stdout)
    values = json.loads(line)["sample"]["values"]
    assert values[f"process.{identifier}.processes"] == 1
    assert {field.partition(".")[0] for field in values} == {"load", "process"}


def test_lines(daemon: Daemon) -> None:
    start = procnursery("start", "--", "sleep", "1000", host=daemon.address)
    identifier = start.stdout.decode().strip()
    done = procnursery("stats", "--count", "2", "--interval", "0.05", host=daemon.address)
    assert (done.returncode, done.stderr) == (0, b"")
    text = [line.partition(" ")[2] for line in lines(done.stdout)]
    assert sum(line.startswith("load: 1m ") for line in text) == 2
    assert sum(line.startswith("memory: used ") for line in text) == 2
    assert sum(line.startswith("cpu: ") for line in text) == 2
    [first, _] = [line for line in text if line.startswith(f"process {identifier}: ")]
    assert "rss " in first
    assert "processes 1" in first
    assert not any(line.endswith(" ") for line in lines(done.stdout))


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_interrupt(daemon: Daemon, local: bool, options: tuple[str, ...]) -> None:
    host = "local:" if local else daemon.address
    with spawn(
        "stats", "--interval", "0.05", *options, host=host, start_new_session=True
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        command.stdout.read()
        assert command.stderr.read() == b""
        assert command.wait(30) == 130
    assert procnursery("ping", host=daemon.address).returncode == 0


def test_terminal(daemon: Daemon) -> None:
    ours, theirs = pty.openpty()
    with spawn(
        *("stats", "--interval", "0.05"),
        host=daemon.address,
        stdout=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"},
    ) as command:
        os.close(theirs)
        shown = b""
        while shown.count(b"memory") < 3:
            shown += os.read(ours, 65536)
        command.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while data := os.read(ours, 65536):
                shown += data
        assert command.stderr is not None
        assert command.stderr.read() == b""
        assert command.wait(30) == 130
    os.close(ours)
    assert b" ms late, " in shown
    assert b"\x1b[" in shown  # drawn over itself
    assert shown.rstrip().endswith(b"\x1b[?25h")  # the cursor is back


def test_the_reader_leaves(daemon: Daemon) -> None:
    with spawn("stats", "--interval", "0.02", "--json", host=daemon.address) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        assert command.wait(30) == 128 + signal.SIGPIPE
        assert command.stderr.read() == b""


def test_the_daemon_ends(daemon: Daemon) -> None:
    with spawn("stats", "--interval", "0.05", "--json", host=daemon.address) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        daemon.process.send_signal(signal.SIGTERM)
        command.stdout.read()
        assert b"is gone" in command.stderr.read()
        assert command.wait(30) == 255
    assert daemon.process.wait(30) == 0


@pytest.mark.parametrize(
    "options", [("--interval", "0"), ("--group", "power"), ("--count", "0"), ("more",)]
)
def test_wrong_usage(options: tuple[str, ...]) -> None:
    done = procnursery("stats", *options)
    assert (done.returncode, done.stdout) == (255, b"")
    assert done.stderr


def test_info_tells_facts(daemon: Daemon) -> None:
    found = json.loads(procnursery("info", "--json", host=daemon.address).stdout)
    assert found["facts"]["values"]["kernel.release"] == os.uname().release
    assert found["facts"]["values"]["state.path"] == str(daemon.directory / "state")
    text = procnursery("info", host=daemon.address).stdout.decode()
    assert f"  kernel.release: {os.uname().release}\n" in text
    for one in found["facts"]["unavailable"]:
        assert f"  {one['field']}: unavailable: {one['reason']}\n" in text


def test_info_on_a_terminal(daemon: Daemon) -> None:
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "200"}
    with spawn("info", host=daemon.address, stdout=theirs, env=env) as command:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                shown += data
        assert command.wait(30) == 0
    os.close(ours)
    assert b"FACT" in shown
    assert os.uname().release.encode() in shown


def sample(seconds: int, **values: float) -> Sample:
    at = Stamp(realtime=(seconds, 0), monotonic=(seconds, 0))
    named = {name.replace("__", "."): value for name, value in values.items()}
    return Sample(at=at, cost_ns=1, values=named)


def test_rates() -> None:
    before = sample(10, cpu__count=2, cpu__user_s=100, cpu__nice_s=0, cpu__idle_s=7)
    now = sample(12, cpu__count=2, cpu__user_s=101, cpu__nice_s=1, cpu__idle_s=6)
    [cpu] = rows(before, now)
    assert cpu == ("cpu", [("user", "50.0 %")])  # what was set back is not told
    disk = {"disk__a__b__read_bytes_total": 0.0, "disk__a__b__busy_s": 1.0}
    more = {"disk__a__b__read_bytes_total": 5e6, "disk__a__b__busy_s": 1.5}
    [one] = rows(sample(1, **disk), sample(2, **more))
    assert one == ("disk a.b", [("read", "5.0 MB/s"), ("busy", "50.0 %")])
    lacking = (Unavailable(field="process.p1", reason="it ended"),)
    [gone] = rows(sample(1), attrs.evolve(sample(2), unavailable=lacking))
    assert gone == ("process.p1", [("unavailable", "it ended")])
    process = {"process__p1__user_s": 1.0, "process__p1__system_s": 1.0}
    [new] = rows(sample(1), sample(2, **process, process__p1__tasks=3))
    assert new == ("process p1", [("tasks", "3")])
    assert [size(count) for count in (0, 999, 1000, 1e6, 2.5e9, 1e15)] == [
        *("0 B", "999 B", "1.0 kB", "1.0 MB", "2.5 GB", "1000.0 TB")
    ]
