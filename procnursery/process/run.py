"""One managed process from its start to the end of its tree and its output."""

from __future__ import annotations

import math
from typing import Literal

import attrs
import trio

from procnursery.containment.tree import Tree
from procnursery.errors import RequestError, StartFailed
from procnursery.host.clock import monotonic_seconds, seconds_between, stamp
from procnursery.model import Outcome, ProcessSpec, ReleaseInfo, Stamp, Time
from procnursery.process.channels import Channels, needs_directory
from procnursery.process.delivery import Delivery, StopCause, Target
from procnursery.process.ending import VERIFY, Ladder, TreeEnd
from procnursery.process.freezing import Attempt, Freezer, Frozen
from procnursery.process.output import Stream
from procnursery.process.readiness import Readiness
from procnursery.process.reaper import Child
from procnursery.process.record import Record
from procnursery.process.starting import Start, Stop
from procnursery.process.surroundings import Surroundings

DISCONNECT_GRACE = 2.0
"""Most seconds between the stop signal and SIGKILL when the owner's connection is gone."""


class ManagedProcess:
    """One process: :meth:`run` is its life, in a task of the supervisor's nursery.

    :ivar owner: the connection whose end it is to notice; compared by identity only
    """

    def __init__(self, record: Record, surroundings: Surroundings) -> None:
        self.record = record
        self.owner: object = None
        self._around = surroundings
        self._start = Start(record, surroundings)
        self._end: TreeEnd | None = None
        self._ladder: Ladder | None = None
        self._made_freezer: Freezer | None = None
        self._readiness = Readiness(record)
        self._timeout_at = math.inf
        self._ready_by = math.inf
        self._lease_until = math.inf
        self._last_owner = ""
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
    def channels(self) -> Channels:
        """Its standard streams."""
        return self._start.channels

    @property
    def start_done(self) -> trio.Event:
        """Set once the start has succeeded or failed."""
        return self._start.done

    @property
    def failure(self) -> RequestError | None:
        """Why the start failed."""
        return self._start.failure

    @property
    def abandoned(self) -> bool:
        """Whether the start was given up on request before the program ran."""
        return self._start.abandoned

    @property
    def keeps_descendants(self) -> bool:
        """Whether the process is closed, but descendants that it keeps are alive."""
        return self._keeps and self._end is not None and self._end.populated()

    @property
    def tree(self) -> Tree | None:
        """Its processes, from their birth until nothing of them is left; then None."""
        ended = self.record.state == "closed" and not self._keeps
        return None if ended or self.record.state == "starting" else self._start.tree

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
        start = self._start
        try:
            await start.run()
            if start.failure is None:
                await self._live()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                if start.delivery is not None:
                    await self._tree_end().kill_and_verify("shutdown", "daemon")
            raise
        finally:
            if not start.done.is_set():
                start.failure = start.failure or RequestError(
                    "internal", "the daemon failed during the start", executed="unknown"
                )
            self._give_back()
            start.done.set()
            self.record.changed()

    def _tree_end(self) -> TreeEnd:
        start = self._start
        if self._end is None:
            assert start.tree is not None
            assert start.delivery is not None
            self._end = TreeEnd(
                self.record, start.tree, start.delivery, self._around.reaper, lambda: self._ladder
            )
        return self._end

    async def _live(self) -> None:
        end = self._tree_end()
        if self._start.held:
            self._at_gate()
        else:
            self._running()
        stop = self._start.stop
        if stop is not None:
            self.request_stop(
                cause=stop.cause, by=stop.by, signal_name=stop.signal_name, grace=stop.grace
            )
        self.start_done.set()
        async with trio.open_nursery() as pumps:
            for stream in self.channels.streams.values():
                pumps.start_soon(self._pump, stream)
            if self._has_alarms:
                pumps.start_soon(self._watch_alarms)
            if await self._executed():
                if self.spec.ready is not None:
                    pumps.start_soon(self._readiness.watch, self.channels)
                await self._until_exit()
            await end.wait_verdict()
            pumps.cancel_scope.cancel()
        await self._close()
        if self._keeps:
            with self._kept:
                await self._end_kept()

    async def _pump(self, stream: Stream) -> None:
        await stream.run()
        if stream.log.eof is not None:
            self._eof(stream)

    def _eof(self, stream: Stream) -> None:
        details = (stream.name, stream.log.end, stream.log.eof)
        self.record.add_fact("eof", stamp(), details)

    # From the start to the program

    def _at_gate(self) -> None:
        launch, record = self._start.launch, self.record
        assert launch is not None
        assert launch.child is not None
        record.pid = launch.child.pid
        record.streams = self.channels.streams
        record.times = attrs.evolve(record.times, held=launch.held_at)
        record.state = "held"
        record.note("held", stamp(), record.pid)

    async def _executed(self) -> bool:
        """Whether the program is executed, after its release if it was held."""
        start = self._start
        if not start.held:
            return True
        launch = start.launch
        assert launch is not None
        try:
            start.launched = await launch.prove()
        except StartFailed as failure:
            self._not_executed(failure)
            return False
        finally:
            launch.settle()
        self._running()
        return True

    def _not_executed(self, failure: StartFailed) -> None:
        data = failure.data
        self._readiness.fail(f"the program was not executed: {failure.message}"[:1024])
        self.record.record_failed_start(
            Outcome(
                kind="start_failed",
                stage=failure.stage,
                errno=data.get("errno"),  # type: ignore[arg-type]
                errno_number=data.get("errno_number"),  # type: ignore[arg-type]
                signal=data.get("signal"),  # type: ignore[arg-type]
                reason=failure.message[:4096],
            ),
            stamp(),
        )

    def _running(self) -> None:
        start, record = self._start, self.record
        launched = start.launched
        assert launched is not None
        assert start.delivery is not None
        record.pid = launched.child.pid
        record.streams = self.channels.streams
        record.times = attrs.evolve(record.times, exec=launched.executed, exec_seen=launched.seen)
        if record.release is not None:
            record.release = _achieved(record.release, launched.executed, missed=launched.missed)
        record.state = "running"
        self._around.executed()
        start.delivery.attach(launched.child)
        since = monotonic_seconds(stamp()) - monotonic_seconds(launched.executed)
        if self.spec.timeout is not None:
            self._timeout_at = trio.current_time() + self.spec.timeout - since
        if self.spec.ready is not None:
            self._ready_by = trio.current_time() + self.spec.ready.timeout - since
        record.note("started", launched.executed, record.pid)
        record.changed()

    # What is due at some time

    @property
    def _has_alarms(self) -> bool:
        spec = self.spec
        return (
            spec.timeout is not None or spec.ready is not None or spec.on_disconnect == "keep_for"
        )

    def _next_alarm(self) -> float:
        return min(self._timeout_at, self._ready_by, self._lease_until)

    async def _watch_alarms(self) -> None:
        while True:
            due = self._next_alarm()
            await self.record.wait_until(lambda due=due: self._next_alarm() != due, due)  # type: ignore[misc]
            now = trio.current_time()
            if now >= self._timeout_at:
                self._timeout_at = math.inf
                self.request_stop(cause="timeout", by="daemon")
            if now >= self._ready_by:
                self._ready_by = math.inf
                if self._readiness.waiting:
                    assert self.spec.ready is not None
                    self._readiness.fail(f"not ready after {self.spec.ready.timeout:g} s")
                    self.request_stop(cause="timeout", by="daemon")
            if now >= self._lease_until:
                self._lease_until = math.inf
                self._stop_for_want_of_owner()

    # Until the main process has ended

    def _kill_due(self) -> float:
        delivery = self._start.delivery
        if self._ladder is None or delivery is None or delivery.killed:
            return math.inf
        return self._ladder.kill_at

    async def _wait_exit(self, child: Child, deadline: float) -> bool:
        """Wait for the end of the main process, or for something that is to be done before."""
        due = self._kill_due()
        await self.record.wait_until(
            lambda: child.exited or self._kill_due() != due, min(due, deadline)
        )
        return child.exited

    async def _until_exit(self) -> None:
        launched = self._start.launched
        assert launched is not None
        child = launched.child
        verify_at = math.inf
        while not await self._wait_exit(child, verify_at):
            now = trio.current_time()
            if now >= self._kill_due():
                assert self._ladder is not None
                self._signals.kill(self._ladder.cause, self._ladder.by)
                verify_at = now + VERIFY
            elif now >= verify_at:
                verify_at = math.inf
                self._tree_end().report_survivors()
        assert child.rusage is not None
        assert child.at is not None
        record = self.record
        self._signals.detach()
        record.record_exit(child.status, child.rusage, launched.setup, child.at)
        self._readiness.fail(f"the program {record.outcome} before it was ready")

    # After that

    async def _close(self) -> None:
        for stream in self.channels.streams.values():
            if stream.log.eof is None:
                await stream.finish()
                self._eof(stream)
        await self._readiness.add_tails(self.channels.streams)
        self.channels.end()
        self.channels.close_notify()
        self.owner = None
        record, at = self.record, stamp()
        record.frozen = record.frozen and self._keeps
        self._tree_end().take_usage()
        record.times = attrs.evolve(record.times, closed=at)
        record.state = "closed"
        record.add_fact("closed", at, record.info())

    async def _end_kept(self) -> None:
        """Keep the tree at hand until somebody asks for its end."""
        await self.record.wait_until(lambda: self._ladder is not None, math.inf)
        end = self._tree_end()
        await end.end(math.inf)
        self.record.frozen = False
        end.take_usage()
        self.record.changed()

    def _give_back(self) -> None:
        start = self._start
        if start.delivery is not None:
            start.delivery.detach()
        started = start.failure is None
        if not started:
            self.channels.release()  # nothing was started: nothing is left behind
        if start.delivery is not None:
            self._tree_end().give_back(started=started)

    def forget(self) -> None:
        """Give up the output and whatever is still watched; the process must be closed."""
        self._kept.cancel()
        self.channels.release()
        self.record.note("forgotten", stamp())

    # What others do to it

    def own(self, owner: object) -> None:
        """``owner`` is the connection whose end it is to notice from now on."""
        self.owner = owner
        self._lease_until = math.inf
        self.record.changed()

    def owner_gone(self, owner: object, by: str) -> None:
        """The connection ``owner``, of the peer ``by``, has ended."""
        if self.owner is not owner or self.record.state == "closed":
            return
        self.owner = None
        self._last_owner = by
        if self.spec.on_disconnect == "kill":
            self._stop_for_want_of_owner()
        elif self.spec.on_disconnect == "keep_for":
            assert self.spec.keep_for is not None
            self._lease_until = trio.current_time() + self.spec.keep_for
            self.record.changed()

    def _stop_for_want_of_owner(self) -> None:
        self.request_stop(
            cause="disconnect",
            by=self._last_owner,
            grace=min(self.spec.grace, DISCONNECT_GRACE),
        )

    def abort_start(self) -> None:
        """Give up the start unless the program runs already."""
        self._start.give_up()

    def release(self, requested: Stamp, due: Time | None, *, spin: bool) -> None:
        """Let a held program go.

        :param due: instant of CLOCK_REALTIME; None: at once
        :param spin: whether the child may keep a core busy just before
        :raises RequestError: ``not_held``
        """
        launch = self._start.launch
        if not self.releasable:
            raise RequestError(
                "not_held", f"process {self.id} is {self.gate_state}; nothing was released"
            )
        assert launch is not None
        self.record.release = ReleaseInfo(requested=requested, due=due)
        launch.release(due, spin=spin)

    @property
    def gate_state(self) -> str:
        """Where it is, for people."""
        if self.record.state == "held" and not self.releasable:
            return "let go or stopped already"
        return self.record.state

    @property
    def releasable(self) -> bool:
        """Whether it waits at its gate, and nobody has let it go or stopped it."""
        record = self.record
        return record.state == "held" and record.release is None and self._ladder is None

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
            self._start.give_up(Stop(cause=cause, by=by, signal_name=signal_name, grace=grace))
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
        if record.state == "held":
            self._kill_at_gate()
        else:
            self._signals.stop(name, cause, by)
            if self._freezer.engaged:  # else it could not obey
                self._freezer.thaw(cause, by)
        record.changed()

    def _kill_at_gate(self) -> None:
        """Nothing of the program has run, so there is nothing to be graceful to."""
        assert self._ladder is not None
        self._signals.kill(self._ladder.cause, self._ladder.by)

    async def wait_reached(self, state: Literal["ready", "exited", "closed"]) -> None:
        """Wait until the process is in ``state`` or beyond it; one that fails to become ready
        until it is closed.

        :raises RequestError: ``not_found``: its start has failed, so it never was
        """
        while not self.record.reached(state):
            if self.failure is not None:
                raise RequestError("not_found", f"the start of process {self.id} has failed")
            await self.record.wait_change()

    async def wait_released(self) -> None:
        """Wait until it is known whether a released program is executed."""
        await self.record.wait_until(lambda: self.record.state != "held", math.inf)

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

    def send_signal(
        self, name: str, target: Target, by: str, due: Time | None = None
    ) -> tuple[Stamp, int]:
        """Send one signal: (when it was delivered, to how many processes).

        :param due: the instant for which it was asked
        :raises RequestError: ``not_running``, ``signal_failed``
        """
        if self.record.state != "running":
            raise RequestError("not_running", f"process {self.id} is {self.record.state}")
        return self._signals.signal(name, target, by, due)

    @property
    def has_tree(self) -> bool:
        """Whether something of it runs, or could."""
        return self.record.state in ("running", "exited") or self.keeps_descendants

    def begin_freeze(self, by: str, due: Time | None = None) -> Attempt:
        """Begin to freeze its whole tree; :meth:`settle_freeze` waits for the outcome.

        :param due: the instant for which it was asked
        :raises RequestError: ``not_running``, ``freeze_failed``: it is being stopped
        """
        self.raise_unless_tree()
        if self._ladder is not None or self._signals.killed:
            raise RequestError("freeze_failed", f"process {self.id} is being stopped")
        return self._freezer.begin(by, due)

    async def settle_freeze(self, attempt: Attempt) -> Frozen:
        """Wait until all of its tree stands still, for some seconds at most.

        :raises RequestError: ``freeze_failed``, ``not_running``: it is not frozen
        """
        return await self._freezer.settle(attempt)

    def thaw(self, by: str, due: Time | None = None) -> Frozen:
        """Let its tree go on.

        :raises RequestError: ``not_running``
        """
        self.raise_unless_tree()
        return self._freezer.thaw("requested", by, due)

    def raise_unless_tree(self) -> None:
        """Refuse what needs a tree.

        :raises RequestError: ``not_running``
        """
        state = self.record.state
        if state in ("starting", "held"):
            raise RequestError("not_running", f"process {self.id} is {state}: no program runs yet")
        if not self.has_tree:
            raise RequestError("not_running", f"nothing is left of process {self.id}")

    @property
    def _freezer(self) -> Freezer:
        if self._made_freezer is None:
            tree = self._start.tree
            assert tree is not None
            self._made_freezer = Freezer(self.record, tree, self._around.reaper)
        return self._made_freezer

    @property
    def _signals(self) -> Delivery:
        assert self._start.delivery is not None
        return self._start.delivery


def _achieved(release: ReleaseInfo, executed: Stamp, *, missed: bool) -> ReleaseInfo:
    if release.due is None:
        return release
    late = seconds_between(release.due, executed.realtime)
    return attrs.evolve(release, missed=missed, late_s=max(0.0, late))
