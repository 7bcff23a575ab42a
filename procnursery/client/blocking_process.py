"""A process as the blocking client sees it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from procnursery.client.core import STDIN_CHUNK, request_error
from procnursery.client.exchange import ProcessEvents
from procnursery.client.feed import StdinFeed
from procnursery.client.instants import Instant, instant
from procnursery.client.streams import Queue, StreamName
from procnursery.model import Gap, Outcome, ProcessInfo, ProcessSpec, Stamp
from procnursery.protocol import messages as m
from procnursery.signals import signal_name

if TYPE_CHECKING:
    from procnursery.client.blocking import Connection


class OutputReader(io.RawIOBase):
    """An output stream as a file; wrapped in a BufferedReader by :class:`Process`.

    :ivar gaps: bytes that were lost on the way; what is read continues behind them
    """

    def __init__(
        self, connection: Connection, process_id: str, stream: StreamName, offset: int = 0
    ) -> None:
        super().__init__()
        self._connection = connection
        self._id = process_id
        self._stream = stream
        self._queue = Queue(offset)
        self._subscribed = False

    @property
    def gaps(self) -> list[Gap]:
        """What was lost."""
        return self._queue.gaps

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes, and put them into ``buffer``; 0 at the end.

        :raises RequestError: the stream does not exist
        :raises ConnectionLost: the daemon is gone
        """
        queue = self._queue
        if not self._subscribed:
            queue.begin(self._connection.exchange, self._id, self._stream, queue.position)
            self._subscribed = True
        self._connection.pump_until(lambda: queue.ready)
        if queue.refused is not None:
            raise request_error(queue.refused)
        data = queue.take(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Want no more of it."""
        if not self.closed:
            self._queue.unsubscribe()
        super().close()


class StdinWriter:
    """Standard input of a process started with ``stdin="pipe"`` or ``pty``."""

    def __init__(self, connection: Connection, process_id: str) -> None:
        self._connection = connection
        self._feed = StdinFeed(connection.exchange, process_id)
        self._id = process_id

    def write(self, data: bytes) -> int:
        """Write all of ``data``; returns when the program's pipe has taken it.

        :raises RequestError: ``reader_gone``, ``stdin_closed``
        """
        self.feed(data)
        self._connection.pump_until(lambda: self._feed.settled)
        if self._feed.failed is not None:
            raise request_error(self._feed.failed)
        return len(data)

    def resume(self, offset: int) -> None:
        """Go on behind the ``offset`` bytes that were written on a connection that is lost; the
        daemon skips what it has already taken of a write that is repeated."""
        self._feed.resume(offset)

    def feed(self, data: bytes) -> None:
        """Send all of ``data`` as far as it is taken, whatever becomes of the rest."""
        for position in range(0, len(data), STDIN_CHUNK):
            self._connection.pump_until(lambda: self._feed.has_room)
            if self._feed.failed is not None:
                return
            self._feed.send(data[position : position + STDIN_CHUNK])

    def close(self) -> None:
        """End the input (into a terminal its end-of-file character is typed); a second time does
        nothing."""
        self._connection.request("stdin.close", m.StdinCloseParams(id=self._id))


class Process:
    """A process of a daemon.

    :ivar stdin: a writer, if the spec says ``stdin="pipe"`` or ``pty``
    :ivar stdout: a BufferedReader from the beginning; its ``raw`` has ``gaps``
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

    def _reader(self, name: StreamName) -> io.BufferedReader | None:
        if name not in self.spec.own_streams:
            return None
        return io.BufferedReader(OutputReader(self._connection, self.id, name))

    def output(self, stream: StreamName, *, offset: int = 0) -> io.BufferedReader:
        """Another reader of one of its streams.

        :param offset: of the first byte to be read: what a lost connection had delivered before
        """
        return io.BufferedReader(OutputReader(self._connection, self.id, stream, offset))

    def __repr__(self) -> str:
        return f"<Process {self.id} pid {self.pid} {self.spec.argv!r}>"

    def wait_closed(self) -> ProcessInfo:
        """Wait for the end of the whole tree and of the output; all that is known then."""
        events = self._events
        if events is not None:
            self._connection.pump_until(lambda: events.closed is not None)
            assert events.closed is not None
            return events.closed.process
        return self._wait("closed", None)

    def _wait(
        self, until: Literal["ready", "exited", "closed"], timeout: float | None
    ) -> ProcessInfo:
        result: m.ProcessResult = self._connection.request(
            "process.wait", m.WaitParams(id=self.id, until=until, timeout=timeout)
        )
        return result.process

    def wait(
        self, *, until: Literal["exited", "closed"] = "closed", timeout: float | None = None
    ) -> Outcome:
        """Wait for the end: of the main process, or (``closed``) of everything.

        :raises RequestError: ``timed_out`` after ``timeout`` seconds
        """
        outcome = self._wait(until, timeout).outcome
        assert outcome is not None
        return outcome

    def info(self) -> ProcessInfo:
        """All that is known now."""
        return self._connection.inspect(self.id)

    def wait_until(
        self, until: Literal["ready", "exited", "closed"], *, timeout: float | None = None
    ) -> ProcessInfo:
        """Wait for a state or what lies beyond it; all that is known then.

        :raises RequestError: ``timed_out`` after ``timeout`` seconds
        """
        return self._wait(until, timeout)

    def wait_ready(self, *, timeout: float | None = None) -> ProcessInfo:
        """Wait until it is ready for use, as its spec's ``ready`` defines it, or has failed to
        become so and is closed; ``ready`` of the result tells which, and why.

        :raises RequestError: ``timed_out`` after ``timeout`` seconds
        """
        return self._wait("ready", timeout)

    def release(self, *, at: Instant | None = None) -> m.Released:
        """Let it go from its gate.

        :param at: instant of the daemon's realtime clock; None: at once
        :raises RequestError: ``not_held``
        """
        return (self._connection.release([self], at=at))[0]

    def signal(
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
        result: m.SignalResult = self._connection.request(
            "process.signal",
            m.SignalParams(id=self.id, signal=name, target=target, at=instant(at)),
        )
        return result.delivered

    def freeze(self, *, at: Instant | None = None) -> m.FreezeResult:
        """Make its whole tree stand still; returns when all of it is known to.

        :param at: instant of the daemon's realtime clock; None: at once
        :raises RequestError: ``not_running``; ``freeze_failed``, whose ``unfrozen`` has what did
            not stand still in time, so that the tree was thawed
        """
        result: m.FreezeResult = self._connection.request(
            "process.freeze", m.FreezeParams(id=self.id, at=instant(at))
        )
        return result

    def thaw(self, *, at: Instant | None = None) -> m.FreezeResult:
        """Let its frozen tree go on.

        :param at: instant of the daemon's realtime clock; None: at once
        :raises RequestError: ``not_running``
        """
        result: m.FreezeResult = self._connection.request(
            "process.thaw", m.ThawParams(id=self.id, at=instant(at))
        )
        return result

    def stop(
        self,
        *,
        signal: str | None = None,
        grace: float | None = None,
        at: Instant | None = None,
    ) -> ProcessInfo:
        """Stop the whole tree: stop signal, grace, SIGKILL, and see that it is gone.

        :param at: instant of the daemon's realtime clock at which to begin; None: at once
        """
        result: m.ProcessResult = self._connection.request(
            "process.stop", m.StopParams(id=self.id, signal=signal, grace=grace, at=instant(at))
        )
        return result.process

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal, of which its foreground processes learn by SIGWINCH.

        :raises RequestError: ``no_pty``, ``not_running``
        """
        self._connection.request(
            "pty.resize", m.ResizeParams(id=self.id, rows=rows, columns=columns)
        )

    def forget(self) -> None:
        """Delete its record and its stored output; it must be closed."""
        self._connection.request("process.forget", m.ForgetParams(id=self.id))
