"""The daemon's side of the spawner: starts it, replaces it, hands it plans, reads its reports.

The interface itself is described in ``plan.py``; any program that fulfils it can be the spawner.
"""

from __future__ import annotations

import array
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgpack
import trio

log = logging.getLogger(__name__)

CONTROL_FD = 3
MAX_RECORD = 65_536
MAX_RECORD_FDS = 4
MAX_USELESS_STARTS = 5
"""After so many spawners in a row that died without a single birth, something is wrong that
another start will not mend."""


class SpawnerUnavailable(Exception):
    """The spawner cannot be started or does not stay alive."""


class Birth:
    """One child on its way to its program, as its reports tell.

    :ivar pid: known from the first report
    :ivar executed: (realtime ns, monotonic ns, user µs, system µs, resident KiB) as told by
        the child just before exec; the last is the most that there can be
    :ivar failed: (stage, errno or None, detail or None)
    :ivar held: (realtime ns, monotonic ns) when the child came to its gate
    :ivar released: whether the child knows of its release, and whether that came too late
    :ivar reading: stream name → (descriptor open for reading, offset where output starts)
    :ivar stage: the last stage that the child announced because it may block there
    :ivar ended: no more reports: it executed its program, failed, or died
    """

    def __init__(self, report: socket.socket) -> None:
        self._report = report
        self.pid: int | None = None
        self.executed: tuple[int, int, int, int, int] | None = None
        self.failed: tuple[str, int | None, str | None] | None = None
        self.held: tuple[int, int] | None = None
        self.released: bool | None = None
        self.reading: dict[str, tuple[int, int]] = {}
        self.stage: str | None = None
        self.ended = False

    def poll(self) -> None:
        """Take the reports that have arrived."""
        while not self.ended:
            try:
                data, ancillary, _flags, _address = self._report.recvmsg(
                    MAX_RECORD,
                    socket.CMSG_SPACE(MAX_RECORD_FDS * 4),
                    socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC,
                )
            except BlockingIOError:
                return
            except ConnectionResetError:  # the child ended with our end of it unread
                data, ancillary = b"", []
            if not data:
                self.ended = True
                return
            self._take(msgpack.unpackb(data), _descriptors(ancillary))

    def _take(self, record: list[Any], descriptors: list[int]) -> None:
        match record:
            case ["cloned" | "alive", pid]:
                self.pid = pid
            case ["failed", stage, number, detail]:
                self.failed = (stage, number, detail)
            case ["reading", name, start] if descriptors:
                self.reading[name] = (descriptors.pop(), start)
            case ["stage", name]:
                self.stage = name
            case ["held", rt_sec, rt_nsec, mono_sec, mono_nsec]:
                self.held = rt_sec * 10**9 + rt_nsec, mono_sec * 10**9 + mono_nsec
                self.stage = "gate"
            case ["released", bool() as missed]:
                self.released = missed
            case ["exec", rt_sec, rt_nsec, mono_sec, mono_nsec, user, system, max_rss]:
                self.executed = (
                    rt_sec * 10**9 + rt_nsec,
                    mono_sec * 10**9 + mono_nsec,
                    user,
                    system,
                    max_rss,
                )
            case _:
                raise SpawnerUnavailable(f"the spawner sent an unknown report: {record!r}")
        for descriptor in descriptors:
            os.close(descriptor)

    def release(self, due: tuple[int, int] | None, *, spin: bool) -> None:
        """Let the child at its gate go.

        :param due: instant of CLOCK_REALTIME; None: at once
        :param spin: keep a core busy just before
        :raises OSError: the child is gone
        """
        message = msgpack.packb(["release", due, spin])
        self._report.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    async def wait_reported(self) -> None:
        """Wait until a report may have arrived."""
        await trio.lowlevel.wait_readable(self._report)

    def close(self) -> None:
        """Give up the report socket and the descriptors that nobody took."""
        trio.lowlevel.notify_closing(self._report)
        self._report.close()
        for descriptor, _start in self.reading.values():
            os.close(descriptor)
        self.reading.clear()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found.tolist()


