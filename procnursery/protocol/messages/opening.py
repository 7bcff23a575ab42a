"""Messages of a connection itself: hello, ping, cancel, goodbye, and the error of a reply."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs

from procnursery.model import (
    MAX_INT,
    Length,
    Range,
    Stamp,
    Survivor,
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
    unfrozen: Annotated[tuple[Survivor, ...], Length(max=64)] | None = None


@attrs.frozen(kw_only=True)
class ErrorInfo:
    """The error of a reply."""

    code: Annotated[str, Length(min=1, max=64)]
    message: Annotated[str, Length(min=0, max=4096)]
    data: ErrorData
