"""One attrs class for the params and the result of every method and notification.

Shapes are those of ``spec/schema.json``, which describes each field.
"""

from __future__ import annotations

from typing import Annotated, Literal

import attrs

from procnursery.model import (
    MAX_INT,
    ContainmentInfo,
    Length,
    Outcome,
    Pattern,
    ProcessInfo,
    ProcessSpec,
    ProcessSummary,
    Range,
    Stamp,
    Times,
    Usage,
)


@attrs.frozen(kw_only=True)
class ClientInfo:
    """Who the client is, for logs."""

    name: Annotated[str, Length(min=1, max=64)]
    version: Annotated[str, Length(min=0, max=64)] = ""


@attrs.frozen(kw_only=True)
class PeerLimits:
    """What the sender accepts."""

    max_frame: Annotated[int, Range(65536, 16777215)] = 1048576


@attrs.frozen(kw_only=True)
class HelloParams:
    """First request of every connection."""

    protocol: Annotated[int, Range(1, 65535)]
    client: ClientInfo
    capabilities: Annotated[tuple[Annotated[str, Length(min=1, max=64)], ...], Length(max=64)] = ()
    limits: PeerLimits = attrs.field(factory=PeerLimits)


@attrs.frozen(kw_only=True)
class DaemonId:
    """Which daemon this is."""

    version: Annotated[str, Length(min=1, max=64)]
    instance: Annotated[str, Length(min=1, max=64)]
    pid: Annotated[int, Range(1, 4194304)]


@attrs.frozen(kw_only=True)
class DaemonLimits:
    """What the daemon accepts from this connection."""

    max_frame: Annotated[int, Range(65536, 16777215)]
    max_requests: Annotated[int, Range(1, 65535)]
    max_in_flight: Annotated[int, Range(0, MAX_INT)]
    stdin_window: Annotated[int, Range(0, MAX_INT)]
    max_subscriptions: Annotated[int, Range(1, 65535)]


@attrs.frozen(kw_only=True)
class HelloResult:
    """The daemon's answer to hello."""

    protocol: Annotated[int, Range(1, 65535)]
    daemon: DaemonId
    host: Annotated[str, Length(min=0, max=255)]
    boot_id: Annotated[str, Length(min=0, max=64)]
    capabilities: tuple[Annotated[str, Length(min=1, max=64)], ...]
    limits: DaemonLimits
    peer: Annotated[str, Length(min=0, max=256)]
    now: Stamp


@attrs.frozen(kw_only=True)
class DescribeParams:
    """No parameters."""


@attrs.frozen(kw_only=True)
class DescribeResult:
    """The protocol as this daemon implements it."""

    schema: str
    containment: ContainmentInfo


@attrs.frozen(kw_only=True)
class PingParams:
    """Parameters of ping."""

    payload: Annotated[bytes, Length(min=0, max=1024)] = b""


@attrs.frozen(kw_only=True)
class PingResult:
    """The daemon's clocks."""

    received: Stamp
    sent: Stamp
    payload: Annotated[bytes, Length(min=0, max=1024)]


@attrs.frozen(kw_only=True)
class InfoParams:
    """No parameters."""


@attrs.frozen(kw_only=True)
class DaemonInfo:
    """The daemon process."""

    pid: Annotated[int, Range(1, 4194304)]
    version: Annotated[str, Length(min=1, max=64)]
    instance: Annotated[str, Length(min=1, max=64)]
    started: Stamp
    uid: Annotated[int, Range(0, 4294967295)]
    state_dir: bytes
    config: bytes | None = None
    listen: tuple[str, ...]
    python: Annotated[str, Length(min=1, max=64)]
    rss_bytes: Annotated[int, Range(0, MAX_INT)]
    user_s: Annotated[float, Range(0, 1000000000000000.0)]
    system_s: Annotated[float, Range(0, 1000000000000000.0)]


@attrs.frozen(kw_only=True)
class SpawnerInfo:
    """The spawner process."""

    pid: Annotated[int, Range(1, 4194304)] | None = None
    form: Literal["python", "native"]
    restarts: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class HostId:
    """The machine."""

    hostname: Annotated[str, Length(min=0, max=255)]
    boot_id: Annotated[str, Length(min=0, max=64)]
    kernel: Annotated[str, Length(min=0, max=256)]
    machine: Annotated[str, Length(min=0, max=64)]
    cpus: Annotated[int, Range(1, 65536)]


@attrs.frozen(kw_only=True)
class Counts:
    """How much the daemon holds."""

    live: Annotated[int, Range(0, MAX_INT)]
    closed: Annotated[int, Range(0, MAX_INT)]
    started: Annotated[int, Range(0, MAX_INT)]
    connections: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class InfoResult:
    """What this daemon is and holds."""

    daemon: DaemonInfo
    spawner: SpawnerInfo
    containment: ContainmentInfo
    host: HostId
    counts: Counts
    now: Stamp


