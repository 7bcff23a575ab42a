"""Messages about the events of all processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import attrs

from procnursery.model import (
    MAX_INT,
    Act,
    Length,
    Outcome,
    ProcessSummary,
    Range,
    Stamp,
)

EventKind = Literal["held", "started", "ready", "act", "exited", "eof", "closed", "forgotten"]
"""What an event tells of."""


@attrs.frozen(kw_only=True)
class EventsSubscribeParams:
    """Parameters of events.subscribe."""

    after: Annotated[int, Range(0, MAX_INT)] | None = None
    kinds: Annotated[tuple[EventKind, ...], Length(min=1, max=8)] | None = None
    ids: (
        Annotated[tuple[Annotated[str, Length(min=1, max=64)], ...], Length(min=1, max=4096)] | None
    ) = None
    labels: Annotated[Mapping[str, str], Length(max=64)] = attrs.field(factory=dict)
    snapshot: bool = False


@attrs.frozen(kw_only=True)
class EventsSubscribeResult:
    """A subscription to events."""

    subscription: Annotated[int, Range(1, 4294967295)]
    seq: Annotated[int, Range(0, MAX_INT)]
    first: Annotated[int, Range(0, MAX_INT)]
    snapshot: Annotated[int, Range(0, MAX_INT)] = 0


@attrs.frozen(kw_only=True)
class EventsUnsubscribeParams:
    """Parameters of events.unsubscribe."""

    subscription: Annotated[int, Range(1, 4294967295)]


@attrs.frozen(kw_only=True)
class EventsUnsubscribeResult:
    """The subscription is gone."""

    seq: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class SnapshotParams:
    """One process as it was when the subscription began."""

    subscription: Annotated[int, Range(1, 4294967295)]
    process: ProcessSummary


@attrs.frozen(kw_only=True)
class EventParams:
    """One thing that happened to a process."""

    subscription: Annotated[int, Range(1, 4294967295)]
    seq: Annotated[int, Range(0, MAX_INT)]
    at: Stamp
    kind: EventKind
    id: Annotated[str, Length(min=1, max=64)]
    name: Annotated[str, Length(min=1, max=64)] | None = None
    incarnation: Annotated[int, Range(1, MAX_INT)] = 1
    labels: Mapping[str, str] = attrs.field(factory=dict)
    pid: Annotated[int, Range(1, 4194304)] | None = None
    act: Act | None = None
    outcome: Outcome | None = None
    cause: Literal["own", "requested", "timeout", "oom", "disconnect", "shutdown"] | None = None
    stream: Literal["stdout", "stderr"] | None = None
    final_offset: Annotated[int, Range(0, MAX_INT)] | None = None
    reason: Literal["closed", "held_by_survivor", "abandoned"] | None = None
    verdict: Literal["pending", "empty", "survivors", "kept", "unknown"] | None = None


@attrs.frozen(kw_only=True)
class EventsLostParams:
    """Events that this subscription will not get."""

    subscription: Annotated[int, Range(1, 4294967295)]
    from_: Annotated[int, Range(0, MAX_INT)]
    to: Annotated[int, Range(0, MAX_INT)]
