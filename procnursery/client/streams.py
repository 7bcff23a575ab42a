"""Output of a process on its way from the daemon to whoever reads it."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Literal

from procnursery.client.core import WINDOW, Credit
from procnursery.client.exchange import Exchange
from procnursery.errors import ConnectionLost
from procnursery.model import Gap
from procnursery.protocol import messages as m

StreamName = Literal["stdout", "stderr"]
OnError = Callable[[m.ErrorInfo], None]


class Handler:
    """Takes what a subscription delivers; subclasses say what becomes of the bytes.

    :ivar number: of the subscription, once the daemon has answered
    :ivar gaps: what was lost
    :ivar end: the end of the stream, once it is there
    :ivar refused: why there is no subscription
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.gaps: list[Gap] = []
        self.end: m.EndParams | None = None
        self.refused: m.ErrorInfo | None = None
        self._credit: Credit | None = None
        self._exchange: Exchange | None = None

    def begin(self, exchange: Exchange, process_id: str, stream: StreamName, offset: int) -> None:
        """Ask for the stream; then either ``number`` or ``refused`` is set."""
        self._exchange = exchange

        def subscribed(result: m.SubscribeResult | None, error: m.ErrorInfo | None) -> None:
            if result is None:
                self.refused = error
                return
            self.number = result.subscription
            self._credit = Credit(result.subscription, offset)
            exchange.attach(result.subscription, self)

        params = m.SubscribeParams(
            id=process_id, stream=stream, offset=offset, credit=offset + WINDOW
        )
        exchange.call("output.subscribe", params, subscribed)

    @property
    def ended(self) -> bool:
        """Whether everything has arrived."""
        return self.end is not None

    def consumed(self, offset: int) -> None:
        """Everything below ``offset`` was taken: the daemon may send more."""
        if self.end is None and self._credit is not None and self._exchange is not None:
            params = self._credit.consume(offset)
            if params is not None:
                self._exchange.notify("output.credit", params)

    def unsubscribe(self) -> None:
        """Want no more of it."""
        if self.number is not None and self.end is None and self._exchange is not None:
            self._exchange.detach(self.number)
            params = m.UnsubscribeParams(subscription=self.number)
            with contextlib.suppress(ConnectionLost):  # then nothing comes anyway
                self._exchange.call("output.unsubscribe", params, lambda _result, _error: None)
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

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def on_data(self, offset: int, data: bytes) -> None:
        """Keep it."""
        self.data += data
        self.consumed(offset + len(data))


class Queue(Handler):
    """Keeps what has arrived until it is read.

    :ivar position: offset of the next byte to be read
    """

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._chunks: deque[memoryview] = deque()
        self.position = offset

    @property
    def ready(self) -> bool:
        """Whether there is something to read, or nothing will come."""
        return bool(self._chunks) or self.ended or self.refused is not None

    def on_data(self, offset: int, data: bytes) -> None:
        """Keep it."""
        self._chunks.append(memoryview(data))

    def on_gap(self, gap: m.GapParams) -> None:
        """The bytes behind it are read next."""
        super().on_gap(gap)
        if not self._chunks:
            self.position = gap.to

    def take(self, limit: int) -> bytes:
        """Up to ``limit`` bytes; none if nothing is there."""
        if not self._chunks:
            return b""
        chunk = self._chunks[0]
        data = bytes(chunk[:limit])
        if len(data) == len(chunk):
            self._chunks.popleft()
        else:
            self._chunks[0] = chunk[len(data) :]
        self.position += len(data)
        self.consumed(self.position)
        return data
