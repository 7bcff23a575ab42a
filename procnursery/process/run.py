"""One managed process from its start to the end of its tree and its output."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import attrs
import trio

from procnursery.containment.tree import Tree
from procnursery.errors import RequestError, StartFailed
from procnursery.host.clock import monotonic_seconds, stamp
from procnursery.model import ProcessSpec, Stamp, Survivor, TreeUsage
from procnursery.process import account as accounts
from procnursery.process.channels import Channels, needs_directory, open_channels
from procnursery.process.delivery import ActCause, Delivery, StopCause, Target
from procnursery.process.launch import Launch, Launched, make_plan, raise_for_resources
from procnursery.process.output import Stream
from procnursery.process.reaper import Child, Reaper
from procnursery.process.record import Fact, Record, errno_name
from procnursery.process.treewatch import watch_tree
from procnursery.spawner.proxy import Spawner

VERIFY = 5.0
"""Seconds that a killed tree has to be empty before what is left is reported."""
BURIAL = 1.0
MAX_SURVIVORS = 64


class Surroundings(Protocol):
    """What a process needs of the daemon around it."""

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

    def next_seq(self) -> int:
        """The next number of an event."""
        ...

    def executed(self) -> None:
        """A program was executed."""
        ...


@attrs.define
class Ladder:
    """A stop in progress."""

    cause: StopCause
    by: str
    kill_at: float


class ManagedProcess:
    """One process: :meth:`run` is its life, in a task of the supervisor's nursery.

    :ivar start_done: set once the start has succeeded or failed
    :ivar failure: why the start failed
    :ivar abandoned: the start was given up on request before the program ran
    """

    def __init__(self, record: Record, surroundings: Surroundings) -> None:
        self.record = record
        self.start_done = trio.Event()
        self.failure: RequestError | None = None
        self.abandoned = False
        self.channels = Channels()
        self._around = surroundings
        self._tree: Tree | None = None
        self._launched: Launched | None = None
        self._delivery: Delivery | None = None
        self._ladder: Ladder | None = None
        self._starting = trio.CancelScope()
        self._abandon_cause: tuple[StopCause, str] | None = None
        self._timeout_at = math.inf
        self._kept = trio.CancelScope()

    @property
    def id(self) -> str:
        """The process's id."""
        return self.record.id

    @property
    def spec(self) -> ProcessSpec:
        """What it was asked to be."""
        return self.record.spec

    @property
    def keeps_descendants(self) -> bool:
        """Whether the process is closed, but descendants that it keeps are alive."""
        return self._keeps and self._tree is not None and self._tree.populated()

    @property
    def _keeps(self) -> bool:
        return self.record.tree.verdict == "kept"

    @property
    def uses_directory(self) -> bool:
        """Whether it has files in the state directory."""
        return needs_directory(self.spec)

    # The life of the process

    async def run(self) -> None:
        """Start the program, watch it, end its tree, close its output."""
        try:
            await self._start()
            if self.failure is None:
                await self._live()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await self._kill_and_verify("shutdown", "daemon")
            raise
        finally:
            if not self.start_done.is_set():
                self.failure = self.failure or RequestError(
                    "internal", "the daemon failed during the start", executed="unknown"
                )
            self._give_back()
            self.start_done.set()
            self.record.changed()

    async def _live(self) -> None:
        self.start_done.set()
        async with trio.open_nursery() as pumps:
            for stream in self.channels.streams.values():
                pumps.start_soon(self._pump, stream)
            await self._until_exit()
            await self._until_verdict()
            pumps.cancel_scope.cancel()
        await self._close()
        if self._keeps:
            with self._kept:
                await self._end_kept()

    async def _start(self) -> None:
        """Sets ``failure`` unless the program runs."""
        launch: Launch | None = None
        self._starting.deadline = trio.current_time() + self.spec.start_timeout
        try:
            with self._starting:
                launch = await self._prepare()
                self._launched = await launch.run()
            if self._starting.cancelled_caught:
                await self._abandon(launch)
        except RequestError as failure:
            self.failure = failure
        except trio.Cancelled:
            if launch is not None:
                self._launched = await launch.abandon()
            raise
        finally:
            if launch is not None:
                if self._launched is None:
                    await self._bury(launch)
                launch.settle()
        if self._launched is not None:
            self._running()

    async def _bury(self, launch: Launch) -> None:
        """Wait for the end of a child that will never run its program. It can take long if it
        hangs in the kernel; the requester is not made to wait for that."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(BURIAL):
                await launch.wait_gone()
                return
            self.start_done.set()
            await launch.wait_gone()

    async def _prepare(self) -> Launch:
        around, spec = self._around, self.spec
        if spec.user is None and spec.group is None and not spec.groups:
            account = accounts.resolve(spec)
        else:  # names may be looked up over a network
            account = await trio.to_thread.run_sync(accounts.resolve, spec, limiter=around.limiter)
        try:
            directory = await around.make_directory(self.id) if needs_directory(spec) else None
            self.channels = await open_channels(spec, account, directory, around.limiter)
            self._tree = around.new_tree(self.id)
            self._delivery = Delivery(self.record, self._tree)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EIO):
                raise StartFailed(
                    f"preparing the output: {error}",
                    stage="stdout",
                    errno=errno_name(error.errno),
                    errno_number=error.errno,
                ) from error
            raise_for_resources(error, "preparing the start")
        markers = {
            b"PROCNURSERY_ID": f"{around.instance}/{self.id}".encode(),
            b"PROCNURSERY_INSTANCE": around.instance.encode(),
        }
        return Launch(
            make_plan(spec, account, markers, around.default_cwd),
            self.channels,
            self._tree,
            spawner=around.spawner,
            reaper=around.reaper,
            limiter=around.limiter,
            on_exit=self.record.changed,
        )

    async def _abandon(self, launch: Launch | None) -> None:
        """The start was cancelled, or its time is over."""
        stage = launch.stage if launch is not None else "user"
        if launch is not None:
            self._launched = await launch.abandon()
        cause, by = self._abandon_cause or ("timeout", "daemon")
        if self._launched is not None:
            # It got through to its program first: it runs, and is stopped as one that runs.
            self._ladder = Ladder(cause, by, trio.current_time())
            return
        if self._abandon_cause is None:
            failure: RequestError = StartFailed(
                f"start_timeout: after {self.spec.start_timeout} s the child was still at stage "
                f"{stage}; it was killed and the program was not executed",
                stage=stage,
                errno="ETIMEDOUT",
                errno_number=errno.ETIMEDOUT,
            )
        else:
            self.abandoned = True
            failure = RequestError("cancelled", "the start was given up; nothing was executed")
        raise failure

    def _running(self) -> None:
        assert self._launched is not None
        record, launched = self.record, self._launched
        record.pid = launched.child.pid
        record.streams = self.channels.streams
        record.times = attrs.evolve(record.times, exec=launched.executed, exec_seen=launched.seen)
        record.state = "running"
        self._around.executed()
        assert self._delivery is not None
        self._delivery.attach(launched.child)
        if self.spec.timeout is not None:
            since = monotonic_seconds(stamp()) - monotonic_seconds(launched.executed)
            self._timeout_at = trio.current_time() + self.spec.timeout - since

    async def _pump(self, stream: Stream) -> None:
        await stream.run()
        if stream.log.eof is not None:
            self._eof(stream)

    def _eof(self, stream: Stream) -> None:
        details = (stream.name, stream.log.end, stream.log.eof)
        self._add_fact("eof", stamp(), details)

    def _add_fact(self, kind: Literal["exited", "eof", "closed"], at: Stamp, details: Any) -> None:
        self.record.facts.append(Fact(kind, self._around.next_seq(), at, details))
        self.record.changed()

    async def _wait(self, predicate: Callable[[], bool], deadline: float) -> None:
        """Wait until ``predicate`` or ``deadline``; it is looked at when something changed."""
        with trio.CancelScope(deadline=deadline):
            while not predicate():
                await self.record.wait_change()

    # Until the main process has ended

    def _kill_due(self) -> float:
        if self._ladder is None or self._delivery is None or self._delivery.killed:
            return math.inf
        return self._ladder.kill_at

    async def _wait_exit(self, child: Child, deadline: float) -> bool:
        """Wait for the end of the main process, or for something that is to be done before."""
        due = self._kill_due()
        await self._wait(
            lambda: child.exited or self._kill_due() != due,
            min(due, self._timeout_at, deadline),
        )
        return child.exited

    async def _until_exit(self) -> None:
        assert self._launched is not None
        child = self._launched.child
        verify_at = math.inf
        while not await self._wait_exit(child, verify_at):
            now = trio.current_time()
            if now >= self._kill_due():
                assert self._ladder is not None
                self._signals.kill(self._ladder.cause, self._ladder.by)
                verify_at = now + VERIFY
            elif now >= self._timeout_at:
                self._time_out()
            elif now >= verify_at:
                verify_at = math.inf
                self._verdict_survivors()
        assert child.rusage is not None
        assert child.at is not None
        record = self.record
        self._signals.detach()
        record.record_exit(child.status, child.rusage, self._launched.setup, child.at)
        self._add_fact("exited", child.at, (record.outcome, record.cause, record.usage))

    def _time_out(self) -> None:
        self._timeout_at = math.inf
        self.request_stop(cause="timeout", by="daemon")

    # Until the tree has ended

    async def _until_verdict(self) -> None:
        tree = self._tree
        assert tree is not None
        if not tree.populated():
            self._verdict("empty")
            return
        if self.spec.descendants == "keep" and self._ladder is None:
            self._verdict("kept")
            return
        own_end = trio.current_time() + self.spec.descendants_grace
        if self.spec.descendants == "wait":
            own_end = math.inf
        await self._end_tree(own_end)

    async def _end_tree(self, own_end: float) -> None:
        """Wait for the tree to empty itself until ``own_end`` or a stop's end, then kill it."""
        tree = self._tree
        assert tree is not None

        def due() -> float:
            return own_end if self._ladder is None else self._ladder.kill_at

        async with trio.open_nursery() as watch:
            await watch.start(watch_tree, tree, self._around.reaper, self.record.changed)
            while tree.populated():
                wanted = due()
                await self._wait(
                    lambda wanted=wanted: not tree.populated() or due() != wanted,  # type: ignore[misc]
                    min(wanted, self._timeout_at),
                )
                now = trio.current_time()
                if now >= self._timeout_at:
                    self._time_out()
                elif now >= due() and tree.populated():
                    break
            watch.cancel_scope.cancel()
        if self._ladder is None:
            await self._kill_and_verify("descendants", "daemon")
        else:
            await self._kill_and_verify(self._ladder.cause, self._ladder.by)

    async def _kill_and_verify(self, cause: ActCause, by: str) -> None:
        """SIGKILL to the tree until it is empty, or the time to verify is over."""
        tree = self._tree
        if tree is None:
            return
        if tree.populated():
            self._signals.kill(cause, by)
            deadline = trio.current_time() + VERIFY

            def gone() -> bool:
                if not tree.populated():
                    return True
                tree.kill()  # what was forked meanwhile
                return False

            async with trio.open_nursery() as watch:
                await watch.start(watch_tree, tree, self._around.reaper, self.record.changed)
                await self._wait(gone, deadline)
                watch.cancel_scope.cancel()
        if tree.populated():
            self._verdict_survivors()
        else:
            self._verdict("empty")

    def _verdict(self, verdict: Literal["empty", "kept"]) -> None:
        assert self._tree is not None
        self.record.tree = attrs.evolve(
            self.record.tree,
            verdict=verdict,
            at=stamp(),
            survivors=self._survivors() if verdict == "kept" else (),
        )

    def _verdict_survivors(self) -> None:
        self.record.tree = attrs.evolve(
            self.record.tree, verdict="survivors", at=stamp(), survivors=self._survivors()
        )
        self.record.changed()

    def _survivors(self) -> tuple[Survivor, ...]:
        assert self._tree is not None
        return tuple(
            Survivor(
                pid=one.pid, state=one.state, command=one.command[:64], reason=one.reason[:256]
            )
            for one in self._tree.survivors()[:MAX_SURVIVORS]
        )

    async def _close(self) -> None:
        for stream in self.channels.streams.values():
            if stream.log.eof is None:
                await stream.finish()
                self._eof(stream)
        self.channels.end()
        record, at = self.record, stamp()
        self._take_tree_usage()
        record.times = attrs.evolve(record.times, closed=at)
        record.state = "closed"
        self._add_fact("closed", at, record.info())

    def _take_tree_usage(self) -> None:
        usage = self._tree.usage() if self._tree is not None else None
        if usage is not None:
            self.record.tree_usage = TreeUsage(user_s=usage.user_s, system_s=usage.system_s)

    async def _end_kept(self) -> None:
        """Keep the tree at hand until somebody asks for its end."""
        await self._wait(lambda: self._ladder is not None, math.inf)
        await self._end_tree(math.inf)
        self._take_tree_usage()
        self.record.changed()

    def _give_back(self) -> None:
        if self._delivery is not None:
            self._delivery.detach()
        if self._launched is None:
            self.channels.release()  # nothing was started: nothing is left behind
        if self._tree is not None:
            if self._launched is None or self.record.tree.verdict == "empty":
                self._tree.remove()
            else:
                self._tree.close()

    def forget(self) -> None:
        """Give up the output and whatever is still watched; the process must be closed."""
        self._kept.cancel()
        self.channels.release()

    # What others do to it

    def abort_start(self, cause: StopCause, by: str) -> None:
        """Give up the start unless the program runs already."""
        if not self.start_done.is_set() and self._abandon_cause is None:
            self._abandon_cause = (cause, by)
            self._starting.cancel()

    def request_stop(
        self,
        *,
        cause: StopCause,
        by: str,
        signal_name: str | None = None,
        grace: float | None = None,
    ) -> None:
        """Begin the stop ladder, or shorten the grace of the one in progress."""
        record = self.record
        if record.state == "starting":
            self.abort_start(cause, by)
            return
        if record.state == "closed" and not self._keeps:
            return
        grace = self.spec.grace if grace is None else grace
        kill_at = trio.current_time() + grace
        if self._ladder is not None:
            if kill_at < self._ladder.kill_at:
                self._ladder = Ladder(cause, by, kill_at)
                record.changed()
            return
        name = signal_name or self.spec.stop_signal
        self._ladder = Ladder(cause, by, kill_at)
        self._signals.stop(name, cause, by)
        record.changed()

    async def wait_reached(self, state: Literal["exited", "closed"]) -> None:
        """Wait until the process is in ``state`` or beyond it.

        :raises RequestError: ``not_found``: its start has failed, so it never was
        """
        while not self.record.reached(state):
            if self.failure is not None:
                raise RequestError("not_found", f"the start of process {self.id} has failed")
            await self.record.wait_change()

    async def wait_stopped(self) -> None:
        """Wait for the end of a stop: the process is closed, or what could not be ended is known.

        :raises RequestError: ``not_running``: its start was given up
        """
        record = self.record
        while record.tree.verdict != "survivors":
            if self.failure is not None:
                raise RequestError(
                    "not_running", f"the start of {self.id} was given up", executed="yes"
                )
            if record.state == "closed" and not self._keeps:
                return
            await record.wait_change()

    def send_signal(self, name: str, target: Target, by: str) -> tuple[Stamp, int]:
        """Send one signal: (when it was delivered, to how many processes).

        :raises RequestError: ``not_running``, ``signal_failed``
        """
        if self.record.state != "running":
            raise RequestError("not_running", f"process {self.id} is {self.record.state}")
        return self._signals.signal(name, target, by)

    @property
    def _signals(self) -> Delivery:
        assert self._delivery is not None
        return self._delivery
