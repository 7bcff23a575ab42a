"""One attrs class for the params and the result of every method and notification.

Shapes are those of ``spec/schema.json``, which describes each field.
"""

from __future__ import annotations

from typing import Literal

import attrs

from procnursery.protocol.messages.daemon import *
from procnursery.protocol.messages.events import *
from procnursery.protocol.messages.host import *
from procnursery.protocol.messages.opening import *
from procnursery.protocol.messages.process import *
from procnursery.protocol.messages.streams import *


@attrs.frozen
class Method:
    """Classes of one method's params and result."""

    params: type
    result: type


@attrs.frozen
class NotificationType:
    """Direction of one notification and the class of its params."""

    direction: Literal["to_daemon", "to_client", "both"]
    params: type


METHODS: dict[str, Method] = {
    "hello": Method(HelloParams, HelloResult),
    "describe": Method(DescribeParams, DescribeResult),
    "ping": Method(PingParams, PingResult),
    "daemon.info": Method(InfoParams, InfoResult),
    "process.start": Method(StartParams, StartResult),
    "process.signal": Method(SignalParams, SignalResult),
    "process.stop": Method(StopParams, ProcessResult),
    "process.wait": Method(WaitParams, ProcessResult),
    "process.list": Method(ListParams, ListResult),
    "process.get": Method(GetParams, ProcessResult),
    "process.forget": Method(ForgetParams, ForgetResult),
    "process.attach": Method(AttachParams, ProcessResult),
    "process.release": Method(ReleaseParams, ReleaseResult),
    "process.restart": Method(RestartParams, StartResult),
    "process.freeze": Method(FreezeParams, FreezeResult),
    "process.thaw": Method(ThawParams, FreezeResult),
    "stdin.write": Method(StdinWriteParams, StdinResult),
    "stdin.close": Method(StdinCloseParams, StdinResult),
    "output.read": Method(ReadParams, ReadResult),
    "output.subscribe": Method(SubscribeParams, SubscribeResult),
    "output.unsubscribe": Method(UnsubscribeParams, UnsubscribeResult),
    "pty.resize": Method(ResizeParams, ResizeResult),
    "events.subscribe": Method(EventsSubscribeParams, EventsSubscribeResult),
    "events.unsubscribe": Method(EventsUnsubscribeParams, EventsUnsubscribeResult),
    "host.facts": Method(FactsParams, FactsResult),
    "host.sample": Method(SampleParams, SampleResult),
    "host.subscribe": Method(HostSubscribeParams, HostSubscribeResult),
    "host.unsubscribe": Method(HostUnsubscribeParams, HostUnsubscribeResult),
}

NOTIFICATIONS: dict[str, NotificationType] = {
    "output.credit": NotificationType("to_daemon", CreditParams),
    "cancel": NotificationType("to_daemon", CancelParams),
    "goodbye": NotificationType("both", GoodbyeParams),
    "process.ready": NotificationType("to_client", ReadyParams),
    "process.exited": NotificationType("to_client", ExitedParams),
    "process.eof": NotificationType("to_client", EofParams),
    "process.closed": NotificationType("to_client", ClosedParams),
    "output.data": NotificationType("to_client", DataParams),
    "output.gap": NotificationType("to_client", GapParams),
    "output.end": NotificationType("to_client", EndParams),
    "events.process": NotificationType("to_client", SnapshotParams),
    "events.event": NotificationType("to_client", EventParams),
    "events.lost": NotificationType("to_client", EventsLostParams),
    "host.data": NotificationType("to_client", HostDataParams),
    "host.end": NotificationType("to_client", HostEndParams),
}
