"""A process as the blocking client sees it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

from procnursery.client.core import STDIN_CHUNK, request_error
from procnursery.client.streams import OutputReader
from procnursery.model import Outcome, ProcessInfo, ProcessSpec
from procnursery.protocol import messages as m
from procnursery.signals import signal_name

if TYPE_CHECKING:
    from procnursery.client.blocking import Connection

AHEAD = 2 * STDIN_CHUNK
"""Bytes of input that may be unanswered; the daemon's window is larger."""


class ProcessEvents:
    """The events of a process that this connection started."""

    def __init__(self) -> None:
        self.exited: m.ExitedParams | None = None
        self.closed: m.ClosedParams | None = None

    def take(self, params: m.ExitedParams | m.EofParams | m.ClosedParams) -> None:
        """An event arrived."""
        if isinstance(params, m.ExitedParams):
            self.exited = params
        elif isinstance(params, m.ClosedParams):
            self.closed = params


class StdinWriter:
    """Standard input of a process started with ``stdin="pipe"``."""

    def __init__(self, connection: Connection, process_id: str) -> None:
        self._connection = connection
        self._id = process_id
        self._offset = 0
        self._taken = 0
        self._failed: m.ErrorInfo | None = None

    def send(self, data: bytes) -> None:
        """Send up to STDIN_CHUNK bytes without waiting until they are taken."""

        def written(result: m.StdinResult | None, error: m.ErrorInfo | None) -> None:
            if result is not None:
                self._taken = max(self._taken, result.offset)
            elif self._failed is None:
                self._failed = error

        params = m.StdinWriteParams(id=self._id, offset=self._offset, data=data)
        self._offset += len(data)
        self._connection.call("stdin.write", params, written)

    @property
    def waiting(self) -> int:
        """Bytes that the program's pipe has not taken yet."""
        return self._offset - self._taken

    @property
    def failed(self) -> m.ErrorInfo | None:
        """Why input is not taken any more."""
        return self._failed

    def write(self, data: bytes) -> int:
        """Write all of ``data``; returns when the program's pipe has taken it.

        :raises RequestError: ``reader_gone``, ``stdin_closed``
        """
        view = memoryview(data)
        position = 0
        while position < len(view) and self._failed is None:
            self._connection.pump_until(
                lambda: self.waiting <= AHEAD - STDIN_CHUNK or self._failed is not None
            )
            self.send(bytes(view[position : position + STDIN_CHUNK]))
            position += STDIN_CHUNK
        self._connection.pump_until(lambda: self.waiting == 0 or self._failed is not None)
        if self._failed is not None:
            raise request_error(self._failed)
        return len(data)

    def close(self) -> None:
        """End the input; a second time does nothing."""
        self._connection.request("stdin.close", m.StdinCloseParams(id=self._id))


class Process:
    """A process of a daemon.

    :ivar stdin: a writer, if the spec says ``stdin="pipe"``
    :ivar stdout: a BufferedReader from the beginning of what is kept; its ``raw`` has ``gaps``
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
        self.stdin = StdinWriter(connection, process_id) if spec.stdin.mode == "pipe" else None
        self.stdout = self._reader("stdout")
        self.stderr = self._reader("stderr")

    def _reader(self, name: Literal["stdout", "stderr"]) -> io.BufferedReader | None:
        if getattr(self.spec, name).mode in ("null", "stdout"):
            return None
        return io.BufferedReader(OutputReader(self._connection, self.id, name))

    def __repr__(self) -> str:
        return f"<Process {self.id} pid {self.pid} {self.spec.argv!r}>"

    def feed(self, data: bytes) -> None:
        """Write input and close it; a program that does not read it to its end is no error."""
        assert self.stdin is not None
        stdin = self.stdin
        for position in range(0, len(data), STDIN_CHUNK):
            self._connection.pump_until(
                lambda: stdin.waiting <= AHEAD - STDIN_CHUNK or stdin.failed is not None
            )
            if stdin.failed is not None:
                return
            stdin.send(data[position : position + STDIN_CHUNK])
        self._connection.call(
            "stdin.close", m.StdinCloseParams(id=self.id), lambda _result, _error: None
        )

    def wait_closed(self) -> ProcessInfo:
        """Wait for the end of the whole tree and of the output; all that is known then."""
        events = self._events
        if events is not None:
            self._connection.pump_until(lambda: events.closed is not None)
            assert events.closed is not None
            return events.closed.process
        return self._wait("closed", None)

    def _wait(self, until: Literal["exited", "closed"], timeout: float | None) -> ProcessInfo:
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

    def signal(
        self, signal: str | int, *, target: Literal["main", "group", "tree"] = "main"
    ) -> None:
        """Send a signal, by name or number.

        :raises RequestError: ``not_running``, ``signal_failed``
        """
        name = signal if isinstance(signal, str) else signal_name(signal)
        self._connection.request(
            "process.signal", m.SignalParams(id=self.id, signal=name, target=target)
        )

    def stop(self, *, signal: str | None = None, grace: float | None = None) -> ProcessInfo:
        """Stop the whole tree: stop signal, grace, SIGKILL, and see that it is gone."""
        result: m.ProcessResult = self._connection.request(
            "process.stop", m.StopParams(id=self.id, signal=signal, grace=grace)
        )
        return result.process

    def forget(self) -> None:
        """Delete its record and its stored output; it must be closed."""
        self._connection.request("process.forget", m.ForgetParams(id=self.id))
