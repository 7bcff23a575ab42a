"""What people want to know of two samples: shares and rates instead of counters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from procnursery.model import Sample

Cells = list[tuple[str, str]]
_OF_EACH = re.compile(r"(disk|network|process)\.(.+)\.([^.]+)")


class Row(NamedTuple):
    """One subject (``cpu``, ``disk vda``, ``process p1``) and what there is to say of it."""

    subject: str
    cells: Cells


def rows(before: Sample, now: Sample) -> Iterator[Row]:
    """Rows of the time between two samples. What cannot be told has no cell: a field that was
    not there both times, a counter that was set back."""
    between = _Between(before, now)
    if "cpu.count" in now.values:
        yield Row("cpu", between.cpu())
    if "load.1m" in now.values:
        yield Row("load", [(name, f"{now.values[f'load.{name}']:.2f}") for name in _LOAD])
    memory = between.memory()
    if memory:
        yield Row("memory", memory)
    for kind, cells in (
        ("disk", between.disk),
        ("network", between.network),
        ("process", between.process),
    ):
        yield from _each(now, kind, cells)
    for one in now.unavailable:
        yield Row(one.field, [("unavailable", one.reason)])


_LOAD = ("1m", "5m", "15m")


def _each(now: Sample, kind: str, cells: Callable[[str], Cells]) -> Iterator[Row]:
    names: dict[str, None] = {}
    for field in now.values:
        matched = _OF_EACH.fullmatch(field)
        if matched is not None and matched[1] == kind:
            names[matched[2]] = None
    for name in names:
        yield Row(f"{kind} {name}", cells(f"{kind}.{name}"))


class _Between:
    def __init__(self, before: Sample, now: Sample) -> None:
        self._before = before.values
        self._now = now.values
        self._seconds = _monotonic(now) - _monotonic(before)

    def _rate(self, *fields: str) -> float | None:
        """Sum of what counters grew by in a second."""
        if self._seconds <= 0:
            return None
        total = 0.0
        for field in fields:
            if field not in self._before or field not in self._now:
                return None
            grown = self._now[field] - self._before[field]
            if grown < 0:
                return None
            total += grown
        return total / self._seconds

    def _share(self, label: str, of: float, *fields: str) -> Cells:
        rate = self._rate(*fields)
        return [] if rate is None else [(label, f"{100 * rate / of:.1f} %")]

    def _flow(self, label: str, field: str) -> Cells:
        rate = self._rate(field)
        return [] if rate is None else [(label, f"{size(rate)}/s")]

    def _size(self, label: str, field: str) -> Cells:
        return [(label, size(self._now[field]))] if field in self._now else []

    def _number(self, label: str, field: str) -> Cells:
        return [(label, f"{self._now[field]:.0f}")] if field in self._now else []

    def _times(self, label: str, field: str) -> Cells:
        rate = self._rate(field)
        return [] if rate is None else [(label, f"{rate:.0f}/s")]

    def cpu(self) -> Cells:
        cpus = self._now["cpu.count"]
        return [
            *self._share("user", cpus, "cpu.user_s", "cpu.nice_s"),
            *self._share("system", cpus, "cpu.system_s"),
            *self._share("irq", cpus, "cpu.irq_s"),
            *self._share("iowait", cpus, "cpu.iowait_s"),
            *self._share("steal", cpus, "cpu.steal_s"),
            *self._share("idle", cpus, "cpu.idle_s"),
            *self._times("switches", "cpu.context_switches_total"),
        ]

    def memory(self) -> Cells:
        return [
            *self._size("used", "memory.used_bytes"),
            *self._size("available", "memory.available_bytes"),
            *self._size("cached", "memory.cached_bytes"),
            *self._size("swap", "memory.swap_used_bytes"),
        ]

    def disk(self, prefix: str) -> Cells:
        return [
            *self._flow("read", f"{prefix}.read_bytes_total"),
            *self._flow("write", f"{prefix}.write_bytes_total"),
            *self._share("busy", 1, f"{prefix}.busy_s"),
        ]

    def network(self, prefix: str) -> Cells:
        return [
            *self._flow("received", f"{prefix}.received_bytes_total"),
            *self._flow("sent", f"{prefix}.sent_bytes_total"),
        ]

    def process(self, prefix: str) -> Cells:
        return [
            *self._share("cpu", 1, f"{prefix}.user_s", f"{prefix}.system_s"),
            *self._size("rss", f"{prefix}.rss_bytes"),
            *self._number("tasks", f"{prefix}.tasks"),
            *self._number("processes", f"{prefix}.processes"),
        ]


def _monotonic(sample: Sample) -> float:
    seconds, nanoseconds = sample.at.monotonic
    return seconds + nanoseconds / 1e9


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
