"""Input on its way to a process."""

from __future__ import annotations

from procnursery.client.core import STDIN_CHUNK
from procnursery.client.exchange import Exchange
from procnursery.protocol import messages as m

AHEAD = 2 * STDIN_CHUNK
"""Bytes of input that may be unanswered; the daemon's window is larger."""


class StdinFeed:
    """Sends input in pieces, and knows how much of it the program's pipe has taken.

    :ivar failed: why input is not taken any more
    """

    def __init__(self, exchange: Exchange, process_id: str) -> None:
        self._exchange = exchange
        self._id = process_id
        self._offset = 0
        self._taken = 0
        self.failed: m.ErrorInfo | None = None

    @property
    def waiting(self) -> int:
        """Bytes that were sent and not taken yet."""
        return self._offset - self._taken

    @property
    def has_room(self) -> bool:
        """Whether a piece of STDIN_CHUNK bytes may be sent, or none will ever be taken."""
        return self.waiting <= AHEAD - STDIN_CHUNK or self.failed is not None

    @property
    def settled(self) -> bool:
        """Whether everything was taken, or nothing more will be."""
        return self.waiting == 0 or self.failed is not None

    def resume(self, offset: int) -> None:
        """Go on behind the ``offset`` bytes that were sent on a connection that is lost."""
        self._offset = self._taken = offset

    def send(self, data: bytes) -> None:
        """Send up to STDIN_CHUNK bytes."""

        def written(result: m.StdinResult | None, error: m.ErrorInfo | None) -> None:
            if result is not None:
                self._taken = max(self._taken, result.offset)
            elif self.failed is None:
                self.failed = error

        params = m.StdinWriteParams(id=self._id, offset=self._offset, data=data)
        self._offset += len(data)
        self._exchange.call("stdin.write", params, written)

    def close(self) -> None:
        """End the input behind what was sent; whether it is still wanted does not matter."""
        self._exchange.call(
            "stdin.close", m.StdinCloseParams(id=self._id), lambda _result, _error: None
        )
