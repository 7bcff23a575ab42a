"""Making processes stand still by SIGSTOP, so that it is known that all of them do, signal(7)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable

from procnursery.containment.procfs import Stat, thread_states
from procnursery.containment.tree import ROUNDS, Left, signal_one, why_alive


class Stopper:
    """Stops the members of a tree, and lets go on whom it has stopped.

    :param members: looks for them; parents before their children
    """

    def __init__(self, members: Callable[[], Iterable[Stat]]) -> None:
        self._members = members
        self._stopped: dict[tuple[int, int], Stat] = {}

    def stop(self) -> list[Left]:
        """SIGSTOP to every member that does not stand still; who does not yet.

        Nobody is left only when everybody stood still already before a last walk, which found
        nobody new: what stands still does not fork.
        """
        still: set[tuple[int, int]] | None = None
        for _ in range(ROUNDS):
            members = list(self._members())
            for one in members:
                # What is stopped already stays so when the others go on.
                if one.state != "T" and signal_one(one, signal.SIGSTOP):
                    self._stopped.setdefault((one.pid, one.start_time), one)
            moving = [one for one in members if not _stands_still(one, members)]
            if moving:
                return [Left(one.pid, one.state, one.command, why_alive(one)) for one in moving]
            found = {(one.pid, one.start_time) for one in members}
            if still is not None and found <= still:
                return []
            still = found
        return [Left(one.pid, one.state, one.command, "has just been forked") for one in members]

    def go_on(self) -> None:
        """SIGCONT to whom it has stopped: children first, so that no parent finds one stopped."""
        for one in reversed(self._stopped.values()):
            signal_one(one, signal.SIGCONT)
        self._stopped.clear()


def _stands_still(one: Stat, members: list[Stat]) -> bool:
    """Whether every thread is stopped, or is in vfork(2) and waits for a child that is.

    One that has ended since it was found does not count: it may have left a child.
    """
    states = thread_states(one.pid)
    for state in states:
        if state in "TtZXx":
            continue
        if state == "D" and any(
            child.ppid == one.pid and child.state == "T" and not child.execed for child in members
        ):
            continue
        return False
    return any(state not in "ZXx" for state in states)
