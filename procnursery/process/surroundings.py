"""What one process needs of the daemon around it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import trio

from procnursery.containment.tree import Tree
from procnursery.process.reaper import Reaper
from procnursery.spawner.proxy import Spawner


class Surroundings(Protocol):
    """The supervisor, as a process sees it."""

    spawner: Spawner
    reaper: Reaper
    limiter: trio.CapacityLimiter
    instance: str
    default_cwd: bytes | None

    def new_tree(self, process_id: str) -> Tree:
        """A tree for one process."""
        ...

    async def make_directory(self, process_id: str) -> Path:
        """Make the directory for the files of one process."""
        ...

    def executed(self) -> None:
        """A program was executed."""
        ...
