"""The state of both peers of one connection, without I/O.

``feed()`` takes what arrived, ``next_event()`` gives what it means, ``send_…()`` give the bytes
to write. What the peer does wrong is raised as RemoteProtocolError, after which only a goodbye may
be sent; what our own side does wrong is a LocalProtocolError.

    daemon:  HELLO --accept_hello--> OPEN --goodbye (either side), violation--> CLOSED
    client:  NEW --hello--> HELLO --HelloAccepted--> OPEN --goodbye, violation--> CLOSED
                                                     OPEN --own goodbye--> LEAVING --> CLOSED
"""

from __future__ import annotations

import enum
import functools
from typing import Any

import attrs

from procnursery.errors import InvalidField, LocalProtocolError, RemoteProtocolError
from procnursery.protocol import codec
from procnursery.protocol.envelope import Notification, Reply, Request, decode_message, frame
from procnursery.protocol.errors_registry import ERROR_CODES, GOODBYE_CODES
from procnursery.protocol.framing import FRAME_BEFORE_HELLO, FRAME_CAP, FrameReader, frame_header
from procnursery.protocol.messages import (
    METHODS,
    NOTIFICATIONS,
    DaemonLimits,
    ErrorData,
    ErrorInfo,
    GoodbyeParams,
    HelloParams,
    HelloResult,
)
from procnursery.protocol.profile import pack

PROTOCOL_VERSION = 1
DATA_FRAME_OVERHEAD = 1024
"""Bytes that the envelope of an output.data notification takes at most."""


class State(enum.Enum):
    """Where one side of a connection is."""

    NEW = "new"
    HELLO = "hello"
    OPEN = "open"
    LEAVING = "leaving"
    CLOSED = "closed"


@attrs.frozen
class HelloReceived:
    """A valid hello; answer with accept_hello() or refuse()."""

    id: int
    params: HelloParams


@attrs.frozen
class RequestReceived:
    """A valid request; answer exactly once with reply() or refuse()."""

    id: int
    method: str
    params: Any
    size: int


@attrs.frozen
class RequestRefused:
    """A request that must be answered with this error by refuse()."""

    id: int
    error: ErrorInfo


@attrs.frozen
class HelloRefused:
    """A first request that must be refused with this error, then the connection closed."""

    id: int
    error: ErrorInfo
    goodbye: str


@attrs.frozen
class NotificationReceived:
    """A valid notification."""

    method: str
    params: Any


@attrs.frozen
class GoodbyeReceived:
    """The peer sends nothing more."""

    params: GoodbyeParams


@attrs.frozen
class HelloAccepted:
    """The daemon's answer to hello."""

    result: HelloResult


@attrs.frozen
class ReplyReceived:
    """The answer to a request: exactly one of result and error is set."""

    id: int
    result: Any
    error: ErrorInfo | None


DaemonEvent = (
    HelloReceived
    | HelloRefused
    | RequestReceived
    | RequestRefused
    | NotificationReceived
    | GoodbyeReceived
)
ClientEvent = HelloAccepted | ReplyReceived | NotificationReceived | GoodbyeReceived


def error_info(code: str, message: str, *, executed: str = "no", **data: Any) -> ErrorInfo:
    """An error of a reply.

    :raises LocalProtocolError: if the code is not registered
    """
    if code not in ERROR_CODES:
        raise LocalProtocolError(f"{code!r} is not a registered error code")
    return ErrorInfo(
        code=code,
        message=message[:4096],
        data=ErrorData(executed=executed, **data),  # type: ignore[arg-type]
    )


def _invalid_params(error: InvalidField) -> ErrorInfo:
    path = error.path.encode("utf-8", "replace")[:1000].decode("utf-8", "ignore")
    return error_info("invalid_params", f"{path or 'params'}: {error.problem}", path=path)


@functools.cache
def _notification_head(method: str) -> bytes:
    return b"\x93\x02" + pack(method)


