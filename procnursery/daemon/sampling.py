"""Samples of the machine: one, or a subscription to one at each tick."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from procnursery.daemon.outgoing import Outgoing
from procnursery.host.clock import BILLION, stamp
from procnursery.model import ContainmentInfo, Facts, Sample, Unavailable
from procnursery.process.supervisor import Supervisor
from procnursery.protocol.connection import DaemonConnection
from procnursery.protocol.messages import HostDataParams, HostEndParams

if TYPE_CHECKING:
    from procnursery.host.load import Running

GROUPS = ("cpu", "load", "memory", "disk", "network", "processes")
HEADER = 4
"""Bytes of a frame before its payload."""
THREADS = 2
"""Worker threads that read at the same time. They are not those of the files: a file system that
does not answer stops no output."""

Take = Callable[[Collection[str], "list[Running]"], Sample]


class Sampler:
    """Reads what the machine is and does, for all connections.

    Loads what that needs when it is first asked, which takes 30 ms and 2 MB.
    """

    def __init__(self, supervisor: Supervisor, state: bytes, containment: ContainmentInfo) -> None:
        self._supervisor = supervisor
        self._state = state
        self._containment = containment
        self._limiter = trio.CapacityLimiter(THREADS)
        self._take: Take | None = None

    async def facts(self) -> Facts:
        """What the machine is. In a worker thread, since a file system may not answer."""
        return await trio.to_thread.run_sync(self._read_facts, limiter=self._limiter)

    def _read_facts(self) -> Facts:
        from procnursery.host.facts import read_facts  # with psutil: not before it is wanted

        return read_facts(Path(os.fsdecode(self._state)), self._containment)

    async def load(self) -> Take:
        """Have at hand what samples need."""
        if self._take is None:
            self._take = await trio.to_thread.run_sync(self._import, limiter=self._limiter)
        return self._take

    def _import(self) -> Take:
        from procnursery.host.load import take_sample  # with psutil: not before it is wanted

        return lambda groups, running: take_sample(groups, running, self._supervisor.census())

    async def sample(self, groups: Collection[str]) -> Sample:
        """One sample.

        The machine's own numbers are read right here, in 0.4 ms, less than what a worker thread
        would cost all that run on this machine. Managed processes are read in a worker thread,
        since their cost grows with their number, and without cgroups with that of all processes.
        """
        take = await self.load()
        running = list(self._running()) if "processes" in groups else []
        if running:
            return await trio.to_thread.run_sync(take, groups, running, limiter=self._limiter)
        await trio.lowlevel.checkpoint()
        return take(groups, running)

    def _running(self) -> Iterator[Running]:
        from procnursery.host.load import Running

        for process in self._supervisor.all():
            if process.tree is not None:
                certain = process.record.state in ("held", "running")
                yield Running(process.id, process.tree, certain)


class SampleSubscription:
    """Sends one sample at each tick.

    Not more than one sample waits for its reader: ticks that pass while it does are missed.

    :param interval: seconds
    :param count: how many samples there are; None: no end
    :ivar first: the instant of tick 0: now
    :ivar sent: how many samples were sent
    """

    endless = True

    def __init__(
        self,
        number: int,
        sampler: Sampler,
        groups: Collection[str],
        interval: float,
        count: int | None,
    ) -> None:
        self.number = number
        self.scope = trio.CancelScope()
        self.first = stamp()
        self.sent = 0
        self._sampler = sampler
        self._groups = groups
        self._count = count
        self._interval = round(interval * BILLION)
        seconds, nanoseconds = self.first.monotonic
        self._first = seconds * BILLION + nanoseconds

    async def run(self, connection: DaemonConnection, out: Outgoing) -> None:
        """Send until there were ``count``, or until ``scope`` is cancelled."""
        wanted = 0  # the first tick that has no sample yet
        with self.scope:
            while self._count is None or self.sent < self._count:
                tick = await self._wait_tick(wanted)
                sample = await self._sampler.sample(self._groups)
                if self.scope.cancel_called:
                    return  # a worker thread finishes its work even so
                out.send(self._frame(connection, tick, tick - wanted, sample))
                self.sent += 1
                wanted = tick + 1
                await out.wait_written(out.position)
            end = HostEndParams(subscription=self.number, ticks=self.sent)
            out.send(connection.notify("host.end", end))

    async def _wait_tick(self, wanted: int) -> int:
        """Wait for a tick, at its instant as counted from the first one; when it is past, the
        latest one before now."""
        due = self._first + wanted * self._interval
        while True:  # once, unless Trio's clock and this one are of two minds
            now = time.monotonic_ns()
            if now >= due:
                return (now - self._first) // self._interval
            await trio.sleep((due - now) / BILLION)

    def _frame(self, connection: DaemonConnection, tick: int, missed: int, sample: Sample) -> bytes:
        """The notification; groups that do not fit into a frame are left out, and told of."""
        seconds, nanoseconds = sample.at.monotonic
        due = self._first + tick * self._interval
        params = HostDataParams(
            subscription=self.number,
            tick=tick,
            missed=missed,
            late_s=(seconds * BILLION + nanoseconds - due) / BILLION,
            sample=sample,
        )
        frame = connection.notify("host.data", params)
        for group, prefix in (
            ("processes", "process."),
            ("network", "network."),
            ("disk", "disk."),
        ):
            size, limit = len(frame) - HEADER, connection.peer_max_frame
            if size <= limit:
                break
            reason = f"the sample has {size} bytes; the client takes {limit}"
            params = attrs.evolve(params, sample=_without(params.sample, group, prefix, reason))
            frame = connection.notify("host.data", params)
        return frame


def _without(sample: Sample, group: str, prefix: str, reason: str) -> Sample:
    kept = {name: value for name, value in sample.values.items() if not name.startswith(prefix)}
    others = [one for one in sample.unavailable if not one.field.startswith(prefix)]
    return attrs.evolve(
        sample, values=kept, unavailable=(*others, Unavailable(field=group, reason=reason))
    )
