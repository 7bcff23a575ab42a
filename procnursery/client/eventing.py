"""A subscription to the events of all processes, as both clients hold it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from procnursery.client.core import request_error
from procnursery.client.exchange import Exchange
from procnursery.protocol import messages as m

Told = m.SnapshotParams | m.EventParams | m.EventsLostParams


def events_params(
    *,
    after: int | None,
    kinds: Iterable[m.EventKind] | None,
    ids: Iterable[str] | None,
    labels: Mapping[str, str] | None,
    snapshot: bool,
) -> m.EventsSubscribeParams:
    """The request for a subscription."""
    return m.EventsSubscribeParams(
        after=after,
        kinds=None if kinds is None else tuple(kinds),
        ids=None if ids is None else tuple(ids),
        labels=dict(labels or {}),
        snapshot=snapshot,
    )


class EventQueue:
    """What has arrived on a subscription and was not taken yet.

    :ivar result: the daemon's answer, once it is there
    """

    def __init__(self, exchange: Exchange, params: m.EventsSubscribeParams) -> None:
        self._exchange = exchange
        self._queue: deque[Told] = deque()
        self._refused: m.ErrorInfo | None = None
        self.result: m.EventsSubscribeResult | None = None
        exchange.call("events.subscribe", params, self._answered)

    def _answered(self, result: m.EventsSubscribeResult | None, error: m.ErrorInfo | None) -> None:
        self.result, self._refused = result, error
        if result is not None:
            self._exchange.listen(result.subscription, self._queue.append)

    @property
    def answered(self) -> bool:
        """Whether the daemon has answered.

        :raises RequestError: it refused
        """
        if self._refused is not None:
            raise request_error(self._refused)
        return self.result is not None

    @property
    def ready(self) -> bool:
        """Whether there is something to take."""
        return bool(self._queue)

    def take(self) -> Told:
        """The next thing that was told."""
        return self._queue.popleft()

    def end(self) -> None:
        """Want no more of it."""
        if self.result is not None and self._exchange.open:
            number = self.result.subscription
            self.result = None
            self._exchange.detach(number)
            params: Any = m.EventsUnsubscribeParams(subscription=number)
            self._exchange.call("events.unsubscribe", params, lambda _result, _error: None)


class AsyncEvents:
    """An async iterator over what is told; ending the subscription is not its job.

    :param wait_until: waits until what has arrived makes a condition true
    """

    def __init__(
        self, queue: EventQueue, wait_until: Callable[[Callable[[], bool]], Awaitable[None]]
    ) -> None:
        self._queue = queue
        self._wait_until = wait_until

    def __aiter__(self) -> AsyncEvents:
        return self

    async def __anext__(self) -> Told:
        await self._wait_until(lambda: self._queue.ready)
        return self._queue.take()
