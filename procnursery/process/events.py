"""What happened to the processes of this daemon, numbered, the latest of it kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs
import trio

from procnursery.model import Stamp

Kind = Literal["held", "started", "ready", "act", "exited", "eof", "closed", "forgotten"]


@attrs.frozen
class Event:
    """One thing that happened.

    :ivar seq: its number; that of the next event of the daemon is higher by one
    :ivar details: by kind: None · pid · None · Act · (outcome, cause, usage) · (stream name, final
        offset, reason) · ProcessInfo · None
    """

    seq: int
    at: Stamp
    kind: Kind
    id: str
    name: str | None
    incarnation: int
    labels: Mapping[str, str]
    details: Any


class EventLog:
    """The events of a daemon, of which the latest are kept.

    :param keep: how many
    :ivar complete: nothing will happen any more: no process is left, and none can be started
    """

    def __init__(self, keep: int) -> None:
        self._kept: deque[Event] = deque(maxlen=keep)
        self._waiting = trio.lowlevel.ParkingLot()
        self.latest = 0
        self.complete = False

    @property
    def first(self) -> int:
        """Number of the oldest event that is kept; if none is, that of the next one."""
        return self.latest - len(self._kept) + 1

    def add(
        self,
        kind: Kind,
        at: Stamp,
        *,
        id: str,
        name: str | None,
        incarnation: int,
        labels: Mapping[str, str],
        details: Any = None,
    ) -> Event:
        """Number and keep an event."""
        self.latest += 1
        event = Event(self.latest, at, kind, id, name, incarnation, labels, details)
        self._kept.append(event)
        self._waiting.unpark_all()
        return event

    def after(self, seq: int) -> Iterable[Event]:
        """The kept events above ``seq``, at most some hundred of them, oldest first."""
        start = max(0, seq + 1 - self.first)
        return [self._kept[index] for index in range(start, min(len(self._kept), start + 256))]

    async def wait_more(self, seq: int) -> None:
        """Wait until there is an event above ``seq``, or none will come any more."""
        while self.latest <= seq and not self.complete:
            await self._waiting.park()

    def finish(self) -> None:
        """No event will come any more."""
        self.complete = True
        self._waiting.unpark_all()
