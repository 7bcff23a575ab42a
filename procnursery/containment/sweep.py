"""Ends what a dead daemon left: ``python -m procnursery.containment.sweep --instance ID``.

The spawner executes this program when the daemon is gone, however it went. In either containment
every process of that instance is killed, and that is verified: by its cgroup, by what the spawner
has cloned, by the marker in its environment, by its session, by descent from such a one.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from procnursery.containment.cgroup import is_populated, kill_cgroup, remove_cgroups
from procnursery.containment.procfs import Stat, all_stats, has_variable, read_stat

ROUND = 0.5
"""Seconds to wait for the victims of one round before looking again."""


class Sweep:
    """The sweep of one instance.

    :param deadline: in seconds of the monotonic clock
    """

    def __init__(self, instance: str, deadline: float) -> None:
        self._marker = f"PROCNURSERY_INSTANCE={instance}".encode()
        self._deadline = deadline
        self._victims: dict[int, int] = {}

    def add_mains(self, lines: Iterable[str]) -> None:
        """Main processes as the spawner tells of them: ``PID TICKS``, where TICKS is the time since
        boot at which it was cloned. A process that began later has taken over the pid of one that
        is gone."""
        for line in lines:
            pid, ticks = map(int, line.split())
            stat = read_stat(pid)
            if stat is not None and stat.start_time <= ticks + 1:
                self._victims[pid] = stat.start_time

    def find(self) -> list[Stat]:
        """Every living process of the instance; one that was found once is not lost again."""
        stats = {stat.pid: stat for stat in all_stats() if stat.alive}
        found = {
            pid
            for pid, stat in stats.items()
            if self._victims.get(pid) == stat.start_time or has_variable(pid, self._marker)
        }
        # A session that a living stranger leads is not of a main process: those lead their own.
        sessions = {stats[pid].session for pid in found}
        sessions = {leader for leader in sessions if leader not in stats or leader in found}
        children: dict[int, list[int]] = {}
        for stat in stats.values():
            children.setdefault(stat.ppid, []).append(stat.pid)
        pending = list(found | {stat.pid for stat in stats.values() if stat.session in sessions})
        found.update(pending)
        while pending:
            new = set(children.get(pending.pop(), ())) - found
            found |= new
            pending += new
        found.discard(os.getpid())
        self._victims.update({pid: stats[pid].start_time for pid in found})
        return [stats[pid] for pid in found]

    def run(self) -> list[Stat]:
        """Kill until two walks in a row find nothing; who is left at the deadline."""
        empty = 0
        while empty < 2:
            left = self.find()
            if not left:
                empty += 1
                continue
            empty = 0
            if time.monotonic() >= self._deadline:
                return left
            self._kill(left)
        return []

    @staticmethod
    def _kill(victims: list[Stat]) -> None:
        ends = select.poll()
        pidfds = {}
        for victim in victims:
            try:
                pidfd = os.pidfd_open(victim.pid)
            except OSError:
                continue
            pidfds[pidfd] = victim
            ends.register(pidfd, select.POLLIN)
            now = read_stat(victim.pid)
            if now is not None and now.start_time == victim.start_time:
                try:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue  # the next walk tells
        waiting = set(pidfds)
        until = time.monotonic() + ROUND
        while waiting and (rest := until - time.monotonic()) > 0:
            for pidfd, _ in ends.poll(rest * 1000):
                ends.unregister(pidfd)
                waiting.discard(pidfd)
        for pidfd in pidfds:
            os.close(pidfd)


def sweep_cgroup(path: Path, deadline: float) -> None:
    """Kill everything in a cgroup, wait until it is empty, and remove it."""
    kill_cgroup(path)
    try:
        fd = os.open(path / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # it was empty, and the daemon has removed it itself
        return
    with open(fd, "rb", buffering=0) as events:
        changed = select.poll()
        changed.register(events, select.POLLPRI)
        while is_populated(path) and (rest := deadline - time.monotonic()) > 0:
            kill_cgroup(path)
            events.seek(0)
            events.read(4096)
            changed.poll(min(rest, ROUND) * 1000)
    remove_cgroups(path)


def main(argv: list[str] | None = None) -> int:
    """Sweep; 0: nothing is left, 1: something survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instance", required=True, help="id of the run of the daemon")
    parser.add_argument("--cgroup", metavar="DIR", help="cgroup of that run")
    parser.add_argument("--deadline", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--mains", action="store_true", help="read main processes from stdin")
    options = parser.parse_args(argv)
    deadline = time.monotonic() + options.deadline
    if options.cgroup is not None:
        sweep_cgroup(Path(options.cgroup), deadline)
    sweep = Sweep(options.instance, deadline)
    if options.mains:
        sweep.add_mains(sys.stdin)
    left = sweep.run()
    if options.cgroup is not None:
        remove_cgroups(Path(options.cgroup))
    for one in left:
        print(f"survived: pid {one.pid} ({one.command}), state {one.state}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
