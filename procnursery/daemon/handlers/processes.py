"""Requests about processes: start, signal, stop, wait, list, get, forget."""

from __future__ import annotations

import trio

from procnursery.daemon.handlers.methods import Methods
from procnursery.daemon.session import Answer, Session
from procnursery.errors import InvalidField, RequestError
from procnursery.host.clock import stamp
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
            "process.signal": self._signal,
            "process.stop": self._stop,
            "process.wait": self._wait,
            "process.list": self._list,
            "process.get": self._get,
            "process.forget": self._forget,
        }

    async def _start(self, session: Session, params: m.StartParams) -> Answer:
        try:
            process, existing = await self._supervisor.start(
                params.spec,
                by=session.peer,
                requested=stamp(),
                token=params.token,
                own=session.own,
            )
        except InvalidField as error:
            raise error.within("spec") from None
        record = process.record
        assert record.pid is not None
        assert record.state != "starting"
        result = m.StartResult(
            id=process.id,
            pid=record.pid,
            state=record.state,
            times=record.times,
            existing=existing,
        )

        async def then() -> None:
            if params.events:
                await session.follow(process)

        return Answer(result, then)

    def _signal(self, session: Session, params: m.SignalParams) -> m.SignalResult:
        process = self._supervisor.get(params.id)
        _check_signal(params.signal)
        delivered, count = process.send_signal(params.signal, params.target, session.peer)
        return m.SignalResult(delivered=delivered, count=count)

    async def _stop(self, session: Session, params: m.StopParams) -> m.ProcessResult:
        process = self._supervisor.get(params.id)
        if params.signal is not None:
            _check_signal(params.signal)
        process.request_stop(
            cause="requested",
            by=session.peer,
            signal_name=params.signal,
            grace=params.grace,
        )
        try:
            await process.wait_stopped()
        except trio.Cancelled:
            raise RequestError("cancelled", "the stop goes on", executed="yes") from None
        return m.ProcessResult(process=process.record.info())

    async def _wait(self, _session: Session, params: m.WaitParams) -> m.ProcessResult:
        process = self._supervisor.get(params.id)
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
        for process in self._supervisor.all():
            if skip_to is not None:
                if process is skip_to:
                    skip_to = None
                continue
            if params.states is None or process.record.state in params.states:
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


def _check_signal(name: str) -> None:
    try:
        signal_number(name)
    except ValueError as error:
        raise InvalidField(str(error), "signal") from None
