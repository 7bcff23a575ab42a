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
from collections.abc import Callable, Sequence
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
from procnursery.client.exchange import Exchange
from procnursery.client.link import Link
from procnursery.client.streams import Collector, StreamName
from procnursery.errors import ConnectionFailed, ConnectionLost
from procnursery.model import ProcessInfo, ProcessSummary
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

    def list(self) -> list[ProcessSummary]:
        """Every process that the daemon knows, oldest first."""
        found: list[ProcessSummary] = []
        after = None
        while True:
            page: m.ListResult = self.request("process.list", m.ListParams(after=after, limit=1000))
            found += page.processes
            after = page.next
            if after is None:
                return found

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
