"""What is known of one process: its state, its facts in their order, and its snapshot."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from typing import Any, Literal, cast

import attrs
import trio

from procnursery.model import (
    Act,
    Outcome,
    ProcessInfo,
    ProcessSpec,
    ProcessSummary,
    ReadyInfo,
    ReleaseInfo,
    Stamp,
    StreamInfo,
    Times,
    TreeInfo,
    TreeUsage,
    Usage,
)
from procnursery.process.events import EventLog, Kind
from procnursery.process.output import Stream
from procnursery.signals import signal_name

FactKind = Literal["ready", "exited", "eof", "closed"]
State = Literal["starting", "held", "running", "exited", "closed"]
Cause = Literal["own", "requested", "timeout", "oom", "disconnect", "shutdown"]
RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT)
"""What says that the machine lacks something at the moment."""
MAX_ACTS = 64
MAX_ARGV_BYTES = 4096
_CAUSES = ("requested", "timeout", "disconnect", "shutdown")


@attrs.frozen
class Fact:
    """Something that happened to a process.

    :ivar seq: its number, daemon-wide
    :ivar details: by kind: None · (outcome, cause, usage) · (stream name, final offset, reason) ·
        ProcessInfo
    """

    kind: FactKind
    seq: int
    at: Stamp
    details: Any


class Record:
    """All that is known of one process.

    :ivar streams: the daemon's side of its output streams
    :ivar followers: called with each fact as it happens
    :ivar frozen: whether all of the tree is known to stand still
    :param incarnation: which life of its name this is
    :param events: where what happens is told
    """

    def __init__(
        self,
        process_id: str,
        spec: ProcessSpec,
        *,
        by: str,
        containment: str,
        requested: Stamp,
        events: EventLog,
        incarnation: int = 1,
    ) -> None:
        self.id = process_id
        self.spec = spec
        self.incarnation = incarnation
        self._events = events
        self.release: ReleaseInfo | None = None
        self.ready = None if spec.ready is None else ReadyInfo(state="waiting")
        self.by = by
        self.containment = containment
        self.state: State = "starting"
        self.pid: int | None = None
        self.times = Times(requested=requested)
        self.outcome: Outcome | None = None
        self.cause: Cause | None = None
        self.acts: list[Act] = []
        self.usage: Usage | None = None
        self.tree_usage: TreeUsage | None = None
        self.tree = TreeInfo(verdict="pending")
        self.frozen = False
        self.streams: dict[str, Stream] = {}
        self.facts: list[Fact] = []
        self.followers: list[Callable[[Fact], None]] = []
        self._changed = trio.lowlevel.ParkingLot()
        self._argv, self._argv_truncated = _cut(spec.argv)

    def changed(self) -> None:
        """Wake everyone who waits for this process."""
        self._changed.unpark_all()

    async def wait_change(self) -> None:
        """Wait until something of this process changed; the caller checks what."""
        await self._changed.park()

    async def wait_until(self, predicate: Callable[[], bool], deadline: float) -> None:
        """Wait until ``predicate`` or ``deadline``; it is looked at when something changed."""
        with trio.CancelScope(deadline=deadline):
            while not predicate():
                await self.wait_change()

    def reached(self, state: Literal["ready", "exited", "closed"]) -> bool:
        """Whether the process is in ``state`` or beyond it."""
        if state == "ready" and self.ready is not None and self.ready.state == "ready":
            return True
        return self.state == "closed" or self.state == state

    def note(self, kind: Kind, at: Stamp, details: Any = None) -> int:
        """Tell the daemon's subscribers of an event: its number."""
        spec = self.spec
        event = self._events.add(
            kind,
            at,
            id=self.id,
            name=spec.name,
            incarnation=self.incarnation,
            labels=spec.labels,
            details=details,
        )
        return event.seq

    def add_fact(self, kind: FactKind, at: Stamp, details: Any) -> None:
        """Something happened that the process's own followers are told of, too."""
        # The log keeps many events, so not a whole snapshot of each process that has closed.
        told = (self.outcome, self.cause, self.tree.verdict) if kind == "closed" else details
        fact = Fact(kind, self.note(kind, at, told), at, details)
        self.facts.append(fact)
        for follower in self.followers:
            follower(fact)
        self.changed()

    def add_act(self, act: Act) -> None:
        """Remember an act; of very many, the latest."""
        self.acts.append(act)
        del self.acts[:-MAX_ACTS]
        self.note("act", act.delivered or act.requested, act)

    def record_exit(
        self,
        status: int,
        rusage: resource.struct_rusage,
        setup: tuple[int, int, int],
        at: Stamp,
    ) -> None:
        """The main process was reaped.

        :param setup: user µs and system µs that it had used before exec, and the most KiB that it
            can have had resident by then
        """
        if os.WIFSIGNALED(status):
            name = signal_name(os.WTERMSIG(status))
            self.outcome = Outcome(kind="signalled", signal=name, core_dumped=os.WCOREDUMP(status))
        else:
            self.outcome = Outcome(kind="exited", code=os.WEXITSTATUS(status))
        self.cause = self._cause_of(self.outcome)
        self.usage = _usage(rusage, setup)
        self._ended(at)

    def record_failed_start(self, outcome: Outcome, at: Stamp) -> None:
        """A held process was not executed."""
        self.outcome = outcome
        self.cause = self._cause_of(outcome)
        self._ended(at)

    def _ended(self, at: Stamp) -> None:
        self.times = attrs.evolve(self.times, exited=at)
        self.state = "exited"
        self.add_fact("exited", at, (self.outcome, self.cause, self.usage))

    def _cause_of(self, outcome: Outcome) -> Cause:
        """Not ``own`` only if the fatal signal is one that was delivered from outside."""
        for act in reversed(self.acts):
            if (
                outcome.signal is not None
                and act.signal == outcome.signal
                and act.delivered is not None
                and act.cause in _CAUSES
            ):
                cause: Any = act.cause  # one of _CAUSES, all of which a Cause can be
                return cast(Cause, cause)
        return "own"

    def info(self, *, with_spec: bool = False) -> ProcessInfo:
        """A snapshot of everything."""
        return ProcessInfo(
            id=self.id,
            state=self.state,
            pid=self.pid,
            argv=self._argv,
            argv_truncated=self._argv_truncated,
            by=self.by,
            containment=self.containment,  # type: ignore[arg-type]
            on_disconnect=self.spec.on_disconnect,
            name=self.spec.name,
            incarnation=self.incarnation,
            labels=self.spec.labels,
            release=self.release,
            ready=self.ready,
            times=self.times,
            outcome=self.outcome,
            cause=self.cause,
            acts=tuple(self.acts),
            usage=self.usage,
            tree_usage=self.tree_usage,
            streams={
                "stdout": self._stream_info("stdout"),
                "stderr": self._stream_info("stderr"),
            },
            tree=self.tree,
            spec=self.spec if with_spec else None,
            frozen=self.frozen,
        )

    def _stream_info(self, name: Literal["stdout", "stderr"]) -> StreamInfo:
        if name in self.streams:
            return self.streams[name].log.info()
        return StreamInfo(mode=self.spec.output_mode(name), first=0, end=0)

    def summary(self) -> ProcessSummary:
        """A snapshot for lists."""
        return ProcessSummary(
            id=self.id,
            state=self.state,
            pid=self.pid,
            argv=self._argv,
            by=self.by,
            times=self.times,
            name=self.spec.name,
            incarnation=self.incarnation,
            labels=self.spec.labels,
            outcome=self.outcome,
            cause=self.cause,
            frozen=self.frozen,
        )


