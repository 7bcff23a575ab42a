"""One connection: a reader, a writer, the requests in flight, the subscriptions."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import attrs
import trio

from procnursery.daemon.outgoing import Outgoing, StalledReader
from procnursery.daemon.subscription import Subscription
from procnursery.errors import InvalidField, RemoteProtocolError, RequestError
from procnursery.process.record import Fact
from procnursery.process.run import ManagedProcess
from procnursery.process.stdin import WINDOW
from procnursery.protocol.connection import (
    PROTOCOL_VERSION,
    DaemonConnection,
    GoodbyeReceived,
    HelloReceived,
    HelloRefused,
    NotificationReceived,
    RequestReceived,
    RequestRefused,
    State,
    error_info,
)
from procnursery.protocol.messages import (
    CancelParams,
    ClosedParams,
    CreditParams,
    DaemonLimits,
    EofParams,
    ErrorInfo,
    ExitedParams,
    HelloParams,
    HelloResult,
    ReadyParams,
)

log = logging.getLogger(__name__)

RECEIVE = 262_144
MANY = 512
LINGER, LINGER_READS = 1.0, 256
FAREWELL = 2.0
"""Seconds that the last bytes to a peer have, once nothing else is to be done for it."""


@attrs.frozen(kw_only=True)
class SessionLimits:
    """What one connection may use."""

    max_frame: int = 8 * 2**20
    max_requests: int = 128
    max_in_flight: int = 16 * 2**20
    max_subscriptions: int = 64
    hello_timeout: float = 10.0
    write_timeout: float = 30.0


class Feed(Protocol):
    """A subscription: something that is sent until it ends, or until nobody wants it any more.

    :ivar scope: cancelled when nobody does; nothing is sent from then on
    :ivar endless: goes on as long as it is wanted, so that the daemon's end does not wait for it
    """

    scope: trio.CancelScope
    endless: bool

    @property
    def number(self) -> int:
        """By which the client knows it."""
        ...

    async def run(self, connection: DaemonConnection, out: Outgoing) -> None:
        """Send."""
        ...


F = TypeVar("F", bound=Feed)


class Service(Protocol):
    """What a session asks of the daemon."""

    stopping: bool

    def hello(self, params: HelloParams, limits: DaemonLimits, peer: str) -> HelloResult:
        """The answer to hello."""
        ...

    def handle(self, session: Session, method: str, params: Any) -> Any | Awaitable[Any]:
        """The result of a request, at once or later."""
        ...


class Closing(Exception):
    """The daemon ends this connection.

    :param code: code of the goodbye
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Lost(Exception):
    """The connection broke."""


