"""From a spec to a program that is proven to run, or to the exact reason why it does not."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import NoReturn

import attrs
import trio

from procnursery.containment.tree import Tree
from procnursery.errors import RequestError, StartFailed
from procnursery.host.clock import split, stamp
from procnursery.model import ProcessSpec, Stamp, Time
from procnursery.process.account import Account, environment
from procnursery.process.channels import Channels
from procnursery.process.files import DirectStream
from procnursery.process.form import RLIMITS
from procnursery.process.reaper import Child, Reaper, has_execed
from procnursery.process.record import RESOURCES, errno_name, fatal_signal_of
from procnursery.spawner.plan import UNLIMITED, Plan
from procnursery.spawner.proxy import Birth, Spawner

_POLICIES = {
    "other": os.SCHED_OTHER,
    "batch": os.SCHED_BATCH,
    "idle": os.SCHED_IDLE,
    "fifo": os.SCHED_FIFO,
    "rr": os.SCHED_RR,
}
_IO_CLASSES = {"none": 0, "realtime": 1, "best-effort": 2, "idle": 3}  # ioprio_set(2)


@attrs.frozen
class Launched:
    """A child that executed its program.

    :ivar executed: stamped by the child just before exec
    :ivar seen: when the daemon knew that exec had succeeded
    :ivar setup: user µs and system µs that the child used before exec, and the most KiB that it can
        have had resident by then
    :ivar missed: whether a child with a gate knew of its release only after its instant
    """

    child: Child
    executed: Stamp
    seen: Stamp
    setup: tuple[int, int, int]
    missed: bool = False


def make_plan(
    spec: ProcessSpec, account: Account, markers: dict[bytes, bytes], cwd: bytes | None
) -> Plan:
    """The plan for the spawner.

    :param cwd: directory where the spec names none, and to which a relative one is relative; None:
        the target user's home
    """
    base = cwd or account.home
    scheduler = spec.scheduler
    ionice = spec.ionice
    return Plan(
        argv=list(spec.argv),
        env=environment(spec, account, markers),
        executable=spec.executable,
        cwd=base if spec.cwd is None else os.path.join(base, spec.cwd),
        uid=account.uid,
        gid=account.gid,
        groups=None if account.groups is None else list(account.groups),
        umask=spec.umask,
        rlimits=[
            [
                RLIMITS[name],
                UNLIMITED if soft is None else soft,
                UNLIMITED if hard is None else hard,
            ]
            for name, (soft, hard) in spec.rlimits.items()
        ],
        affinity=None if spec.affinity is None else list(spec.affinity),
        nice=spec.nice,
        scheduler=(
            None if scheduler is None else [_POLICIES[scheduler.policy], scheduler.priority]
        ),
        ionice=None if ionice is None else [_IO_CLASSES[ionice.class_], ionice.level],
        oom_score_adj=spec.oom_score_adj,
        stdin_path=spec.stdin.path,
        stdout_path=spec.stdout.path,
        stdout_append=spec.stdout.append,
        stderr_path=spec.stderr.path,
        stderr_append=spec.stderr.append,
        stderr_to_stdout=spec.stderr.mode == "stdout",
        terminal=spec.pty is not None,
        gate=spec.hold,
    )


class Launch:
    """One start: hand the plan to the spawner, follow the reports, prove the exec.

    :param on_exit: called when the child was reaped
    :param home_of: whose home directory the plan's ``cwd`` is, where the spec names none
    """

    def __init__(
        self,
        plan: Plan,
        channels: Channels,
        tree: Tree,
        *,
        spawner: Spawner,
        reaper: Reaper,
        limiter: trio.CapacityLimiter,
        on_exit: Callable[[], None],
        home_of: str | None = None,
    ) -> None:
        self._plan = plan
        self._channels = channels
        self._tree = tree
        self._spawner = spawner
        self._reaper = reaper
        self._limiter = limiter
        self._on_exit = on_exit
        self._home_of = home_of
        self._birth: Birth | None = None
        self._changed = trio.lowlevel.ParkingLot()
        self.child: Child | None = None

    @property
    def stage(self) -> str:
        """The latest stage known to have been reached."""
        if self._birth is None or self.child is None:
            return "clone"
        return self._birth.stage or "close_range"

    @property
    def held(self) -> bool:
        """Whether the child has come to its gate and has neither passed it nor ended there."""
        return self._birth is not None and self._birth.held is not None and not self._birth.ended

    @property
    def held_at(self) -> Stamp | None:
        """When the child came to its gate."""
        if self._birth is None or self._birth.held is None:
            return None
        realtime, monotonic = self._birth.held
        return Stamp(realtime=split(realtime), monotonic=split(monotonic))

    def release(self, due: Time | None, *, spin: bool) -> None:
        """Let the child at its gate go; :meth:`prove` tells what came of it."""
        assert self._birth is not None
        # A child that has just died is found by prove().
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._birth.release(due, spin=spin)

    async def run(self) -> Launched | None:
        """Start the child; None: it waits at its gate. When cancelled, the child is killed and
        the caller finds out by :meth:`abandon` what became of it.

        :raises StartFailed: the program was not executed
        :raises RequestError: ``resource_exhausted``
        """
        descriptors = dict(self._channels.child)
        if self._tree.directory_fd is not None:
            descriptors["cgroup"] = self._tree.directory_fd
        try:
            self._birth = await self._spawner.request(self._plan.to_bytes(), descriptors)
        except OSError as error:
            raise_for_resources(error, "asking the spawner for a child")
        self._channels.close_child_ends()
        await self._follow(self._birth, until_held=True)
        if self.held:
            self._spawner.park(self._birth)
            self._births_settled()
            self._add_unreadable()
            return None
        return await self._prove(self._birth)

    async def prove(self) -> Launched:
        """Wait until a held child has executed its program.

        :raises StartFailed: it will not
        """
        assert self._birth is not None
        await self._follow(self._birth)
        return await self._prove(self._birth)

    async def _follow(self, birth: Birth, *, until_held: bool = False) -> None:
        while True:
            birth.poll()
            self._adopt(birth)
            if birth.ended or (until_held and birth.held is not None):
                return
            await birth.wait_reported()

    def _adopt(self, birth: Birth) -> None:
        """Take what the reports brought: the pid, and files to read."""
        if birth.pid is not None and self.child is None:
            self.child = self._reaper.expect(birth.pid)
            self.child.on_exit = self._exited
            self._tree.set_main(birth.pid)
            if self.child.exited:  # reaped before its birth was reported
                self._tree.main_ended()
        for name, path in (("stdout", self._plan.stdout_path), ("stderr", self._plan.stderr_path)):
            if path is not None and name in birth.reading:
                fd, start = birth.reading.pop(name)
                self._channels.streams[name] = DirectStream(
                    name, fd, path=os.fsdecode(path), start=start, limiter=self._limiter
                )

    def _exited(self) -> None:
        self._tree.main_ended()
        self._changed.unpark_all()
        self._on_exit()

    async def _prove(self, birth: Birth) -> Launched:
        """Tell an executed program from a child that died on the way."""
        child = self.child
        if child is None:
            if birth.failed is None:
                raise StartFailed("the spawner died before it cloned the child", stage="clone")
            await self._fail(birth)
        if birth.failed is not None or not self._has_execed(child) or birth.executed is None:
            await self._fail(birth)
        seen = stamp()
        realtime, monotonic, user, system, max_rss = birth.executed
        self._add_unreadable()
        return Launched(
            child,
            Stamp(realtime=split(realtime), monotonic=split(monotonic)),
            seen,
            (user, system, max_rss),
            missed=bool(birth.released),
        )

    def _add_unreadable(self) -> None:
        """Files that the target user may write but not read."""
        for name in ("stdout", "stderr"):
            path: bytes | None = getattr(self._plan, f"{name}_path")
            if path is not None and name not in self._channels.streams:
                self._channels.streams[name] = DirectStream(
                    name, None, path=os.fsdecode(path), start=0, limiter=self._limiter
                )

    @staticmethod
    def _has_execed(child: Child) -> bool:
        if child.exited:
            return bool(child.execed)
        child.proven = has_execed(child.pid)
        return child.proven

    async def _fail(self, birth: Birth) -> NoReturn:
        """Wait for the end of the child, then say why its program does not run."""
        await self._wait_exited()
        if birth.failed is not None:
            stage, number, detail = birth.failed
            raise self._failure(stage, number, detail)
        fatal = fatal_signal_of(self.child.status) if self.child is not None else None
        raise StartFailed(
            f"the child ended in its set-up{f' by {fatal}' if fatal else ''}, "
            f"at or after stage {self.stage}; the program was not executed",
            stage=self.stage,
            signal=fatal,
        )

    def _failure(self, stage: str, number: int | None, detail: str | None) -> RequestError:
        file = {
            "exec": self._plan.executable or self._plan.argv[0],
            "cwd": self._plan.cwd,
            "stdin": self._plan.stdin_path,
            "stdout": self._plan.stdout_path,
            "stderr": self._plan.stderr_path,
        }.get(stage)
        what = f" of {os.fsdecode(file)!r}" if file is not None else ""
        if number is None:
            return StartFailed(f"stage {stage}{what}: {detail}", stage=stage, file=file)
        reason = detail or os.strerror(number)
        advice = ""
        if stage == "cwd" and self._home_of is not None:
            advice = (
                f"; it is the home directory of the user {self._home_of!r}: give another "
                "directory as cwd (--cwd of the command)"
            )
        return StartFailed(
            f"stage {stage}{what}: {errno_name(number)} ({reason}){advice}",
            stage=stage,
            errno=errno_name(number),
            errno_number=number,
            file=file,
        )

    async def abandon(self) -> Launched | None:
        """After :meth:`run` was cancelled: end the child, unless its program runs already.

        Returns when it is certain that nothing of the program has run or will run, which may be
        before the child is gone (:meth:`wait_gone`).
        """
        birth = self._birth
        if birth is None:
            return None
        with trio.CancelScope(shield=True):
            birth.poll()
            self._adopt(birth)
            if (
                birth.ended
                and birth.executed is not None
                and self.child is not None
                and self._has_execed(self.child)
            ):
                return await self._prove(birth)
            while self.child is None and not birth.ended:
                await birth.wait_reported()
                birth.poll()
                self._adopt(birth)
            if self.child is None:
                return None
            if not self.child.exited:
                # Not reaped, so the pid is its own. After SIGKILL it reaches no user code, so a
                # flag that is still set now means that the program never runs.
                os.kill(self.child.pid, signal.SIGKILL)
            if self._has_execed(self.child):
                birth.poll()
                if birth.executed is not None:
                    return await self._prove(birth)
        return None

    async def wait_gone(self) -> None:
        """Wait until nothing is left of an abandoned child."""
        birth = self._birth
        while birth is not None and not birth.ended:
            await birth.wait_reported()
            birth.poll()
            self._adopt(birth)
        await self._wait_exited()

    async def _wait_exited(self) -> None:
        while self.child is not None and not self.child.exited:
            await self._changed.park()

    def settle(self) -> None:
        """The birth is over."""
        if self._birth is not None:
            self._spawner.settle(self._birth)
            self._birth = None
        self._births_settled()

    def _births_settled(self) -> None:
        if not self._spawner.births:
            self._reaper.births_settled()


def raise_for_resources(error: OSError, doing: str) -> NoReturn:
    """Tell the requester of an OSError that is the machine's state, not a defect."""
    number = error.errno or 0
    if number not in RESOURCES:
        raise error
    raise RequestError(
        "resource_exhausted",
        f"{doing}: {errno_name(number)} ({error.strerror})",
        errno=errno_name(number),
        errno_number=number,
    ) from error
