"""Requests about processes: start, signal, freeze, stop, wait, list, get, forget."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from procnursery.daemon.handlers.methods import Methods
from procnursery.daemon.session import Answer, Session
from procnursery.errors import InvalidField, RequestError
from procnursery.host.clock import stamp
from procnursery.host.identity import usable_cpus
from procnursery.host.timer import wait_realtime
from procnursery.model import ProcessSpec, Time
from procnursery.process.freezing import Attempt, Frozen
from procnursery.process.launch import raise_for_resources
from procnursery.process.run import ManagedProcess
from procnursery.process.supervisor import Supervisor
from procnursery.protocol import messages as m
from procnursery.signals import signal_number


class ProcessHandlers:
    """The life of processes."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    @property
    def methods(self) -> Methods:
        """Handlers by method."""
        return {
            "process.start": self._start,
            "process.attach": self._attach,
            "process.release": self._release,
            "process.restart": self._restart,
            "process.signal": self._signal,
            "process.freeze": self._freeze,
            "process.thaw": self._thaw,
            "process.stop": self._stop,
            "process.wait": self._wait,
            "process.list": self._list,
            "process.get": self._get,
            "process.forget": self._forget,
        }

    async def _start(self, session: Session, params: m.StartParams) -> Answer:
        try:
            process, existing = await self._begin(
                session, params.spec, token=params.token, events=params.events
            )
        except InvalidField as error:
            raise error.within("spec") from None
        return _started(session, process, existing=existing, events=params.events)

    async def _begin(
        self, session: Session, spec: ProcessSpec, *, token: str | None, events: bool
    ) -> tuple[ManagedProcess, bool]:
        """Start a program, and keep what happens to it until the reply is sent."""
        expected: list[ManagedProcess] = []

        def own(process: ManagedProcess) -> None:
            session.own(process)
            if events and process.record.state == "starting":
                expected.append(process)
                session.following.expect(process)

        started: ManagedProcess | None = None
        try:
            started, existing = await self._supervisor.start(
                spec, by=session.peer, requested=stamp(), token=token, own=own
            )
        finally:
            for process in expected:
                if process is not started:
                    session.following.drop(process)
        return started, existing

    async def _attach(self, session: Session, params: m.AttachParams) -> Answer:
        process = self._supervisor.get(params.id)
        if process.record.state == "starting":
            raise RequestError("not_running", f"process {process.id} is being started")
        latest = self._supervisor.events.latest
        if params.after > latest:
            raise InvalidField(f"the latest event has the number {latest}", "after")
        session.own(process)
        result = m.ProcessResult(process=process.record.info())
        return Answer(result, _following(session, process, params.events, params.after))

    def _release(self, _session: Session, params: m.ReleaseParams) -> Awaitable[m.ReleaseResult]:
        requested = stamp()
        processes: list[ManagedProcess] = []
        for index, process_id in enumerate(params.ids):
            process = self._supervisor.get(process_id)
            if process in processes:
                raise InvalidField(f"{process_id!r} is named before", f"ids[{index}]")
            if not process.releasable:
                raise RequestError(
                    "not_held",
                    f"process {process_id} is {process.gate_state}; nothing was released",
                    path=f"ids[{index}]",
                )
            processes.append(process)
        # As many as half the cores can spin without taking the core of one that is released.
        spin = len(processes) <= max(1, usable_cpus() // 2)
        for process in processes:
            process.release(requested, params.at, spin=spin)
        return self._all_released(processes)

    @staticmethod
    async def _all_released(processes: list[ManagedProcess]) -> m.ReleaseResult:
        try:
            for process in processes:
                await process.wait_released()
        except trio.Cancelled:
            raise RequestError("cancelled", "the release goes on", executed="yes") from None
        return m.ReleaseResult(releases=tuple(map(_released, processes)))

    async def _restart(self, session: Session, params: m.RestartParams) -> Answer:
        process = self._supervisor.get(params.id)
        if process.spec.name is None:
            raise RequestError("no_name", f"process {process.id} has no name to be restarted by")
        process = self._supervisor.get(process.spec.name)  # an id may be of an earlier one
        was_closed = process.record.state == "closed"
        process.request_stop(cause="requested", by=session.peer, grace=params.grace)
        try:
            await process.wait_stopped()
        except trio.Cancelled:
            raise RequestError("cancelled", "the stop goes on", executed="yes") from None
        if process.record.state != "closed":
            raise RequestError(
                "process_live",
                f"process {process.id} has survivors; nothing was started",
                executed="yes",
            )
        try:
            new, _ = await self._begin(session, process.spec, token=None, events=params.events)
        except RequestError as error:
            if not was_closed:
                error.executed = "yes"  # the process before it was ended
            raise
        return _started(session, new, existing=False, events=params.events)

    def _signal(
        self, session: Session, params: m.SignalParams
    ) -> m.SignalResult | Awaitable[m.SignalResult]:
        process = self._supervisor.get(params.id)
        _check_signal(params.signal)
        if params.at is None:
            return self._deliver(session, process, params)
        return self._deliver_at(session, process, params, params.at)

    @staticmethod
    def _deliver(
        session: Session, process: ManagedProcess, params: m.SignalParams
    ) -> m.SignalResult:
        delivered, count = process.send_signal(
            params.signal, params.target, session.peer, params.at
        )
        return m.SignalResult(delivered=delivered, count=count)

    async def _deliver_at(
        self, session: Session, process: ManagedProcess, params: m.SignalParams, at: Time
    ) -> m.SignalResult:
        if not process.record.reached("exited"):
            await _wait_instant(process, at)
        return self._deliver(session, process, params)

    def _freeze(self, session: Session, params: m.FreezeParams) -> Awaitable[m.FreezeResult]:
        process = self._supervisor.get(params.id)
        process.raise_unless_tree()
        if params.at is not None:
            return self._freeze_at(session, process, params.at)
        # At once, so that it takes effect before what was asked for later.
        return self._settled(process, process.begin_freeze(session.peer))

    async def _freeze_at(
        self, session: Session, process: ManagedProcess, at: Time
    ) -> m.FreezeResult:
        await _wait_instant(process, at, over=lambda: not process.has_tree)
        return await self._settled(process, process.begin_freeze(session.peer, at))

    @staticmethod
    async def _settled(process: ManagedProcess, attempt: Attempt) -> m.FreezeResult:
        frozen = await process.settle_freeze(attempt)
        return m.FreezeResult(delivered=frozen.delivered, seen=frozen.seen, frozen=True)

    def _thaw(
        self, session: Session, params: m.ThawParams
    ) -> m.FreezeResult | Awaitable[m.FreezeResult]:
        process = self._supervisor.get(params.id)
        process.raise_unless_tree()
        if params.at is not None:
            return self._thaw_at(session, process, params.at)
        return self._thawed(process.thaw(session.peer))

    async def _thaw_at(self, session: Session, process: ManagedProcess, at: Time) -> m.FreezeResult:
        await _wait_instant(process, at, over=lambda: not process.has_tree)
        return self._thawed(process.thaw(session.peer, at))

    @staticmethod
    def _thawed(thawed: Frozen) -> m.FreezeResult:
        return m.FreezeResult(delivered=thawed.delivered, seen=thawed.seen, frozen=False)

    def _stop(self, session: Session, params: m.StopParams) -> Awaitable[m.ProcessResult]:
        process = self._supervisor.get(params.id)
        if params.signal is not None:
            _check_signal(params.signal)
        if params.at is not None and process.record.state != "closed":
            return self._stop_at(session, process, params, params.at)
        # At once, so that stops take effect in the order in which they came.
        self._request_stop(session, process, params)
        return self._stopped(process)

    async def _stop_at(
        self, session: Session, process: ManagedProcess, params: m.StopParams, at: Time
    ) -> m.ProcessResult:
        await _wait_instant(process, at, over=lambda: process.record.reached("closed"))
        self._request_stop(session, process, params)
        return await self._stopped(process)

    @staticmethod
    def _request_stop(session: Session, process: ManagedProcess, params: m.StopParams) -> None:
        process.request_stop(
            cause="requested",
            by=session.peer,
            signal_name=params.signal,
            grace=params.grace,
        )

    @staticmethod
    async def _stopped(process: ManagedProcess) -> m.ProcessResult:
        try:
            await process.wait_stopped()
        except trio.Cancelled:
            raise RequestError("cancelled", "the stop goes on", executed="yes") from None
        return m.ProcessResult(process=process.record.info())

    async def _wait(self, _session: Session, params: m.WaitParams) -> m.ProcessResult:
        process = self._supervisor.get(params.id)
        if params.until == "ready" and process.spec.ready is None:
            raise InvalidField("the process's spec does not say when it is ready", "until")
        timeout = params.timeout
        with trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = trio.current_time() + timeout
            await process.wait_reached(params.until)
        if not process.record.reached(params.until):
            raise RequestError(
                "timed_out", f"process {params.id} is {process.record.state} after {timeout} s"
            )
        return m.ProcessResult(process=process.record.info())

    def _list(self, _session: Session, params: m.ListParams) -> m.ListResult:
        chosen: list[ManagedProcess] = []
        skip_to = None if params.after is None else self._supervisor.get(params.after)
        wanted = params.labels.items()
        for process in self._supervisor.all():
            if skip_to is not None:
                if process is skip_to:
                    skip_to = None
                continue
            if (
                (params.states is None or process.record.state in params.states)
                and (params.name is None or process.spec.name == params.name)
                and wanted <= process.spec.labels.items()
            ):
                chosen.append(process)
                if len(chosen) > params.limit:
                    break
        page = chosen[: params.limit]
        return m.ListResult(
            processes=tuple(process.record.summary() for process in page),
            next=page[-1].id if len(chosen) > params.limit else None,
        )

    def _get(self, _session: Session, params: m.GetParams) -> m.ProcessResult:
        process = self._supervisor.get(params.id)
        return m.ProcessResult(process=process.record.info(with_spec=params.spec))

    async def _forget(self, _session: Session, params: m.ForgetParams) -> m.ForgetResult:
        await self._supervisor.forget(params.id)
        return m.ForgetResult()


def _started(session: Session, process: ManagedProcess, *, existing: bool, events: bool) -> Answer:
    record = process.record
    assert record.pid is not None
    assert record.state != "starting"
    result = m.StartResult(
        id=process.id,
        pid=record.pid,
        state=record.state,
        times=record.times,
        existing=existing,
        incarnation=record.incarnation,
    )
    return Answer(result, _following(session, process, events))


def _following(
    session: Session, process: ManagedProcess, events: bool, after: int | None = None
) -> Callable[[], Awaitable[None]]:
    """What is sent behind a reply."""

    async def then() -> None:
        if events:
            session.following.begin(process, after)

    return then


def _released(process: ManagedProcess) -> m.Released:
    record = process.record
    assert record.release is not None
    failed = record.outcome if record.outcome and record.outcome.kind == "start_failed" else None
    return m.Released(id=process.id, release=record.release, times=record.times, outcome=failed)


async def _wait_instant(
    process: ManagedProcess, at: Time, over: Callable[[], bool] | None = None
) -> None:
    """Wait for an instant of CLOCK_REALTIME, or for the end of a process before it.

    :param over: whether it has ended; None: whether its main process has
    """
    problem: OSError | None = None
    record = process.record
    ended = over or (lambda: record.reached("exited"))
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            nonlocal problem
            try:
                await wait_realtime(at)
            except OSError as error:
                problem = error
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait)
        await record.wait_until(lambda: ended() or process.failure is not None, math.inf)
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise_for_resources(problem, "setting a timer")


def _check_signal(name: str) -> None:
    try:
        signal_number(name)
    except ValueError as error:
        raise InvalidField(str(error), "signal") from None
