"""Frozen values that every part of procnursery speaks of: specs, outcomes, times, streams.

Shapes, units and bounds are those of ``spec/schema.json``, where each field is described; the
checker ``spec/tools/check.py`` compares the two in both directions. A trailing underscore of an
attribute (``from_``, ``class_``) is not part of its name on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import attrs

from procnursery.errors import OutcomeError

MAX_INT = 2**53 - 1
"""Largest integer that every language's number type holds exactly."""


NAME = r"^(?!p[0-9]+$)[A-Za-z_][A-Za-z0-9_.-]*$"
"""A name that a client gives a process; an id never looks like one."""


@attrs.frozen
class Range:
    """Bounds of a number, both included."""

    min: float
    max: float


@attrs.frozen
class Length:
    """Bounds of a length: characters of a str, bytes of a bytes, items of a tuple or mapping."""

    min: int | None = attrs.field(default=None, kw_only=True)
    max: int | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Pattern:
    """Regular expression that a str must match from its beginning to its end."""

    regex: str


Time = tuple[
    Annotated[int, Range(0, MAX_INT)], Annotated[int, Range(0, 999999999)]
]  # Seconds and nanoseconds of one clock.


@attrs.frozen(kw_only=True)
class Stamp:
    """One instant on one host, read on both of its clocks as close together as the host can."""

    realtime: Time
    monotonic: Time


@attrs.frozen(kw_only=True)
class StdinSpec:
    """Where the process reads its standard input."""

    mode: Literal["pipe", "null", "file", "bytes"] = "null"
    path: Annotated[bytes, Length(min=1, max=4095)] | None = None
    data: Annotated[bytes, Length(min=0, max=4194304)] | None = None


@attrs.frozen(kw_only=True)
class OutputSpec:
    """Where one output stream of the process goes and how much of it is kept."""

    mode: Literal["pipe", "spool", "direct", "null", "stdout"] = "spool"
    full: Literal["block", "drop_oldest"] = "block"
    capacity: Annotated[int, Range(4096, 67108864)] = 1048576
    path: Annotated[bytes, Length(min=1, max=4095)] | None = None
    append: bool = False

    @property
    def idle_fields(self) -> frozenset[str]:
        """Names of the fields that mean nothing with this mode."""
        ring = () if self.mode == "pipe" else ("full", "capacity")
        file = () if self.mode == "direct" else ("path",)
        target = () if self.path is not None else ("append",)
        return frozenset((*ring, *file, *target))


@attrs.frozen(kw_only=True)
class Scheduler:
    """CPU scheduling policy, sched(7)."""

    policy: Literal["other", "batch", "idle", "fifo", "rr"]
    priority: Annotated[int, Range(0, 99)] = 0


@attrs.frozen(kw_only=True)
class IoNice:
    """I/O scheduling class and level, ioprio_set(2)."""

    class_: Literal["none", "realtime", "best-effort", "idle"]
    level: Annotated[int, Range(0, 7)] = 4


@attrs.frozen(kw_only=True)
class PtySpec:
    """A terminal in the place of stdin, stdout and stderr, pty(7)."""

    rows: Annotated[int, Range(1, 65535)] = 24
    columns: Annotated[int, Range(1, 65535)] = 80


@attrs.frozen(kw_only=True)
class ReadySpec:
    """How a process shows that it is ready for use."""

    mode: Literal["notify", "output", "connect"]
    stream: Literal["stdout", "stderr"] = "stdout"
    pattern: Annotated[bytes, Length(min=1, max=1024)] | None = None
    address: Annotated[str, Length(min=1, max=256)] | None = None
    timeout: Annotated[float, Range(0, 1000000000.0)] = 60


