"""The blocking client: plain calls on a plain socket.

    with connect() as connection:
        result = connection.run(["sh", "-c", "echo hello"])
        result.outcome.raise_for_status()

        process = connection.start(["sort"], stdin="pipe", stdout="pipe")
        process.stdin.write(b"b\\na\\n")
        process.stdin.close()
        print(process.stdout.read(), process.wait())

A connection and what it gives belong to one thread.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from procnursery.client import dialing
from procnursery.client.blocking_process import Process
from procnursery.client.core import (
    MAX_FRAME,
    Result,
    Text,
    make_spec,
    request_error,
    run_options,
)
from procnursery.client.eventing import EventQueue, Told, events_params
from procnursery.client.exchange import Exchange, ProcessEvents
from procnursery.client.instants import Instant, instant
from procnursery.client.link import Link
from procnursery.client.samples import SampleQueue, as_groups
from procnursery.client.streams import Collector, StreamName
from procnursery.errors import ConnectionFailed, ConnectionLost
from procnursery.model import Facts, ProcessInfo, ProcessSummary, Sample
from procnursery.paths import LocalAddress
from procnursery.protocol import messages as m


def connect(address: str | None = None, *, timeout: float = 10.0) -> Connection:
    """Connect to a daemon.

    :param address: ``unix:///path``, ``tcp://host:port`` or ``local:``; None:
        ``$PROCNURSERY_HOST``, else the system's or the user's daemon if it answers, else
        ``local:``, a daemon that lives as long as the connection
    :param timeout: seconds until the daemon must have answered
    :raises ConnectionFailed: there is none, or it does not speak the protocol
    """
    resolved = dialing.resolve(address)
    pid = None
    if isinstance(resolved, LocalAddress):
        sock, pid = dialing.start_embedded()
    else:
        sock = dialing.dial(resolved, timeout)
    connection = Connection(Link(sock, str(resolved), max_frame=MAX_FRAME), embedded=pid)
    try:
        connection.greet(timeout)
    except BaseException:
        connection.close()
        raise
    return connection


class Connection:
    """A connection to one daemon; a context manager.

    :param embedded: pid of the daemon if it lives only for this connection
    :ivar exchange: for those who wait themselves, by poll(2)
    """

    def __init__(self, link: Link, *, embedded: int | None = None) -> None:
        self.exchange = Exchange(link)
        self._embedded = embedded

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def local(self) -> bool:
        """Whether the daemon lives only for this connection, beside the caller."""
        return self._embedded is not None

    @property
    def hello(self) -> m.HelloResult:
        """What the daemon told of itself."""
        assert self.exchange.hello is not None
        return self.exchange.hello

    def greet(self, timeout: float) -> None:
        """Exchange hellos; part of :func:`connect`."""
        self.exchange.greet()
        deadline = time.monotonic() + timeout
        try:
            while self.exchange.hello is None:
                if not self.pump(deadline - time.monotonic()):
                    raise ConnectionFailed(
                        f"{self.exchange.link.address} did not answer within {timeout} s"
                    )
        except ConnectionLost as error:
            raise ConnectionFailed(str(error)) from error

    def goodbye(self) -> str:
        """Part from the daemon: the code of its own goodbye. Nothing may be sent after it; what
        was started with ``on_disconnect="kill"`` is killed.

        :raises ConnectionLost: it ended the connection without one
        """
        link = self.exchange.link
        link.send(link.protocol.leave())
        self.pump_until(lambda: link.farewell is not None)
        assert link.farewell is not None
        return link.farewell.params.code

    def close(self) -> None:
        """End the connection; what was started with ``on_disconnect="kill"`` is killed. Waits for
        the end of an embedded daemon."""
        self.exchange.link.close()
        if self._embedded is not None:
            pid, self._embedded = self._embedded, None
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def abandon(self) -> None:
        """Like :meth:`close`, without waiting for an embedded daemon."""
        self.exchange.link.close()
        self._embedded = None

    # Messages

    def request(self, method: str, params: Any) -> Any:
        """Send a request and wait for its result.

        :raises RequestError: the daemon answered with an error
        :raises ConnectionLost: it did not answer
        """
        return self.request_all(method, [params])[0]

    def request_all(self, method: str, params: Sequence[Any]) -> list[Any]:
        """Send requests of one method together, and wait for all their results.

        :raises RequestError: the daemon answered one with an error; the first of these errors,
            once all have been answered
        :raises ConnectionLost: it did not answer all
        """
        replies: dict[int, tuple[Any, m.ErrorInfo | None]] = {}
        together = self.hello.limits.max_requests
        for number, one in enumerate(params):

            def replied(result: Any, error: m.ErrorInfo | None, number: int = number) -> None:
                replies[number] = (result, error)

            self.pump_until(lambda number=number: number - len(replies) < together)  # type: ignore[misc]
            self.exchange.call(method, one, replied)
        self.pump_until(lambda: len(replies) == len(params))
        return [_result_of(replies[number]) for number in range(len(params))]

    def pump(self, timeout: float | None = None) -> bool:
        """Wait for something to arrive and hand it on; False: ``timeout`` seconds passed.

        :raises ConnectionLost: the daemon is gone
        """
        if not self.exchange.link.wait(timeout):
            return False
        self.exchange.dispatch()
        return True

    def pump_until(self, condition: Callable[[], bool]) -> None:
        """Pump until ``condition``."""
        while not condition():
            self.pump()

    # Processes

    def start(
        self, argv: Sequence[Text] | Text, *, token: str | None = None, **options: Any
    ) -> Process:
        """Start a program.

        :param token: a second start with the same token gives the same process
        :param options: as :func:`procnursery.client.core.make_spec` takes them
        :raises StartFailed: the program was not executed
        """
        spec = make_spec(argv, local=self.local, **options)
        reply: list[tuple[Any, m.ErrorInfo | None]] = []
        _, events = self.exchange.start(
            m.StartParams(spec=spec, token=token),
            lambda result, error: reply.append((result, error)),
        )
        self.pump_until(lambda: bool(reply))
        result: m.StartResult = _result_of(reply[0])
        return Process(self, result.id, result.pid, spec, None if result.existing else events)

    def run(
        self, argv: Sequence[Text] | Text, *, input: bytes | None = None, **options: Any
    ) -> Result:
        """Run a program to its end and collect its output.

        :param input: bytes for its stdin
        :param options: as for :meth:`start`; outputs have mode ``pipe`` unless given
        :raises StartFailed: the program was not executed
        """
        process = self.start(argv, **run_options(options, input))
        collectors = {name: self._collect(process, name) for name in process.spec.own_streams}
        if input is not None and process.stdin is not None:
            process.stdin.feed(input)
            process.stdin.close()
        info = process.wait_closed()
        for one in collectors.values():
            self.pump_until(lambda one=one: one.ended or one.refused is not None)  # type: ignore[misc]
        return Result.collected(info, collectors)

    def _collect(self, process: Process, name: StreamName) -> Collector:
        collector = Collector()
        collector.begin(self.exchange, process.id, name, 0)
        return collector

    def get(self, process_id: str) -> Process:
        """A process that is known to the daemon, whoever started it.

        :raises RequestError: ``not_found``
        """
        info = self.inspect(process_id)
        assert info.spec is not None
        return Process(self, info.id, info.pid, info.spec, None)

    def attach(self, process_id: str, *, after: int = 0) -> Process:
        """Become the owner of a process: with this connection's end it ends, as its spec says.

        :param after: number of the last of its events that is known
        :raises RequestError: ``not_found``
        """
        params = m.AttachParams(id=process_id, after=after)
        result, events = self._begin(params)
        info: ProcessInfo = result.process
        known = self.get(info.id)
        return Process(self, info.id, info.pid, known.spec, events)

    def restart(self, name: str, *, grace: float | None = None) -> Process:
        """End a named process, if it is not closed, and start the same spec as its next
        incarnation.

        :raises RequestError: ``no_name``, ``process_live``
        :raises StartFailed: the program was not executed
        """
        result, events = self._begin(m.RestartParams(id=name, grace=grace))
        known = self.get(result.id)
        return Process(self, result.id, result.pid, known.spec, events)

    def release(
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
        result: m.ReleaseResult = self.request("process.release", params)
        return list(result.releases)

    def stop(
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
        self.pump_until(lambda: len(replies) == len(ids))
        return [_result_of(replies[index]).process for index in range(len(ids))]

    def list(
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
            page: m.ListResult = self.request(
                "process.list",
                m.ListParams(after=after, limit=1000, name=name, labels=wanted),
            )
            found += page.processes
            after = page.next
            if after is None:
                return found

    def _begin(self, params: m.RestartParams | m.AttachParams) -> tuple[Any, ProcessEvents]:
        reply: list[tuple[Any, m.ErrorInfo | None]] = []
        _, events = self.exchange.start(params, lambda result, error: reply.append((result, error)))
        self.pump_until(lambda: bool(reply))
        return _result_of(reply[0]), events

    @contextlib.contextmanager
    def events(
        self,
        *,
        after: int | None = None,
        kinds: Iterable[m.EventKind] | None = None,
        ids: Iterable[str] | None = None,
        labels: Mapping[str, str] | None = None,
        snapshot: bool = False,
    ) -> Iterator[Iterator[Told]]:
        """What happens to processes, as an iterator, while entered.

        :param after: begin behind this number; None: with what happens from now on
        :param kinds: only these kinds
        :param ids: only these processes, by id or name
        :param labels: only processes that have all of these
        :param snapshot: tell of every process as it is now first
        :raises RequestError: ``invalid_params``: ``after`` is beyond the latest event
        """
        queue = EventQueue(
            self.exchange,
            events_params(after=after, kinds=kinds, ids=ids, labels=labels, snapshot=snapshot),
        )

        def told() -> Iterator[Told]:
            while True:
                self.pump_until(lambda: queue.ready)
                yield queue.take()

        try:
            self.pump_until(lambda: queue.answered)
            yield told()
        finally:
            queue.end()

    def inspect(self, process_id: str) -> ProcessInfo:
        """All that is known of a process, its spec included.

        :raises RequestError: ``not_found``
        """
        result: m.ProcessResult = self.request("process.get", m.GetParams(id=process_id, spec=True))
        return result.process

    def info(self) -> m.InfoResult:
        """What the daemon is and holds."""
        result: m.InfoResult = self.request("daemon.info", m.InfoParams())
        return result

    def facts(self) -> Facts:
        """What the machine is: values by name, and what could not be read."""
        result: m.FactsResult = self.request("host.facts", m.FactsParams())
        return result.facts

    def sample(self, groups: Collection[str] | None = None) -> Sample:
        """What the machine does now.

        :param groups: ``cpu``, ``load``, ``memory``, ``disk``, ``network``, ``processes``; None:
            all of them
        :raises RequestError: ``invalid_params``
        """
        params = m.SampleParams(groups=as_groups(groups))
        result: m.SampleResult = self.request("host.sample", params)
        return result.sample

    def samples(
        self, interval: float, *, groups: Collection[str] | None = None, count: int | None = None
    ) -> Generator[m.HostDataParams, None, None]:
        """What the machine does, every ``interval`` seconds: an iterator that ends the
        subscription when it is closed or nothing refers to it any more.

        Each item has ``sample``, the number of its ``tick``, ``late_s`` and ``missed``, the ticks
        that passed without a sample before it.

        :param groups: as for :meth:`sample`
        :param count: how many samples; None: no end
        :raises RequestError: ``too_many_subscriptions``, ``invalid_params``
        """
        queue = SampleQueue(self.exchange)
        queue.begin(interval, groups, count)
        try:
            while True:
                self.pump_until(lambda: queue.ready)
                sample = queue.take()
                if sample is None:
                    return
                yield sample
        finally:
            queue.close()

    def ping(self) -> m.PingResult:
        """The daemon's clocks."""
        result: m.PingResult = self.request("ping", m.PingParams())
        return result

    def describe(self) -> m.DescribeResult:
        """The protocol as the daemon implements it."""
        result: m.DescribeResult = self.request("describe", m.DescribeParams())
        return result


def _result_of(reply: tuple[Any, m.ErrorInfo | None]) -> Any:
    result, error = reply
    if error is not None:
        raise request_error(error)
    return result