class _Side:
    """What both peers share: the frames that arrive, goodbye and the end."""

    def __init__(self, state: State, max_frame: int) -> None:
        self.state = state
        self._frames = FrameReader(max_frame)
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived; ``b""`` means that the peer's stream has ended."""
        if self._ended:
            raise LocalProtocolError("bytes after the end of the stream")
        if data:
            self._frames.feed(data)
        else:
            self._ended = True

    def _next_message(self) -> tuple[Request | Reply | Notification, int] | None:
        if self.state is State.CLOSED:
            return None
        try:
            payload = self._frames.next_frame()
            if payload is None:
                if self._ended and self._frames.mid_frame:
                    raise RemoteProtocolError("truncated", "the stream ended inside a frame")
                return None
            return decode_message(payload), len(payload)
        except RemoteProtocolError:
            self.state = State.CLOSED
            raise

    def _violation(self, code: str, message: str) -> RemoteProtocolError:
        self.state = State.CLOSED
        return RemoteProtocolError(code, message)

    def _decode_notification(self, message: Notification, sender: str) -> Any:
        """Params of a notification that ``sender`` (to_daemon, to_client) may use, else None."""
        known = NOTIFICATIONS.get(message.method)
        if known is None or known.direction not in (sender, "both"):
            return None
        try:
            return codec.decode(known.params, message.params, tolerant=sender == "to_client")
        except InvalidField as error:
            raise self._violation("bad_notification", f"{message.method}: {error}") from None

    def goodbye(self, code: str, message: str = "", *, grace: float | None = None) -> bytes:
        """Announce that this side closes the connection; nothing may be sent after it, except by
        a daemon that drains (``grace``)."""
        if code not in GOODBYE_CODES:
            raise LocalProtocolError(f"{code!r} is not a registered goodbye code")
        if grace is None:
            self.state = State.CLOSED
        params = GoodbyeParams(code=code, message=message[:4096], grace=grace)
        return frame([2, "goodbye", codec.encode(params)])


