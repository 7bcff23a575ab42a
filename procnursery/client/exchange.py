"""Requests and their replies, notifications and who wants them: what both clients share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from procnursery.client.core import hello_params
from procnursery.client.link import Link
from procnursery.errors import ConnectionFailed
from procnursery.protocol import messages as m
from procnursery.protocol.connection import (
    GoodbyeReceived,
    HelloAccepted,
    NotificationReceived,
    ReplyReceived,
    State,
)

OnReply = Callable[[Any, m.ErrorInfo | None], None]


class OutputHandler(Protocol):
    """Takes what a subscription delivers."""

    def on_data(self, offset: int, data: bytes) -> None:
        """Bytes arrived."""
        ...

    def on_gap(self, gap: m.GapParams) -> None:
        """Bytes were lost."""
        ...

    def on_end(self, end: m.EndParams) -> None:
        """Nothing more comes."""
        ...


ProcessEvent = m.ReadyParams | m.ExitedParams | m.EofParams | m.ClosedParams


class ProcessEvents:
    """The events of a process that this connection owns."""

    def __init__(self) -> None:
        self.ready: m.ReadyParams | None = None
        self.exited: m.ExitedParams | None = None
        self.closed: m.ClosedParams | None = None

    def take(self, params: ProcessEvent) -> None:
        """An event arrived."""
        if isinstance(params, m.ReadyParams):
            self.ready = params
        elif isinstance(params, m.ExitedParams):
            self.exited = params
        elif isinstance(params, m.ClosedParams):
            self.closed = params


class Exchange:
    """One connection's conversation; whoever owns it waits and calls :meth:`dispatch`.

    :ivar hello: what the daemon told of itself; None before
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.hello: m.HelloResult | None = None
        self._on_reply: dict[int, OnReply] = {}
        self._handlers: dict[int, OutputHandler] = {}
        self._listeners: dict[int, Callable[[Any], None]] = {}
        self._processes: dict[str, ProcessEvents] = {}

    def greet(self) -> None:
        """Say hello; the answer is :attr:`hello`."""
        self.link.send(self.link.protocol.hello(hello_params()))

    def call(self, method: str, params: Any, on_reply: OnReply) -> int:
        """Send a request; ``on_reply(result, error)`` is called once, by :meth:`dispatch`.
        Returns the request's id.

        :raises ConnectionLost: the connection has ended
        """
        self.link.check()
        request_id, frame = self.link.protocol.request(method, params)
        self._on_reply[request_id] = on_reply
        self.link.send(frame)
        return request_id

    @property
    def open(self) -> bool:
        """Whether anything can be sent."""
        return self.link.protocol.state is State.OPEN and self.link.lost is None

    def notify(self, method: str, params: Any) -> None:
        """Send a notification; behind our goodbye, or when the connection has ended, none is owed,
        and none may be sent."""
        if not self.open:
            return
        self.link.send(self.link.protocol.notify(method, params))

    def start(
        self, params: m.StartParams | m.RestartParams | m.AttachParams, on_reply: OnReply
    ) -> tuple[int, ProcessEvents]:
        """Start a program, restart it, or become its owner: (the request's id, where its events
        will be)."""
        events = ProcessEvents()

        def started(
            result: m.StartResult | m.ProcessResult | None, error: m.ErrorInfo | None
        ) -> None:
            if isinstance(result, m.ProcessResult):
                self._processes[result.process.id] = events
            elif result is not None:
                self._processes[result.id] = events
            on_reply(result, error)

        return self.call(_METHODS[type(params)], params, started), events

    def attach(self, number: int, handler: OutputHandler) -> None:
        """Deliver subscription ``number`` to ``handler``."""
        self._handlers[number] = handler

    def listen(self, number: int, listener: Callable[[Any], None]) -> None:
        """Give the params of what comes on subscription ``number``, which is none to output, to
        ``listener``."""
        self._listeners[number] = listener

    def detach(self, number: int) -> None:
        """Deliver it no more."""
        self._handlers.pop(number, None)
        self._listeners.pop(number, None)

    def dispatch(self) -> None:
        """Hand on what has arrived.

        :raises ConnectionLost: the daemon is gone
        :raises ConnectionFailed: it does not want this connection
        """
        for event in self.link.receive():
            if isinstance(event, ReplyReceived):
                self._replied(event)
            elif isinstance(event, NotificationReceived):
                self._notified(event.params)
            elif isinstance(event, HelloAccepted):
                self.hello = event.result
            elif isinstance(event, GoodbyeReceived):
                continue  # the link remembers it as the reason of the end

    def _replied(self, event: ReplyReceived) -> None:
        on_reply = self._on_reply.pop(event.id, None)
        if on_reply is not None:
            on_reply(event.result, event.error)
        elif event.error is not None:  # only a hello has nobody who waits for its reply
            raise ConnectionFailed(
                f"the daemon at {self.link.address} refused the connection: {event.error.message}"
            )

    def _notified(self, params: Any) -> None:
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
        elif isinstance(
            params,
            m.EventParams
            | m.EventsLostParams
            | m.SnapshotParams
            | m.HostDataParams
            | m.HostEndParams,
        ):
            listener = self._listeners.get(params.subscription)
            if listener is not None:  # else it was just unsubscribed
                listener(params)
        elif isinstance(params, ProcessEvent):
            events = self._processes.get(params.id)
            if events is not None:
                events.take(params)
                if events.closed is not None:
                    del self._processes[params.id]


_METHODS: dict[type, str] = {
    m.StartParams: "process.start",
    m.RestartParams: "process.restart",
    m.AttachParams: "process.attach",
}
