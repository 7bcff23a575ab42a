"""Requests about the machine."""

from __future__ import annotations

from procnursery.daemon.handlers.methods import Methods
from procnursery.daemon.sampling import GROUPS, Sampler, SampleSubscription
from procnursery.daemon.session import Answer, Session
from procnursery.model import ContainmentInfo
from procnursery.process.supervisor import Supervisor
from procnursery.protocol import messages as m


class HostHandlers:
    """What the machine is and does.

    :param state: the state directory
    """

    def __init__(self, supervisor: Supervisor, state: bytes, containment: ContainmentInfo) -> None:
        self._sampler = Sampler(supervisor, state, containment)

    @property
    def methods(self) -> Methods:
        """Handlers by method."""
        return {
            "host.facts": self._facts,
            "host.sample": self._sample,
            "host.subscribe": self._subscribe,
            "host.unsubscribe": self._unsubscribe,
        }

    async def _facts(self, _session: Session, _params: m.FactsParams) -> m.FactsResult:
        return m.FactsResult(facts=await self._sampler.facts())

    async def _sample(self, _session: Session, params: m.SampleParams) -> m.SampleResult:
        return m.SampleResult(sample=await self._sampler.sample(params.groups or GROUPS))

    async def _subscribe(self, session: Session, params: m.HostSubscribeParams) -> Answer:
        await self._sampler.load()  # so that tick 0 does not wait for it
        subscription = session.subscribe(
            lambda number: SampleSubscription(
                number, self._sampler, params.groups or GROUPS, params.interval, params.count
            )
        )
        result = m.HostSubscribeResult(subscription=subscription.number, first=subscription.first)
        return Answer(result, lambda: session.serve(subscription))

    def _unsubscribe(
        self, session: Session, params: m.HostUnsubscribeParams
    ) -> m.HostUnsubscribeResult:
        subscription = session.unsubscribe(params.subscription, SampleSubscription)
        return m.HostUnsubscribeResult(ticks=subscription.sent)