class Session:
    """A client's connection.

    :param sock: non-blocking; owned by the session
    :param peer: identity under which the daemon knows this client
    :ivar owned: processes that this connection started
    :ivar ended: set when the connection is closed
    :ivar subscriptions: by number
    """

    def __init__(
        self, sock: socket.socket, *, peer: str, service: Service, limits: SessionLimits
    ) -> None:
        self._socket = sock
        self.peer = peer
        self._service = service
        self._limits = limits
        self.connection = DaemonConnection(
            DaemonLimits(
                max_frame=limits.max_frame,
                max_requests=limits.max_requests,
                max_in_flight=limits.max_in_flight,
                stdin_window=WINDOW,
                max_subscriptions=limits.max_subscriptions,
            )
        )
        self.out = Outgoing(sock, write_timeout=limits.write_timeout)
        self.owned: set[ManagedProcess] = set()
        self.subscriptions: dict[int, Feed] = {}
        self._numbers = 0
        self._requests: dict[int, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._hello = trio.CancelScope()
        self._busy = 0
        self._quiet = trio.lowlevel.ParkingLot()
        self.draining = False
        self.ended = trio.Event()

    # The connection

    async def run(self) -> None:
        """Serve the connection until either side ends it; closes the socket."""
        code, message = "done", ""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self.out.run)
                await self._read()
                nursery.cancel_scope.cancel()
        except* RemoteProtocolError as group:
            code, message = _first(group).code, _first(group).message
            log.warning("protocol violation", extra={"peer": self.peer, "code": code})
        except* Closing as group:
            code, message = _first(group).code, _first(group).message
        except* StalledReader:
            code, message = "stalled_reader", "the peer did not read"
            log.warning("stalled reader", extra={"peer": self.peer})
        except* Lost as group:
            log.info("connection lost", extra={"peer": self.peer, "error": str(_first(group))})
        finally:
            self._release_owned()
            if self.draining and code == "done":
                code = "shutting_down"
            await self._say_goodbye(code, message)

    def _release_owned(self) -> None:
        """The owner is gone: what was to die with its connection dies now."""
        for process in self.owned:
            process.owner_gone(self, self.peer)
        self.owned.clear()

    async def _say_goodbye(self, code: str, message: str) -> None:
        with trio.CancelScope(shield=True):
            self.out.send(self.connection.goodbye(code, message))
            await self.out.flush(FAREWELL)
            await self._linger()
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    async def _linger(self) -> None:
        """Take what the peer still sends, since closing with bytes unread makes the kernel reset
        the connection, and the goodbye may be lost with it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            with trio.move_on_after(LINGER):
                for _ in range(LINGER_READS):
                    try:
                        if not self._socket.recv(RECEIVE):
                            return
                    except BlockingIOError:
                        await trio.lowlevel.wait_readable(self._socket)

    async def _receive(self) -> bytes:
        while True:
            try:
                return self._socket.recv(RECEIVE)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)
            except OSError as error:  # reset, timed out, unreachable: all the same here
                raise Lost(str(error)) from error

    async def _read(self) -> None:
        """Take what the peer sends until it ends."""
        self._hello.deadline = trio.current_time() + self._limits.hello_timeout
        with self._hello:
            if not await self._read_some(until_hello=True):
                return
        if self._hello.cancelled_caught:
            raise Closing("hello_timeout", f"no hello in {self._limits.hello_timeout} s")
        while await self._read_some():
            pass

    async def _read_some(self, *, until_hello: bool = False) -> bool:
        """Receive and handle; returns whether more can come."""
        connection = self.connection
        while True:
            data = await self._receive()
            connection.feed(data)
            while (event := connection.next_event()) is not None:
                if isinstance(event, GoodbyeReceived):
                    return False
                self._handle(event)
                if not until_hello:
                    await self.out.wait_room()
            if not data:
                return False
            if not until_hello:
                await trio.lowlevel.checkpoint()
                return True
            if connection.state is State.OPEN:
                return True

    # Events

    def _handle(self, event: Any) -> None:
        match event:
            case RequestReceived():
                self._request(event)
            case RequestRefused():
                self.out.send(self.connection.refuse(event.id, event.error))
            case NotificationReceived():
                self._notification(event)
            case HelloReceived():
                self._accept(event)
            case HelloRefused():
                self.out.send(self.connection.refuse(event.id, event.error))
                raise Closing(event.goodbye, event.error.message)

    def _accept(self, event: HelloReceived) -> None:
        if event.params.protocol < PROTOCOL_VERSION:
            error = error_info(
                "unsupported_protocol",
                f"this daemon speaks protocol {PROTOCOL_VERSION}",
                supported=(PROTOCOL_VERSION,),
            )
            self.out.send(self.connection.refuse(event.id, error))
            raise Closing("hello_failed", error.message)
        result = self._service.hello(event.params, self.connection.limits, self.peer)
        self.out.send(self.connection.accept_hello(event, result))

    def _notification(self, event: NotificationReceived) -> None:
        params = event.params
        if isinstance(params, CancelParams):
            scope = self._requests.get(params.id)
            if scope is not None:
                scope.cancel()
        elif isinstance(params, CreditParams):
            subscription = self.subscriptions.get(params.subscription)
            if isinstance(subscription, Subscription):  # else it has just ended
                subscription.grant(params.credit, params.consumed)

    def _request(self, event: RequestReceived) -> None:
        if self._service.stopping and event.method in _STARTING:
            error = error_info("shutting_down", "the daemon is shutting down")
            self.out.send(self.connection.refuse(event.id, error))
            return
        try:
            result = self._service.handle(self, event.method, event.params)
        except (InvalidField, RequestError) as error:
            self.out.send(self.connection.refuse(event.id, _error_of(error)))
            return
        if isinstance(result, Awaitable):
            assert self._nursery is not None
            self._busy += 1
            # Known before its task runs, since a cancel can come in the same segment.
            scope = self._requests[event.id] = trio.CancelScope()
            self._nursery.start_soon(self._answer, event.id, result, scope)
        else:
            self.out.send(self.connection.reply(event.id, result))

    async def _answer(self, request_id: int, work: Awaitable[Any], scope: trio.CancelScope) -> None:
        try:
            await self._answer_once(request_id, work, scope)
        finally:
            self._busy -= 1
            self._quiet.unpark_all()

    async def _answer_once(
        self, request_id: int, work: Awaitable[Any], scope: trio.CancelScope
    ) -> None:
        """Answer one request exactly once, also when it is cancelled."""
        answer: ErrorInfo | None = error_info("cancelled", "the request was cancelled")
        follow: Callable[[], Awaitable[None]] | None = None
        try:
            with scope:
                try:
                    result = await work
                except (InvalidField, RequestError) as error:
                    answer = _error_of(error)
                else:
                    if isinstance(result, Answer):
                        result, follow = result.result, result.then
                    self.out.send(self.connection.reply(request_id, result))
                    answer = None
        finally:
            del self._requests[request_id]
        if answer is not None:
            self.out.send(self.connection.refuse(request_id, answer))
        if follow is not None:
            await follow()

    def drain(self, grace: float) -> None:
        """Tell the client that the daemon ends in ``grace`` seconds."""
        if self.connection.state is State.OPEN:
            self.draining = True
            self.out.send(self.connection.goodbye("shutting_down", grace=grace))

    async def wait_quiet(self) -> None:
        """Wait until no request is being answered and no process or stream is being followed."""
        while self._busy:
            await self._quiet.park()

    # For handlers

    def own(self, process: ManagedProcess) -> None:
        """The process is this connection's from now on."""
        process.own(self)
        if len(self.owned) > MANY:
            self.owned = {one for one in self.owned if one.record.state != "closed"}
        self.owned.add(process)

    def subscribe(self, make: Callable[[int], F]) -> F:
        """Number and keep a subscription, of whatever kind.

        :raises RequestError: ``too_many_subscriptions``
        """
        limit = self._limits.max_subscriptions
        if len(self.subscriptions) >= limit:
            raise RequestError(
                "too_many_subscriptions", f"this connection holds {limit} already", limit=limit
            )
        self._numbers += 1
        subscription = make(self._numbers)
        self.subscriptions[self._numbers] = subscription
        return subscription

    def unsubscribe(self, number: int, kind: type[F]) -> F:
        """End a subscription of a certain kind; nothing of it is sent any more.

        :raises RequestError: ``not_found``
        """
        subscription = self.subscriptions.get(number)
        if not isinstance(subscription, kind):
            raise RequestError("not_found", f"this connection has no subscription {number}")
        del self.subscriptions[number]
        subscription.scope.cancel()
        return subscription

    async def serve(self, subscription: Feed) -> None:
        """Send what a subscription is of until its end; part of the answer to a request."""
        if subscription.endless:
            self._busy -= 1
            self._quiet.unpark_all()
        try:
            await subscription.run(self.connection, self.out)
        finally:
            self._busy += subscription.endless
            self.subscriptions.pop(subscription.number, None)

    async def follow(self, process: ManagedProcess, after: int = 0) -> None:
        """Send the facts of a process, those above number ``after``; the last is ``closed``."""
        facts = process.record.facts
        sent = sum(fact.seq <= after for fact in facts)
        if sent and facts[sent - 1].kind == "closed":
            return
        while True:
            while sent < len(facts):
                fact = facts[sent]
                sent += 1
                self.out.send(_event(self.connection, process.id, fact))
                if fact.kind == "closed":
                    self.owned.discard(process)
                    return
                await self.out.wait_room()
            await process.record.wait_change()