@attrs.frozen(kw_only=True)
class ProcessSpec:
    """What a managed process is to be. A field left out takes its default, an unknown one is
    refused."""

    argv: Annotated[tuple[bytes, ...], Length(min=1, max=262144)]
    executable: Annotated[bytes, Length(min=1, max=4095)] | None = None
    env: Annotated[
        tuple[tuple[Annotated[bytes, Length(min=1)], bytes], ...], Length(max=262144)
    ] = ()
    env_base: Literal["clean", "inherit"] = "clean"
    cwd: Annotated[bytes, Length(min=1, max=4095)] | None = None
    user: Annotated[str, Length(min=1, max=256)] | Annotated[int, Range(0, 4294967294)] | None = (
        None
    )
    group: Annotated[str, Length(min=1, max=256)] | Annotated[int, Range(0, 4294967294)] | None = (
        None
    )
    groups: (
        Annotated[
            tuple[
                Annotated[str, Length(min=1, max=256)] | Annotated[int, Range(0, 4294967294)], ...
            ],
            Length(max=65536),
        ]
        | None
    ) = None
    umask: Annotated[int, Range(0, 511)] = 18
    rlimits: Annotated[
        Mapping[
            str,
            tuple[
                Annotated[int, Range(0, MAX_INT)] | None, Annotated[int, Range(0, MAX_INT)] | None
            ],
        ],
        Length(max=32),
    ] = attrs.field(factory=dict)
    affinity: (
        Annotated[tuple[Annotated[int, Range(0, 8191)], ...], Length(min=1, max=8192)] | None
    ) = None
    nice: Annotated[int, Range(-20, 19)] | None = None
    scheduler: Scheduler | None = None
    ionice: IoNice | None = None
    oom_score_adj: Annotated[int, Range(-1000, 1000)] | None = None
    stdin: StdinSpec = attrs.field(factory=StdinSpec)
    stdout: OutputSpec = attrs.field(factory=OutputSpec)
    stderr: OutputSpec = attrs.field(factory=OutputSpec)
    timeout: Annotated[float, Range(0, 1000000000.0)] | None = None
    start_timeout: Annotated[float, Range(0, 1000000000.0)] = 30
    stop_signal: Annotated[str, Length(min=1, max=16), Pattern(r"^SIG[A-Z0-9+]+$")] = "SIGTERM"
    grace: Annotated[float, Range(0, 1000000000.0)] = 10
    descendants: Literal["kill", "wait", "keep"] = "kill"
    descendants_grace: Annotated[float, Range(0, 1000000000.0)] = 1
    on_disconnect: Literal["kill", "keep", "keep_for"] = "kill"
    keep_for: Annotated[float, Range(0, 1000000000.0)] | None = None
    name: Annotated[str, Length(min=1, max=64), Pattern(NAME)] | None = None
    labels: Annotated[Mapping[str, Annotated[str, Length(min=0, max=256)]], Length(max=64)] = (
        attrs.field(factory=dict)
    )
    hold: bool = False
    ready: ReadySpec | None = None
    pty: PtySpec | None = None

    @property
    def takes_input(self) -> bool:
        """Whether input can be sent while it runs."""
        return self.pty is not None or self.stdin.mode == "pipe"

    def output_mode(
        self, name: Literal["stdout", "stderr"]
    ) -> Literal["pipe", "spool", "direct", "null", "stdout", "pty"]:
        """Mode of an output stream as :class:`StreamInfo` has it."""
        if self.pty is not None:
            return "pty" if name == "stdout" else "stdout"
        return self.stdout.mode if name == "stdout" else self.stderr.mode

    @property
    def own_streams(self) -> tuple[Literal["stdout", "stderr"], ...]:
        """The output streams that have bytes of their own."""
        names: tuple[Literal["stdout", "stderr"], ...] = ("stdout", "stderr")
        return tuple(one for one in names if self.output_mode(one) not in ("null", "stdout"))


