"""Samples of the machine on their way from the daemon to whoever reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection

import attrs

from procnursery.client.core import request_error
from procnursery.client.exchange import Exchange
from procnursery.protocol import messages as m

KEPT = 1000
"""Samples that may wait to be read; of more, the oldest are dropped and counted as missed."""


class SampleQueue:
    """A subscription to samples, and those that have arrived."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._arrived: deque[m.HostDataParams] = deque()
        self._number: int | None = None
        self._refused: m.ErrorInfo | None = None
        self._ended = False
        self._unwanted = False

    def begin(self, interval: float, groups: Collection[str] | None, count: int | None) -> None:
        """Ask for the samples.

        :raises TypeError: ``groups`` is a single str
        """
        params = m.HostSubscribeParams(interval=interval, groups=as_groups(groups), count=count)
        self._exchange.call("host.subscribe", params, self._subscribed)

    def _subscribed(self, result: m.HostSubscribeResult | None, error: m.ErrorInfo | None) -> None:
        if result is None:
            self._refused = error
            return
        self._number = result.subscription
        if self._unwanted:
            self._unsubscribe()
        else:
            self._exchange.listen(result.subscription, self.take_in)

    def take_in(self, params: m.HostDataParams | m.HostEndParams) -> None:
        """A notification of the subscription arrived."""
        if isinstance(params, m.HostEndParams):
            self._ended = True
            self._exchange.detach(params.subscription)
            return
        self._arrived.append(params)
        if len(self._arrived) > KEPT:
            dropped = self._arrived.popleft()
            following = self._arrived[0]
            self._arrived[0] = attrs.evolve(following, missed=following.missed + dropped.missed + 1)

    @property
    def ready(self) -> bool:
        """Whether there is a sample, or none will come."""
        return bool(self._arrived) or self._ended or self._unwanted or self._refused is not None

    def take(self) -> m.HostDataParams | None:
        """The next sample; None: there is no further one.

        :raises RequestError: the daemon refused
        """
        if self._refused is not None:
            raise request_error(self._refused)
        return self._arrived.popleft() if self._arrived and not self._unwanted else None

    def close(self) -> None:
        """Want no more of them."""
        if not self._unwanted:
            self._unwanted = True
            self._arrived.clear()
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        if self._number is not None and not self._ended and self._exchange.open:
            self._exchange.detach(self._number)
            params = m.HostUnsubscribeParams(subscription=self._number)
            self._exchange.call("host.unsubscribe", params, lambda _result, _error: None)


class AsyncSamples:
    """Samples at ticks; an async iterator that ends the subscription when nothing refers to it
    any more, or when it is closed.

    :param wait_until: waits for a condition
    :param sent: to be called when something was sent
    """

    def __init__(
        self,
        queue: SampleQueue,
        wait_until: Callable[[Callable[[], bool]], Awaitable[None]],
        sent: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._wait_until = wait_until
        self._sent = sent

    def __aiter__(self) -> AsyncSamples:
        return self

    async def __anext__(self) -> m.HostDataParams:
        await self._wait_until(lambda: self._queue.ready)
        sample = self._queue.take()
        if sample is None:
            raise StopAsyncIteration
        return sample

    def close(self) -> None:
        """End the subscription; does not wait."""
        self._queue.close()
        self._sent()

    def __del__(self) -> None:
        self.close()


def as_groups(groups: Collection[str] | None) -> tuple[m.SampleGroup, ...] | None:
    """Groups for a request.

    :raises TypeError: they are a single str
    """
    if isinstance(groups, str):
        raise TypeError(f"groups must be a list of groups, not the str {groups!r}")
    # The daemon refuses unknown ones, and says which there are.
    return None if groups is None else tuple(groups)  # type: ignore[arg-type]