class Spawner:
    """The running spawner process.

    :param sweeper_argv: what it executes when the daemon is gone
    :param mains: pids of the main processes that live when a spawner is started
    :ivar pid: None while it is being replaced
    :ivar restarts: how often it had to be replaced
    """

    form = "python"

    def __init__(
        self, sweeper_argv: Sequence[str], mains: Callable[[], Iterable[int]] = tuple
    ) -> None:
        self._sweeper_argv = list(sweeper_argv)
        self._mains = mains
        self._control: trio.socket.SocketType | None = None
        self._ready = trio.Event()
        self._births: set[Birth] = set()
        self._births_since_start = 0
        self.pid: int | None = None
        self.restarts = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a spawner running; ready when the first one was started.

        Ends it when cancelled: by SIGKILL, since at an end of its control socket it would take
        the daemon for dead and sweep.

        :raises SpawnerUnavailable: if spawners die one after the other
        """
        useless = 0
        while True:
            pidfd = self._start()
            try:
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await trio.lowlevel.wait_readable(pidfd)
            finally:
                self._ready = trio.Event()
                self.pid = None
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                os.close(pidfd)
                if self._control is not None:
                    self._control.close()
            useless = 0 if self._births_since_start else useless + 1
            if useless >= MAX_USELESS_STARTS:
                raise SpawnerUnavailable(f"{useless} spawners died at once, one after the other")
            self.restarts += 1
            log.error("the spawner died; starting another", extra={"restarts": self.restarts})

    def _start(self) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [
                sys.executable,
                "-P",
                "-m",
                "procnursery.spawner.reference",
                "--control-fd",
                str(CONTROL_FD),
                *(word for pid in self._mains() for word in ("--main", str(pid))),
                "--",
                *self._sweeper_argv,
            ]
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            try:
                pid = os.posix_spawn(
                    sys.executable,
                    argv,
                    dict(os.environ),
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, null, 0),
                        (os.POSIX_SPAWN_DUP2, null, 1),
                        (os.POSIX_SPAWN_DUP2, theirs.fileno(), CONTROL_FD),
                    ],
                    setsid=True,
                    setsigmask=[],
                )
            finally:
                os.close(null)
        self._control = trio.socket.from_stdlib_socket(ours)
        self._births_since_start = 0
        self.pid = pid
        self._ready.set()
        return os.pidfd_open(pid)

    def pids(self) -> set[int]:
        """Its pid, while there is one."""
        return set() if self.pid is None else {self.pid}

    @property
    def births(self) -> int:
        """How many children are on their way."""
        return len(self._births)

    def collect(self) -> None:
        """Take the reports of all children on their way."""
        for birth in self._births:
            birth.poll()

    async def request(self, plan: bytes, descriptors: dict[str, int]) -> Birth:
        """Ask for a child.

        :param plan: a plan, as bytes
        :param descriptors: ``stdin``, ``stdout``, ``stderr``, ``cgroup`` where they are wanted;
            they stay the caller's
        :returns: its birth; to be given back to :meth:`settle`
        :raises OSError: if descriptors or memory for the request are lacking
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        birth = Birth(ours)
        self._births.add(birth)
        try:
            with theirs:
                memory = os.memfd_create("procnursery-plan")
                try:
                    _write_all(memory, plan)
                    names = ["plan", "report", *descriptors]
                    numbers = [memory, theirs.fileno(), *descriptors.values()]
                    await self._send(msgpack.packb({"fds": names}), numbers)
                finally:
                    os.close(memory)
        except BaseException:
            self.settle(birth)
            raise
        self._births_since_start += 1
        return birth

    async def _send(self, message: bytes, descriptors: list[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        while True:
            await self._ready.wait()
            control = self._control
            assert control is not None
            try:
                await control.sendmsg([message], rights)
            except (BrokenPipeError, ConnectionResetError, trio.ClosedResourceError):
                # It died before it took the message: nothing was cloned. run() starts another.
                if self._control is control:
                    await trio.lowlevel.checkpoint()
                continue
            return

    def park(self, birth: Birth) -> None:
        """A child has come to its gate: its pid is known, and it may stay there for long."""
        self._births.discard(birth)

    def settle(self, birth: Birth) -> None:
        """A birth is over, one way or the other."""
        self._births.discard(birth)
        birth.close()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