def _cut(argv: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], bool]:
    room = MAX_ARGV_BYTES
    kept = []
    for argument in argv:
        if len(argument) > room or room == 0:
            kept.append(argument[:room])
            return tuple(kept), True
        kept.append(argument)
        room = max(0, room - max(1, len(argument)))
    return tuple(kept), False


def _usage(rusage: resource.struct_rusage, setup: tuple[int, int, int]) -> Usage:
    user_us, system_us, setup_max_rss = setup
    return Usage(
        user_s=max(0.0, round(rusage.ru_utime - user_us / 1e6, 6)),
        system_s=max(0.0, round(rusage.ru_stime - system_us / 1e6, 6)),
        max_rss_bytes=rusage.ru_maxrss * 1024,
        # The kernel keeps the largest size of the image before exec, too: only above all that this
        # can have been is the figure surely the program's.
        max_rss_is_upper_bound=rusage.ru_maxrss <= setup_max_rss,
        minor_faults=rusage.ru_minflt,
        major_faults=rusage.ru_majflt,
        block_input=rusage.ru_inblock,
        block_output=rusage.ru_oublock,
        voluntary_switches=rusage.ru_nvcsw,
        involuntary_switches=rusage.ru_nivcsw,
    )


def errno_name(number: int) -> str:
    """``ENOENT`` for 2; a number without a name as ``E999``."""
    return errno.errorcode.get(number, f"E{number}")


def fatal_signal_of(status: int) -> str | None:
    """Name of the signal that ended a child, if one did."""
    if os.WIFSIGNALED(status):
        return signal_name(os.WTERMSIG(status))
    return None