@attrs.frozen
class Answer:
    """A result, and what is to be sent behind it."""

    result: Any
    then: Callable[[], Awaitable[None]]


_STARTING = frozenset({"process.start", "process.restart"})


def _first(group: BaseExceptionGroup[Any]) -> Any:
    error: Any = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _error_of(error: InvalidField | RequestError) -> ErrorInfo:
    if isinstance(error, InvalidField):
        return error_info(
            "invalid_params", f"{error.path or 'params'}: {error.problem}", path=error.path
        )
    data = {key: value for key, value in error.data.items() if value is not None}
    return error_info(error.code, error.message, executed=error.executed, **data)


def _event(connection: DaemonConnection, process_id: str, fact: Fact) -> bytes:
    params: Any
    if fact.kind == "ready":
        params = ReadyParams(seq=fact.seq, at=fact.at, id=process_id)
    elif fact.kind == "exited":
        outcome, cause, usage = fact.details
        params = ExitedParams(
            seq=fact.seq, at=fact.at, id=process_id, outcome=outcome, cause=cause, usage=usage
        )
    elif fact.kind == "eof":
        stream, final_offset, reason = fact.details
        params = EofParams(
            seq=fact.seq,
            at=fact.at,
            id=process_id,
            stream=stream,
            final_offset=final_offset,
            reason=reason,
        )
    else:
        params = ClosedParams(seq=fact.seq, at=fact.at, id=process_id, process=fact.details)
    return connection.notify(f"process.{fact.kind}", params)
