"""Standard input, a pipe or a terminal, fed by offset so that a repeated write does no harm."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable

import trio

from procnursery.errors import RequestError
from procnursery.process.ends import PipeEnd, Terminal

WINDOW = 1_048_576
"""Bytes of unanswered writes that one process may have."""


class Stdin:
    """A program's standard input.

    :param end: the daemon's end of it
    :ivar taken: how many bytes the kernel has taken
    """

    def __init__(self, end: PipeEnd | Terminal) -> None:
        self._end = end
        self._last = b""
        self._turns: deque[trio.Event] = deque()
        self._unanswered = 0
        self._ended = False
        self.taken = 0

    def write(self, offset: int, data: bytes) -> Awaitable[int]:
        """Feed ``data``, whose first byte is at ``offset`` of the whole input; bytes that were
        taken before are skipped. Calls take effect in the order in which they were made.

        :returns: how many bytes of the whole input are taken, once these are
        :raises RequestError: ``window_exceeded`` at once; ``offset_future``, ``stdin_closed``,
            ``reader_gone`` when awaited
        """
        if self._unanswered and self._unanswered + len(data) > WINDOW:
            raise RequestError(
                "window_exceeded",
                f"{self._unanswered} bytes of stdin are unanswered; wait for replies",
                limit=WINDOW,
                size=len(data),
            )
        self._unanswered += len(data)
        return self._write_in_turn(self._claim(), offset, data)

    def _claim(self) -> trio.Event:
        turn = trio.Event()
        self._turns.append(turn)
        if len(self._turns) == 1:
            turn.set()
        return turn

    @contextlib.asynccontextmanager
    async def _in_turn(self, turn: trio.Event) -> AsyncIterator[None]:
        try:
            await turn.wait()
            yield
        finally:
            self._turns.remove(turn)
            if self._turns:
                self._turns[0].set()

    async def _write_in_turn(self, turn: trio.Event, offset: int, data: bytes) -> int:
        try:
            async with self._in_turn(turn):
                return await self._write(offset, data)
        finally:
            self._unanswered -= len(data)

    async def _write(self, offset: int, data: bytes) -> int:
        if offset > self.taken:
            raise RequestError(
                "offset_future",
                f"stdin has taken {self.taken} bytes; a write cannot begin at {offset}",
                end=self.taken,
            )
        view = memoryview(data)[self.taken - offset :]
        if view and self._ended:
            raise RequestError("stdin_closed", "stdin was closed before", end=self.taken)
        before = self.taken
        while view:
            try:
                count = await self._put(view)
            except BrokenPipeError:
                raise self._reader_gone(before) from None
            except trio.Cancelled:
                if self.taken == before:
                    raise
                return self.taken  # some of it was taken, which the writer has to know
            self.taken += count
            view = view[count:]
        return self.taken

    async def _put(self, data: memoryview) -> int:
        """Write once, as soon as there is room; returns how many bytes were taken.

        :raises BrokenPipeError: nobody can read them
        """
        while self._end.fileno() >= 0:
            try:
                count = self._end.write(data)
            except BlockingIOError:
                with contextlib.suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_writable(self._end.fileno())
            except BrokenPipeError:
                self.shut()
                raise
            else:
                self._last = bytes(data[count - 1 : count])
                return count
        raise BrokenPipeError

    def _reader_gone(self, before: int) -> RequestError:
        return RequestError(
            "reader_gone",
            f"nobody reads stdin any more; it took {self.taken} bytes",
            executed="yes" if self.taken > before else "no",
            end=self.taken,
        )

    def close(self, offset: int | None) -> Awaitable[int]:
        """End the input behind all writes before this one; closing twice is closing once.

        :returns: the length of the whole input
        :raises RequestError: ``offset_future`` if the input does not have ``offset`` bytes
        """
        return self._close_in_turn(self._claim(), offset)

    async def _close_in_turn(self, turn: trio.Event, offset: int | None) -> int:
        async with self._in_turn(turn):
            if offset is not None and offset != self.taken:
                raise RequestError(
                    "offset_future",
                    f"stdin has taken {self.taken} bytes, not {offset}",
                    end=self.taken,
                )
            if not self._ended:
                with contextlib.suppress(BrokenPipeError):  # nobody is left to be told
                    await self._mark_the_end()
            self._ended = True
            self.shut()
            return self.taken

    async def _mark_the_end(self) -> None:
        """If it is cancelled in between, the next close types what is missing."""
        if self._end.fileno() >= 0:
            for mark in self._end.end_marks(self._last):
                await self._put(memoryview(bytes([mark])))

    def shut(self) -> None:
        """No more input comes; a write in progress finds its reader gone."""
        self._end.end_input()
