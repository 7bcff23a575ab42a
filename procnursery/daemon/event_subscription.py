"""One subscription to the events of all processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from procnursery.daemon.outgoing import Outgoing
from procnursery.model import ProcessSummary
from procnursery.process.events import Event, EventLog
from procnursery.protocol.connection import DaemonConnection
from procnursery.protocol.messages import EventParams, EventsLostParams, SnapshotParams


class Choice:
    """Which processes and events are wanted.

    :param ids: ids or names; None: all
    """

    def __init__(
        self,
        *,
        kinds: frozenset[str] | None,
        ids: frozenset[str] | None,
        labels: Mapping[str, str],
    ) -> None:
        self._kinds = kinds
        self._ids = ids
        self._labels = labels.items()

    def process(self, id: str, name: str | None, labels: Mapping[str, str]) -> bool:
        """Whether a process is wanted."""
        return (self._ids is None or id in self._ids or name in self._ids) and (
            self._labels <= labels.items()
        )

    def event(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return (self._kinds is None or event.kind in self._kinds) and self.process(
            event.id, event.name, event.labels
        )


class EventSubscription:
    """Follows the log from a number on.

    :param snapshot: processes to tell of first
    :ivar seq: number of the event up to which everything wanted was sent
    """

    def __init__(
        self,
        number: int,
        log: EventLog,
        choice: Choice,
        seq: int,
        snapshot: list[ProcessSummary],
    ) -> None:
        self.number = number
        self.seq = seq
        self.scope = trio.CancelScope()
        self.endless = False
        self._log = log
        self._choice = choice
        self._snapshot = snapshot

    async def run(self, connection: DaemonConnection, out: Outgoing) -> None:
        """Send until ``scope`` is cancelled, or nothing can happen any more."""
        with self.scope:
            for process in self._snapshot:
                params = SnapshotParams(subscription=self.number, process=process)
                out.send(connection.notify("events.process", params))
                await out.wait_room()
            self._snapshot.clear()
            log = self._log
            while not (log.complete and self.seq == log.latest):
                if self.seq + 1 < log.first:
                    self._send_lost(connection, out)
                for event in log.after(self.seq):
                    self.seq = event.seq
                    if self._choice.event(event):
                        out.send(connection.notify("events.event", _params(self.number, event)))
                await out.wait_room()
                await log.wait_more(self.seq)

    def _send_lost(self, connection: DaemonConnection, out: Outgoing) -> None:
        first = self._log.first
        lost = EventsLostParams(subscription=self.number, from_=self.seq + 1, to=first)
        out.send(connection.notify("events.lost", lost))
        self.seq = first - 1


def _params(subscription: int, event: Event) -> EventParams:
    details: dict[str, Any] = {}
    match event.kind:
        case "held" | "started":
            details["pid"] = event.details
        case "act":
            details["act"] = event.details
        case "exited":
            details["outcome"], details["cause"], _ = event.details
        case "eof":
            details["stream"], details["final_offset"], details["reason"] = event.details
        case "closed":
            details["outcome"], details["cause"], details["verdict"] = event.details
    return EventParams(
        subscription=subscription,
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        id=event.id,
        name=event.name,
        incarnation=event.incarnation,
        labels=event.labels,
        **details,
    )
