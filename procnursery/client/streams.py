"""Output of a process as the blocking client reads it."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from procnursery.client.core import WINDOW, Credit, request_error
from procnursery.model import Gap
from procnursery.protocol import messages as m

if TYPE_CHECKING:
    from procnursery.client.blocking import Connection


class Handler:
    """Takes what a subscription delivers; subclasses say what becomes of it.

    :ivar number: of the subscription, once the daemon has answered
    :ivar gaps: what was lost
    :ivar end: the end of the stream, once it is there
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.gaps: list[Gap] = []
        self.end: m.EndParams | None = None
        self._credit: Credit | None = None
        self._connection: Connection | None = None

    def begin(
        self,
        connection: Connection,
        process_id: str,
        stream: Literal["stdout", "stderr"],
        offset: int,
        on_error: Callable[[m.ErrorInfo], None],
    ) -> None:
        """Ask for the stream."""
        self._connection = connection

        def subscribed(result: m.SubscribeResult | None, error: m.ErrorInfo | None) -> None:
            if result is None:
                assert error is not None
                on_error(error)
                return
            self.number = result.subscription
            self._credit = Credit(result.subscription, offset)
            connection.attach(result.subscription, self)

        params = m.SubscribeParams(
            id=process_id, stream=stream, offset=offset, credit=offset + WINDOW
        )
        connection.call("output.subscribe", params, subscribed)

    @property
    def ended(self) -> bool:
        """Whether everything has arrived."""
        return self.end is not None

    def consumed(self, offset: int) -> None:
        """Everything below ``offset`` was taken: the daemon may send more."""
        if self.end is None and self._credit is not None and self._connection is not None:
            params = self._credit.consume(offset)
            if params is not None:
                self._connection.notify("output.credit", params)

    def unsubscribe(self) -> None:
        """Want no more of it."""
        if self.number is not None and self.end is None and self._connection is not None:
            self._connection.detach(self.number)
            params = m.UnsubscribeParams(subscription=self.number)
            self._connection.call("output.unsubscribe", params, lambda _result, _error: None)
            self.number = None

    def on_data(self, offset: int, data: bytes) -> None:
        """Bytes arrived."""
        raise NotImplementedError

    def on_gap(self, gap: m.GapParams) -> None:
        """Bytes were lost."""
        self.gaps.append(Gap(from_=gap.from_, to=gap.to, reason=gap.reason))
        self.consumed(gap.to)

    def on_end(self, end: m.EndParams) -> None:
        """Nothing more comes."""
        self.end = end


class Collector(Handler):
    """Keeps everything in memory."""

    def __init__(
        self, connection: Connection, process_id: str, stream: Literal["stdout", "stderr"]
    ) -> None:
        super().__init__()
        self.data = bytearray()
        self.begin(connection, process_id, stream, 0, self._refused)

    def _refused(self, error: m.ErrorInfo) -> None:
        raise request_error(error)

    def on_data(self, offset: int, data: bytes) -> None:
        """Keep it."""
        self.data += data
        self.consumed(offset + len(data))


class _Queue(Handler):
    """Keeps what has arrived until it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: deque[memoryview] = deque()
        self.position = 0

    def on_data(self, offset: int, data: bytes) -> None:
        self.chunks.append(memoryview(data))

    def on_gap(self, gap: m.GapParams) -> None:
        super().on_gap(gap)
        self.position = gap.to


class OutputReader(io.RawIOBase):
    """An output stream as a file; wrapped in a BufferedReader by :class:`Process`.

    :ivar gaps: bytes that were lost on the way; what is read continues behind them
    """

    def __init__(
        self,
        connection: Connection,
        process_id: str,
        stream: Literal["stdout", "stderr"],
        offset: int = 0,
    ) -> None:
        super().__init__()
        self._connection = connection
        self._id = process_id
        self._stream = stream
        self._queue = _Queue()
        self._queue.position = offset
        self._subscribed = False

    @property
    def gaps(self) -> list[Gap]:
        """What was lost."""
        return self._queue.gaps

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes, and put them into ``buffer``; 0 at the end.

        :raises RequestError: the stream does not exist
        :raises ConnectionLost: the daemon is gone
        """
        queue = self._queue
        if not self._subscribed:
            self._connection.subscribe(self._id, self._stream, queue.position, queue)
            self._subscribed = True
        self._connection.pump_until(lambda: bool(queue.chunks) or queue.ended)
        if not queue.chunks:
            return 0
        chunk = queue.chunks[0]
        count = min(len(chunk), len(buffer))
        buffer[:count] = chunk[:count]
        if count == len(chunk):
            queue.chunks.popleft()
        else:
            queue.chunks[0] = chunk[count:]
        queue.position += count
        queue.consumed(queue.position)
        return count

    def close(self) -> None:
        """Want no more of it."""
        if not self.closed:
            self._queue.unsubscribe()
        super().close()
