"""Programs that are released at an instant: how late each was, beside a C program that waits for
instants in the same run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Line, floor_lines, running_daemon
from procnursery.client.blocking import Connection, connect

RELEASES = 1000
AHEAD = 0.02
"""Seconds between a release and its instant: more than a request takes."""
MICROSECOND = 1e6


def releases(program: Path | None) -> Iterator[Line]:
    """One program at a time, released at an instant; none may be executed before it."""
    with running_daemon() as (address, _), connect(address) as connection:
        late, early, missed = _late(connection, RELEASES)
    yield Line("releases executed before their instant", str(early), "0", early == 0)
    yield Line("releases whose instant had passed when the child knew of it", str(missed))
    yield Line(f"lateness of {RELEASES} releases", distribution(late))
    if program is not None:
        least = sorted(map(float, floor_lines(program, "instants", str(RELEASES // 5))))
        yield Line("of the C floor, which sleeps and spins alike", distribution(least))


def _late(connection: Connection, count: int) -> tuple[list[float], int, int]:
    """(seconds late, ascending; how many were early; how many were told too late)"""
    late, early, missed = [], 0, 0
    for _ in range(count):
        process = connection.start(["/bin/true"], hold=True, stdout="null", stderr="null")
        at = time.clock_gettime_ns(time.CLOCK_REALTIME) + int(AHEAD * 1e9)
        due = divmod(at, 10**9)
        released = process.release(at=due)
        executed = released.times.exec
        assert executed is not None
        seconds, nanoseconds = executed.realtime
        behind = seconds * 10**9 + nanoseconds - at
        early += behind < 0
        missed += released.release.missed
        if not released.release.missed:
            late.append(behind / 1e9)
        process.wait()
        process.forget()
    return sorted(late), early, missed


def distribution(values: list[float]) -> str:
    """Percentiles of ascending seconds, in µs."""
    last = len(values) - 1
    parts = (("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    return (
        ", ".join(f"{name} {values[round(last * part)] * MICROSECOND:.0f}" for name, part in parts)
        + " us"
    )