@attrs.frozen(kw_only=True)
class Outcome:
    """How the main process ended: one unambiguous value."""

    kind: Literal["exited", "signalled", "start_failed", "lost"]
    code: Annotated[int, Range(0, 255)] | None = None
    signal: Annotated[str, Length(min=1, max=16)] | None = None
    core_dumped: bool | None = None
    stage: Annotated[str, Length(min=1, max=32)] | None = None
    errno: Annotated[str, Length(min=1, max=32)] | None = None
    errno_number: Annotated[int, Range(0, 4095)] | None = None
    reason: Annotated[str, Length(min=0, max=4096)] | None = None

    def __str__(self) -> str:
        match self.kind:
            case "exited":
                return f"exited with status {self.code}"
            case "signalled":
                dumped = " (core dumped)" if self.core_dumped else ""
                return f"was ended by {self.signal}{dumped}"
            case "start_failed":
                if self.signal is not None:
                    return f"was ended by {self.signal} at stage {self.stage}, before its exec"
                return f"was not executed: stage {self.stage}, {self.errno or self.reason}"
        return f"was lost: {self.reason or 'its outcome is unknown'}"

    def raise_for_status(self) -> None:
        """Do nothing if the program exited with status 0.

        :raises OutcomeError: it did not
        """
        if self.kind != "exited" or self.code != 0:
            raise OutcomeError(f"the program {self}", self)


@attrs.frozen(kw_only=True)
class Act:
    """Something done to a process from outside."""

    act: Literal["signal", "stop", "kill", "freeze", "thaw"]
    signal: Annotated[str, Length(min=1, max=16), Pattern(r"^SIG[A-Z0-9+]+$")]
    target: Literal["main", "group", "tree"]
    cause: Literal["requested", "timeout", "disconnect", "shutdown", "descendants"]
    by: Annotated[str, Length(min=0, max=256)]
    requested: Stamp
    delivered: Stamp | None = None
    errno: Annotated[str, Length(min=1, max=32)] | None = None
    due: Time | None = None


@attrs.frozen(kw_only=True)
class Usage:
    """Resources used by the main process and the descendants it waited for, getrusage(2), its own
    set-up before exec subtracted."""

    user_s: Annotated[float, Range(0, 1000000000000000.0)]
    system_s: Annotated[float, Range(0, 1000000000000000.0)]
    max_rss_bytes: Annotated[int, Range(0, MAX_INT)]
    max_rss_is_upper_bound: bool
    minor_faults: Annotated[int, Range(0, MAX_INT)]
    major_faults: Annotated[int, Range(0, MAX_INT)]
    block_input: Annotated[int, Range(0, MAX_INT)]
    block_output: Annotated[int, Range(0, MAX_INT)]
    voluntary_switches: Annotated[int, Range(0, MAX_INT)]
    involuntary_switches: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class TreeUsage:
    """Resources used by the whole tree, as its cgroup counted them (set-up included)."""

    user_s: Annotated[float, Range(0, 1000000000000000.0)]
    system_s: Annotated[float, Range(0, 1000000000000000.0)]


@attrs.frozen(kw_only=True)
class Times:
    """When the steps of one process happened. All are stamped by the daemon's host."""

    requested: Stamp
    held: Stamp | None = None
    exec: Stamp | None = None
    exec_seen: Stamp | None = None
    exited: Stamp | None = None
    closed: Stamp | None = None


@attrs.frozen(kw_only=True)
class ReleaseInfo:
    """How a held process was let go."""

    requested: Stamp
    due: Time | None = None
    missed: bool = False
    late_s: Annotated[float, Range(0, 1000000000000000.0)] | None = None


@attrs.frozen(kw_only=True)
class ReadyInfo:
    """Whether a process is ready for use, as its spec's `ready` defines it."""

    state: Literal["waiting", "ready", "failed"]
    at: Stamp | None = None
    reason: Annotated[str, Length(min=0, max=1024)] | None = None
    tails: Annotated[Mapping[str, bytes], Length(max=2)] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Gap:
    """Bytes of a stream that were lost."""

    from_: Annotated[int, Range(0, MAX_INT)]
    to: Annotated[int, Range(0, MAX_INT)]
    reason: Annotated[str, Length(min=1, max=64)]


@attrs.frozen(kw_only=True)
class StreamInfo:
    """One output stream of a process."""

    mode: Literal["pipe", "spool", "direct", "null", "stdout", "pty"]
    first: Annotated[int, Range(0, MAX_INT)]
    end: Annotated[int, Range(0, MAX_INT)]
    lost: Annotated[int, Range(0, MAX_INT)] = 0
    gaps: Annotated[tuple[Gap, ...], Length(max=64)] = ()
    eof: Literal["closed", "held_by_survivor", "abandoned"] | None = None
    path: bytes | None = None
    error: Annotated[str, Length(min=0, max=1024)] | None = None


