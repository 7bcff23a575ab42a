"""Requests about the input and the output of processes."""

from __future__ import annotations

import os
from collections.abc import Awaitable

import trio

from procnursery.daemon.handlers.methods import Methods
from procnursery.daemon.session import Answer, Session
from procnursery.daemon.subscription import Subscription
from procnursery.errors import RequestError
from procnursery.process.output import Stream
from procnursery.process.record import errno_name
from procnursery.process.run import ManagedProcess
from procnursery.process.stdin import StdinPipe
from procnursery.process.supervisor import Supervisor
from procnursery.protocol import messages as m


class StreamHandlers:
    """Input and output."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    @property
    def methods(self) -> Methods:
        """Handlers by method."""
        return {
            "stdin.write": self._write,
            "stdin.close": self._close,
            "output.read": self._read,
            "output.subscribe": self._subscribe,
            "output.unsubscribe": self._unsubscribe,
        }

    def _started(self, process_id: str) -> ManagedProcess:
        """A process that has input and output."""
        process = self._supervisor.get(process_id)
        if process.record.state == "starting":
            raise RequestError("not_running", f"process {process_id} is being started")
        return process

    # Input

    def _write(self, _session: Session, params: m.StdinWriteParams) -> Awaitable[m.StdinResult]:
        # Takes its turn now, so that writes stay in the order in which they came.
        return self._taken(self._stdin(params.id).write(params.offset, params.data))

    def _close(self, _session: Session, params: m.StdinCloseParams) -> Awaitable[m.StdinResult]:
        return self._taken(self._stdin(params.id).close(params.offset))

    @staticmethod
    async def _taken(work: Awaitable[int]) -> m.StdinResult:
        return m.StdinResult(offset=await work)

    def _stdin(self, process_id: str) -> StdinPipe:
        process = self._started(process_id)
        stdin = process.channels.stdin
        if stdin is None:
            raise RequestError(
                "no_stdin", f"stdin of process {process_id} is {process.spec.stdin.mode}, not pipe"
            )
        return stdin

    # Output

    def _stream(self, process_id: str, name: str) -> Stream:
        process = self._started(process_id)
        try:
            stream = process.channels.streams[name]
        except KeyError:
            raise RequestError(
                "no_stream",
                f"{name} of process {process_id} has mode {getattr(process.spec, name).mode}",
            ) from None
        if not stream.readable:
            raise RequestError(
                "unreadable",
                f"{stream.log.error}",
                errno="EACCES",
                errno_number=13,
                file=os.fsencode(stream.log.path or ""),
            )
        return stream

    async def _read(self, session: Session, params: m.ReadParams) -> m.ReadResult:
        stream = self._stream(params.id, params.stream)
        log = stream.log
        if params.consumed is not None:
            consumer = stream.consumer()
            consumer.consume(min(params.consumed, log.end))
            consumer.close()
        offset = params.offset
        limit = min(params.max, session.connection.max_data)
        data = b""
        deadline = trio.current_time() + params.wait
        with stream.follow():
            while True:
                stream.refresh()
                _check_offset(stream, offset)
                gap = log.gap_at(offset)
                if gap is not None:
                    offset = gap.to
                elif offset < log.end:
                    data = await _bytes_of(stream, offset, limit)
                    if data:
                        break
                    await trio.lowlevel.checkpoint()
                elif log.eof is not None or trio.current_time() >= deadline:
                    break
                else:
                    with trio.move_on_at(deadline):
                        await log.wait_change()
        at_end = log.eof is not None and offset + len(data) == log.end
        return m.ReadResult(offset=offset, data=data, end=log.end, eof=log.eof if at_end else None)

    async def _subscribe(self, session: Session, params: m.SubscribeParams) -> Answer:
        stream = self._stream(params.id, params.stream)
        stream.refresh()
        if params.offset > stream.log.end:
            raise _beyond(stream, params.offset)
        subscription = session.subscribe(
            lambda number: Subscription(number, stream, params.offset, params.credit)
        )
        result = m.SubscribeResult(
            subscription=subscription.number, first=stream.log.first, end=stream.log.end
        )
        return Answer(result, lambda: session.serve(subscription))

    def _unsubscribe(self, session: Session, params: m.UnsubscribeParams) -> m.UnsubscribeResult:
        subscription = session.unsubscribe(params.subscription, Subscription)
        return m.UnsubscribeResult(offset=subscription.offset)


async def _bytes_of(stream: Stream, offset: int, limit: int) -> bytes:
    try:
        return await stream.read(offset, limit)
    except OSError as error:
        raise RequestError(
            "unreadable",
            f"reading {stream.log.path}: {error.strerror}",
            errno=errno_name(error.errno or 0),
            errno_number=error.errno,
            file=os.fsencode(stream.log.path or ""),
        ) from error


def _check_offset(stream: Stream, offset: int) -> None:
    log = stream.log
    if offset > log.end:
        raise _beyond(stream, offset)
    if offset < log.first:
        raise RequestError(
            "offset_expired",
            f"{stream.name} is kept from offset {log.first} on",
            first=log.first,
        )


def _beyond(stream: Stream, offset: int) -> RequestError:
    return RequestError(
        "offset_future",
        f"{stream.name} has {stream.log.end} bytes; {offset} is beyond them",
        end=stream.log.end,
    )
