"""The registry of all processes; owns the nursery they live in."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import trio

from procnursery.containment.family import Census, Family
from procnursery.containment.tree import Tree
from procnursery.errors import RequestError
from procnursery.model import ProcessSpec, Stamp
from procnursery.process.events import EventLog
from procnursery.process.form import check_form
from procnursery.process.reaper import Reaper
from procnursery.process.record import Record
from procnursery.process.run import ManagedProcess
from procnursery.process.state import StateDirectory
from procnursery.spawner.proxy import Spawner

log = logging.getLogger(__name__)


class Containment(Protocol):
    """Makes trees."""

    kind: str
    family: Family

    def new_tree(self, process_id: str) -> Tree:
        """A tree for one process."""
        ...


class Supervisor:
    """Starts processes, knows them all, and forgets the oldest closed ones.

    :param nursery: where processes live
    :param keep_closed: how many closed processes are remembered
    :param default_cwd: directory where a spec names none; None: the target user's home
    :ivar started: how many programs were executed
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        spawner: Spawner,
        reaper: Reaper,
        containment: Containment,
        state: StateDirectory,
        limiter: trio.CapacityLimiter,
        instance: str,
        events: EventLog,
        keep_closed: int,
        default_cwd: bytes | None = None,
    ) -> None:
        self._nursery = nursery
        self.spawner = spawner
        self.reaper = reaper
        self.limiter = limiter
        self.instance = instance
        self.default_cwd = default_cwd
        self._containment = containment
        self._state = state
        self._keep_closed = keep_closed
        self._processes: dict[str, ManagedProcess] = {}
        self._tokens: dict[str, ManagedProcess] = {}
        self._token_of: dict[str, str] = {}
        self._closed: deque[str] = deque()
        self._names: dict[str, ManagedProcess] = {}
        self._incarnations: dict[str, int] = {}
        self.events = events
        self._idle = trio.lowlevel.ParkingLot()
        self._stopping = False
        self.started = 0

    # What processes need

    def new_tree(self, process_id: str) -> Tree:
        """A tree for one process."""
        return self._containment.new_tree(process_id)

    async def make_directory(self, process_id: str) -> Path:
        """Make the directory for the files of one process."""
        return await trio.to_thread.run_sync(
            self._state.make_output_directory, process_id, limiter=self.limiter
        )

    def executed(self) -> None:
        """A program was executed."""
        self.started += 1

    # What requesters use

    async def start(
        self,
        spec: ProcessSpec,
        *,
        by: str,
        requested: Stamp,
        token: str | None = None,
        own: Callable[[ManagedProcess], None],
    ) -> tuple[ManagedProcess, bool]:
        """Start a program: (its process, whether the token named one that was there).

        When cancelled, the start is given up unless the program runs already, in which case
        the process is returned all the same.

        :param own: called with the process before it starts, so that the end of its requester's
            connection finds it
        :raises InvalidField: the spec's form is wrong; nothing happened
        :raises RequestError: the program was not executed
        """
        check_form(spec)
        if self._stopping:
            raise RequestError("shutting_down", "the daemon is shutting down")
        known = self._tokens.get(token) if token is not None else None
        if known is not None:
            if known.spec != spec:
                raise RequestError(
                    "token_conflict", f"token {token!r} belongs to a start with another spec"
                )
            own(known)
            await known.start_done.wait()
            return self._result(known), True
        process = self._new_process(spec, by, requested)
        if token is not None:
            self._tokens[token] = process
            self._token_of[process.id] = token
        own(process)
        self._nursery.start_soon(self._run, process)
        try:
            await process.start_done.wait()
        except trio.Cancelled:
            process.abort_start("requested", by)
            with trio.CancelScope(shield=True):
                await process.start_done.wait()
            if process.failure is None or not process.abandoned:
                return self._result(process), False
            raise
        return self._result(process), False

    def _new_process(self, spec: ProcessSpec, by: str, requested: Stamp) -> ManagedProcess:
        name = spec.name
        if name is not None and name in self._names:
            holder = self._names[name]
            if holder.record.state != "closed":
                raise RequestError(
                    "name_in_use",
                    f"process {holder.id} has the name {name!r} and is {holder.record.state}; "
                    "stop it first, or restart it",
                )
        incarnation = 1 if name is None else self._incarnations.get(name, 0) + 1
        record = Record(
            self._state.next_id(),
            spec,
            by=by,
            containment=self._containment.kind,
            requested=requested,
            events=self.events,
            incarnation=incarnation,
        )
        process = ManagedProcess(record, self)
        self._processes[process.id] = process
        if name is not None:
            self._names[name] = process
            self._incarnations[name] = incarnation
        return process

    @staticmethod
    def _result(process: ManagedProcess) -> ManagedProcess:
        if process.failure is not None:
            raise process.failure
        return process

    async def _run(self, process: ManagedProcess) -> None:
        try:
            await process.run()
        finally:
            if process.failure is not None:
                self._drop(process)
                await self._remove_output(process)
            elif process.id in self._processes:
                self._closed.append(process.id)
        await self._prune()
        self._idle.unpark_all()

    async def wait_idle(self) -> None:
        """Wait until no process lives."""
        while any(
            process.record.state != "closed" or process.keeps_descendants
            for process in self._processes.values()
        ):
            await self._idle.park()

    def _drop(self, process: ManagedProcess) -> None:
        del self._processes[process.id]
        name = process.spec.name
        if name is not None and self._names[name] is process:
            self._pass_on(name, failed=process.failure is not None)
        token = self._token_of.pop(process.id, None)
        if token is not None:
            del self._tokens[token]

    def _pass_on(self, name: str, *, failed: bool) -> None:
        """The latest process of a name is dropped: what the name means now. A start that failed
        was no life of it."""
        if failed:
            self._incarnations[name] -= 1
        earlier = [one for one in self._processes.values() if one.spec.name == name]
        if earlier:
            self._names[name] = earlier[-1]
        else:
            del self._names[name]
            if failed and self._incarnations[name] == 0:
                del self._incarnations[name]

    async def _remove_output(self, process: ManagedProcess) -> None:
        if process.uses_directory:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(
                    self._state.remove_output_directory, process.id, limiter=self.limiter
                )

    async def _prune(self) -> None:
        """Forget the oldest closed processes beyond the number that is kept."""
        while len(self._closed) > self._keep_closed:
            process = self._processes.get(self._closed.popleft())
            if process is not None:
                await self._forget(process)

    async def forget(self, process_id: str) -> None:
        """Delete the record and the stored output of a closed process.

        :raises RequestError: ``not_found``, ``process_live``
        """
        process = self.get(process_id)
        if process.record.state != "closed":
            raise RequestError(
                "process_live", f"process {process_id} is {process.record.state}; stop it first"
            )
        if process.keeps_descendants:
            raise RequestError(
                "process_live", f"process {process_id} keeps descendants; stop it first"
            )
        if process.id in self._closed:
            self._closed.remove(process.id)
        await self._forget(process)

    async def _forget(self, process: ManagedProcess) -> None:
        self._drop(process)
        process.forget()
        await self._remove_output(process)

    def get(self, process_id: str) -> ManagedProcess:
        """The process of this id, or the latest one of this name.

        :raises RequestError: ``not_found``
        """
        process = self._processes.get(process_id) or self._names.get(process_id)
        if process is None:
            raise RequestError("not_found", f"this daemon knows no process {process_id!r}")
        return process

    def all(self) -> Iterator[ManagedProcess]:
        """Every process, oldest first."""
        return iter(list(self._processes.values()))

    def census(self) -> Census:
        """For looking at the trees of many processes."""
        return self._containment.family.census()

    @property
    def live(self) -> int:
        """How many processes are not closed."""
        return len(self._processes) - len(self._closed)

    @property
    def closed(self) -> int:
        """How many closed processes are remembered."""
        return len(self._closed)

    def stop_all(self, *, grace: float | None) -> None:
        """Stop every process, since the daemon ends; nothing is started any more.

        :param grace: at most so many seconds; None: as each spec says
        """
        self._stopping = True
        for process in self.all():
            wanted = process.spec.grace
            process.request_stop(
                cause="shutdown",
                by="daemon",
                grace=wanted if grace is None else min(grace, wanted),
            )
