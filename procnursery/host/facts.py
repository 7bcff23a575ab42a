"""What this machine is: hardware, kernel, clocks, versions, file system of the state, network.

Importing this imports psutil, which an idle daemon does without. Reading all of it takes some
milliseconds and may wait for a file system, so it belongs into a worker thread.
"""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import msgpack
import psutil
import trio

import procnursery
from procnursery.host.foreign import ask
from procnursery.host.reading import Absent, Reading, Value
from procnursery.model import ContainmentInfo, Facts

CPU = "/sys/devices/system/cpu"
CLOCK = "/sys/devices/system/clocksource/clocksource0"


def read_facts(state: Path, containment: ContainmentInfo, *, root: Path = Path("/")) -> Facts:
    """Everything, as far as this machine tells.

    :param state: the state directory
    :param containment: how process trees are held together
    :param root: directory in which /proc and /sys are looked for
    """
    reading = Reading(root)
    _hardware(reading)
    _kernel(reading)
    _clocks(reading)
    _cpu(reading)
    _memory(reading)
    _versions(reading)
    _containment(reading, containment)
    _state(reading, state)
    _network(reading)
    return Facts(
        at=reading.at,
        values=reading.values,
        unavailable=tuple(reading.unavailable),
        cost_ns=reading.cost_ns,
    )


def _hardware(reading: Reading) -> None:
    reading.take("hardware.vendor", lambda: reading.text("/sys/class/dmi/id/sys_vendor"))
    reading.take("hardware.product", lambda: reading.text("/sys/class/dmi/id/product_name"))


def _kernel(reading: Reading) -> None:
    system = os.uname()
    reading.put("kernel.name", system.sysname)
    reading.put("kernel.release", system.release)
    reading.put("kernel.version", system.version)
    reading.put("kernel.machine", system.machine)
    reading.take("kernel.command_line", lambda: reading.text("/proc/cmdline"))
    reading.take("kernel.boot_id", lambda: reading.text("/proc/sys/kernel/random/boot_id"))
    reading.take("kernel.boot_time_s", lambda: ask(psutil.boot_time))
    reading.take("system.name", _system)
    reading.take("cgroup.mode", lambda: _cgroup_mode(reading))


def _system() -> str | None:
    return platform.freedesktop_os_release().get("PRETTY_NAME")


def _line(reading: Reading, path: str, name: str, separator: str) -> str:
    """What a file says behind ``name``, in the first line that begins so.

    :raises OSError: it cannot be read
    :raises Absent: there is none
    """
    for line in reading.path(path).read_text(errors="backslashreplace").splitlines():
        before, found, rest = line.partition(separator)
        if found and before.strip() == name:
            return rest.strip()
    raise Absent(f"{path} tells no {name}")


def _cgroup_mode(reading: Reading) -> str:
    """``v2``, ``v1``, or ``hybrid``: both are mounted."""
    mounts = reading.path("/proc/self/mountinfo").read_text().splitlines()
    kinds = {line.partition(" - ")[2].split(" ")[0] for line in mounts}
    if {"cgroup", "cgroup2"} <= kinds:
        return "hybrid"
    if "cgroup2" in kinds:
        return "v2"
    if "cgroup" in kinds:
        return "v1"
    raise Absent("no cgroup file system is mounted")


def _clocks(reading: Reading) -> None:
    reading.take("clock.source", lambda: reading.text(f"{CLOCK}/current_clocksource"))
    reading.take("clock.sources", lambda: reading.text(f"{CLOCK}/available_clocksource"))
    reading.put("clock.monotonic_resolution_s", time.clock_getres(time.CLOCK_MONOTONIC))
    reading.put("clock.realtime_resolution_s", time.clock_getres(time.CLOCK_REALTIME))
    reading.put("clock.tick_s", 1 / os.sysconf("SC_CLK_TCK"))


