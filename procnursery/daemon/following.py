"""The events of the processes that one connection follows, in the order of their numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from procnursery.daemon.outgoing import Outgoing
from procnursery.process.record import Fact
from procnursery.process.run import ManagedProcess
from procnursery.protocol.connection import DaemonConnection
from procnursery.protocol.messages import ClosedParams, EofParams, ExitedParams, ReadyParams


class Following:
    """Sends what happens to processes, each event behind the reply that made its process known.

    Facts come in as they happen, from every process into one queue, so that their order is that
    of their numbers; one task takes them out as fast as the peer reads.

    :param on_done: called when a process needs to be followed no more
    """

    def __init__(
        self, connection: DaemonConnection, out: Outgoing, on_done: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._out = out
        self._on_done = on_done
        self._queue: deque[tuple[ManagedProcess, Fact]] = deque()
        self._followed: dict[ManagedProcess, Callable[[Fact], None]] = {}
        self._answered: set[ManagedProcess] = set()
        self._work = trio.lowlevel.ParkingLot()

    @property
    def active(self) -> bool:
        """Whether events are still to come or to be sent."""
        return bool(self._followed)

    def expect(self, process: ManagedProcess) -> None:
        """A process is about to be started: what happens to it is kept until :meth:`begin`."""
        if process not in self._followed:
            self._follow(process)

    def _follow(self, process: ManagedProcess) -> None:
        def take(fact: Fact) -> None:
            self._queue.append((process, fact))
            self._work.unpark_all()

        self._followed[process] = take
        process.record.followers.append(take)

    def begin(self, process: ManagedProcess, after: int | None = None) -> None:
        """The reply was sent: its events may follow.

        :param after: also those that have been before, above this number; None: those of an
            expected process, or all
        """
        record = process.record
        past = [fact for fact in record.facts if fact.seq > (after or 0)]
        if process not in self._followed:
            self._queue.extend((process, fact) for fact in past)
            self._follow(process)
        elif after is not None:
            waiting = {fact.seq for one, fact in self._queue if one is process}
            self._queue.extend((process, fact) for fact in past if fact.seq not in waiting)
        self._answered.add(process)
        if record.state == "closed" and not any(one is process for one, _ in self._queue):
            self.drop(process)
        self._work.unpark_all()

    def drop(self, process: ManagedProcess) -> None:
        """Follow a process no more."""
        take = self._followed.pop(process, None)
        if take is not None:
            process.record.followers.remove(take)
            self._answered.discard(process)
            self._on_done()

    def close(self) -> None:
        """Follow nothing any more."""
        for process in list(self._followed):
            self.drop(process)
        self._queue.clear()

    async def run(self) -> None:
        """Send."""
        while True:
            while not self._queue or self._queue[0][0] not in self._answered:
                await self._work.park()
            process, fact = self._queue.popleft()
            self._out.send(_event(self._connection, process.id, fact))
            if fact.kind == "closed":
                self.drop(process)
            await self._out.wait_room()


def _event(connection: DaemonConnection, process_id: str, fact: Fact) -> bytes:
    params: Any
    if fact.kind == "ready":
        params = ReadyParams(seq=fact.seq, at=fact.at, id=process_id)
    elif fact.kind == "exited":
        outcome, cause, usage = fact.details
        params = ExitedParams(
            seq=fact.seq, at=fact.at, id=process_id, outcome=outcome, cause=cause, usage=usage
        )
    elif fact.kind == "eof":
        stream, final_offset, reason = fact.details
        params = EofParams(
            seq=fact.seq,
            at=fact.at,
            id=process_id,
            stream=stream,
            final_offset=final_offset,
            reason=reason,
        )
    else:
        params = ClosedParams(seq=fact.seq, at=fact.at, id=process_id, process=fact.details)
    return connection.notify(f"process.{fact.kind}", params)
