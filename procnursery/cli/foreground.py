"""A program in the foreground: this terminal's input, output and Ctrl-C are the program's."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from procnursery.cli.output import error_text
from procnursery.cli.status import complain
from procnursery.cli.terminal import CallerTerminal, GivenUp
from procnursery.client.blocking import Connection
from procnursery.client.core import STDIN_CHUNK
from procnursery.client.exchange import ProcessEvents
from procnursery.client.feed import StdinFeed
from procnursery.client.streams import Handler
from procnursery.errors import ConnectionLost
from procnursery.model import ProcessInfo, ProcessSpec
from procnursery.protocol import messages as m

MAX_WRITE = 1_048_576
ATOMIC_WRITE = select.PIPE_BUF
"""A pipe that poll(2) calls writable takes this much without blocking."""
LAST_WRITES = 0.5
READER_GONE_GRACE = 0.2
_DESCRIPTORS = {"stdout": 1, "stderr": 2}


class Sink(Handler):
    """Writes a stream to a descriptor, never waiting for it.

    The descriptor's own open file is shared with others, so it is not made non-blocking; pipes
    and terminals are opened once more instead.

    :ivar gone: whether nothing can be written any more: its reader has closed it, or
    :ivar failed: why it cannot be written otherwise
    :ivar written: bytes of the stream that were
    :ivar shown: called with what was written
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd, self._limit = _without_blocking(fd)
        self._chunks: deque[tuple[int, memoryview]] = deque()
        self.gone = False
        self.shown: Callable[[bytes], None] | None = None
        self.failed: OSError | None = None
        self.written = 0

    def on_data(self, offset: int, data: bytes) -> None:
        """Queue it, and write what can be written."""
        self._chunks.append((offset, memoryview(data)))

    @property
    def waiting(self) -> bool:
        """Whether bytes wait to be written."""
        return bool(self._chunks)

    @property
    def done(self) -> bool:
        """Whether the whole stream was written, or will never be."""
        return self.gone or ((self.ended or self.refused is not None) and not self._chunks)

    def write_some(self) -> None:
        """Write once; to be called when the descriptor is writable."""
        offset, chunk = self._chunks[0]
        try:
            count = os.write(self.fd, chunk[: self._limit])
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                self.failed = error
            self.gone = True
            self._chunks.clear()
            return
        self.written += count
        if self.shown is not None:
            self.shown(bytes(chunk[:count]))
        if count == len(chunk):
            self._chunks.popleft()
        else:
            self._chunks[0] = (offset + count, chunk[count:])
        self.consumed(offset + count)


def _without_blocking(fd: int) -> tuple[int, int]:
    """(descriptor, most bytes for one write that does not block)"""
    try:
        kind = os.fstat(fd).st_mode
    except OSError:  # closed from the beginning
        return fd, ATOMIC_WRITE
    if stat.S_ISREG(kind):
        return fd, MAX_WRITE
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with contextlib.suppress(OSError):  # another user's, or without a reader
            return os.open(f"/proc/self/fd/{fd}", flags), MAX_WRITE
    return fd, ATOMIC_WRITE


@attrs.frozen
class Undelivered:
    """Output of the program that did not get where it was to go.

    :ivar bytes: how many, beside those that the daemon lost
    :ivar error: why; None: the reader has left
    """

    bytes: int
    error: str | None


