"""The end of a process tree: left to itself for a while, killed, verified."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import attrs
import trio

from procnursery.containment.tree import Tree
from procnursery.host.clock import stamp
from procnursery.model import Survivor, TreeUsage
from procnursery.process.delivery import ActCause, Delivery, StopCause
from procnursery.process.reaper import Reaper
from procnursery.process.record import Record
from procnursery.process.treewatch import watch_tree

VERIFY = 5.0
"""Seconds that a killed tree has to be empty before what is left is reported."""
MAX_SURVIVORS = 64


@attrs.define
class Ladder:
    """A stop in progress.

    :ivar kill_at: when SIGKILL is due, on Trio's clock
    """

    cause: StopCause
    by: str
    kill_at: float


class TreeEnd:
    """Brings about, and finds out, what becomes of a tree.

    :param ladder: the stop that is in progress, if one is
    """

    def __init__(
        self,
        record: Record,
        tree: Tree,
        delivery: Delivery,
        reaper: Reaper,
        ladder: Callable[[], Ladder | None],
    ) -> None:
        self._record = record
        self._tree = tree
        self._delivery = delivery
        self._reaper = reaper
        self._ladder = ladder

    async def wait_verdict(self) -> None:
        """The main process has ended: see to the rest of its tree, as its spec says."""
        spec = self._record.spec
        if not self._tree.populated():
            self._verdict("empty")
            return
        if spec.descendants == "keep" and self._ladder() is None:
            self._verdict("kept")
            return
        own_end = trio.current_time() + spec.descendants_grace
        if spec.descendants == "wait":
            own_end = math.inf
        await self.end(own_end)

    async def end(self, own_end: float) -> None:
        """Wait for the tree to empty itself until ``own_end`` or a stop's end, then kill it."""
        tree = self._tree

        def due() -> float:
            ladder = self._ladder()
            return own_end if ladder is None else ladder.kill_at

        async with trio.open_nursery() as watch:
            await watch.start(watch_tree, tree, self._reaper, self._record.changed)
            while tree.populated():
                wanted = due()
                await self._record.wait_until(
                    lambda wanted=wanted: not tree.populated() or due() != wanted,  # type: ignore[misc]
                    wanted,
                )
                if trio.current_time() >= due() and tree.populated():
                    break
            watch.cancel_scope.cancel()
        ladder = self._ladder()
        if ladder is None:
            await self.kill_and_verify("descendants", "daemon")
        else:
            await self.kill_and_verify(ladder.cause, ladder.by)

    async def kill_and_verify(self, cause: ActCause, by: str) -> None:
        """SIGKILL to the tree until it is empty, or the time to verify is over."""
        tree = self._tree
        if tree.populated():
            self._delivery.kill(cause, by)
            deadline = trio.current_time() + VERIFY

            def gone() -> bool:
                if not tree.populated():
                    return True
                tree.kill()  # what was forked meanwhile
                return False

            async with trio.open_nursery() as watch:
                await watch.start(watch_tree, tree, self._reaper, self._record.changed)
                await self._record.wait_until(gone, deadline)
                watch.cancel_scope.cancel()
        if tree.populated():
            self.report_survivors()
        else:
            self._verdict("empty")

    def _verdict(self, verdict: Literal["empty", "kept"]) -> None:
        self._record.tree = attrs.evolve(
            self._record.tree,
            verdict=verdict,
            at=stamp(),
            survivors=self._survivors() if verdict == "kept" else (),
        )

    def report_survivors(self) -> None:
        """Say who has not ended."""
        self._record.tree = attrs.evolve(
            self._record.tree, verdict="survivors", at=stamp(), survivors=self._survivors()
        )
        self._record.changed()

    def _survivors(self) -> tuple[Survivor, ...]:
        return tuple(
            Survivor(
                pid=one.pid, state=one.state, command=one.command[:64], reason=one.reason[:256]
            )
            for one in self._tree.survivors()[:MAX_SURVIVORS]
        )

    def populated(self) -> bool:
        """Whether any process of the tree is alive."""
        return self._tree.populated()

    def take_usage(self) -> None:
        """Note what the tree has used, if anybody counted."""
        usage = self._tree.usage()
        if usage is not None:
            self._record.tree_usage = TreeUsage(user_s=usage.user_s, system_s=usage.system_s)

    def give_back(self, *, started: bool) -> None:
        """Forget the tree, and remove what was made for it if nothing is left in it."""
        if not started or self._record.tree.verdict == "empty":
            self._tree.remove()
        else:
            self._tree.close()
