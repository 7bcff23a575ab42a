"""Signals to a process from outside, each of which becomes an act of its record."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import Literal

import attrs

from procnursery.containment.tree import Tree
from procnursery.errors import RequestError
from procnursery.host.clock import stamp
from procnursery.model import Act, Stamp, Time
from procnursery.process.reaper import Child
from procnursery.process.record import Record, errno_name
from procnursery.signals import signal_number

Target = Literal["main", "group", "tree"]
StopCause = Literal["requested", "timeout", "disconnect", "shutdown"]
ActCause = Literal["requested", "timeout", "disconnect", "shutdown", "descendants"]


class Delivery:
    """Sends signals to one process.

    :ivar killed: whether SIGKILL was sent to the whole tree
    """

    def __init__(self, record: Record, tree: Tree) -> None:
        self._record = record
        self._tree = tree
        self._child: Child | None = None
        self._pidfd = -1
        self.killed = False

    def attach(self, child: Child) -> None:
        """The main process executes its program."""
        self._child = child
        if not child.exited:
            # Without a free descriptor the pid has to do: it is our own child's, not reaped.
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(child.pid)

    def detach(self) -> None:
        """The main process was reaped, or is given up."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def stop(self, name: str, cause: StopCause, by: str) -> None:
        """The first signal of a stop, to the whole tree."""
        requested = stamp()
        sent = self._tree.signal(signal_number(name))
        self._note(
            Act(
                act="stop",
                signal=name,
                target="tree",
                cause=cause,
                by=by,
                requested=requested,
                delivered=stamp() if sent else None,
                errno=None if sent else "ESRCH",
            )
        )

    def kill(self, cause: ActCause, by: str) -> None:
        """SIGKILL to the whole tree."""
        self.killed = True
        requested = stamp()
        count = self._tree.kill()
        record = self._record
        record.frozen = False  # SIGKILL ends what stands still, too
        record.tree = attrs.evolve(record.tree, killed=record.tree.killed + count)
        self._note(
            Act(
                act="kill",
                signal="SIGKILL",
                target="tree",
                cause=cause,
                by=by,
                requested=requested,
                delivered=stamp(),
            )
        )

    def signal(
        self, name: str, target: Target, by: str, due: Time | None = None
    ) -> tuple[Stamp, int]:
        """Send one signal: (when it was delivered, to how many processes).

        :param due: the instant for which it was asked
        :raises RequestError: ``not_running``, ``signal_failed``
        """
        record = self._record
        act = Act(
            act="signal",
            signal=name,
            target=target,
            cause="requested",
            by=by,
            requested=stamp(),
            due=due,
        )
        try:
            count = self._send(signal_number(name), target)
        except ProcessLookupError:
            self._note(attrs.evolve(act, errno="ESRCH"))
            raise RequestError("not_running", f"process {record.id} has just ended") from None
        except OSError as error:
            reason = errno_name(error.errno or 0)
            self._note(attrs.evolve(act, errno=reason))
            raise RequestError(
                "signal_failed",
                f"sending {name} to the {target} of process {record.id}: {error.strerror}",
                errno=reason,
                errno_number=error.errno,
            ) from error
        delivered = stamp()
        self._note(attrs.evolve(act, delivered=delivered))
        return delivered, count

    def _send(self, number: int, target: Target) -> int:
        if target == "tree":
            return self._tree.signal(number)
        child = self._child
        if child is None or child.exited:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if target == "group":
            # The main process is not reaped, so nobody else can have its group's number.
            os.killpg(child.pid, number)
        elif self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, number)
        else:
            os.kill(child.pid, number)
        return 1

    def _note(self, act: Act) -> None:
        self._record.add_act(act)
