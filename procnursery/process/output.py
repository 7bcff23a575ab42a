"""Output streams of a process, addressed by byte offset.

A stream is fed by one pump task and read by any number of readers. What is lost is recorded as a
gap; ``end`` counts every byte that the program wrote, lost ones included.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Literal, Protocol

import trio

from procnursery.model import Gap, StreamInfo

EofReason = Literal["closed", "held_by_survivor", "abandoned"]
PIPE_SIZE = 262_144
"""Size asked for pipes of output: below the default limit of 1 MiB, and small enough that an
unprivileged daemon stays within pipe-user-pages-soft (pipe(7)) with many processes."""
INFO_GAPS = 64
DROPPED = "dropped"
WRITE_FAILED = "write_failed"
TRUNCATED = "truncated_by_program"


def grow_pipe(fd: int) -> None:
    """Enlarge a pipe; where the user's quota of pipe pages forbids it, it stays as it is."""
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


class Stream(Protocol):
    """What readers use of every kind of stream."""

    name: str
    log: StreamLog

    @property
    def readable(self) -> bool:
        """Whether the daemon can read the stream at all."""
        ...

    def refresh(self) -> None:
        """Learn of bytes that arrived unseen."""
        ...

    async def read(self, offset: int, limit: int) -> bytes:
        """Up to ``limit`` bytes from ``offset``, at least one if there is one and it is not in a
        gap; ``offset`` lies in [first, end]."""
        ...

    def follow(self) -> contextlib.AbstractContextManager[None]:
        """While entered, new bytes wake those who wait on ``log``."""
        ...

    def consumer(self) -> Consumer:
        """Register a reader that says what it has consumed."""
        ...

    async def run(self) -> None:
        """Pump until the end of the stream."""
        ...

    async def finish(self) -> None:
        """Take what is there without waiting, then close: the tree's verdict is in."""
        ...

    def release(self) -> None:
        """Give back descriptors and memory; the stream cannot be read afterwards."""
        ...


class StreamLog:
    """Offsets, gaps and end of one stream, and those who wait for a change of them."""

    def __init__(self, mode: str, path: str | None = None) -> None:
        self.mode = mode
        self.path = path
        self.first = 0
        self.end = 0
        self.lost = 0
        self.eof: EofReason | None = None
        self.error: str | None = None
        self.gaps: list[Gap] = []
        self._waiting = trio.lowlevel.ParkingLot()

    def info(self) -> StreamInfo:
        """A snapshot for clients."""
        return StreamInfo(
            mode=self.mode,  # type: ignore[arg-type]
            first=self.first,
            end=self.end,
            lost=self.lost,
            gaps=tuple(self.gaps[-INFO_GAPS:]),
            eof=self.eof,
            path=os.fsencode(self.path) if self.path is not None else None,
            error=self.error,
        )

    def add_gap(self, start: int, end: int, reason: str) -> None:
        """Record lost bytes; a gap that continues the latest one extends it."""
        self.lost += end - start
        if self.gaps and self.gaps[-1].to == start and self.gaps[-1].reason == reason:
            start = self.gaps.pop().from_
        self.gaps.append(Gap(from_=start, to=end, reason=reason))

    def gap_at(self, offset: int) -> Gap | None:
        """The gap that contains ``offset``, if its bytes are lost."""
        for gap in reversed(self.gaps):
            if gap.from_ <= offset < gap.to:
                return gap
            if gap.to <= offset:
                break
        if offset < self.first:
            return Gap(from_=offset, to=self.first, reason=DROPPED)
        return None

    def next_gap_after(self, offset: int) -> int | None:
        """Where the first gap beyond ``offset`` begins."""
        result = None
        for gap in reversed(self.gaps):
            if gap.from_ <= offset:
                break
            result = gap.from_
        return result

    def changed(self) -> None:
        """Wake everyone who waits."""
        self._waiting.unpark_all()

    async def wait_change(self) -> None:
        """Wait until something changed; the caller checks what."""
        await self._waiting.park()


class Consumer:
    """One reader's statement of what it needs no longer."""

    def __init__(
        self, consumed: int = 0, *, on_change: Callable[[Consumer], None] | None = None
    ) -> None:
        self.consumed = consumed
        self.closed = False
        self._on_change = on_change

    def consume(self, offset: int) -> None:
        """Bytes below ``offset`` are not needed any more; lower offsets than before are ignored."""
        if offset > self.consumed:
            self.consumed = offset
            self._changed()

    def close(self) -> None:
        """The reader is gone; what it had not consumed may be wanted by the next one."""
        self.closed = True
        self._changed()

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self)
