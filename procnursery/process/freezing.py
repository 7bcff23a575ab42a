"""Freezing a process tree: all of it stands still, which is verified, until it is thawed."""

from __future__ import annotations

import attrs
import trio

from procnursery.containment.tree import Left, Tree
from procnursery.errors import RequestError
from procnursery.host.clock import stamp
from procnursery.model import Act, Stamp, Survivor, Time
from procnursery.process.delivery import ActCause
from procnursery.process.launch import raise_for_resources
from procnursery.process.reaper import Reaper
from procnursery.process.record import Record
from procnursery.process.treewatch import watch_tree

STANDSTILL = 5.0
"""Seconds that a tree has to come to a standstill."""
FIRST_LOOK = 0.001
LAST_LOOK = 0.1
"""Seconds between looks at a tree that nothing tells of, at first and in the end: SIGSTOP has no
answer."""
MAX_UNFROZEN = 64


@attrs.frozen
class Frozen:
    """What was done to a tree.

    :ivar delivered: when the kernel was told
    :ivar seen: when all of the tree was known to stand still, or to go on
    """

    delivered: Stamp
    seen: Stamp


@attrs.define(eq=False)
class Attempt:
    """One freeze: wanted until the tree is thawed, or it has failed.

    :ivar settling: whether somebody sees to its outcome
    :ivar seen: when all stood still, if it has succeeded
    """

    act: Act
    delivered: Stamp
    settling: bool = False
    seen: Stamp | None = None
    failure: RequestError | None = None


class Freezer:
    """Freezes and thaws the tree of one process."""

    def __init__(self, record: Record, tree: Tree, reaper: Reaper) -> None:
        self._record = record
        self._tree = tree
        self._reaper = reaper
        self._attempt: Attempt | None = None
        self._thawed: Frozen | None = None

    @property
    def engaged(self) -> bool:
        """Whether the tree is frozen, or is about to be."""
        return self._attempt is not None

    def begin(self, by: str, due: Time | None = None) -> Attempt:
        """Tell the kernel, unless it was told already; :meth:`settle` sees to the rest.

        :param due: the instant for which it was asked
        :raises RequestError: ``resource_exhausted``
        """
        requested = stamp()
        try:
            self._tree.freeze()
        except OSError as error:
            if self._attempt is None:
                self._tree.thaw()
            raise_for_resources(error, f"freezing process {self._record.id}")
        if self._attempt is None:
            act = Act(
                act="freeze",
                signal="SIGSTOP",
                target="tree",
                cause="requested",
                by=by,
                requested=requested,
                due=due,
            )
            self._attempt = Attempt(act, stamp())
        return self._attempt

    async def settle(self, attempt: Attempt) -> Frozen:
        """Wait until the whole tree stands still. It is not cancelled, so that no tree is left
        half frozen; it takes :data:`STANDSTILL` seconds at most.

        :raises RequestError: ``freeze_failed``, ``not_running``: the tree is not frozen
        """
        if attempt.settling:
            await self._record.wait_until(lambda: not attempt.settling, float("inf"))
        else:
            attempt.settling = True
            try:
                with trio.CancelScope(shield=True):
                    await self._settle(attempt)
            finally:
                attempt.settling = False
                self._record.changed()
        if attempt.failure is not None:
            raise attempt.failure
        assert attempt.seen is not None
        return Frozen(attempt.delivered, attempt.seen)

    async def _settle(self, attempt: Attempt) -> None:
        record = self._record
        left: tuple[Left, ...] = ()
        problem: Exception | None = None
        try:
            left = await self._wait_still(attempt)
        except* OSError as group:
            problem = group.exceptions[0]
        if self._attempt is not attempt:
            self._fail(attempt, "ECANCELED", "was thawed before all of it stood still")
        elif isinstance(problem, OSError):
            self._give_up()
            attempt.failure = _exhausted(problem, record.id)
        elif left:
            self._give_up()
            names = ", ".join(f"pid {one.pid} ({one.command}): {one.reason}" for one in left[:4])
            self._fail(
                attempt,
                "ETIMEDOUT",
                f"has {len(left)} in its tree that did not stand still within {STANDSTILL:g} s, "
                f"and was thawed: {names}",
                unfrozen=_told(left),
            )
        elif not self._tree.populated():
            self._give_up()
            attempt.failure = RequestError("not_running", f"process {record.id} has just ended")
        elif attempt.seen is None:
            attempt.seen = stamp()
            record.frozen = True
            record.add_act(attrs.evolve(attempt.act, delivered=attempt.delivered))

    async def _wait_still(self, attempt: Attempt) -> tuple[Left, ...]:
        """Who does not stand still when the time is over or the attempt is not wanted."""
        tree, record = self._tree, self._record
        deadline = trio.current_time() + STANDSTILL
        pause = FIRST_LOOK
        left: tuple[Left, ...] = ()
        async with trio.open_nursery() as watch:
            await watch.start(watch_tree, tree, self._reaper, record.changed)
            while self._attempt is attempt:
                state = tree.freeze()
                left = tuple(state.left)
                now = trio.current_time()
                if not left or now >= deadline:
                    break
                look = deadline if state.announced else min(deadline, now + pause)
                pause = min(2 * pause, LAST_LOOK)
                with trio.CancelScope(deadline=look):
                    await record.wait_change()
            watch.cancel_scope.cancel()
        return left

    def _give_up(self) -> None:
        self._attempt = None
        self._tree.thaw()
        self._record.frozen = False

    def _fail(self, attempt: Attempt, errno: str, problem: str, **data: object) -> None:
        message = f"process {self._record.id} {problem}"
        attempt.failure = RequestError("freeze_failed", message, executed="yes", **data)
        self._record.add_act(attrs.evolve(attempt.act, errno=errno))

    def thaw(self, cause: ActCause, by: str, due: Time | None = None) -> Frozen:
        """Let the tree go on, if it is frozen or about to be.

        :param due: the instant for which it was asked
        """
        record = self._record
        requested = stamp()
        self._tree.thaw()
        if self._attempt is None and self._thawed is not None:
            return self._thawed
        delivered = stamp()
        if self._attempt is not None:
            self._attempt = None
            record.frozen = False
            record.add_act(
                Act(
                    act="thaw",
                    signal="SIGCONT",
                    target="tree",
                    cause=cause,
                    by=by,
                    requested=requested,
                    delivered=delivered,
                    due=due,
                )
            )
            record.changed()
        # The kernel has woken everybody when it returns, so there is nothing to wait for.
        self._thawed = Frozen(delivered, stamp())
        return self._thawed


def _told(left: tuple[Left, ...]) -> tuple[Survivor, ...]:
    return tuple(
        Survivor(pid=one.pid, state=one.state, command=one.command[:64], reason=one.reason[:256])
        for one in left[:MAX_UNFROZEN]
    )


def _exhausted(error: OSError, process_id: str) -> RequestError:
    try:
        raise_for_resources(error, f"watching the tree of process {process_id}")
    except RequestError as failure:
        return failure
