"""The start of one process: until its program is executed, waits at its gate, or never will be."""

from __future__ import annotations

import errno

import attrs
import trio

from procnursery.containment.tree import Tree
from procnursery.errors import RequestError, StartFailed
from procnursery.process import account as accounts
from procnursery.process.channels import Channels, needs_directory, open_channels
from procnursery.process.delivery import Delivery, StopCause
from procnursery.process.launch import Launch, Launched, make_plan, raise_for_resources
from procnursery.process.record import Record, errno_name
from procnursery.process.surroundings import Surroundings

BURIAL = 1.0
"""Seconds that a requester is made to wait for the end of a child that failed."""


@attrs.frozen(kw_only=True)
class Stop:
    """A stop that was asked for, and how."""

    cause: StopCause
    by: str
    signal_name: str | None
    grace: float | None


class Start:
    """Everything that is made for a process, and the way to its program.

    :ivar done: set once the start has succeeded or failed
    :ivar failure: why it failed
    :ivar abandoned: it was given up on request before the program ran
    :ivar stop: a stop that was asked for meanwhile; if the program runs all the same, or waits at
        its gate, it is still to be done
    :ivar launched: the program, once it is executed
    :ivar held: the child has come to its gate
    """

    def __init__(self, record: Record, around: Surroundings) -> None:
        self.done = trio.Event()
        self.failure: RequestError | None = None
        self.abandoned = False
        self.stop: Stop | None = None
        self.channels = Channels()
        self.tree: Tree | None = None
        self.delivery: Delivery | None = None
        self.launch: Launch | None = None
        self.launched: Launched | None = None
        self.held = False
        self._record = record
        self._around = around
        self._scope = trio.CancelScope()
        self._given_up = False

    async def run(self) -> None:
        """Sets ``failure`` unless the program runs, or waits at its gate."""
        launch: Launch | None = None
        self._scope.deadline = trio.current_time() + self._record.spec.start_timeout
        try:
            with self._scope:
                launch = self.launch = await self._prepare()
                self.launched = await launch.run()
                self.held = self.launched is None
            if self._scope.cancelled_caught:
                await self._abandon(launch)
        except RequestError as failure:
            self.failure = failure
        except trio.Cancelled:
            if launch is not None:
                self.launched = await launch.abandon()
            raise
        finally:
            if launch is not None and not self.held:
                if self.launched is None:
                    await self._bury(launch)
                launch.settle()

    def give_up(self, stop: Stop | None = None) -> None:
        """Do not go on, unless the program runs already.

        :param stop: end it in that case; None: the requester does not wait for it any more
        """
        if not self.done.is_set():
            self.stop = self.stop or stop
            self._given_up = True
            self._scope.cancel()

    async def _bury(self, launch: Launch) -> None:
        """Wait for the end of a child that will never run its program. It can take long if it
        hangs in the kernel; the requester is not made to wait for that."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(BURIAL):
                await launch.wait_gone()
                return
            self.done.set()
            await launch.wait_gone()

    async def _prepare(self) -> Launch:
        around, record = self._around, self._record
        spec = record.spec
        if spec.user is None and spec.group is None and not spec.groups:
            account = accounts.resolve(spec)
        else:  # names may be looked up over a network
            account = await trio.to_thread.run_sync(accounts.resolve, spec, limiter=around.limiter)
        try:
            directory = await around.make_directory(record.id) if needs_directory(spec) else None
            self.channels = await open_channels(spec, account, directory, around.limiter)
            self.tree = around.new_tree(record.id)
            self.delivery = Delivery(record, self.tree)
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
            b"PROCNURSERY_ID": f"{around.instance}/{record.id}".encode(),
            b"PROCNURSERY_INSTANCE": around.instance.encode(),
        }
        if self.channels.notify is not None:
            markers[b"NOTIFY_SOCKET"] = self.channels.notify.variable
        return Launch(
            make_plan(spec, account, markers, around.default_cwd),
            self.channels,
            self.tree,
            spawner=around.spawner,
            reaper=around.reaper,
            limiter=around.limiter,
            on_exit=record.changed,
            home_of=account.name if spec.cwd is None and around.default_cwd is None else None,
        )

    async def _abandon(self, launch: Launch | None) -> None:
        """The start was cancelled, or its time is over."""
        stage = launch.stage if launch is not None else "user"
        if launch is not None:
            self.launched = await launch.abandon()
        if self.launched is not None:  # It got through to its program first.
            return
        if not self._given_up:
            raise StartFailed(
                f"start_timeout: after {self._record.spec.start_timeout} s the child was still at "
                f"stage {stage}; it was killed and the program was not executed",
                stage=stage,
                errno="ETIMEDOUT",
                errno_number=errno.ETIMEDOUT,
            )
        self.abandoned = True
        raise RequestError("cancelled", "the start was given up; nothing was executed")
