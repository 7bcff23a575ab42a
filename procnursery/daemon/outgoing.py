"""What a connection has to send: one writer, bounded, never cut inside a frame."""

from __future__ import annotations

import socket
from collections import deque

import trio

HIGH_WATER = 1_048_576
"""Bytes waiting to be sent above which no output is added and no request is read."""
BATCH = 64


class StalledReader(Exception):
    """The peer did not read for longer than the write timeout."""


class Outgoing:
    """The sending side of one socket.

    :param write_timeout: seconds that the peer may go without reading while bytes wait
    :ivar position: how many bytes were given to :meth:`send` so far
    """

    def __init__(self, sock: socket.socket, *, write_timeout: float) -> None:
        self._socket = sock
        self._timeout = write_timeout
        self._queue: deque[memoryview] = deque()
        self._size = 0
        self.position = 0
        self._work = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._waiting = 0
        self._broken = False

    def send(self, *parts: bytes) -> None:
        """Send whole frames, at once where the kernel takes them, else by the writer."""
        if self._broken:
            return  # the reader finds the end of the connection, and says so
        for part in parts:
            self._queue.append(memoryview(part))
            self._size += len(part)
            self.position += len(part)
        if len(self._queue) == len(parts):  # the writer is idle
            self._write()
        if self._queue:
            self._work.unpark_all()

    def _write(self) -> None:
        """Write what the kernel takes without waiting."""
        while self._queue:
            batch = [self._queue[index] for index in range(min(len(self._queue), BATCH))]
            try:
                count = self._socket.sendmsg(batch, [], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                # Reset or closed by the peer. What was sent is lost with the connection; the
                # reader is told the same by its own call.
                self._broken = True
                self._queue.clear()
                self._size = 0
                break
            self._size -= count
            while count:
                first = self._queue[0]
                if len(first) <= count:
                    count -= len(first)
                    self._queue.popleft()
                else:
                    self._queue[0] = first[count:]
                    count = 0
        if self._size <= HIGH_WATER or self._waiting:
            self._room.unpark_all()

    async def run(self) -> None:
        """Write whatever the kernel did not take at once.

        :raises StalledReader: the peer does not read
        """
        while True:
            while not self._queue:
                await self._work.park()
            with trio.move_on_after(self._timeout) as waiting:
                await trio.lowlevel.wait_writable(self._socket)
            if waiting.cancelled_caught:
                raise StalledReader
            self._write()

    async def wait_room(self) -> None:
        """Wait until less than the high-water mark waits to be sent."""
        while self._size > HIGH_WATER:
            await self._room.park()

    async def wait_written(self, position: int) -> None:
        """Wait until the kernel has taken everything up to ``position``."""
        self._waiting += 1
        try:
            while self.position - self._size < position:
                await self._room.park()
        finally:
            self._waiting -= 1

    async def flush(self, timeout: float) -> None:
        """Send what is there, for at most ``timeout`` seconds; :meth:`run` must have ended."""
        with trio.move_on_after(timeout):
            while self._queue:
                await trio.lowlevel.wait_writable(self._socket)
                self._write()
