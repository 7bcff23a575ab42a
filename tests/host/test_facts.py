"""What this machine is, and what it does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from procnursery.host.facts import read_facts
from procnursery.host.reading import Absent, Reading
from procnursery.model import ContainmentInfo, Facts

SESSION = ContainmentInfo(kind="session", configured="auto", reason="no cgroup")
CPU = "sys/devices/system/cpu"


def facts(root: Path = Path("/")) -> Facts:
    found = read_facts(Path("/tmp"), SESSION, root=root)
    assert not found.values.keys() & {one.field for one in found.unavailable}
    assert found.cost_ns > 0
    return found


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_this_machine() -> None:
    found = facts()
    release = Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert found.values["kernel.release"] == release
    assert found.values["containment.reason"] == "no cgroup"
    assert found.values["state.filesystem"]
    assert float(found.values["memory.total_bytes"]) > 1e6
    assert float(found.values["clock.monotonic_resolution_s"]) > 0
    told = found.values.keys() | {one.field for one in found.unavailable}
    assert {"cpu.model", "cpu.governor", "cpu.smt", "clock.source", "cgroup.mode"} <= told


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    found = facts(tmp_path)
    lacking = {one.field: one for one in found.unavailable}
    for field in ("cpu.model", "cpu.governor", "clock.source", "memory.total_bytes", "cgroup.mode"):
        assert lacking[field].errno == "ENOENT"
        assert str(tmp_path) in lacking[field].reason
        assert field not in found.values


def test_files_of_another_machine(tmp_path: Path) -> None:
    for cpu, governor in ((0, "performance"), (1, "powersave"), (2, "performance")):
        write(tmp_path, f"{CPU}/cpu{cpu}/cpufreq/scaling_governor", f"{governor}\n")
    write(tmp_path, f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq", "3500000\n")
    write(tmp_path, f"{CPU}/intel_pstate/no_turbo", "1\n")
    write(tmp_path, f"{CPU}/smt/control", "off\n")
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n")
    write(tmp_path, "proc/meminfo", "MemTotal:       1000 kB\nSwapTotal:  some kB\n")
    write(tmp_path, "proc/self/mountinfo", "1 2 0:3 / /c rw - cgroup2 cgroup2 rw\n")
    write(tmp_path, "sys/class/dmi/id/sys_vendor", "\n")
    found = facts(tmp_path)
    assert found.values["cpu.governor"] == "performance powersave"
    assert found.values["cpu.max_hz"] == 3_500_000_000
    assert found.values["cpu.boost"] == "off"
    assert found.values["cpu.smt"] == "off"
    assert found.values["cpu.model"] == "A: B"
    assert found.values["memory.total_bytes"] == 1_024_000
    assert found.values["cgroup.mode"] == "v2"
    lacking = {one.field: one for one in found.unavailable}
    assert lacking["memory.swap_total_bytes"].reason == "/proc/meminfo tells no SwapTotal in kB"
    assert lacking["hardware.vendor"].reason == "/sys/class/dmi/id/sys_vendor is empty"
    assert lacking["hardware.vendor"].errno is None


@pytest.mark.parametrize(
    ("kinds", "mode"),
    [(["cgroup"], "v1"), (["cgroup2"], "v2"), (["cgroup", "cgroup2"], "hybrid")],
)
def test_cgroup_modes(tmp_path: Path, kinds: list[str], mode: str) -> None:
    lines = [f"1 2 0:3 / /{kind} rw shared:1 - {kind} {kind} rw\n" for kind in kinds]
    write(tmp_path, "proc/self/mountinfo", "".join(lines))
    assert facts(tmp_path).values["cgroup.mode"] == mode


def test_no_cgroups(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/mountinfo", "1 2 0:3 / / rw - ext4 /dev/vda rw\n")
    [one] = [one for one in facts(tmp_path).unavailable if one.field == "cgroup.mode"]
    assert one.reason == "no cgroup file system is mounted"


def test_a_numeric_file_that_is_none(tmp_path: Path) -> None:
    write(tmp_path, f"{CPU}/cpufreq/boost", "yes\n")
    [one] = [one for one in facts(tmp_path).unavailable if one.field == "cpu.boost"]
    assert one.reason.endswith("is no number: yes")


def test_only_what_is_foreseen_is_unavailable() -> None:
    reading = Reading()

    def broken() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reading.take("x", broken)
    reading.take("none", lambda: None)
    reading.lacks("long" * 100, Absent("why " * 100))
    assert [len(one.field) for one in reading.unavailable] == [4, 128]
    assert len(reading.unavailable[1].reason) == 256
    assert reading.values == {}
