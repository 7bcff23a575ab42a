"""What the daemon costs when nothing happens, and how much memory it takes at work."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.measuring import Line, megabytes, peak_bytes, running_daemon, wakeups
from procnursery.client.blocking import connect

CONNECTIONS = PROCESSES = 50
QUIET = 10.0
BYTES = 200_000_000
SAMPLES, TREES = 200, 10


def idle() -> Iterator[Line]:
    """50 idle connections and 50 sleeping processes for 10 seconds."""
    with running_daemon() as (address, daemon):
        connections = [connect(address) for _ in range(CONNECTIONS)]
        for connection in connections:
            connection.start(["sleep", "1000"])
        spawner = connections[0].info().spawner.pid
        assert spawner is not None
        time.sleep(1.0)
        while daemon.num_threads() > 1:  # workers for files end when they had nothing to do
            time.sleep(0.5)
        before = wakeups(daemon.pid), wakeups(spawner)
        time.sleep(QUIET)
        after = wakeups(daemon.pid), wakeups(spawner)
        resident = daemon.memory_info().rss
        spawned = _resident(spawner)
        for connection in connections:
            connection.close()
    what = f"in {QUIET:g} s, {CONNECTIONS} connections, {PROCESSES} processes"
    for name, first, last in zip(("daemon", "spawner"), before, after, strict=True):
        count = last - first
        yield Line(f"voluntary wakeups of the {name} {what}", str(count), "0", count == 0)
    for name, size, limit in (("daemon", resident, 34e6), ("spawner", spawned, 14e6)):
        yield Line(
            f"resident set of the {name}", megabytes(size), f"<= {limit / 1e6:g} MB", size <= limit
        )


def sampling() -> Iterator[Line]:
    """What samples of the machine cost."""
    groups = ("cpu", "load", "memory", "disk", "network")
    with running_daemon() as (address, daemon), connect(address) as connection:
        before = daemon.memory_info().rss
        facts = connection.facts()
        costs = [connection.sample(groups).cost_ns for _ in range(SAMPLES)]
        after = daemon.memory_info().rss
        for _ in range(TREES):
            connection.start(["sleep", "1000"])
        of_trees = [connection.sample(["processes"]).cost_ns for _ in range(SAMPLES)]
    yield Line("facts of the machine", _milliseconds(facts.cost_ns))
    yield Line("sample of the machine, median", _milliseconds(statistics.median(costs)))
    yield Line(f"sample of {TREES} processes, median", _milliseconds(statistics.median(of_trees)))
    yield Line(
        "resident set of the daemon, first facts and samples", f"+{megabytes(after - before)}"
    )


def _milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.2f} ms"


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def memory_at_work() -> Iterator[Line]:
    """200 MB of output through ``run``."""
    with running_daemon() as (address, daemon):
        command = [sys.executable, "-P", "-m", "procnursery.cli", "-H", address, "run", "-n", "--"]
        with subprocess.Popen(
            [*command, "head", "-c", str(BYTES), "/dev/zero"], stdout=subprocess.PIPE
        ) as client:
            assert client.stdout is not None
            count = peak = 0
            while data := client.stdout.read(1_000_000):
                count += len(data)
                peak = max(peak, peak_bytes(client.pid))
        assert count == BYTES
        assert client.returncode == os.EX_OK
        sizes = {"daemon": peak_bytes(daemon.pid), "client": peak}
    for name, size in sizes.items():
        yield Line(
            f"peak of the {name}, {BYTES / 1e6:g} MB of stdout through run",
            megabytes(size),
            "< 80 MB",
            size < 80e6,
        )
