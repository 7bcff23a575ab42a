"""The async client, under Trio and asyncio alike; the names are those of the blocking one.

    async with connect() as connection:
        result = await connection.run(["sh", "-c", "echo hello"])
        result.outcome.raise_for_status()

        process = await connection.start(["sort"], stdin="pipe", stdout="pipe")
        await process.stdin.write(b"b\\na\\n")
        await process.stdin.close()
        print(await process.stdout.read(), await process.wait())

Any number of tasks of one event loop may use a connection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import anyio

from procnursery.client import dialing
from procnursery.client.async_process import Process
from procnursery.client.core import (
    MAX_FRAME,
    Result,
    Text,
    make_spec,
    request_error,
    run_options,
)
from procnursery.client.eventing import AsyncEvents, EventQueue, Told, events_params
from procnursery.client.exchange import Exchange, ProcessEvents
from procnursery.client.instants import Instant, instant
from procnursery.client.link import Link
from procnursery.client.samples import AsyncSamples, SampleQueue, as_groups
from procnursery.client.streams import Collector
from procnursery.errors import ConnectionFailed, ConnectionLost
from procnursery.model import Facts, ProcessInfo, ProcessSummary, Sample
from procnursery.paths import LocalAddress
from procnursery.protocol import messages as m

STOP_AFTER_CANCEL = 2.0
"""Most seconds between stop signal and SIGKILL for a program whose start was cancelled."""


@contextlib.asynccontextmanager
async def connect(
    address: str | None = None, *, timeout: float = 10.0
) -> AsyncIterator[Connection]:
    """A connection to a daemon, for the time of an ``async with``.

    :param address: ``unix:///path``, ``tcp://host:port`` or ``local:``; None:
        ``$PROCNURSERY_HOST``, else the system's or the user's daemon if it answers, else
        ``local:``, a daemon that lives as long as the connection
    :param timeout: seconds until the daemon must have answered
    :raises ConnectionFailed: there is none, or it does not speak the protocol
    """
    resolved = await anyio.to_thread.run_sync(dialing.resolve, address)
    pid = None
    if isinstance(resolved, LocalAddress):
        sock, pid = dialing.start_embedded()
    else:
        sock = await anyio.to_thread.run_sync(dialing.dial, resolved, timeout)
    link = Link(sock, str(resolved), max_frame=MAX_FRAME)
    connection = Connection(link, local=pid is not None)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.receive_all)
            tasks.start_soon(connection.send_all)
            try:
                await connection.greet(timeout)
                yield connection
            finally:
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The caller's own exception, not one that is wrapped because tasks are used in here.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
    finally:
        link.close()
        if pid is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_reap, pid)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


class Connection:
    """A connection to one daemon.

    :ivar local: whether the daemon lives only for this connection, beside the caller
    """

    def __init__(self, link: Link, *, local: bool) -> None:
        self.exchange = Exchange(link)
        self.local = local
        self._arrived = anyio.Event()
        self._to_send = anyio.Event()
        self._lost: ConnectionLost | ConnectionFailed | None = None

    @property
    def hello(self) -> m.HelloResult:
        """What the daemon told of itself."""
        assert self.exchange.hello is not None
        return self.exchange.hello

    # Tasks of the connection

    async def receive_all(self) -> None:
        """Hand on what arrives, until the daemon is gone; part of :func:`connect`."""
        try:
            while True:
                await anyio.wait_readable(self.exchange.link.socket)
                self.exchange.dispatch()
                self._wake()
        except (ConnectionLost, ConnectionFailed) as error:
            self._lost = error
            self._wake()

    async def send_all(self) -> None:
        """Send what the kernel did not take at once; part of :func:`connect`."""
        while True:
            while not self.exchange.link.wants_to_write:
                self._to_send = anyio.Event()
                await self._to_send.wait()
            await anyio.wait_writable(self.exchange.link.socket)
            self.exchange.link.flush()

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = anyio.Event()
        self._sent()

    def _sent(self) -> None:
        """Whatever was sent may wait for the socket."""
        if self.exchange.link.wants_to_write:
            self._to_send.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until what has arrived makes ``condition`` true.

        :raises ConnectionLost: the daemon is gone, so it never will be
        """
        self._sent()
        while not condition():
            self._check()
            self.exchange.link.check()
            await self._arrived.wait()

    async def greet(self, timeout: float) -> None:
        """Exchange hellos; part of :func:`connect`."""
        self.exchange.greet()
        with anyio.move_on_after(timeout):
            try:
                await self.wait_until(lambda: self.exchange.hello is not None)
            except ConnectionLost as error:
                raise ConnectionFailed(str(error)) from error
        if self.exchange.hello is None:
            raise ConnectionFailed(
                f"{self.exchange.link.address} did not answer within {timeout} s"
            )

    async def goodbye(self) -> str:
        """Part from the daemon: the code of its own goodbye. Nothing may be sent after it; what
        was started with ``on_disconnect="kill"`` is killed.

        :raises ConnectionLost: it ended the connection without one
        """
        self._check()
        link = self.exchange.link
        link.send(link.protocol.leave())
        await self.wait_until(lambda: link.farewell is not None)
        assert link.farewell is not None
        return link.farewell.params.code

    # Messages

    async def request(self, method: str, params: Any) -> Any:
        """Send a request and wait for its result. When cancelled, the daemon is told.

        :raises RequestError: the daemon answered with an error
        :raises ConnectionLost: it did not answer
        """
        self._check()
        reply: list[tuple[Any, m.ErrorInfo | None]] = []
        number = self.exchange.call(
            method, params, lambda result, error: reply.append((result, error))
        )
        return await self._reply(number, reply)

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost

    async def _reply(self, number: int, reply: list[tuple[Any, m.ErrorInfo | None]]) -> Any:
        try:
            await self.wait_until(lambda: bool(reply))
        except anyio.get_cancelled_exc_class():
            if self._lost is None:
                self.exchange.notify("cancel", m.CancelParams(id=number))
                self._sent()
            raise
        result, error = reply[0]
        if error is not None:
            raise request_error(error)
        return result

    # Processes

    async def start(
        self, argv: Sequence[Text] | Text, *, token: str | None = None, **options: Any
    ) -> Process:
        """Start a program. When cancelled, nothing of it runs on.

        :param token: a second start with the same token gives the same process
        :param options: as :func:`procnursery.client.core.make_spec` takes them
        :raises StartFailed: the program was not executed
        """
        self._check()
        spec = make_spec(argv, local=self.local, **options)
        reply: list[tuple[Any, m.ErrorInfo | None]] = []
        abandoned = False

        def answered(result: m.StartResult | None, error: m.ErrorInfo | None) -> None:
            reply.append((result, error))
            if abandoned and result is not None:  # it ran before the cancellation arrived
                self.exchange.call(
                    "process.stop",
                    m.StopParams(id=result.id, grace=min(spec.grace, STOP_AFTER_CANCEL)),
                    lambda _result, _error: None,
                )

        number, events = self.exchange.start(m.StartParams(spec=spec, token=token), answered)
        try:
            result: m.StartResult = await self._reply(number, reply)
        except anyio.get_cancelled_exc_class():
            abandoned = True
            raise
        return Process(self, result.id, result.pid, spec, None if result.existing else events)

    async def run(
        self, argv: Sequence[Text] | Text, *, input: bytes | None = None, **options: Any
    ) -> Result:
        """Run a program to its end and collect its output. When cancelled, it is stopped.

        :param input: bytes for its stdin
        :param options: as for :meth:`start`; outputs have mode ``pipe`` unless given
        :raises StartFailed: the program was not executed
        """
        process = await self.start(argv, **run_options(options, input))
        collectors: dict[str, Collector] = {}
        for name in process.spec.own_streams:
            collectors[name] = Collector()
            collectors[name].begin(self.exchange, process.id, name, 0)
        try:
            if input is not None and process.stdin is not None:
                await process.stdin.feed(input)
                await process.stdin.close()
            info = await process.wait_closed()
            await self.wait_until(
                lambda: all(one.ended or one.refused is not None for one in collectors.values())
            )
        except anyio.get_cancelled_exc_class():
            with contextlib.suppress(ConnectionLost):
                grace = min(process.spec.grace, STOP_AFTER_CANCEL)
                self.exchange.call(
                    "process.stop",
                    m.StopParams(id=process.id, grace=grace),
                    lambda _result, _error: None,
                )
                self._sent()
            raise
        return Result.collected(info, collectors)

    async def get(self, process_id: str) -> Process:
        """A process that is known to the daemon, whoever started it.

        :raises RequestError: ``not_found``
        """
        info = await self.inspect(process_id)
        assert info.spec is not None
        return Process(self, info.id, info.pid, info.spec, None)

    async def attach(self, process_id: str, *, after: int = 0) -> Process:
        """Become the owner of a process: with this connection's end it ends, as its spec says.

        :param after: number of the last of its events that is known
        :raises RequestError: ``not_found``
        """
        params = m.AttachParams(id=process_id, after=after)
        result, events = await self._begin(params)
        info: ProcessInfo = result.process
        known = await self.get(info.id)
        return Process(self, info.id, info.pid, known.spec, events)

    async def restart(self, name: str, *, grace: float | None = None) -> Process:
        """End a named process, if it is not closed, and start the same spec as its next
        incarnation.

        :raises RequestError: ``no_name``, ``process_live``
        :raises StartFailed: the program was not executed
        """
        result, events = await self._begin(m.RestartParams(id=name, grace=grace))
        known = await self.get(result.id)
        return Process(self, result.id, result.pid, known.spec, events)

    async def release(
        self, processes: Iterable[Process | str], *, at: Instant | None = None
    ) -> list[m.Released]:
        """Let held processes go, together.

        :param at: instant of the daemon's realtime clock at which all are executed; None: at once
        :returns: how each of them went, in their order; ``outcome`` is set where the program was
            not executed
        :raises RequestError: ``not_held``: none was released
        """
        ids = tuple(one if isinstance(one, str) else one.id for one in processes)
        params = m.ReleaseParams(ids=ids, at=instant(at))
        result: m.ReleaseResult = await self.request("process.release", params)
        return list(result.releases)

    async def stop(
        self,
        processes: Iterable[Process | str],
        *,
        signal: str | None = None,
        grace: float | None = None,
        at: Instant | None = None,
    ) -> list[ProcessInfo]:
        """Stop several processes at the same time; all that is known of each then.

        :param at: instant of the daemon's realtime clock at which to begin; None: at once
        :raises RequestError: ``not_found``; the others are stopped all the same
        """
        self._check()
        ids = [one if isinstance(one, str) else one.id for one in processes]
        due = instant(at)
        replies: dict[int, tuple[Any, m.ErrorInfo | None]] = {}

        def expect(index: int) -> Callable[[Any, m.ErrorInfo | None], None]:
            return lambda result, error: replies.update({index: (result, error)})

        for index, one in enumerate(ids):
            self.exchange.call(
                "process.stop",
                m.StopParams(id=one, signal=signal, grace=grace, at=due),
                expect(index),
            )
        await self.wait_until(lambda: len(replies) == len(ids))
        for _, error in replies.values():
            if error is not None:
                raise request_error(error)
        return [replies[index][0].process for index in range(len(ids))]

    async def list(
        self, *, name: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[ProcessSummary]:
        """Every process that the daemon knows, oldest first.

        :param name: only those of this name, all incarnations
        :param labels: only those that have all of these
        """
        found: list[ProcessSummary] = []
        wanted = dict(labels or {})
        after = None
        while True:
            page: m.ListResult = await self.request(
                "process.list",
                m.ListParams(after=after, limit=1000, name=name, labels=wanted),
            )
            found += page.processes
            after = page.next
            if after is None:
                return found

    async def _begin(self, params: m.RestartParams | m.AttachParams) -> tuple[Any, ProcessEvents]:
        self._check()
        reply: list[tuple[Any, m.ErrorInfo | None]] = []
        number, events = self.exchange.start(
            params, lambda result, error: reply.append((result, error))
        )
        return await self._reply(number, reply), events

    @contextlib.asynccontextmanager
    async def events(
        self,
        *,
        after: int | None = None,
        kinds: Iterable[m.EventKind] | None = None,
        ids: Iterable[str] | None = None,
        labels: Mapping[str, str] | None = None,
        snapshot: bool = False,
    ) -> AsyncIterator[AsyncIterator[Told]]:
        """What happens to processes, as an async iterator, while entered.

        :param after: begin behind this number; None: with what happens from now on
        :param kinds: only these kinds
        :param ids: only these processes, by id or name
        :param labels: only processes that have all of these
        :param snapshot: tell of every process as it is now first
        :raises RequestError: ``invalid_params``: ``after`` is beyond the latest event
        """
        self._check()
        queue = EventQueue(
            self.exchange,
            events_params(after=after, kinds=kinds, ids=ids, labels=labels, snapshot=snapshot),
        )
        try:
            await self.wait_until(lambda: queue.answered)
            yield AsyncEvents(queue, self.wait_until)
        finally:
            if self._lost is None:
                queue.end()
                self._sent()

    async def inspect(self, process_id: str) -> ProcessInfo:
        """All that is known of a process, its spec included.

        :raises RequestError: ``not_found``
        """
        result: m.ProcessResult = await self.request(
            "process.get", m.GetParams(id=process_id, spec=True)
        )
        return result.process

    async def info(self) -> m.InfoResult:
        """What the daemon is and holds."""
        result: m.InfoResult = await self.request("daemon.info", m.InfoParams())
        return result

    async def facts(self) -> Facts:
        """What the machine is: values by name, and what could not be read."""
        result: m.FactsResult = await self.request("host.facts", m.FactsParams())
        return result.facts

    async def sample(self, groups: Collection[str] | None = None) -> Sample:
        """What the machine does now.

        :param groups: ``cpu``, ``load``, ``memory``, ``disk``, ``network``, ``processes``; None:
            all of them
        :raises RequestError: ``invalid_params``
        """
        params = m.SampleParams(groups=as_groups(groups))
        result: m.SampleResult = await self.request("host.sample", params)
        return result.sample

    def samples(
        self, interval: float, *, groups: Collection[str] | None = None, count: int | None = None
    ) -> AsyncSamples:
        """What the machine does, every ``interval`` seconds: an async iterator that ends the
        subscription when it is closed or nothing refers to it any more.

        Each item has ``sample``, the number of its ``tick``, ``late_s`` and ``missed``, the ticks
        that passed without a sample before it.

        :param groups: as for :meth:`sample`
        :param count: how many samples; None: no end
        :raises RequestError: when iterated: ``too_many_subscriptions``, ``invalid_params``
        """
        self._check()
        queue = SampleQueue(self.exchange)
        queue.begin(interval, groups, count)
        return AsyncSamples(queue, self.wait_until, self._sent)

    async def ping(self) -> m.PingResult:
        """The daemon's clocks."""
        result: m.PingResult = await self.request("ping", m.PingParams())
        return result

    async def describe(self) -> m.DescribeResult:
        """The protocol as the daemon implements it."""
        result: m.DescribeResult = await self.request("describe", m.DescribeParams())
        return result
