"""Output modes ``pipe`` and ``pty``: a bounded ring in memory, fed from the program's pipe or
terminal."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Literal

import trio

from procnursery.process.ends import PipeEnd, Terminal
from procnursery.process.output import DROPPED, Consumer, EofReason, StreamLog

READ_SIZE = 262_144
COALESCE = 65_536
"""Small chunks are joined up to this size, so that a ring never holds many."""


class RingStream:
    """A bounded ring in memory.

    :param end: what the program writes arrives there
    :param capacity: bytes held; the drain at the end may exceed it by what a pipe or terminal holds
    :param block: make the program wait when full; otherwise drop the oldest bytes
    """

    def __init__(
        self,
        name: str,
        end: PipeEnd | Terminal,
        *,
        capacity: int,
        block: bool,
        mode: Literal["pipe", "pty"] = "pipe",
    ) -> None:
        self.name = name
        self.log = StreamLog(mode)
        self._end = end
        self._capacity = capacity
        self._block = block
        self._chunks: deque[bytes | bytearray] = deque()
        self._consumers: set[Consumer] = set()
        self._released = 0
        self._room = trio.lowlevel.ParkingLot()

    readable = True

    def refresh(self) -> None:
        """Every byte is seen as it comes."""

    @property
    def _held(self) -> int:
        return self.log.end - self.log.first

    async def run(self) -> None:
        while self.log.eof is None:
            room = self._capacity - self._held if self._block else self._capacity
            if room <= 0:
                await self._room.park()
                continue
            await trio.lowlevel.wait_readable(self._end.fileno())
            self._take(min(room, READ_SIZE))

    def _take(self, limit: int) -> int:
        """Read once; returns how many bytes came. Sets eof when every writer has closed."""
        try:
            data = self._end.read(limit)
        except BlockingIOError:
            return 0
        if not data:
            self._close("closed")
            return 0
        last = self._chunks[-1] if self._chunks else b""
        if len(last) + len(data) <= COALESCE:
            if isinstance(last, bytearray):
                last += data
            else:
                if last:
                    self._chunks.pop()
                self._chunks.append(bytearray(last + data))
        else:
            self._chunks.append(data)
        self.log.end += len(data)
        if not self._block and self._held > self._capacity:
            self._drop_oldest(self._held - self._capacity)
        self.log.changed()
        return len(data)

    def _drop_oldest(self, count: int) -> None:
        start = self.log.first
        self._remove(start + count)
        kept_from = max(start, self._released)
        if kept_from < self.log.first:
            self.log.add_gap(kept_from, self.log.first, DROPPED)

    def _remove(self, up_to: int) -> None:
        """Forget the bytes below ``up_to``."""
        count = up_to - self.log.first
        while count > 0:
            chunk = self._chunks[0]
            if len(chunk) <= count:
                self._chunks.popleft()
                count -= len(chunk)
            elif isinstance(chunk, bytearray):
                del chunk[:count]
                count = 0
            else:
                self._chunks[0] = chunk[count:]
                count = 0
        self.log.first = up_to

    def consumer(self) -> Consumer:
        consumer = Consumer(self._released, on_change=self._consumer_changed)
        self._consumers.add(consumer)
        return consumer

    def _consumer_changed(self, consumer: Consumer) -> None:
        """Discard what every present reader has consumed."""
        if consumer.closed:
            self._consumers.discard(consumer)
        if not self._consumers:
            return
        self._released = max(self._released, min(consumer.consumed for consumer in self._consumers))
        up_to = min(self._released, self.log.end)
        if up_to > self.log.first:
            self._remove(up_to)
            self._room.unpark_all()

    async def read(self, offset: int, limit: int) -> bytes:
        position = self.log.first
        for chunk in self._chunks:
            if offset < position + len(chunk):
                start = offset - position
                if start == 0 and len(chunk) <= limit and isinstance(chunk, bytes):
                    return chunk
                return bytes(memoryview(chunk)[start : start + limit])
            position += len(chunk)
        return b""

    def follow(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    async def finish(self) -> None:
        while self.log.eof is None and self._take(READ_SIZE):
            await trio.lowlevel.checkpoint()
        if self.log.eof is None:
            self._close("held_by_survivor")

    def _close(self, reason: EofReason) -> None:
        self._end.end_output()
        self.log.eof = reason
        self.log.changed()
        self._room.unpark_all()

    def release(self) -> None:
        if self.log.eof is None:
            self._close("abandoned")
        self._chunks.clear()