class DaemonConnection(_Side):
    """The daemon's side of one connection.

    :param limits: what it accepts, told to the client in the answer to hello
    """

    def __init__(self, limits: DaemonLimits) -> None:
        super().__init__(State.HELLO, FRAME_BEFORE_HELLO)
        self.limits = limits
        self.peer_max_frame = FRAME_BEFORE_HELLO
        self._outstanding: dict[int, int] = {}
        self._in_flight = 0

    @property
    def outstanding(self) -> int:
        """How many requests have no answer yet."""
        return len(self._outstanding)

    @property
    def max_data(self) -> int:
        """Most bytes of output that fit into one notification to this peer."""
        return self.peer_max_frame - DATA_FRAME_OVERHEAD

    def next_event(self) -> DaemonEvent | None:
        """What the bytes so far mean, one event at a time; None: more bytes are needed.

        :raises RemoteProtocolError: the connection must be closed with a goodbye of its code
        """
        received = self._next_message()
        if received is None:
            return None
        message, size = received
        if isinstance(message, Request):
            if self.state is State.HELLO:
                return self._first_request(message)
            return self._request(message, size)
        if self.state is State.HELLO:
            raise self._violation("hello_expected", "the first message must be a hello request")
        if isinstance(message, Reply):
            raise self._violation("unexpected_reply", "the daemon sends no requests")
        params = self._decode_notification(message, "to_daemon")
        if params is None:
            raise self._violation(
                "bad_notification", f"{message.method[:64]!r} is not a notification to a daemon"
            )
        if isinstance(params, GoodbyeParams):
            self.state = State.CLOSED
            return GoodbyeReceived(params)
        return NotificationReceived(message.method, params)

    def _first_request(self, message: Request) -> HelloReceived | HelloRefused:
        if message.method != "hello":
            error = error_info("hello_expected", "the first request must be hello")
            return HelloRefused(message.id, error, "hello_expected")
        try:
            params = codec.decode(HelloParams, message.params)
        except InvalidField as invalid:
            return HelloRefused(message.id, _invalid_params(invalid), "hello_failed")
        self._outstanding[message.id] = 0
        return HelloReceived(message.id, params)

    def _request(self, message: Request, size: int) -> RequestReceived | RequestRefused:
        if message.id in self._outstanding:
            raise self._violation(
                "duplicate_request_id", f"request id {message.id} is still outstanding"
            )
        error = self._refusal(message, size)
        if error is None:
            try:
                params: Any = codec.decode(METHODS[message.method].params, message.params)
            except InvalidField as invalid:
                error = _invalid_params(invalid)
        if error is not None:
            self._outstanding[message.id] = 0
            return RequestRefused(message.id, error)
        self._outstanding[message.id] = size
        self._in_flight += size
        return RequestReceived(message.id, message.method, params, size)

    def _refusal(self, message: Request, size: int) -> ErrorInfo | None:
        if message.method == "hello":
            return error_info("hello_repeated", "hello was sent already")
        if message.method not in METHODS:
            return error_info("unknown_method", f"there is no method {message.method[:64]!r}")
        if len(self._outstanding) >= self.limits.max_requests:
            return error_info(
                "too_many_requests",
                f"{len(self._outstanding)} requests are outstanding; wait for replies",
                limit=self.limits.max_requests,
            )
        if self._in_flight + size > max(self.limits.max_in_flight, size):
            return error_info(
                "too_many_requests",
                f"outstanding requests hold {self._in_flight} bytes; wait for replies",
                limit=self.limits.max_in_flight,
            )
        return None

    def accept_hello(self, hello: HelloReceived, result: HelloResult) -> bytes:
        """Open the connection with the answer to hello."""
        if self.state is not State.HELLO:
            raise LocalProtocolError("hello was answered already")
        self.state = State.OPEN
        self.peer_max_frame = hello.params.limits.max_frame
        self._frames.max_frame = self.limits.max_frame
        return self.reply(hello.id, result)

    def reply(self, request_id: int, result: Any) -> bytes:
        """Answer a request; a result beyond the peer's max_frame becomes an error."""
        message = frame([1, request_id, None, codec.encode(result)])
        size = len(message) - 4
        if size > self.peer_max_frame:
            return self.refuse(
                request_id,
                error_info(
                    "result_too_large",
                    f"the answer has {size} bytes; the client takes {self.peer_max_frame}",
                    executed="yes",
                    size=size,
                    limit=self.peer_max_frame,
                ),
            )
        self._answered(request_id)
        return message

    def refuse(self, request_id: int, error: ErrorInfo) -> bytes:
        """Answer a request with an error."""
        if request_id in self._outstanding:
            self._answered(request_id)
        elif self.state is not State.HELLO:
            raise LocalProtocolError(f"request {request_id} is not outstanding")
        return frame([1, request_id, codec.encode(error), None])

    def _answered(self, request_id: int) -> None:
        try:
            self._in_flight -= self._outstanding.pop(request_id)
        except KeyError:
            raise LocalProtocolError(f"request {request_id} is not outstanding") from None

    def notify(self, method: str, params: Any) -> bytes:
        """A notification to the client."""
        known = NOTIFICATIONS[method]
        if known.direction == "to_daemon" or not isinstance(params, known.params):
            raise LocalProtocolError(f"{method} with {type(params).__name__} is not ours to send")
        return frame([2, method, codec.encode(params)])

    def notify_data(self, subscription: int, offset: int, size: int) -> bytes:
        """All of an output.data frame that precedes its ``size`` bytes of data, which the caller
        sends behind it, so that output is never copied into a message."""
        head = (
            _notification_head("output.data")
            + b"\x83"
            + pack("subscription")
            + pack(subscription)
            + pack("offset")
            + pack(offset)
            + pack("data")
            + b"\xc6"
            + size.to_bytes(4, "big")
        )
        return frame_header(len(head) + size) + head


