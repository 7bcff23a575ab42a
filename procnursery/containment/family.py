"""Who belongs to which tree, from the family of this process, the child subreaper.

A descendant of a main process is of its tree. When a parent dies, the subreaper becomes the
parent of its orphans: an orphan is told by its session (setsid(2) makes a new one; the main
process has its own) or by the marker in its environment.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

from procnursery.containment.procfs import (
    Stat,
    all_stats,
    children_of,
    environment_of,
    has_variable,
    read_stat,
)

LOOKS = 64
"""Looks at orphans that end before they are looked at."""


class Family:
    """The children of this process.

    :ivar exclude: pids of children that are of no tree
    """

    def __init__(self) -> None:
        self._mains: set[int] = set()
        self.exclude: Callable[[], set[int]] = set

    def add_main(self, pid: int) -> None:
        """A main process was cloned."""
        self._mains.add(pid)

    @property
    def mains(self) -> frozenset[int]:
        """Pids of the main processes that were not reaped."""
        return frozenset(self._mains)

    def main_ended(self, pid: int) -> None:
        """A main process was reaped."""
        self._mains.discard(pid)

    def orphans(self) -> set[int]:
        """Children that nobody knows: orphans, and now and then one that is being born."""
        return children_of(os.getpid()) - self._mains - self.exclude()

    def census(self) -> Census:
        """For looking at many trees."""
        return Census(self)

    def members(
        self, main: int | None, marker: bytes, census: Census | None = None
    ) -> Iterator[Stat]:
        """Living processes of the tree of ``main``.

        :param main: pid of the main process, also when it was reaped
        :param marker: entry of the tree in the environment
        :param census: what to look at; None: the present
        """
        census = census or Census(self)
        mains = {main} & self._mains if main is not None else set()
        if not (census.orphans | mains):
            return
        children = census.children
        roots = census.orphans | mains  # with those that were found meanwhile
        pending = [(stat, False) for stat in children.get(os.getpid(), ()) if stat.pid in roots]
        while pending:
            stat, of_member = pending.pop()
            member = (
                of_member
                or stat.pid == main
                or stat.session == main
                or (stat.alive and census.has_variable(stat.pid, marker))
            )
            if member and stat.alive:
                yield stat
            pending += [(child, member) for child in children.get(stat.pid, ())]

    def has_orphans_of(self, main: int | None, marker: bytes) -> bool:
        """Whether a tree has living processes, its main process having been reaped."""
        seen: set[int] = set()
        for _ in range(LOOKS):
            orphans = self.orphans() - seen
            seen |= orphans
            if not orphans:
                return False
            ended = False
            for orphan in orphans:
                pending = [orphan]
                while pending:
                    pid = pending.pop()
                    stat = read_stat(pid)
                    if stat is None or not stat.alive:
                        ended = True  # and may have left a child, which is an orphan by now
                    elif stat.session == main or has_variable(pid, marker):
                        return True
                    pending += children_of(pid)
            if not ended:
                return False
        return True  # somebody forks and ends all the time


class Census:
    """The processes of one instant, for looking at many trees: each file is read once, and only
    when one of the trees needs it. May be used in another thread than the family."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._environments: dict[int, list[bytes]] = {}

    @functools.cached_property
    def orphans(self) -> set[int]:
        """Those of the family."""
        return self._family.orphans()

    @functools.cached_property
    def children(self) -> dict[int, list[Stat]]:
        """Every process that can be seen, by its parent."""
        stats = {stat.pid: stat for stat in all_stats()}
        # One that forks and ends may have ended when it is looked at, and its child not be listed:
        # that has become an orphan by then, and is looked at at once.
        for _ in range(LOOKS):
            orphans = self._family.orphans()
            self.orphans |= orphans
            found = {pid: read_stat(pid) for pid in orphans - stats.keys()}
            stats.update((pid, stat) for pid, stat in found.items() if stat is not None)
            if all(stat is not None and stat.alive for stat in found.values()):
                break
        children: dict[int, list[Stat]] = {}
        for stat in stats.values():
            children.setdefault(stat.ppid, []).append(stat)
        return children

    def has_variable(self, pid: int, entry: bytes) -> bool:
        """As :func:`procnursery.containment.procfs.has_variable`."""
        if pid not in self._environments:
            self._environments[pid] = environment_of(pid)
        return entry in self._environments[pid]
