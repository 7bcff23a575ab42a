"""Requests about the events of all processes."""

from __future__ import annotations

from procnursery.daemon.event_subscription import Choice, EventSubscription
from procnursery.daemon.handlers.methods import Methods
from procnursery.daemon.session import Answer, Session
from procnursery.errors import InvalidField
from procnursery.process.supervisor import Supervisor
from procnursery.protocol import messages as m


class EventHandlers:
    """Subscriptions to events."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    @property
    def methods(self) -> Methods:
        """Handlers by method."""
        return {"events.subscribe": self._subscribe, "events.unsubscribe": self._unsubscribe}

    async def _subscribe(self, session: Session, params: m.EventsSubscribeParams) -> Answer:
        log = self._supervisor.events
        if params.after is not None and params.after > log.latest:
            raise InvalidField(f"the latest event has the number {log.latest}", "after")
        if params.snapshot and params.after is not None:
            raise InvalidField("cannot be had together with 'after'", "snapshot")
        choice = Choice(
            kinds=None if params.kinds is None else frozenset(params.kinds),
            ids=None if params.ids is None else frozenset(params.ids),
            labels=params.labels,
        )
        # All of this without a checkpoint: nothing happens between the snapshot and its number.
        snapshot = [
            process.record.summary()
            for process in (self._supervisor.all() if params.snapshot else ())
            if choice.process(process.id, process.spec.name, process.spec.labels)
        ]
        after = log.latest if params.after is None else params.after
        subscription = session.subscribe(
            lambda number: EventSubscription(number, log, choice, after, snapshot)
        )
        result = m.EventsSubscribeResult(
            subscription=subscription.number,
            seq=log.latest,
            first=log.first,
            snapshot=len(snapshot),
        )
        return Answer(result, lambda: session.serve(subscription))

    def _unsubscribe(
        self, session: Session, params: m.EventsUnsubscribeParams
    ) -> m.EventsUnsubscribeResult:
        subscription = session.unsubscribe(params.subscription, EventSubscription)
        return m.EventsUnsubscribeResult(seq=subscription.seq)
