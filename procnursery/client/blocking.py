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
from typing import Any, Literal

from procnursery.client import dialing
from procnursery.client.core import (
    INLINE_STDIN,
    MAX_FRAME,
    Result,
    Text,
    hello_params,
    make_spec,
    request_error,
)
from procnursery.client.link import Link
from procnursery.client.process import Process, ProcessEvents
from procnursery.client.streams import Collector, Handler
from procnursery.errors import ConnectionFailed, ConnectionLost
from procnursery.model import ProcessInfo, ProcessSummary
from procnursery.paths import LocalAddress
from procnursery.protocol import messages as m
from procnursery.protocol.connection import (
    HelloAccepted,
    NotificationReceived,
    ReplyReceived,
)

OnReply = Callable[[Any, m.ErrorInfo | None], None]


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
    :ivar hello: what the daemon told of itself
    """

    def __init__(self, link: Link, *, embedded: int | None = None) -> None:
        self.link = link
        self._embedded = embedded
        self._on_reply: dict[int, OnReply] = {}
        self._handlers: dict[int, Handler] = {}
        self._processes: dict[str, ProcessEvents] = {}
        self._greeted = False
        self.hello: m.HelloResult

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

    def greet(self, timeout: float) -> None:
        """Exchange hellos; part of :func:`connect`."""
        self.link.send(self.link.protocol.hello(hello_params()))
        deadline = time.monotonic() + timeout
        try:
            while not self._greeted:
                if not self.pump(deadline - time.monotonic()):
                    raise ConnectionFailed(f"{self.link.address} did not answer within {timeout} s")
        except ConnectionLost as error:
            raise ConnectionFailed(str(error)) from error

    def close(self) -> None:
        """End the connection; what was started with ``on_disconnect="kill"`` is killed. Waits for
        the end of an embedded daemon."""
        self.link.close()
        if self._embedded is not None:
            pid, self._embedded = self._embedded, None
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def abandon(self) -> None:
        """Like :meth:`close`, without waiting for an embedded daemon."""
        self.link.close()
        self._embedded = None

    # Messages

    def call(self, method: str, params: Any, on_reply: OnReply) -> int:
        """Send a request; ``on_reply(result, error)`` is called once by :meth:`pump`. Returns the
        request's id."""
        request_id, frame = self.link.protocol.request(method, params)
        self._on_reply[request_id] = on_reply
        self.link.send(frame)
        return request_id

    def request(self, method: str, params: Any) -> Any:
        """Send a request and wait for its result.

        :raises RequestError: the daemon answered with an error
        :raises ConnectionLost: it did not answer
        """
        reply: list[tuple[Any, m.ErrorInfo | None]] = []
        self.call(method, params, lambda result, error: reply.append((result, error)))
        self.pump_until(lambda: bool(reply))
        result, error = reply[0]
        if error is not None:
            raise request_error(error)
        return result

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        self.link.send(self.link.protocol.notify(method, params))

    def pump(self, timeout: float | None = None) -> bool:
        """Wait for something to arrive and hand it on; False: ``timeout`` seconds passed.

        :raises ConnectionLost: the daemon is gone
        """
        if not self.link.wait(timeout):
            return False
        self.dispatch()
        return True

    def pump_until(self, condition: Callable[[], bool]) -> None:
        """Pump until ``condition``."""
        while not condition():
            self.pump()

    def dispatch(self) -> None:
        """Hand on what has arrived."""
        for event in self.link.receive():
            if isinstance(event, ReplyReceived):
                on_reply = self._on_reply.pop(event.id, None)
                if on_reply is not None:
                    on_reply(event.result, event.error)
                elif event.error is not None:  # the hello's
                    raise ConnectionFailed(
                        f"the daemon at {self.link.address} refused the connection: "
                        f"{event.error.message}"
                    )
            elif isinstance(event, NotificationReceived):
                self._notified(event)
            elif isinstance(event, HelloAccepted):
                self.hello = event.result
                self._greeted = True

    def _notified(self, event: NotificationReceived) -> None:
        params = event.params
        if isinstance(params, m.DataParams | m.GapParams | m.EndParams):
            handler = self._handlers.get(params.subscription)
            if handler is None:
                return  # just unsubscribed
            if isinstance(params, m.DataParams):
                handler.on_data(params.offset, params.data)
            elif isinstance(params, m.GapParams):
                handler.on_gap(params)
            else:
                del self._handlers[params.subscription]
                handler.on_end(params)
        elif isinstance(params, m.ExitedParams | m.EofParams | m.ClosedParams):
            process = self._processes.get(params.id)
            if process is not None:
                process.take(params)

    # Processes

    def start(
        self,
        argv: Sequence[Text] | Text,
        *,
        token: str | None = None,
        **options: Any,
    ) -> Process:
        """Start a program.

        :param token: a second start with the same token gives the same process
        :param options: as :func:`procnursery.client.core.make_spec` takes them
        :raises StartFailed: the program was not executed
        """
        spec = make_spec(argv, local=self.local, **options)
        events = ProcessEvents()
        replies: list[tuple[Any, m.ErrorInfo | None]] = []

        def started(result: m.StartResult | None, error: m.ErrorInfo | None) -> None:
            if result is not None:
                self.expect(result.id, events)
            replies.append((result, error))

        self.call("process.start", m.StartParams(spec=spec, token=token), started)
        self.pump_until(lambda: bool(replies))
        result, error = replies[0]
        if error is not None:
            raise request_error(error)
        return Process(self, result.id, result.pid, spec, events)

    def run(
        self, argv: Sequence[Text] | Text, *, input: bytes | None = None, **options: Any
    ) -> Result:
        """Run a program to its end and collect its output.

        :param input: bytes for its stdin
        :param options: as for :meth:`start`; outputs have mode ``pipe`` unless given
        :raises StartFailed: the program was not executed
        """
        options.setdefault("stdout", "pipe")
        options.setdefault("stderr", "pipe")
        if input is not None:
            options["stdin"] = input if len(input) <= INLINE_STDIN else "pipe"
        process = self.start(argv, **options)
        collectors = {
            name: Collector(self, process.id, name)
            for name in ("stdout", "stderr")
            if getattr(process.spec, name).mode not in ("null", "stdout")
        }
        if input is not None and len(input) > INLINE_STDIN:
            process.feed(input)
        info = process.wait_closed()
        self.pump_until(lambda: all(one.ended for one in collectors.values()))
        collected = {name: bytes(one.data) for name, one in collectors.items()}
        return Result(
            process=info,
            stdout=collected.get("stdout", b""),
            stderr=collected.get("stderr", b""),
            gaps={name: one.gaps for name, one in collectors.items()},
        )

    def subscribe(
        self, process_id: str, stream: Literal["stdout", "stderr"], offset: int, handler: Handler
    ) -> None:
        """Have a stream delivered to ``handler``.

        :raises RequestError: there is no such stream, or no such offset
        """
        failed: list[m.ErrorInfo] = []
        handler.begin(self, process_id, stream, offset, failed.append)
        self.pump_until(lambda: handler.number is not None or bool(failed))
        if failed:
            raise request_error(failed[0])

    def expect(self, process_id: str, events: ProcessEvents) -> None:
        """Collect the events of a process that this connection started."""
        self._processes[process_id] = events

    def attach(self, number: int, handler: Handler) -> None:
        """Deliver subscription ``number`` to ``handler``."""
        self._handlers[number] = handler

    def detach(self, number: int) -> None:
        """Deliver it no more."""
        self._handlers.pop(number, None)

    def get(self, process_id: str) -> Process:
        """A process that is known to the daemon, whoever started it.

        :raises RequestError: ``not_found``
        """
        result: m.ProcessResult = self.request("process.get", m.GetParams(id=process_id, spec=True))
        info = result.process
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
