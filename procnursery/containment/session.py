"""Containment without cgroups: sessions, descent, and a marker in the environment."""

from __future__ import annotations

from procnursery.containment.family import Census, Family
from procnursery.containment.stopping import Stopper
from procnursery.containment.tree import (
    CpuTime,
    Left,
    Standstill,
    TreeLoad,
    add_up,
    signal_all,
    why_alive,
)

LIMITATIONS = (
    (
        "a process that has cleared its environment, begun a session of its own and lost its "
        "parent is not recognised as part of its tree; it ends with the daemon"
    ),
    (
        "the usage of the whole tree is not counted, only that of the main process and the "
        "descendants that it waited for"
    ),
    "a process that has changed to another user may refuse to be killed by an unprivileged daemon",
    (
        "a tree is frozen by SIGSTOP and thawed by SIGCONT: a parent can see that its children are "
        "stopped, and a SIGCONT from anybody else wakes whom it reaches"
    ),
)


class SessionContainment:
    """Makes trees for one instance of the daemon."""

    kind = "session"
    path = None
    limitations = LIMITATIONS

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self.family = Family()

    def new_tree(self, process_id: str) -> SessionTree:
        """A tree for one process."""
        return SessionTree(self.family, f"PROCNURSERY_ID={self._instance}/{process_id}".encode())

    def close(self) -> None:
        """Nothing was made that could be removed."""


class SessionTree:
    """One tree; see :class:`procnursery.containment.tree.Tree`."""

    directory_fd = None
    events_path = None

    def __init__(self, family: Family, marker: bytes) -> None:
        self._family = family
        self._marker = marker
        self._main: int | None = None
        self._main_alive = False
        self._stopper = Stopper(lambda: family.members(self._main, marker))

    def set_main(self, pid: int) -> None:
        """The main process was cloned."""
        self._main = pid
        self._main_alive = True
        self._family.add_main(pid)

    def main_ended(self) -> None:
        """The main process was reaped."""
        if self._main is not None:
            self._main_alive = False
            self._family.main_ended(self._main)

    def populated(self) -> bool:
        """Whether any process of the tree is alive."""
        return self._main_alive or self._family.has_orphans_of(self._main, self._marker)

    def signal(self, number: int) -> int:
        """Send a signal to every process; to how many."""
        return signal_all(lambda: self._family.members(self._main, self._marker), number)

    def kill(self) -> int:
        """SIGKILL to every process; to how many."""
        return self.signal(9)

    def freeze(self) -> Standstill:
        """SIGSTOP to every process; nothing announces that the last one has obeyed."""
        return Standstill(self._stopper.stop(), announced=False)

    def thaw(self) -> None:
        """SIGCONT to those that were stopped."""
        self._stopper.go_on()

    def survivors(self) -> list[Left]:
        """Who is alive."""
        return [
            Left(one.pid, one.state, one.command, why_alive(one))
            for one in self._family.members(self._main, self._marker)
        ]

    def usage(self) -> CpuTime | None:
        """Nobody counted."""
        return None

    def load(self, census: Census) -> TreeLoad | None:
        """Of those who are alive; what has ended counts as far as its parent waited for it."""
        return add_up(list(self._family.members(self._main, self._marker, census)), None)

    def remove(self) -> None:
        """Forget an empty tree."""
        self.main_ended()

    def close(self) -> None:
        """Forget the tree."""
        self.main_ended()
