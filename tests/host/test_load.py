"""Samples, also where the machine hides something or a process has just ended."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from procnursery.containment.choose import choose
from procnursery.containment.family import Census, Family
from procnursery.containment.tree import CpuTime, Tree, TreeLoad
from procnursery.host.load import Running, take_sample
from procnursery.model import MAX_INT, Sample
from procnursery.process.reaper import become_subreaper
from tests.daemons import hiding, why_no_hiding

MACHINE = ("cpu", "load", "memory", "disk", "network")
CHILD = """
import json, attrs
from procnursery.containment.family import Census, Family
from procnursery.host.load import take_sample
groups = ("cpu", "load", "memory", "disk", "network")
print(json.dumps(attrs.asdict(take_sample(groups, (), Family().census()))))
"""


def fields(told: Sample) -> dict[str, str]:
    """Reasons by field that has no value."""
    reasons = {one.field: one.reason for one in told.unavailable}
    assert not reasons.keys() & told.values.keys()
    return reasons


def machine() -> Sample:
    return take_sample(MACHINE, (), Family().census())


def test_counters_grow() -> None:
    before, after = machine(), machine()
    assert fields(before).keys() == fields(after).keys()
    assert before.at.monotonic < after.at.monotonic
    assert before.values.keys() == after.values.keys()
    for field, value in before.values.items():
        if field.endswith("_total") or field in ("cpu.user_s", "cpu.system_s"):
            assert after.values[field] >= value, field


def test_numbers_are_those_of_the_kernel() -> None:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert machine().values["memory.total_bytes"] == int(lines["MemTotal"].split()[0]) * 1024
    names = {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()}
    for name in names - {"Inter-| Receive"}:
        if "|" not in name:
            assert f"network.{name}.received_bytes_total" in machine().values
    assert not any(field.startswith(("disk.loop", "disk.ram")) for field in machine().values)


@pytest.mark.parametrize(
    ("file", "lacking"),
    [
        ("/proc/meminfo", {f"memory.{one}_bytes" for one in ("total", "cached", "swap_used")}),
        ("/proc/stat", {"cpu.user_s", "cpu.steal_s", "cpu.interrupts_total"}),
        ("/proc/diskstats", set()),
    ],
)
def test_hidden_files(file: str, lacking: set[str]) -> None:
    if (reason := why_no_hiding()) is not None:
        pytest.skip(reason)
    group = {"meminfo": "memory.", "stat": "cpu.", "diskstats": "disk."}[Path(file).name]
    done = subprocess.run(
        [*hiding(file), sys.executable, "-P", "-c", CHILD], capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    missing = {one["field"] for one in told["unavailable"]}
    assert lacking <= missing
    assert all(field.startswith(group) for field in missing)
    values = {field for field in told["values"] if field.startswith(group)}
    assert values <= {"cpu.count"}
    assert "load.1m" in told["values"]


def test_no_proc() -> None:
    if (reason := why_no_hiding()) is not None:
        pytest.skip(reason)
    without = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    done = subprocess.run(
        [*without, sys.executable, "-P", "-c", CHILD], capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    missing = {one["field"]: one for one in told["unavailable"]}
    for field in ("network", "memory.total_bytes", "cpu.user_s"):
        assert missing[field]["errno"] == "ENOENT"
        assert "/proc/" in missing[field]["reason"]
    prefixes = {field.partition(".")[0] for field in told["values"]}
    assert not prefixes & {"network", "memory"}


class Fixed:
    """A tree that says what it is told to."""

    def __init__(self, load: TreeLoad | OSError | None) -> None:
        self._load = load

    def load(self, census: Census) -> TreeLoad | None:
        if isinstance(self._load, OSError):
            raise self._load
        return self._load


def of(load: TreeLoad | OSError | None, *, certain: bool = True) -> Sample:
    tree: Tree = Fixed(load)  # type: ignore[assignment]
    return take_sample(("processes",), [Running("p1", tree, certain)], Family().census())


def test_processes() -> None:
    load = TreeLoad(processes=2, tasks=5, rss_bytes=MAX_INT + 1, cpu=CpuTime(1.5, 0.25))
    told = of(load)
    assert told.unavailable == ()
    assert told.values == {
        "process.p1.user_s": 1.5,
        "process.p1.system_s": 0.25,
        "process.p1.rss_bytes": float(MAX_INT + 1),
        "process.p1.tasks": 5,
        "process.p1.processes": 2,
    }
    assert type(told.values["process.p1.rss_bytes"]) is float


def test_processes_that_cannot_be_read() -> None:
    gone = of(OSError(errno.ENODEV, "No such device", "/sys/fs/cgroup/x/cpu.stat"))
    [one] = gone.unavailable
    assert (one.field, one.errno) == ("process.p1", "ENODEV")
    assert one.reason == "/sys/fs/cgroup/x/cpu.stat: No such device"
    [one] = of(None).unavailable
    assert (one.field, one.reason) == ("process.p1", "process p1 ended before it was read")
    assert of(None, certain=False).unavailable == ()


def test_processes_that_end_meanwhile(containment: str) -> None:
    """Short-lived ones, looked at while they end: all fields of one, or none, and never 0."""
    become_subreaper()
    chosen = choose(containment, instance="vanishing").containment
    seen = {"values": 0, "nothing": 0}
    for number in range(30):
        tree = chosen.new_tree(f"p{number}")
        join = ""
        if tree.directory_fd is not None:
            join = f"echo 0 > {chosen.path}/p{number}/cgroup.procs; "
        with subprocess.Popen(
            ["sh", "-c", f"{join}echo; read line; sh -c : & sh -c : & wait"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as main:
            assert main.stdin is not None
            assert main.stdout is not None
            tree.set_main(main.pid)
            main.stdout.readline()
            while True:
                running = [Running("p", tree, True)]
                told = take_sample(("processes",), running, chosen.family.census())
                if told.unavailable:
                    assert told.values == {}
                    seen["nothing"] += 1
                    break
                assert len(told.values) == 5
                assert told.values["process.p.processes"] >= 1
                seen["values"] += 1
                main.stdin.close()  # it may end from now on; a second time does nothing
        tree.main_ended()
        tree.remove()
    assert seen["values"] > 0
    assert seen["nothing"] == 30
    chosen.close()
