"""One subscription to an output stream: sends what its credit allows."""

from __future__ import annotations

import contextlib

import trio

from procnursery.daemon.outgoing import Outgoing
from procnursery.model import Gap
from procnursery.process.output import Consumer, Stream
from procnursery.protocol.connection import DaemonConnection
from procnursery.protocol.messages import EndParams, GapParams

MAX_DATA = 262_144
READ_FAILED = "read_failed"


class Subscription:
    """Follows one stream from an offset.

    :ivar offset: up to where bytes and gaps were sent
    """

    endless = False

    def __init__(self, number: int, stream: Stream, offset: int, credit: int) -> None:
        self.number = number
        self.stream = stream
        self.offset = offset
        self.scope = trio.CancelScope()
        self._credit = credit
        self._more_credit = trio.lowlevel.ParkingLot()
        self._consumer: Consumer = stream.consumer()

    def grant(self, credit: int, consumed: int) -> None:
        """More credit, as an absolute offset; less than before changes nothing."""
        if credit > self._credit:
            self._credit = credit
            self._more_credit.unpark_all()
        self._consumer.consume(min(consumed, self.offset))

    async def run(self, connection: DaemonConnection, out: Outgoing) -> None:
        """Send until the end of the stream, or until ``scope`` is cancelled."""
        stream, log = self.stream, self.stream.log
        with self.scope, contextlib.closing(self._consumer), stream.follow():
            while True:
                gap = log.gap_at(self.offset)
                if gap is not None:
                    self._send_gap(gap, connection, out)
                elif self.offset < log.end:
                    if self.offset >= self._credit:
                        await self._more_credit.park()
                        continue
                    limit = min(
                        self._credit - self.offset,
                        log.end - self.offset,
                        connection.max_data,
                        MAX_DATA,
                    )
                    offset = self.offset
                    try:
                        data = await stream.read(offset, limit)
                    except OSError:
                        gap = Gap(from_=offset, to=offset + limit, reason=READ_FAILED)
                        self._send_gap(gap, connection, out)
                        continue
                    if self.scope.cancel_called:
                        return  # a worker thread finishes its read even so
                    if data:
                        out.send(connection.notify_data(self.number, offset, len(data)), data)
                        self.offset += len(data)
                    else:
                        await trio.lowlevel.checkpoint()
                elif log.eof is not None:
                    end = EndParams(subscription=self.number, offset=self.offset, reason=log.eof)
                    out.send(connection.notify("output.end", end))
                    return
                else:
                    await log.wait_change()
                    continue
                await out.wait_room()

    def _send_gap(self, gap: Gap, connection: DaemonConnection, out: Outgoing) -> None:
        params = GapParams(
            subscription=self.number, from_=self.offset, to=gap.to, reason=gap.reason
        )
        out.send(connection.notify("output.gap", params))
        self.offset = gap.to