class ClientConnection(_Side):
    """The client's side of one connection.

    :param max_frame: the largest frame that this client accepts
    """

    def __init__(self, max_frame: int = 8 * 2**20) -> None:
        super().__init__(State.NEW, min(max_frame, FRAME_CAP))
        self.max_frame = min(max_frame, FRAME_CAP)
        self.hello_result: HelloResult | None = None
        self._next_id = 0
        self._outstanding: dict[int, str] = {}

    @property
    def peer_max_frame(self) -> int:
        """Largest frame that the daemon accepts."""
        if self.hello_result is None:
            return FRAME_BEFORE_HELLO
        return self.hello_result.limits.max_frame

    def hello(self, params: HelloParams) -> bytes:
        """The first request."""
        if self.state is not State.NEW:
            raise LocalProtocolError("hello was sent already")
        self.state = State.HELLO
        return self._send_request("hello", params)[1]

    def request(self, method: str, params: Any) -> tuple[int, bytes]:
        """A request: its id and its frame.

        :raises LocalProtocolError: before the hello was accepted, after the end, if the
            request is larger than the daemon accepts, or a number in it is not finite
        """
        if self.state is not State.OPEN:
            raise LocalProtocolError(f"a request in state {self.state.value}")
        return self._send_request(method, params)

    def _send_request(self, method: str, params: Any) -> tuple[int, bytes]:
        if not isinstance(params, METHODS[method].params):
            raise LocalProtocolError(f"{method} does not take {type(params).__name__}")
        request_id = self._next_id
        while request_id in self._outstanding:
            request_id = (request_id + 1) % 2**32
        try:
            message = frame([0, request_id, method, codec.encode(params)])
        except InvalidField as error:
            raise LocalProtocolError(f"{method}: {error}") from None
        if len(message) - 4 > self.peer_max_frame:
            raise LocalProtocolError(
                f"a {method} request of {len(message) - 4} bytes; "
                f"the daemon accepts {self.peer_max_frame}"
            )
        self._next_id = (request_id + 1) % 2**32
        self._outstanding[request_id] = method
        return request_id, message

    def notify(self, method: str, params: Any) -> bytes:
        """A notification to the daemon."""
        if self.state is not State.OPEN:
            raise LocalProtocolError(f"a notification in state {self.state.value}")
        known = NOTIFICATIONS[method]
        if known.direction != "to_daemon" or not isinstance(params, known.params):
            raise LocalProtocolError(f"{method} with {type(params).__name__} is not ours to send")
        return frame([2, method, codec.encode(params)])

    def leave(self) -> bytes:
        """Say goodbye: nothing is sent any more; what the daemon still sends is received."""
        farewell = self.goodbye("done")
        self.state = State.LEAVING
        return farewell

    def next_event(self) -> ClientEvent | None:
        """What the bytes so far mean, one event at a time; None: more bytes are needed.

        :raises RemoteProtocolError: the daemon violated the protocol
        """
        while (received := self._next_message()) is not None:
            message, _ = received
            if isinstance(message, Request):
                raise self._violation("bad_envelope", "the daemon sent a request")
            if isinstance(message, Reply):
                return self._reply(message)
            params = self._decode_notification(message, "to_client")
            if params is None:  # a newer daemon may send what we do not know
                continue
            if isinstance(params, GoodbyeParams):
                if params.grace is None:
                    self.state = State.CLOSED
                return GoodbyeReceived(params)
            return NotificationReceived(message.method, params)
        return None

    def _reply(self, message: Reply) -> HelloAccepted | ReplyReceived:
        method = self._outstanding.pop(message.id, None)
        if method is None:
            raise self._violation("unexpected_reply", f"no request {message.id} is outstanding")
        result: Any = None
        error = None
        try:
            if message.error is not None:
                error = codec.decode(ErrorInfo, message.error, tolerant=True)
            else:
                result = codec.decode(METHODS[method].result, message.result, tolerant=True)
        except InvalidField as invalid:
            raise self._violation("bad_envelope", f"the reply to {method}: {invalid}") from None
        if isinstance(result, HelloResult):
            self.hello_result = result
            self.state = State.OPEN
            return HelloAccepted(result)
        return ReplyReceived(message.id, result, error)
