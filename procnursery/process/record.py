"""What is known of one process: its state, its facts in their order, and its snapshot."""

from __future__ import annotations

import errno
import os
import resource
from typing import Any, Literal, cast

import attrs
import trio

from procnursery.model import (
    Act,
    Outcome,
    ProcessInfo,
    ProcessSpec,
    ProcessSummary,
    Stamp,
    StreamInfo,
    Times,
    TreeInfo,
    TreeUsage,
    Usage,
)
from procnursery.process.output import Stream
from procnursery.signals import signal_name

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

    :ivar kind: ``exited``, ``eof`` or ``closed``
    :ivar seq: its number, daemon-wide
    :ivar details: (outcome, cause, usage) · (stream name, final offset, reason) · ProcessInfo
    """

    kind: Literal["exited", "eof", "closed"]
    seq: int
    at: Stamp
    details: Any


class Record:
    """All that is known of one process.

    :ivar streams: the daemon's side of its output streams
    """

    def __init__(
        self, process_id: str, spec: ProcessSpec, *, by: str, containment: str, requested: Stamp
    ) -> None:
        self.id = process_id
        self.spec = spec
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
        self.streams: dict[str, Stream] = {}
        self.facts: list[Fact] = []
        self._changed = trio.lowlevel.ParkingLot()
        self._argv, self._argv_truncated = _cut(spec.argv)

    def changed(self) -> None:
        """Wake everyone who waits for this process."""
        self._changed.unpark_all()

    async def wait_change(self) -> None:
        """Wait until something of this process changed; the caller checks what."""
        await self._changed.park()

    def reached(self, state: Literal["exited", "closed"]) -> bool:
        """Whether the process is in ``state`` or beyond it."""
        return self.state == "closed" or self.state == state

    def add_act(self, act: Act) -> None:
        """Remember an act; of very many, the latest."""
        self.acts.append(act)
        del self.acts[:-MAX_ACTS]

    def record_exit(
        self,
        status: int,
        rusage: resource.struct_rusage,
        setup: tuple[int, int, int],
        at: Stamp,
    ) -> None:
        """The main process was reaped.

        :param setup: user µs, system µs and max RSS in KiB that it had used before exec
        """
        if os.WIFSIGNALED(status):
            name = signal_name(os.WTERMSIG(status))
            self.outcome = Outcome(kind="signalled", signal=name, core_dumped=os.WCOREDUMP(status))
        else:
            self.outcome = Outcome(kind="exited", code=os.WEXITSTATUS(status))
        self.cause = self._cause_of(self.outcome)
        self.usage = _usage(rusage, setup)
        self.times = attrs.evolve(self.times, exited=at)
        self.state = "exited"

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
            outcome=self.outcome,
            cause=self.cause,
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
        # The kernel keeps the largest size of the image before exec, too.
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
