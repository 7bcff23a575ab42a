"""What a process tree offers, and what both kinds of tree share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from procnursery.containment.family import Census
from procnursery.containment.procfs import Stat, read_stat

ROUNDS = 16
"""Walks over a tree that forks while it is being signalled."""


class ContainmentUnavailable(Exception):
    """Trees cannot be held together in the way that was asked for; the message says why."""


class Left(NamedTuple):
    """A process that did not end.

    :ivar state: letter of /proc/PID/stat
    """

    pid: int
    state: str
    command: str
    reason: str


class Standstill(NamedTuple):
    """How far a tree has come that is to be frozen.

    :ivar left: who does not stand still yet
    :ivar announced: whether ``events_path`` is modified when nobody is left any more
    """

    left: Sequence[Left]
    announced: bool


class CpuTime(NamedTuple):
    """CPU time of a whole tree, in seconds."""

    user_s: float
    system_s: float


class TreeLoad(NamedTuple):
    """What a tree takes at one instant.

    :ivar tasks: threads of all processes
    :ivar rss_bytes: sum of the resident sets; what processes share is counted for each
    """

    processes: int
    tasks: int
    rss_bytes: int
    cpu: CpuTime


class Tree(Protocol):
    """The processes that one managed process consists of. Nothing here blocks."""

    @property
    def directory_fd(self) -> int | None:
        """Descriptor of the cgroup that the main process is to be born into."""
        ...

    @property
    def events_path(self) -> str | None:
        """File that is modified when the tree becomes empty, or all of it is frozen; None: there
        is none."""
        ...

    def set_main(self, pid: int) -> None:
        """The main process was cloned."""
        ...

    def main_ended(self) -> None:
        """The main process was reaped."""
        ...

    def populated(self) -> bool:
        """Whether any process of the tree is alive."""
        ...

    def signal(self, number: int) -> int:
        """Send a signal to every process; to how many."""
        ...

    def kill(self) -> int:
        """SIGKILL to every process; to how many."""
        ...

    def freeze(self) -> Standstill:
        """Make every process stand still, those included that are forked meanwhile; how far that
        has come. To be called again until nobody is left.

        :raises OSError: /proc or the cgroup cannot be read or written
        """
        ...

    def thaw(self) -> None:
        """Let go on what :meth:`freeze` has stopped; nothing if nothing has been."""
        ...

    def survivors(self) -> list[Left]:
        """Who is alive, and as far as that can be told, why."""
        ...

    def usage(self) -> CpuTime | None:
        """What the tree used; None: nobody counted."""
        ...

    def load(self, census: Census) -> TreeLoad | None:
        """What the tree takes now; None: nothing of it is alive. CPU time is that of
        :meth:`usage`, else of the living processes and the descendants that they waited for. May
        be called in another thread than the rest.

        :raises OSError: it cannot be read
        """
        ...

    def remove(self) -> None:
        """Forget an empty tree, and remove what was made for it."""
        ...

    def close(self) -> None:
        """Forget the tree; what was made for it stays."""
        ...


def signal_all(members: Callable[[], Iterable[Stat]], number: int) -> int:
    """Signal every member through a pidfd, until a walk finds no new one; to how many.

    A pid that a stranger took meanwhile is not signalled: the pidfd is opened first, then the
    member is looked at again.
    """
    done: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        new = [one for one in members() if (one.pid, one.start_time) not in done]
        if not new:
            break
        for one in new:
            if signal_one(one, number):
                done.add((one.pid, one.start_time))
    return len(done)


def signal_one(one: Stat, number: int) -> bool:
    """Signal one process, and nobody who has taken its pid; whether it was sent."""
    try:
        pidfd = os.pidfd_open(one.pid)
    except OSError:  # gone, or no descriptor is left: then by number, looked at just before
        pidfd = -1
    try:
        now = read_stat(one.pid)
        if now is None or now.start_time != one.start_time or not now.alive:
            return False
        if pidfd >= 0:
            signal.pidfd_send_signal(pidfd, number)
        else:
            os.kill(one.pid, number)
    except (ProcessLookupError, PermissionError):
        return False  # gone, or no longer this user's: survivors() tells of the latter
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return True


def why_alive(one: Stat) -> str:
    """As far as /proc tells it."""
    match one.state:
        case "D":
            return "in uninterruptible sleep"
        case "t":
            return "stopped by a tracer"
        case "T":
            return "stopped"
    return "still running"


def add_up(members: Collection[Stat], counted: CpuTime | None) -> TreeLoad | None:
    """The load of a tree with these living processes.

    :param counted: CPU time of the whole tree, if it was counted
    """
    if not members:
        return None
    tick = 1 / os.sysconf("SC_CLK_TCK")
    return TreeLoad(
        processes=len(members),
        tasks=sum(one.threads for one in members),
        rss_bytes=sum(one.rss_pages for one in members) * os.sysconf("SC_PAGE_SIZE"),
        cpu=counted
        or CpuTime(
            sum(one.user_ticks for one in members) * tick,
            sum(one.system_ticks for one in members) * tick,
        ),
    )
