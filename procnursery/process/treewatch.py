"""Being told when a process tree may have become empty, without polling."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import trio
from inotify_simple import INotify, flags

from procnursery.containment.tree import Tree
from procnursery.process.reaper import Reaper


async def watch_tree(
    tree: Tree,
    reaper: Reaper,
    changed: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call ``changed`` whenever ``tree`` may have become empty, until cancelled.

    A cgroup tells by a modification of cgroup.events (cgroups(7)), up to some 10 ms late. A
    session tells by its last member's end: the parent of that one is outside the tree, so it is
    this daemon, child subreaper, which reaps it.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_children, reaper, changed)
        path = tree.events_path
        if path is None:
            task_status.started()
            return
        with contextlib.closing(INotify(nonblocking=True)) as inotify:
            inotify.add_watch(path, flags.MODIFY)
            task_status.started()
            while True:
                await trio.lowlevel.wait_readable(inotify.fileno())
                inotify.read(timeout=0)
                changed()


async def _watch_children(reaper: Reaper, changed: Callable[[], None]) -> None:
    while True:
        await reaper.wait_children_changed()
        changed()