@attrs.frozen(kw_only=True)
class Survivor:
    """A process that could not be made to end, or to stand still."""

    pid: Annotated[int, Range(1, 4194304)]
    state: Annotated[str, Length(min=1, max=1)]
    command: Annotated[str, Length(min=0, max=64)]
    reason: Annotated[str, Length(min=1, max=256)]


@attrs.frozen(kw_only=True)
class TreeInfo:
    """What became of the whole process tree."""

    verdict: Literal["pending", "empty", "survivors", "kept", "unknown"]
    at: Stamp | None = None
    killed: Annotated[int, Range(0, MAX_INT)] = 0
    survivors: Annotated[tuple[Survivor, ...], Length(max=64)] = ()


@attrs.frozen(kw_only=True)
class ProcessInfo:
    """All that the daemon knows of one process."""

    id: Annotated[str, Length(min=1, max=64)]
    state: Literal["starting", "held", "running", "exited", "closed"]
    pid: Annotated[int, Range(1, 4194304)] | None = None
    argv: tuple[bytes, ...]
    argv_truncated: bool = False
    by: Annotated[str, Length(min=0, max=256)]
    containment: Literal["cgroup", "session"]
    on_disconnect: Literal["kill", "keep", "keep_for"]
    name: Annotated[str, Length(min=1, max=64)] | None = None
    incarnation: Annotated[int, Range(1, MAX_INT)] = 1
    labels: Mapping[str, str] = attrs.field(factory=dict)
    release: ReleaseInfo | None = None
    ready: ReadyInfo | None = None
    times: Times
    outcome: Outcome | None = None
    cause: Literal["own", "requested", "timeout", "oom", "disconnect", "shutdown"] | None = None
    acts: Annotated[tuple[Act, ...], Length(max=64)] = ()
    usage: Usage | None = None
    tree_usage: TreeUsage | None = None
    streams: Annotated[Mapping[str, StreamInfo], Length(max=8)]
    tree: TreeInfo
    spec: ProcessSpec | None = None
    frozen: bool = False


@attrs.frozen(kw_only=True)
class ProcessSummary:
    """One line of a list of processes."""

    id: Annotated[str, Length(min=1, max=64)]
    state: Literal["starting", "held", "running", "exited", "closed"]
    pid: Annotated[int, Range(1, 4194304)] | None = None
    argv: tuple[bytes, ...]
    by: Annotated[str, Length(min=0, max=256)]
    times: Times
    name: Annotated[str, Length(min=1, max=64)] | None = None
    incarnation: Annotated[int, Range(1, MAX_INT)] = 1
    labels: Mapping[str, str] = attrs.field(factory=dict)
    outcome: Outcome | None = None
    cause: Literal["own", "requested", "timeout", "oom", "disconnect", "shutdown"] | None = None
    frozen: bool = False


@attrs.frozen(kw_only=True)
class ContainmentInfo:
    """How process trees are held together on this daemon."""

    kind: Literal["cgroup", "session"]
    configured: Literal["auto", "cgroup", "session"]
    reason: Annotated[str, Length(min=0, max=1024)]
    path: bytes | None = None
    limitations: tuple[Annotated[str, Length(min=0, max=1024)], ...] = ()


@attrs.frozen(kw_only=True)
class Unavailable:
    """A field of the machine's state that could not be read."""

    field: Annotated[str, Length(min=1, max=128)]
    reason: Annotated[str, Length(min=1, max=256)]
    errno: Annotated[str, Length(min=1, max=32)] | None = None


@attrs.frozen(kw_only=True)
class Facts:
    """What a machine is."""

    at: Stamp
    cost_ns: Annotated[int, Range(0, MAX_INT)]
    values: Mapping[str, str | float]
    unavailable: tuple[Unavailable, ...] = ()


@attrs.frozen(kw_only=True)
class Sample:
    """What a machine does at one instant."""

    at: Stamp
    cost_ns: Annotated[int, Range(0, MAX_INT)]
    values: Mapping[str, float]
    unavailable: tuple[Unavailable, ...] = ()