def _cpu(reading: Reading) -> None:
    reading.take("cpu.model", lambda: _line(reading, "/proc/cpuinfo", "model name", ":"))
    reading.take("cpu.count", os.cpu_count)
    reading.put("cpu.usable", len(os.sched_getaffinity(0)))
    reading.take("cpu.cores", lambda: ask(lambda: psutil.cpu_count(logical=False)))
    reading.take("cpu.smt", lambda: reading.text(f"{CPU}/smt/control"))
    reading.take("cpu.governor", lambda: _governor(reading))
    reading.take("cpu.max_hz", lambda: _hertz(reading, f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq"))
    reading.take("cpu.boost", lambda: _boost(reading))
    reading.take("cpu.isolated", lambda: reading.path(f"{CPU}/isolated").read_text().strip())


def _governor(reading: Reading) -> str:
    """Of every CPU; several if they differ.

    :raises OSError: cpu0 has none
    """
    first = reading.text(f"{CPU}/cpu0/cpufreq/scaling_governor")
    others = reading.path(CPU).glob("cpu[0-9]*/cpufreq/scaling_governor")
    return " ".join(sorted({first, *(path.read_text().strip() for path in others)}))


def _hertz(reading: Reading, path: str) -> int:
    return _integer(reading, path) * 1000


def _integer(reading: Reading, path: str) -> int:
    text = reading.text(path)
    try:
        return int(text)
    except ValueError:
        raise Absent(f"{path} is no number: {text}") from None


def _boost(reading: Reading) -> str:
    """``on`` or ``off``: whether a CPU may be faster than its nominal frequency."""
    intel = f"{CPU}/intel_pstate/no_turbo"
    if reading.path(intel).exists():
        return "off" if _integer(reading, intel) else "on"
    return "on" if _integer(reading, f"{CPU}/cpufreq/boost") else "off"


def _memory(reading: Reading) -> None:
    reading.take("memory.total_bytes", lambda: _meminfo(reading, "MemTotal"))
    reading.take("memory.swap_total_bytes", lambda: _meminfo(reading, "SwapTotal"))
    reading.put("memory.page_bytes", os.sysconf("SC_PAGE_SIZE"))


def _meminfo(reading: Reading, name: str) -> int:
    amount, _, unit = _line(reading, "/proc/meminfo", name, ":").partition(" ")
    if unit != "kB" or not amount.isdigit():
        raise Absent(f"/proc/meminfo tells no {name} in kB")
    return int(amount) * 1024


def _versions(reading: Reading) -> None:
    reading.put("version.procnursery", procnursery.__version__)
    reading.put("version.python", platform.python_version())
    reading.put("version.msgpack", ".".join(map(str, msgpack.version)))
    reading.put("version.trio", trio.__version__)
    reading.put("version.psutil", psutil.__version__)
    reading.take("version.libc", _libc)


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "unknown"
    except ValueError:
        raise Absent("the C library is not GNU's, and does not tell its version") from None


def _containment(reading: Reading, info: ContainmentInfo) -> None:
    reading.put("containment.kind", info.kind)
    reading.put("containment.reason", info.reason)
    if info.path is not None:
        reading.put("containment.path", info.path.decode(errors="backslashreplace"))


def _state(reading: Reading, state: Path) -> None:
    """The file system of the state directory, where output and records are kept."""
    path = os.fsencode(state.resolve()).decode(errors="backslashreplace")
    reading.put("state.path", path)
    names = ("state.filesystem", "state.device", "state.options")
    reading.take_all("state", lambda: dict(zip(names, _mount(path), strict=True)), names)

    def sizes() -> Mapping[str, Value]:
        found = os.statvfs(state)
        return {
            "state.size_bytes": found.f_blocks * found.f_frsize,
            "state.free_bytes": found.f_bavail * found.f_frsize,
        }

    reading.take_all("state", sizes, ("state.size_bytes", "state.free_bytes"))


def _mount(path: str) -> tuple[str, str, str]:
    """Type, device and options of the file system that a path is on."""
    best: tuple[int, tuple[str, str, str]] | None = None
    for one in ask(lambda: psutil.disk_partitions(all=True)):
        within = one.mountpoint.rstrip("/") + "/"
        # Of two at the same place the later one hides the other.
        if (path + "/").startswith(within) and (best is None or len(within) >= best[0]):
            best = len(within), (one.fstype, one.device, one.opts)
    if best is None:
        raise Absent(f"no mounted file system is known to hold {path}")
    return best[1]


def _network(reading: Reading) -> None:
    def states() -> Mapping[str, Value | None]:
        values: dict[str, Value | None] = {}
        for name, one in ask(psutil.net_if_stats).items():
            values[f"network.{name}.up"] = "yes" if one.isup else "no"
            values[f"network.{name}.mtu_bytes"] = one.mtu
            # psutil gives 0 where the driver tells none
            values[f"network.{name}.speed_bits_per_s"] = one.speed * 1_000_000 or None
        return values

    def addresses() -> Mapping[str, Value]:
        values: dict[str, Value] = {}
        for name, found in ask(psutil.net_if_addrs).items():
            hardware = [one.address for one in found if one.family == psutil.AF_LINK]
            if hardware:
                values[f"network.{name}.hardware_address"] = hardware[0]
            internet = [
                one.address for one in found if one.family in (socket.AF_INET, socket.AF_INET6)
            ]
            values[f"network.{name}.addresses"] = " ".join(internet)
        return values

    reading.take_all("network", states, ())
    reading.take_all("network", addresses, ())
