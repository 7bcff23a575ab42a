"""The reference spawner: a small single-threaded program that clones the daemon's children.

It blocks in one system call when there is nothing to do, holds nothing between requests but the
pids that it has cloned, and ends only when its control socket does. The interface is described in
``plan.py``.
"""

from __future__ import annotations

import array
import errno
import gc
import itertools
import os
import signal
import socket
import sys
import time

import msgpack

from procnursery.spawner import system
from procnursery.spawner.child import Child
from procnursery.spawner.plan import Plan

TYPE_CHECKING = False  # typing's own would import typing, which this small program does without
if TYPE_CHECKING:
    from typing import NoReturn

MAX_REQUEST = 4096
MAX_MAINS = 8192
"""Beyond so many remembered children those that are gone are forgotten."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MAX_DESCRIPTORS = 16
_NAMES = frozenset({"plan", "report", "stdin", "stdout", "stderr", "cgroup"})
_REFUSALS_OF_CLONE3 = (errno.ENOSYS, errno.EPERM, errno.E2BIG, errno.EINVAL)
"""Old kernels, and containers' seccomp filters; anything else is a real failure."""


class Spawner:
    """The spawner's loop.

    :param control: its end of the control socket
    :param sweeper: argv to execute at the end
    :param mains: pids of main processes that another spawner has cloned
    """

    def __init__(
        self, control: socket.socket, sweeper: list[str], mains: list[int], *, clone3: bool
    ) -> None:
        self._control = control
        self._sweeper = sweeper
        self._clone3 = clone3
        self._ignored = [
            number
            for number in signal.valid_signals()
            if signal.getsignal(number) is not signal.SIG_DFL
        ]
        self._mains = dict.fromkeys(mains, _ticks_since_boot())

    def run(self) -> None:
        """Serve requests until the daemon is gone, then become the sweeper."""
        while True:
            data, ancillary, flags, _ = self._control.recvmsg(
                MAX_REQUEST,
                socket.CMSG_SPACE(MAX_DESCRIPTORS * 4),
                socket.MSG_CMSG_CLOEXEC,
            )
            numbers = array.array("i")
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    numbers.frombytes(payload[: len(payload) - len(payload) % 4])
            if not data and not numbers:
                break
            try:
                self._serve(data, list(numbers), flags)
            finally:
                # The report last: when the daemon sees its end, no other is held here any more.
                for fd in reversed(numbers):
                    os.close(fd)
        if self._sweeper:
            self._become_sweeper()

    def _become_sweeper(self) -> NoReturn:
        """Hand on what was cloned: a program without the marker in its environment is found by
        nothing else once its parent is dead."""
        memory = os.memfd_create("procnursery-mains")
        lines = "".join(f"{pid} {ticks}\n" for pid, ticks in self._mains.items()).encode()
        while lines:
            lines = lines[os.write(memory, lines) :]
        os.lseek(memory, 0, os.SEEK_SET)
        os.dup2(memory, 0)
        os.execv(self._sweeper[0], [*self._sweeper, "--mains"])

    def _remember(self, pid: int) -> None:
        self._mains[pid] = _ticks_since_boot()
        if len(self._mains) > MAX_MAINS:
            self._mains = {one: at for one, at in self._mains.items() if _exists(one)}

    def _serve(self, data: bytes, numbers: list[int], flags: int) -> None:
        """One request; whatever is wrong with it is reported, if there is a report socket."""
        named: dict[str, int] = {}
        try:
            names = msgpack.unpackb(data)["fds"]
            named = dict(zip(names, numbers, strict=False))
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise OSError(errno.EMFILE, "the request was truncated")
            if len(names) != len(numbers) or not {"plan", "report"} <= named.keys() <= _NAMES:
                raise OSError(errno.EINVAL, "the request does not name its descriptors")
            plan = Plan.from_bytes(_contents(named.pop("plan")))
        except OSError as error:
            _report_failure(named, error.errno or errno.EINVAL, error.strerror)
            return
        except Exception as error:  # bytes from outside: msgpack and Plan raise many kinds
            _report_failure(named, errno.EINVAL, repr(error))
            return
        report = socket.socket(fileno=os.dup(named.pop("report")))
        try:
            os.set_inheritable(report.fileno(), False)
            child = Child(plan, report, named, self._ignored)
            pid = self._clone(child, named.get("cgroup"))
            self._remember(pid)
            report.send(msgpack.packb(["cloned", pid]))
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                report.send(msgpack.packb(["failed", "clone", error.errno, None]))
        finally:
            report.close()

    def _clone(self, child: Child, cgroup: int | None) -> int:
        flags = system.CLONE_PARENT
        if self._clone3:
            try:
                pid = system.clone3(flags | system.CLONE_CLEAR_SIGHAND, cgroup)
            except OSError as error:
                if error.errno not in _REFUSALS_OF_CLONE3:
                    raise
                self._clone3 = False
            else:
                if pid == 0:
                    child.become(join_cgroup=False)
                return pid
        pid = system.legacy_clone(flags)
        if pid == 0:
            child.become(join_cgroup=True)
        return pid


def _ticks_since_boot() -> int:
    """In the unit of the start time in /proc/PID/stat."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_SECOND)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _contents(memory: int) -> bytes:
    size = os.fstat(memory).st_size
    data = os.pread(memory, size, 0)
    if len(data) != size:
        raise OSError(errno.EIO, "the plan could not be read")
    return data


def _report_failure(named: dict[str, int], number: int, detail: str | None) -> None:
    if "report" not in named:
        return  # its end closes with the request: the daemon sees that
    report = socket.socket(fileno=os.dup(named["report"]))
    try:
        report.send(msgpack.packb(["failed", "clone", number, detail]))
    finally:
        report.close()


def main(argv: list[str]) -> NoReturn:
    """``--control-fd N [--no-clone3] [--main PID]… [-- SWEEPER…]``"""
    options, sweeper = argv, []
    if "--" in argv:
        middle = argv.index("--")
        options, sweeper = argv[:middle], argv[middle + 1 :]
    fd = int(options[options.index("--control-fd") + 1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    system.reset_hidden_signals()
    control = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    control.setblocking(True)
    gc.disable()  # no cycles are made here, and a collection would cost copied pages in children
    gc.freeze()
    mains = [int(pid) for option, pid in itertools.pairwise(options) if option == "--main"]
    Spawner(control, sweeper, mains, clone3="--no-clone3" not in options).run()
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
