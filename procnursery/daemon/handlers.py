"""Requests to replies: the only place where the protocol meets processes."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio

import procnursery
from procnursery.daemon.session import Answer, Session
from procnursery.daemon.subscription import Subscription
from procnursery.errors import InvalidField, RequestError
from procnursery.host.clock import stamp
from procnursery.host.identity import boot_id, hostname, resident_bytes, usable_cpus
from procnursery.model import ContainmentInfo, Stamp
from procnursery.process.output import Stream
from procnursery.process.record import errno_name
from procnursery.process.run import ManagedProcess
from procnursery.process.stdin import StdinPipe
from procnursery.process.supervisor import Supervisor
from procnursery.protocol import messages as m
from procnursery.protocol.connection import PROTOCOL_VERSION
from procnursery.protocol.schema_file import schema_text
from procnursery.signals import signal_number
from procnursery.spawner.proxy import Spawner

CAPABILITIES = ("output.direct", "output.pipe", "output.spool", "stdin.offset")


class Daemon(Protocol):
    """What the handlers tell about the daemon itself."""

    started: Stamp

    @property
    def state_path(self) -> bytes:
        """The state directory."""
        ...

    @property
    def config_path(self) -> bytes | None:
        """The configuration file that was read, if one was."""
        ...

    @property
    def listening(self) -> list[str]:
        """Addresses."""
        ...

    @property
    def connections(self) -> int:
        """How many there are."""
        ...


class Handlers:
    """Answers to every method.

    :ivar stopping: whether new programs are refused
    """

    def __init__(
        self,
        daemon: Daemon,
        supervisor: Supervisor,
        spawner: Spawner,
        containment: ContainmentInfo,
    ) -> None:
        self.stopping = False
        self._daemon = daemon
        self._supervisor = supervisor
        self._spawner = spawner
        self._containment = containment
        self._methods: dict[str, Callable[[Session, Any], Any]] = {
            "describe": self._describe,
            "ping": self._ping,
            "daemon.info": self._info,
            "process.start": self._start,
            "process.signal": self._signal,
            "process.stop": self._stop,
            "process.wait": self._wait,
            "process.list": self._list,
            "process.get": self._get,
            "process.forget": self._forget,
            "stdin.write": self._write,
            "stdin.close": self._close,
            "output.read": self._read,
            "output.subscribe": self._subscribe,
            "output.unsubscribe": self._unsubscribe,
        }

    def handle(self, session: Session, method: str, params: Any) -> Any | Awaitable[Any]:
        """The result, or something that gives it later.

        :raises InvalidField: params that the types alone could not refuse
        :raises RequestError: the answer is an error
        """
        return self._methods[method](session, params)

    # The daemon

    def hello(self, params: m.HelloParams, limits: m.DaemonLimits, peer: str) -> m.HelloResult:
        """The answer to hello."""
        return m.HelloResult(
            protocol=min(params.protocol, PROTOCOL_VERSION),
            daemon=m.DaemonId(
                version=procnursery.__version__,
                instance=self._supervisor.instance,
                pid=os.getpid(),
            ),
            host=hostname(),
            boot_id=boot_id(),
            capabilities=CAPABILITIES,
            limits=limits,
            peer=peer,
            now=stamp(),
        )

    def _describe(self, _session: Session, _params: m.DescribeParams) -> m.DescribeResult:
        return m.DescribeResult(schema=schema_text(), containment=self._containment)

    def _ping(self, _session: Session, params: m.PingParams) -> m.PingResult:
        received = stamp()
        return m.PingResult(received=received, sent=stamp(), payload=params.payload)

    def _info(self, _session: Session, _params: m.InfoParams) -> m.InfoResult:
        daemon, usage = self._daemon, resource.getrusage(resource.RUSAGE_SELF)
        return m.InfoResult(
            daemon=m.DaemonInfo(
                pid=os.getpid(),
                version=procnursery.__version__,
                instance=self._supervisor.instance,
                started=daemon.started,
                uid=os.geteuid(),
                state_dir=daemon.state_path,
                config=daemon.config_path,
                listen=tuple(daemon.listening),
                python=platform.python_version(),
                rss_bytes=resident_bytes(),
                user_s=usage.ru_utime,
                system_s=usage.ru_stime,
            ),
            spawner=m.SpawnerInfo(
                pid=self._spawner.pid, form="python", restarts=self._spawner.restarts
            ),
            containment=self._containment,
            host=m.HostId(
                hostname=hostname(),
                boot_id=boot_id(),
                kernel=" ".join((os.uname().sysname, os.uname().release)),
                machine=os.uname().machine,
                cpus=usable_cpus(),
            ),
            counts=m.Counts(
                live=self._supervisor.live,
                closed=self._supervisor.closed,
                started=self._supervisor.started,
                connections=daemon.connections,
            ),
            now=stamp(),
        )

    # Processes

    async def _start(self, session: Session, params: m.StartParams) -> Answer:
        try:
            process, existing = await self._supervisor.start(
                params.spec,
                by=session.peer,
                requested=stamp(),
                token=params.token,
                own=session.own,
            )
        except InvalidField as error:
            raise error.within("spec") from None
        record = process.record
        assert record.pid is not None
        assert record.state != "starting"
        result = m.StartResult(
            id=process.id,
            pid=record.pid,
            state=record.state,
            times=record.times,
            existing=existing,
        )

        async def then() -> None:
            if params.events:
                await session.follow(process)

        return Answer(result, then)

    def _signal(self, session: Session, params: m.SignalParams) -> m.SignalResult:
        process = self._supervisor.get(params.id)
        _check_signal(params.signal)
        delivered, count = process.send_signal(params.signal, params.target, session.peer)
        return m.SignalResult(delivered=delivered, count=count)

    async def _stop(self, session: Session, params: m.StopParams) -> m.ProcessResult:
        process = self._supervisor.get(params.id)
        if params.signal is not None:
            _check_signal(params.signal)
        process.request_stop(
            cause="requested",
            by=session.peer,
            signal_name=params.signal,
            grace=params.grace,
        )
        try:
            await process.wait_stopped()
        except trio.Cancelled:
            raise RequestError("cancelled", "the stop goes on", executed="yes") from None
        return m.ProcessResult(process=process.record.info())

    async def _wait(self, _session: Session, params: m.WaitParams) -> m.ProcessResult:
        process = self._supervisor.get(params.id)
        timeout = params.timeout
        with trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = trio.current_time() + timeout
            await process.wait_reached(params.until)
        if not process.record.reached(params.until):
            raise RequestError(
                "timed_out", f"process {params.id} is {process.record.state} after {timeout} s"
            )
        return m.ProcessResult(process=process.record.info())

    def _list(self, _session: Session, params: m.ListParams) -> m.ListResult:
        chosen: list[ManagedProcess] = []
        skip_to = None if params.after is None else self._supervisor.get(params.after)
        for process in self._supervisor.all():
            if skip_to is not None:
                if process is skip_to:
                    skip_to = None
                continue
            if params.states is None or process.record.state in params.states:
                chosen.append(process)
                if len(chosen) > params.limit:
                    break
        page = chosen[: params.limit]
        return m.ListResult(
            processes=tuple(process.record.summary() for process in page),
            next=page[-1].id if len(chosen) > params.limit else None,
        )

    def _get(self, _session: Session, params: m.GetParams) -> m.ProcessResult:
        process = self._supervisor.get(params.id)
        return m.ProcessResult(process=process.record.info(with_spec=params.spec))

    async def _forget(self, _session: Session, params: m.ForgetParams) -> m.ForgetResult:
        await self._supervisor.forget(params.id)
        return m.ForgetResult()

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
            consumer.consume(params.consumed)
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
        subscription = session.subscriptions.pop(params.subscription, None)
        if subscription is None:
            raise RequestError(
                "not_found", f"this connection has no subscription {params.subscription}"
            )
        subscription.scope.cancel()
        return m.UnsubscribeResult(offset=subscription.offset)


def _check_signal(name: str) -> None:
    try:
        signal_number(name)
    except ValueError as error:
        raise InvalidField(str(error), "signal") from None


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