@attrs.frozen(kw_only=True)
class StartParams:
    """Parameters of process.start."""

    spec: ProcessSpec
    token: Annotated[str, Length(min=1, max=128)] | None = None
    events: bool = True


@attrs.frozen(kw_only=True)
class StartResult:
    """A process that executes its program."""

    id: Annotated[str, Length(min=1, max=64)]
    pid: Annotated[int, Range(1, 4194304)]
    state: Literal["held", "running", "exited", "closed"]
    times: Times
    existing: bool = False


@attrs.frozen(kw_only=True)
class SignalParams:
    """Parameters of process.signal."""

    id: Annotated[str, Length(min=1, max=64)]
    signal: Annotated[str, Length(min=1, max=16), Pattern(r"^SIG[A-Z0-9+]+$")]
    target: Literal["main", "group", "tree"] = "main"


@attrs.frozen(kw_only=True)
class SignalResult:
    """The kernel accepted the signal."""

    delivered: Stamp
    count: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class StopParams:
    """Parameters of process.stop."""

    id: Annotated[str, Length(min=1, max=64)]
    signal: Annotated[str, Length(min=1, max=16), Pattern(r"^SIG[A-Z0-9+]+$")] | None = None
    grace: Annotated[float, Range(0, 1000000000.0)] | None = None


@attrs.frozen(kw_only=True)
class ProcessResult:
    """One process."""

    process: ProcessInfo


@attrs.frozen(kw_only=True)
class WaitParams:
    """Parameters of process.wait."""

    id: Annotated[str, Length(min=1, max=64)]
    until: Literal["exited", "closed"] = "closed"
    timeout: Annotated[float, Range(0, 1000000000.0)] | None = None


@attrs.frozen(kw_only=True)
class GetParams:
    """Parameters of process.get."""

    id: Annotated[str, Length(min=1, max=64)]
    spec: bool = False


@attrs.frozen(kw_only=True)
class ListParams:
    """Parameters of process.list."""

    after: Annotated[str, Length(min=1, max=64)] | None = None
    limit: Annotated[int, Range(1, 1000)] = 100
    states: (
        Annotated[
            tuple[Literal["starting", "held", "running", "exited", "closed"], ...],
            Length(min=1, max=5),
        ]
        | None
    ) = None


@attrs.frozen(kw_only=True)
class ListResult:
    """A page of processes, oldest first."""

    processes: tuple[ProcessSummary, ...]
    next: Annotated[str, Length(min=1, max=64)] | None = None


@attrs.frozen(kw_only=True)
class ForgetParams:
    """Parameters of process.forget."""

    id: Annotated[str, Length(min=1, max=64)]


@attrs.frozen(kw_only=True)
class ForgetResult:
    """The record and the stored output are gone."""


@attrs.frozen(kw_only=True)
class StdinWriteParams:
    """Parameters of stdin.write."""

    id: Annotated[str, Length(min=1, max=64)]
    offset: Annotated[int, Range(0, MAX_INT)]
    data: Annotated[bytes, Length(min=0, max=1048576)]


@attrs.frozen(kw_only=True)
class StdinCloseParams:
    """Parameters of stdin.close."""

    id: Annotated[str, Length(min=1, max=64)]
    offset: Annotated[int, Range(0, MAX_INT)] | None = None


@attrs.frozen(kw_only=True)
class StdinResult:
    """How far the input was taken."""

    offset: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class ReadParams:
    """Parameters of output.read."""

    id: Annotated[str, Length(min=1, max=64)]
    stream: Literal["stdout", "stderr"]
    offset: Annotated[int, Range(0, MAX_INT)]
    max: Annotated[int, Range(1, 1048576)] = 65536
    wait: Annotated[float, Range(0, 3600)] = 0
    consumed: Annotated[int, Range(0, MAX_INT)] | None = None


@attrs.frozen(kw_only=True)
class ReadResult:
    """Bytes of a stream."""

    offset: Annotated[int, Range(0, MAX_INT)]
    data: bytes
    end: Annotated[int, Range(0, MAX_INT)]
    eof: Literal["closed", "held_by_survivor", "abandoned"] | None = None


@attrs.frozen(kw_only=True)
class SubscribeParams:
    """Parameters of output.subscribe."""

    id: Annotated[str, Length(min=1, max=64)]
    stream: Literal["stdout", "stderr"]
    offset: Annotated[int, Range(0, MAX_INT)] = 0
    credit: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class SubscribeResult:
    """A subscription."""

    subscription: Annotated[int, Range(1, 4294967295)]
    first: Annotated[int, Range(0, MAX_INT)]
    end: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class UnsubscribeParams:
    """Parameters of output.unsubscribe."""

    subscription: Annotated[int, Range(1, 4294967295)]


