"""Reaping: the one place where the daemon waits for its children.

Managed processes are the daemon's own children, and as child subreaper it also inherits their
orphans. Known children are reaped by pid, so that no status goes to the wrong owner; whatever else
has ended is an orphan and is reaped too (waitid(2), prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import trio

from procnursery.containment.procfs import children_of
from procnursery.host.clock import stamp
from procnursery.model import Stamp

PF_FORKNOEXEC = 0x40
"""Flag of /proc/PID/stat: forked, but did not exec (include/linux/sched.h)."""
_FLAGS_FIELD = 6  # of the fields behind the command's closing parenthesis, proc(5)
PR_SET_CHILD_SUBREAPER = 36
LAST_KILL = 5.0


def become_subreaper() -> None:
    """Make this process the parent of its descendants' orphans, prctl(2).

    :raises OSError: the kernel refuses
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


async def end_children(reaper: Reaper, *, but: int | None) -> list[int]:
    """Kill what is left of children and adopted orphans: whatever escaped from its tree has this
    process as its parent in the end. Returns the pids of those that do not die."""
    left: list[int] = []
    with trio.move_on_after(LAST_KILL):
        while True:
            reaper.reap()
            left = sorted(children_of(os.getpid()) - {but})
            if not left:
                break
            for pid in left:  # not reaped, so each pid is still that child's
                os.kill(pid, signal.SIGKILL)
            await reaper.wait_children_changed()
    return left


def has_execed(pid: int) -> bool:
    """Whether a child that is not reaped yet, zombies included, has executed a program.

    :raises OSError: if /proc does not show it
    """
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    flags = int(stat[stat.rindex(b")") + 2 :].split(maxsplit=_FLAGS_FIELD + 1)[_FLAGS_FIELD])
    return not flags & PF_FORKNOEXEC


def _nobody() -> None:
    """Nobody is to be told."""


class Child:
    """A child that somebody waits for.

    :ivar exited: whether it was reaped; then ``status`` (as of wait(2)), ``rusage`` and ``at``
        are set
    :ivar on_exit: called when it was
    :ivar execed: whether it had executed a program, if it was reaped before that was known
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exited = False
        self.on_exit: Callable[[], None] = _nobody
        self.proven = False
        self.execed: bool | None = None
        self.status = 0
        self.rusage: resource.struct_rusage | None = None
        self.at: Stamp | None = None


class Reaper:
    """Hands the status of each known child to its owner and reaps every other one.

    :param collect: reads what has arrived about children being born, so that one that has
        already ended is known before its pid is released
    """

    def __init__(self, collect: Callable[[], None]) -> None:
        self._collect = collect
        self._children: dict[int, Child] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._unclaimed: dict[int, Child] = {}
        self.orphans_reaped = 0

    def expect(self, pid: int) -> Child:
        """Make a child known; it must not have been expected before."""
        child = self._unclaimed.pop(pid, None) or Child(pid)
        if not child.exited:
            self._children[pid] = child
        return child

    def births_settled(self) -> None:
        """No child is being born: what was reaped unclaimed were orphans."""
        self._unclaimed.clear()

    async def wait_children_changed(self) -> None:
        """Wait until some child was reaped."""
        await self._changed.park()

    def reap(self) -> None:
        """Reap every child that has ended; called at each SIGCHLD."""
        reaped = False
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if ended is None:
                break
            self._reap(ended.si_pid)
            reaped = True
        if reaped:
            self._changed.unpark_all()

    def _reap(self, pid: int) -> None:
        if pid not in self._children:
            self._collect()
        child = self._children.pop(pid, None)
        known = child is not None
        if child is None:
            child = Child(pid)
            self.orphans_reaped += 1
        if not child.proven:
            child.execed = has_execed(pid)
        _, child.status, child.rusage = os.wait4(pid, 0)
        child.at = stamp()
        child.exited = True
        child.on_exit()
        if not known:
            # It may be a child killed before its first act, whose birth is still being reported.
            self._unclaimed[pid] = child