class Foreground:
    """One program.

    :param stdin: whether this process's stdin is the program's
    :param terminal: passed on to the program, which has one of its own
    :ivar id: once it was started
    :ivar failed: why it was not started
    :ivar cut_off: whether it was stopped since its output cannot be written any more
    """

    def __init__(
        self,
        connection: Connection,
        spec: ProcessSpec,
        *,
        stdin: bool,
        terminal: CallerTerminal | None = None,
    ) -> None:
        self._exchange = connection.exchange
        self._spec = spec
        self.id: str | None = None
        self.pid: int | None = None
        self.cut_off = False
        self.failed: m.ErrorInfo | None = None
        self._events = ProcessEvents()
        self._want_stdin = stdin
        self._terminal = terminal
        self._stdin: StdinFeed | None = None
        self._sinks: dict[str, Sink] = {}
        self._interrupts = 0
        self._handled = 0
        self._start_request = 0

    @property
    def info(self) -> ProcessInfo | None:
        """All that is known of it, once it has ended."""
        return None if self._events.closed is None else self._events.closed.process

    @property
    def undelivered(self) -> dict[str, Undelivered]:
        """What of the output of a program that has ended is missing, by stream."""
        found = {}
        for name, sink in self._sinks.items():
            error = None
            if sink.failed is not None:
                error = f"cannot be written: {error_text(sink.failed)}"
            elif sink.refused is not None:
                error = f"cannot be had: {sink.refused.message}"
            stream = None if self.info is None else self.info.streams.get(name)
            count = 0 if stream is None else max(0, stream.end - stream.lost - sink.written)
            if error is not None or (sink.gone and count):
                found[name] = Undelivered(count, error)
        return found

    def run(self) -> None:
        """Run it to its end.

        :raises ConnectionLost: the daemon is gone
        :raises GivenUp: after the third Ctrl-C, or ``~.`` in a terminal
        :raises EndedBySignal: with a terminal, which is given back first
        """
        with self._interruptible() as wakeups, self._terminal or contextlib.nullcontext():
            self._start_request, self._events = self._exchange.start(
                m.StartParams(spec=self._spec), self._started
            )
            try:
                while not self._finished():
                    self._step(wakeups)
            except ConnectionLost:
                self._write_the_rest()
                raise

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[socket.socket]:
        """Turn SIGINT into something that poll(2) sees."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            ours.setblocking(False)
            before_fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            before = None if ignored else signal.signal(signal.SIGINT, self._interrupted)
            try:
                yield ours
            finally:
                if not ignored:
                    signal.signal(signal.SIGINT, before)
                signal.set_wakeup_fd(before_fd)

    def _interrupted(self, _number: int, _frame: Any) -> None:
        self._interrupts += 1

    def _started(self, result: m.StartResult | None, error: m.ErrorInfo | None) -> None:
        if result is None:
            self.failed = error
            return
        self.id, self.pid = result.id, result.pid
        if self._want_stdin:
            self._stdin = StdinFeed(self._exchange, result.id)
        for stream in self._spec.own_streams:
            sink = self._sinks[stream] = Sink(_DESCRIPTORS[stream])
            sink.begin(self._exchange, result.id, stream, 0)
        if self._terminal is not None:
            self._sinks["stdout"].shown = self._terminal.shown
            self._terminal.begin(self._resize)

    def _resize(self, rows: int, columns: int) -> None:
        params = m.ResizeParams(id=self.id or "", rows=rows, columns=columns)
        self._exchange.call("pty.resize", params, lambda _result, _error: None)

    def _finished(self) -> bool:
        if self.failed is not None:
            return True
        return self.info is not None and all(sink.done for sink in self._sinks.values())

    def _step(self, wakeups: socket.socket) -> None:
        """Wait for anything, and handle it."""
        link = self._exchange.link
        poll = select.poll()
        poll.register(link, select.POLLIN | (select.POLLOUT if link.wants_to_write else 0))
        poll.register(wakeups, select.POLLIN)
        reading = self._stdin is not None and self._stdin.has_room
        if reading:
            poll.register(0, select.POLLIN)
        writing = {sink.fd: sink for sink in self._sinks.values() if sink.waiting}
        for fd in writing:
            poll.register(fd, select.POLLOUT)
        ready = dict(poll.poll())
        if wakeups.fileno() in ready:
            wakeups.recv(4096)
        if self._terminal is not None:
            self._terminal.attend()
        while self._handled < self._interrupts:
            self._handled += 1
            self._interrupt()
        for fd, sink in writing.items():
            if fd in ready:
                sink.write_some()
                if sink.gone:
                    self._reader_gone(sink)
        if reading and 0 in ready:
            self._read_stdin()
        what = ready.get(link.fileno(), 0)
        if what & select.POLLOUT:
            link.flush()
        if what & ~select.POLLOUT:
            self._exchange.dispatch()

    def _read_stdin(self) -> None:
        stdin = self._stdin
        assert stdin is not None
        if self._terminal is not None:
            typed = self._terminal.read(STDIN_CHUNK)
            if typed is not None and stdin.failed is None:
                stdin.send(typed)
            self._terminal.attend()
            return
        if stdin.failed is not None:  # nobody reads it any more
            self._stdin = None
            return
        try:
            data = os.read(0, STDIN_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            complain(f"reading stdin: {error.strerror}")
            data = b""
        if data:
            stdin.send(data)
            return
        self._stdin = None
        stdin.close()

    def _reader_gone(self, sink: Sink) -> None:
        """Nobody reads our output: the program ends as SIGPIPE ends one that writes itself. Output
        that cannot be written for another reason is no better."""
        sink.unsubscribe()
        self.cut_off = True
        self._stop(signal_name="SIGPIPE", grace=READER_GONE_GRACE)

    def _stop(self, *, signal_name: str | None = None, grace: float | None = None) -> None:
        if self.id is not None:
            params = m.StopParams(id=self.id, signal=signal_name, grace=grace)
            self._exchange.call("process.stop", params, lambda _result, _error: None)

    def _interrupt(self) -> None:
        """The ladder of Ctrl-C."""
        if self._handled >= 3:
            raise GivenUp
        if self.id is None:
            self._exchange.notify("cancel", m.CancelParams(id=self._start_request))
        elif self._handled == 1:
            params = m.SignalParams(id=self.id, signal="SIGINT", target="group")
            self._exchange.call("process.signal", params, lambda _result, _error: None)
        else:
            complain(
                f"stopping {self.id}: {self._spec.stop_signal}, and SIGKILL after "
                f"{self._spec.grace:g} s; Ctrl-C once more gives up",
                raw=self._terminal is not None,
            )
            self._stop()

    def _write_the_rest(self) -> None:
        """What has arrived is written, unless the reader takes too long."""
        deadline = time.monotonic() + LAST_WRITES
        for sink in self._sinks.values():
            while sink.waiting and not sink.gone:
                poll = select.poll()
                poll.register(sink.fd, select.POLLOUT)
                rest = deadline - time.monotonic()
                if rest <= 0 or not poll.poll(rest * 1000):
                    break
                with contextlib.suppress(ConnectionLost):
                    sink.write_some()