@attrs.frozen(kw_only=True)
class UnsubscribeResult:
    """The subscription is gone."""

    offset: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class CreditParams:
    """More credit for a subscription."""

    subscription: Annotated[int, Range(1, 4294967295)]
    credit: Annotated[int, Range(0, MAX_INT)]
    consumed: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class CancelParams:
    """Asks that an outstanding request end early."""

    id: Annotated[int, Range(0, 4294967295)]


@attrs.frozen(kw_only=True)
class GoodbyeParams:
    """The sender is about to close the connection."""

    code: Annotated[str, Length(min=1, max=64)]
    message: Annotated[str, Length(min=0, max=4096)] = ""
    grace: Annotated[float, Range(0, 1000000000.0)] | None = None


@attrs.frozen(kw_only=True)
class ExitedParams:
    """The main process was reaped."""

    seq: Annotated[int, Range(0, MAX_INT)]
    at: Stamp
    id: Annotated[str, Length(min=1, max=64)]
    outcome: Outcome
    cause: Literal["own", "requested", "timeout", "oom", "disconnect", "shutdown"]
    usage: Usage | None


@attrs.frozen(kw_only=True)
class EofParams:
    """No further byte of a stream will come."""

    seq: Annotated[int, Range(0, MAX_INT)]
    at: Stamp
    id: Annotated[str, Length(min=1, max=64)]
    stream: Literal["stdout", "stderr"]
    final_offset: Annotated[int, Range(0, MAX_INT)]
    reason: Literal["closed", "held_by_survivor", "abandoned"]


@attrs.frozen(kw_only=True)
class ClosedParams:
    """The last event of a process."""

    seq: Annotated[int, Range(0, MAX_INT)]
    at: Stamp
    id: Annotated[str, Length(min=1, max=64)]
    process: ProcessInfo


@attrs.frozen(kw_only=True)
class DataParams:
    """Bytes of a subscribed stream."""

    subscription: Annotated[int, Range(1, 4294967295)]
    offset: Annotated[int, Range(0, MAX_INT)]
    data: bytes


@attrs.frozen(kw_only=True)
class GapParams:
    """Bytes of a subscribed stream were lost."""

    subscription: Annotated[int, Range(1, 4294967295)]
    from_: Annotated[int, Range(0, MAX_INT)]
    to: Annotated[int, Range(0, MAX_INT)]
    reason: Annotated[str, Length(min=1, max=64)]


@attrs.frozen(kw_only=True)
class EndParams:
    """The subscription has delivered the whole stream and is gone."""

    subscription: Annotated[int, Range(1, 4294967295)]
    offset: Annotated[int, Range(0, MAX_INT)]
    reason: Literal["closed", "held_by_survivor", "abandoned"]


@attrs.frozen(kw_only=True)
class ErrorData:
    """What a program needs to know of an error."""

    executed: Literal["yes", "no", "unknown"]
    path: Annotated[str, Length(min=0, max=1024)] | None = None
    errno: Annotated[str, Length(min=1, max=32)] | None = None
    errno_number: Annotated[int, Range(0, 4095)] | None = None
    stage: Annotated[str, Length(min=1, max=32)] | None = None
    signal: Annotated[str, Length(min=1, max=16)] | None = None
    file: bytes | None = None
    first: Annotated[int, Range(0, MAX_INT)] | None = None
    end: Annotated[int, Range(0, MAX_INT)] | None = None
    limit: Annotated[int, Range(0, MAX_INT)] | None = None
    size: Annotated[int, Range(0, MAX_INT)] | None = None
    supported: tuple[Annotated[int, Range(1, 65535)], ...] | None = None
    pid: Annotated[int, Range(1, 4194304)] | None = None


@attrs.frozen(kw_only=True)
class ErrorInfo:
    """The error of a reply."""

    code: Annotated[str, Length(min=1, max=64)]
    message: Annotated[str, Length(min=0, max=4096)]
    data: ErrorData


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
    "stdin.write": Method(StdinWriteParams, StdinResult),
    "stdin.close": Method(StdinCloseParams, StdinResult),
    "output.read": Method(ReadParams, ReadResult),
    "output.subscribe": Method(SubscribeParams, SubscribeResult),
    "output.unsubscribe": Method(UnsubscribeParams, UnsubscribeResult),
}

NOTIFICATIONS: dict[str, NotificationType] = {
    "output.credit": NotificationType("to_daemon", CreditParams),
    "cancel": NotificationType("to_daemon", CancelParams),
    "goodbye": NotificationType("both", GoodbyeParams),
    "process.exited": NotificationType("to_client", ExitedParams),
    "process.eof": NotificationType("to_client", EofParams),
    "process.closed": NotificationType("to_client", ClosedParams),
    "output.data": NotificationType("to_client", DataParams),
    "output.gap": NotificationType("to_client", GapParams),
    "output.end": NotificationType("to_client", EndParams),
}
