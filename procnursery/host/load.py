"""Samples of what this machine does at one instant.

Importing this imports psutil, which an idle daemon does without.

All of the machine's own numbers together cost some 0.3 ms, and none of them waits for a device or
a network. What managed processes cost grows with their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import psutil

from procnursery.containment.family import Census
from procnursery.containment.tree import Tree
from procnursery.host.foreign import ask
from procnursery.host.reading import Absent, Reading, Value
from procnursery.model import MAX_INT, Sample

Fields = dict[str, Value | None]
_CPU = ("user_s", "nice_s", "system_s", "idle_s", "iowait_s", "irq_s", "steal_s")
_LOAD = ("load.1m", "load.5m", "load.15m")
_MEMORY = {
    "memory.total_bytes": ("MemTotal", ""),
    "memory.available_bytes": ("MemAvailable", ""),
    "memory.used_bytes": ("MemTotal", "MemAvailable"),
    "memory.cached_bytes": ("Cached", ""),
    "memory.swap_used_bytes": ("SwapTotal", "SwapFree"),
}
"""Lines of /proc/meminfo: what is to be subtracted from what."""
_COPIES = ("loop", "ram", "zram")
"""Disks whose bytes are those of another disk, or of memory."""


class Running(NamedTuple):
    """A managed process to be looked at.

    :ivar certain: it is said to run, so it is told of also if nothing of it is found
    """

    id: str
    tree: Tree
    certain: bool


def take_sample(groups: Collection[str], running: Iterable[Running], census: Census) -> Sample:
    """The fields of some groups, now.

    :param groups: ``cpu``, ``load``, ``memory``, ``disk``, ``network``, ``processes``
    :param running: processes, for the last of them
    :param census: of all processes
    """
    reading = Reading()
    for group, read in _READERS.items():
        if group in groups:
            read(reading)
    if "processes" in groups:
        for one in running:
            read_process(reading, one, census)
    return Sample(
        at=reading.at,
        values={name: _number(value) for name, value in reading.values.items()},
        unavailable=tuple(reading.unavailable),
        cost_ns=reading.cost_ns,
    )


def _number(value: Value) -> float:
    """A counter beyond the integers of the protocol becomes the nearest float."""
    return value if isinstance(value, int) and value <= MAX_INT else float(value)


def _cpu(reading: Reading) -> None:
    reading.take_all("cpu", _cpu_times, tuple(f"cpu.{name}" for name in _CPU))
    reading.take("cpu.count", os.cpu_count)
    reading.take_all("cpu", _cpu_counts, ("cpu.context_switches_total", "cpu.interrupts_total"))


def _cpu_times() -> Fields:
    times = ask(psutil.cpu_times)._asdict()
    hard, soft = times.get("irq"), times.get("softirq")
    times["irq"] = None if hard is None or soft is None else hard + soft
    return {f"cpu.{name}": times.get(name.removesuffix("_s")) for name in _CPU}


def _cpu_counts() -> Fields:
    counts = ask(psutil.cpu_stats)
    return {
        "cpu.context_switches_total": counts.ctx_switches,
        "cpu.interrupts_total": counts.interrupts,
    }


def _load(reading: Reading) -> None:
    reading.take_all("load", lambda: dict(zip(_LOAD, os.getloadavg(), strict=True)), _LOAD)


def _memory(reading: Reading) -> None:
    # Not by psutil, which gives 0 for a line that is missing.
    try:
        lines = _meminfo(reading)
    except OSError as error:
        for field in _MEMORY:
            reading.lacks(field, error)
        return
    for field, (name, less) in _MEMORY.items():
        missing = [one for one in (name, less) if one and one not in lines]
        if missing:
            reading.lacks(field, Absent(f"/proc/meminfo tells no {missing[0]}"))
        else:
            reading.put(field, lines[name] - lines.get(less, 0))


def _meminfo(reading: Reading) -> dict[str, int]:
    """Bytes by name."""
    wanted = {name for pair in _MEMORY.values() for name in pair}
    found = {}
    with open(reading.path("/proc/meminfo"), encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in wanted:
                amount, _, unit = rest.strip().partition(" ")
                if unit == "kB" and amount.isdigit():
                    found[name] = int(amount) * 1024
    return found


def _disk(reading: Reading) -> None:
    def read() -> Mapping[str, Value | None]:
        # nowrap would keep state between calls, and change what the kernel counts.
        disks = ask(lambda: psutil.disk_io_counters(perdisk=True, nowrap=False))
        # These are the whole disks; of a partition, its disk counts everything.
        names = [name.replace("!", "/") for name in os.listdir(reading.path("/sys/block"))]
        values: dict[str, Value | None] = {}
        for name in names:
            if name.rstrip("0123456789") in _COPIES:
                continue
            disk = disks.get(name)
            if disk is None:
                values[f"disk.{name}"] = None
                continue
            values[f"disk.{name}.read_bytes_total"] = disk.read_bytes
            values[f"disk.{name}.write_bytes_total"] = disk.write_bytes
            values[f"disk.{name}.reads_total"] = disk.read_count
            values[f"disk.{name}.writes_total"] = disk.write_count
            values[f"disk.{name}.busy_s"] = disk.busy_time / 1000
        return values

    reading.take_all("disk", read, ())


def _network(reading: Reading) -> None:
    def read() -> Mapping[str, Value]:
        values: dict[str, Value] = {}
        interfaces = ask(lambda: psutil.net_io_counters(pernic=True, nowrap=False))
        for name, counts in interfaces.items():
            prefix = f"network.{name}"
            values[f"{prefix}.received_bytes_total"] = counts.bytes_recv
            values[f"{prefix}.sent_bytes_total"] = counts.bytes_sent
            values[f"{prefix}.received_packets_total"] = counts.packets_recv
            values[f"{prefix}.sent_packets_total"] = counts.packets_sent
            values[f"{prefix}.received_errors_total"] = counts.errin
            values[f"{prefix}.sent_errors_total"] = counts.errout
            values[f"{prefix}.received_drops_total"] = counts.dropin
            values[f"{prefix}.sent_drops_total"] = counts.dropout
        return values

    reading.take_all("network", read, ())


def read_process(reading: Reading, one: Running, census: Census) -> None:
    """The numbers of one managed process, of its whole tree."""
    prefix = f"process.{one.id}"
    try:
        load = one.tree.load(census)
    except OSError as error:
        reading.lacks(prefix, error)
        return
    if load is None:
        if one.certain:
            reading.lacks(prefix, Absent(f"process {one.id} ended before it was read"))
        return
    reading.put(f"{prefix}.user_s", load.cpu.user_s)
    reading.put(f"{prefix}.system_s", load.cpu.system_s)
    reading.put(f"{prefix}.rss_bytes", load.rss_bytes)
    reading.put(f"{prefix}.tasks", load.tasks)
    reading.put(f"{prefix}.processes", load.processes)


_READERS: dict[str, Callable[[Reading], None]] = {
    "cpu": _cpu,
    "load": _load,
    "memory": _memory,
    "disk": _disk,
    "network": _network,
}
