"""A process as the async client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

from procnursery.client.core import STDIN_CHUNK, request_error
from procnursery.client.exchange import ProcessEvents
from procnursery.client.feed import StdinFeed
from procnursery.client.instants import Instant, instant
from procnursery.client.streams import Queue, StreamName
from procnursery.model import Gap, Outcome, ProcessInfo, ProcessSpec, Stamp
from procnursery.protocol import messages as m
from procnursery.signals import signal_name

if TYPE_CHECKING:
    from procnursery.client.connection import Connection

READ_SIZE = 65_536


class OutputReader:
    """An output stream, read from its beginning; one task at a time may read it.

    Iterating gives lines.
    """

    def __init__(
        self, connection: Connection, process_id: str, stream: StreamName, offset: int = 0
    ) -> None:
        self._connection = connection
        self._id = process_id
        self._stream = stream
        self._queue = Queue(offset)
        self._subscribed = False
        self._rest = b""

    @property
    def gaps(self) -> list[Gap]:
        """What was lost; what is read continues behind it."""
        return self._queue.gaps

    async def read_some(self, limit: int = READ_SIZE) -> bytes:
        """At least one byte and up to ``limit``; ``b""`` at the end.

        :raises RequestError: the stream does not exist
        :raises ConnectionLost: the daemon is gone
        """
        if self._rest:
            data, self._rest = self._rest[:limit], self._rest[limit:]
            return data
        queue = self._queue
        if not self._subscribed:
            queue.begin(self._connection.exchange, self._id, self._stream, queue.position)
            self._subscribed = True
        await self._connection.wait_until(lambda: queue.ready)
        if queue.refused is not None:
            raise request_error(queue.refused)
        return queue.take(limit)

    async def read(self, size: int = -1) -> bytes:
        """``size`` bytes, fewer only at the end; all of them by default."""
        parts = []
        left = size
        while left != 0:
            data = await self.read_some(READ_SIZE if left < 0 else left)
            if not data:
                break
            parts.append(data)
            if left > 0:
                left -= len(data)
        return b"".join(parts)

    async def readline(self) -> bytes:
        """A line with its newline, which only the last one may lack; ``b""`` at the end."""
        parts = []
        while data := await self.read_some():
            line, newline, rest = data.partition(b"\n")
            parts.append(line + newline)
            if newline:
                self._rest = rest + self._rest
                break
        return b"".join(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line


class StdinWriter:
    """Standard input of a process started with ``stdin="pipe"`` or ``pty``; one task at a time may
    write."""

    def __init__(self, connection: Connection, process_id: str) -> None:
        self._connection = connection
        self._feed = StdinFeed(connection.exchange, process_id)
        self._id = process_id

    async def write(self, data: bytes) -> int:
        """Write all of ``data``; returns when the program's pipe has taken it.

        :raises RequestError: ``reader_gone``, ``stdin_closed``
        """
        await self.feed(data)
        await self._connection.wait_until(lambda: self._feed.settled)
        if self._feed.failed is not None:
            raise request_error(self._feed.failed)
        return len(data)

    def resume(self, offset: int) -> None:
        """Go on behind the ``offset`` bytes that were written on a connection that is lost; the
        daemon skips what it has already taken of a write that is repeated."""
        self._feed.resume(offset)

    async def feed(self, data: bytes) -> None:
        """Send all of ``data`` as far as it is taken, whatever becomes of the rest."""
        for position in range(0, len(data), STDIN_CHUNK):
            await self._connection.wait_until(lambda: self._feed.has_room)
            if self._feed.failed is not None:
                return
            self._feed.send(data[position : position + STDIN_CHUNK])

    async def close(self) -> None:
        """End the input (into a terminal its end-of-file character is typed); a second time does
        nothing."""
        await self._connection.request("stdin.close", m.StdinCloseParams(id=self._id))


class Process:
    """A process of a daemon.

    :ivar stdin: a writer, if the spec says ``stdin="pipe"`` or ``pty``
    :ivar stdout: a reader from the beginning, which has ``gaps``
    """

    def __init__(
        self,
        connection: Connection,
        process_id: str,
        pid: int | None,
        spec: ProcessSpec,
        events: ProcessEvents | None,
    ) -> None:
        self._connection = connection
        self.id = process_id
        self.pid = pid
        self.spec = spec
        self._events = events
        self.stdin = StdinWriter(connection, process_id) if spec.takes_input else None
        self.stdout = self._reader("stdout")
        self.stderr = self._reader("stderr")

    def _reader(self, name: StreamName) -> OutputReader | None:
        if name not in self.spec.own_streams:
            return None
        return OutputReader(self._connection, self.id, name)

    def output(self, stream: StreamName, *, offset: int = 0) -> OutputReader:
        """Another reader of one of its streams.

        :param offset: of the first byte to be read: what a lost connection had delivered before
        """
        return OutputReader(self._connection, self.id, stream, offset)

    def __repr__(self) -> str:
        return f"<Process {self.id} pid {self.pid} {self.spec.argv!r}>"

    async def wait_closed(self) -> ProcessInfo:
        """Wait for the end of the whole tree and of the output; all that is known then."""
        events = self._events
        if events is not None:
            await self._connection.wait_until(lambda: events.closed is not None)
            assert events.closed is not None
            return events.closed.process
        return await self._wait("closed", None)

    async def _wait(
        self, until: Literal["ready", "exited", "closed"], timeout: float | None
    ) -> ProcessInfo:
        result: m.ProcessResult = await self._connection.request(
            "process.wait", m.WaitParams(id=self.id, until=until, timeout=timeout)
        )
        return result.process

    async def wait(
        self, *, until: Literal["exited", "closed"] = "closed", timeout: float | None = None
    ) -> Outcome:
        """Wait for the end: of the main process, or (``closed``) of everything.

        :raises RequestError: ``timed_out`` after ``timeout`` seconds
        """
        outcome = (await self._wait(until, timeout)).outcome
        assert outcome is not None
        return outcome

    async def info(self) -> ProcessInfo:
        """All that is known now."""
        return await self._connection.inspect(self.id)

    async def wait_until(
        self, until: Literal["ready", "exited", "closed"], *, timeout: float | None = None
    ) -> ProcessInfo:
        """Wait for a state or what lies beyond it; all that is known then.

        :raises RequestError: ``timed_out`` after ``timeout`` seconds
        """
        return await self._wait(until, timeout)

    async def wait_ready(self, *, timeout: float | None = None) -> ProcessInfo:
        """Wait until it is ready for use, as its spec's ``ready`` defines it, or has failed to
        become so and is closed; ``ready`` of the result tells which, and why.

        :raises RequestError: ``timed_out`` after ``timeout`` seconds
        """
        return await self._wait("ready", timeout)

    async def release(self, *, at: Instant | None = None) -> m.Released:
        """Let it go from its gate.

        :param at: instant of the daemon's realtime clock; None: at once
        :raises RequestError: ``not_held``
        """
        return (await self._connection.release([self], at=at))[0]

    async def signal(
        self,
        signal: str | int,
        *,
        target: Literal["main", "group", "tree"] = "main",
        at: Instant | None = None,
    ) -> Stamp:
        """Send a signal, by name or number; when it was delivered.

        :param at: instant of the daemon's realtime clock; None: at once
        :raises RequestError: ``not_running``, ``signal_failed``
        """
        name = signal if isinstance(signal, str) else signal_name(signal)
        result: m.SignalResult = await self._connection.request(
            "process.signal",
            m.SignalParams(id=self.id, signal=name, target=target, at=instant(at)),
        )
        return result.delivered

    async def freeze(self, *, at: Instant | None = None) -> m.FreezeResult:
        """Make its whole tree stand still; returns when all of it is known to.

        :param at: instant of the daemon's realtime clock; None: at once
        :raises RequestError: ``not_running``; ``freeze_failed``, whose ``unfrozen`` has what did
            not stand still in time, so that the tree was thawed
        """
        result: m.FreezeResult = await self._connection.request(
            "process.freeze", m.FreezeParams(id=self.id, at=instant(at))
        )
        return result

    async def thaw(self, *, at: Instant | None = None) -> m.FreezeResult:
        """Let its frozen tree go on.

        :param at: instant of the daemon's realtime clock; None: at once
        :raises RequestError: ``not_running``
        """
        result: m.FreezeResult = await self._connection.request(
            "process.thaw", m.ThawParams(id=self.id, at=instant(at))
        )
        return result

    async def stop(
        self,
        *,
        signal: str | None = None,
        grace: float | None = None,
        at: Instant | None = None,
    ) -> ProcessInfo:
        """Stop the whole tree: stop signal, grace, SIGKILL, and see that it is gone.

        :param at: instant of the daemon's realtime clock at which to begin; None: at once
        """
        result: m.ProcessResult = await self._connection.request(
            "process.stop", m.StopParams(id=self.id, signal=signal, grace=grace, at=instant(at))
        )
        return result.process

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal, of which its foreground processes learn by SIGWINCH.

        :raises RequestError: ``no_pty``, ``not_running``
        """
        await self._connection.request(
            "pty.resize", m.ResizeParams(id=self.id, rows=rows, columns=columns)
        )

    async def forget(self) -> None:
        """Delete its record and its stored output; it must be closed."""
        await self._connection.request("process.forget", m.ForgetParams(id=self.id))
