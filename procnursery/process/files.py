"""Output modes ``spool`` and ``direct``: streams that are files.

File work can block on a slow disk, so it runs in worker threads, never in the event loop.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

import trio
from inotify_simple import INotify, flags

from procnursery.process.output import (
    TRUNCATED,
    WRITE_FAILED,
    Consumer,
    EofReason,
    StreamLog,
)

SPLICE_SIZE = 1_048_576
READ_SIZE = 262_144


class SpoolStream:
    """Mode ``spool``: a pipe, pumped by splice(2) into a file in the state directory.

    Bytes that the file system refuses are discarded and recorded as a gap, and the next bytes
    are tried again; the file then has a hole where they would be.

    :param fd: read end of the program's pipe; owned by the stream
    :param file: descriptor of the file, open for reading and writing; owned by the stream
    :param limiter: bounds the worker threads that work on files
    """

    def __init__(
        self, name: str, fd: int, file: int, *, path: str, limiter: trio.CapacityLimiter
    ) -> None:
        self.name = name
        self.log = StreamLog("spool", path)
        self._fd = fd
        self._file = file
        self._limiter = limiter
        self._ended = False
        os.set_blocking(fd, False)

    readable = True

    def refresh(self) -> None:
        """Every byte is seen as it comes."""

    async def run(self) -> None:
        while self.log.eof is None:
            await trio.lowlevel.wait_readable(self._fd)
            await self._pump()
            if self._ended:
                self._close("closed")

    async def _pump(self) -> bool:
        """Move what is there; returns whether anything moved."""
        log = self.log
        # Not abandoned on cancel: the offsets must know of every byte that was moved.
        moved, lost, error = await trio.to_thread.run_sync(
            self._transfer, log.end, limiter=self._limiter
        )
        log.end += moved
        if lost:
            log.add_gap(log.end, log.end + lost, WRITE_FAILED)
            log.end += lost
        if error is not None:
            log.error = (
                f"writing {log.path}: {error.strerror} ({errno.errorcode[error.errno or 0]})"
            )
        if moved or lost:
            log.changed()
        return bool(moved or lost)

    def _transfer(self, offset: int) -> tuple[int, int, OSError | None]:
        """Splice until the pipe is empty or a bound is reached: (moved, lost, error)."""
        moved = 0
        while moved < SPLICE_SIZE:
            try:
                count = os.splice(
                    self._fd,
                    self._file,
                    SPLICE_SIZE,
                    offset_dst=offset + moved,
                    flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE,
                )
            except BlockingIOError:
                break
            except OSError as error:
                return moved, self._discard(), error
            if count == 0:
                self._ended = True
                break
            moved += count
        return moved, 0, None

    def _discard(self) -> int:
        """Read what the file would not take, so that the program goes on."""
        try:
            return len(os.read(self._fd, READ_SIZE))
        except BlockingIOError:
            return 0

    async def finish(self) -> None:
        while self.log.eof is None and not self._ended and await self._pump():
            pass
        if self.log.eof is None:
            self._close("closed" if self._ended else "held_by_survivor")

    async def read(self, offset: int, limit: int) -> bytes:
        limit = min(limit, self.log.end - offset, READ_SIZE)
        gap = self.log.next_gap_after(offset)
        if gap is not None:
            limit = min(limit, gap - offset)
        if limit <= 0:
            return b""
        return await trio.to_thread.run_sync(
            os.pread, self._file, limit, offset, limiter=self._limiter
        )

    def consumer(self) -> Consumer:
        return Consumer()

    def follow(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def _close(self, reason: EofReason) -> None:
        trio.lowlevel.notify_closing(self._fd)
        os.close(self._fd)
        self.log.eof = reason
        self.log.changed()

    def release(self) -> None:
        if self.log.eof is None:
            self._close("abandoned")
        os.close(self._file)


class DirectStream:
    """Mode ``direct``: the program writes to the file itself.

    The daemon looks at the file when a reader asks, and watches it with inotify(7) only while
    someone follows. Offsets count from where the file ended when the program began. A program
    that truncates the file (``echo x >/dev/stdout``) loses what was there: the bytes that had
    been seen become a gap.

    :param file: descriptor of the file, open for reading, or None if the target user may not
        read it; owned by the stream
    :param start: size of the file when it was opened
    """

    def __init__(
        self,
        name: str,
        file: int | None,
        *,
        path: str,
        start: int,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.name = name
        self.log = StreamLog("direct", path)
        self._file = file
        self._base = start
        self._written_before = 0
        self._watching: trio.CancelScope | None = None
        self._limiter = limiter
        self._followers = 0
        self._wake = trio.Event()
        if file is None:
            self.log.error = f"{path} cannot be read by the target user"

    @property
    def readable(self) -> bool:
        """Whether the daemon holds a descriptor to read from."""
        return self._file is not None

    async def run(self) -> None:
        """Watch the file while someone follows."""
        if self._file is None:
            return
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            if self._followers:
                await self._watch(self._file)

    async def _watch(self, file: int) -> None:
        with contextlib.closing(INotify(nonblocking=True)) as inotify:
            inotify.add_watch(f"/proc/self/fd/{file}", flags.MODIFY)
            self.refresh()
            while self._followers:
                with trio.CancelScope() as scope:
                    self._watching = scope
                    await trio.lowlevel.wait_readable(inotify.fileno())
                if scope.cancelled_caught:
                    return
                inotify.read(timeout=0)
                self.refresh()

    def refresh(self) -> None:
        """Look at the file's size: fstat(2) of an open file does not wait for a disk."""
        if self._file is None:
            return
        size = os.fstat(self._file).st_size
        seen = self._base + (self.log.end - self._written_before)
        if size < seen:
            self.log.add_gap(self.log.first, self.log.end, TRUNCATED)
            self.log.first = self.log.end
            self._written_before = self.log.end
            self._base = 0
            seen = 0
        if size > seen:
            self.log.end += size - seen
            self.log.changed()
        elif seen == 0:
            self.log.changed()

    async def read(self, offset: int, limit: int) -> bytes:
        if self._file is None:
            return b""
        self.refresh()
        if offset < self.log.first:
            return b""
        position = self._base + (offset - self._written_before)
        limit = min(limit, self.log.end - offset, READ_SIZE)
        if limit <= 0:
            return b""
        return await trio.to_thread.run_sync(
            os.pread, self._file, limit, position, limiter=self._limiter
        )

    def consumer(self) -> Consumer:
        return Consumer()

    @contextlib.contextmanager
    def _following(self) -> Iterator[None]:
        self._followers += 1
        self._wake.set()
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers and self._watching is not None:
                self._watching.cancel()

    def follow(self) -> contextlib.AbstractContextManager[None]:
        return self._following()

    async def finish(self) -> None:
        self.refresh()
        if self.log.eof is None:
            self.log.eof = "closed"
            self.log.changed()

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
