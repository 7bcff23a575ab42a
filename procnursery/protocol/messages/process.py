"""Messages about processes, from process.start to process.closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import attrs

from procnursery.model import (
    MAX_INT,
    Length,
    Outcome,
    Pattern,
    ProcessInfo,
    ProcessSpec,
    ProcessSummary,
    Range,
    ReleaseInfo,
    Stamp,
    Time,
    Times,
    Usage,
)


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
    incarnation: Annotated[int, Range(1, MAX_INT)] = 1


@attrs.frozen(kw_only=True)
class ReleaseParams:
    """Parameters of process.release."""

    ids: Annotated[tuple[Annotated[str, Length(min=1, max=64)], ...], Length(min=1, max=4096)]
    at: Time | None = None


@attrs.frozen(kw_only=True)
class Released:
    """What became of one process that was let go."""

    id: Annotated[str, Length(min=1, max=64)]
    release: ReleaseInfo
    times: Times
    outcome: Outcome | None = None


@attrs.frozen(kw_only=True)
class ReleaseResult:
    """Every one of them was let go; of each it is known whether its program was executed."""

    releases: tuple[Released, ...]


@attrs.frozen(kw_only=True)
class RestartParams:
    """Parameters of process.restart."""

    id: Annotated[str, Length(min=1, max=64)]
    grace: Annotated[float, Range(0, 1000000000.0)] | None = None
    events: bool = True


@attrs.frozen(kw_only=True)
class AttachParams:
    """Parameters of process.attach."""

    id: Annotated[str, Length(min=1, max=64)]
    events: bool = True
    after: Annotated[int, Range(0, MAX_INT)] = 0


@attrs.frozen(kw_only=True)
class SignalParams:
    """Parameters of process.signal."""

    id: Annotated[str, Length(min=1, max=64)]
    signal: Annotated[str, Length(min=1, max=16), Pattern(r"^SIG[A-Z0-9+]+$")]
    target: Literal["main", "group", "tree"] = "main"
    at: Time | None = None


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
    at: Time | None = None


@attrs.frozen(kw_only=True)
class FreezeParams:
    """Parameters of process.freeze."""

    id: Annotated[str, Length(min=1, max=64)]
    at: Time | None = None


@attrs.frozen(kw_only=True)
class ThawParams:
    """Parameters of process.thaw."""

    id: Annotated[str, Length(min=1, max=64)]
    at: Time | None = None


@attrs.frozen(kw_only=True)
class FreezeResult:
    """The whole tree is frozen, or goes on."""

    delivered: Stamp
    seen: Stamp
    frozen: bool


@attrs.frozen(kw_only=True)
class ProcessResult:
    """One process."""

    process: ProcessInfo


@attrs.frozen(kw_only=True)
class WaitParams:
    """Parameters of process.wait."""

    id: Annotated[str, Length(min=1, max=64)]
    until: Literal["ready", "exited", "closed"] = "closed"
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
    name: Annotated[str, Length(min=1, max=64)] | None = None
    labels: Annotated[Mapping[str, str], Length(max=64)] = attrs.field(factory=dict)


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
class ReadyParams:
    """The process is ready for use."""

    seq: Annotated[int, Range(0, MAX_INT)]
    at: Stamp
    id: Annotated[str, Length(min=1, max=64)]


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
