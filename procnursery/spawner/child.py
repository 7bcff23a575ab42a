"""Everything between clone and exec, stage by stage, in the child.

The child never returns: it executes its program or exits with 127 after a ``failed`` report.
"""

from __future__ import annotations

import array
import errno
import os
import resource
import signal
import socket
import time
from collections.abc import Sequence

import msgpack

from procnursery.spawner import system
from procnursery.spawner.plan import UNLIMITED, Plan
from procnursery.spawner.refusals import explain, explain_limit

TYPE_CHECKING = False  # typing's own would import typing, which this small program does without
if TYPE_CHECKING:
    from typing import NoReturn

DEFAULT_PATH = b"/bin:/usr/bin"
"""Where execvp(3) looks when there is no PATH."""
FAILED_STATUS = 127
EXEC_PAGES = 256
"""Pages that a child may still touch between its last look at its own size and the point in
execve(2) where the kernel notes the largest size of the image that ends, beside copies of strings.
Measured: at most 133 of 4 KiB, most of them code, which the kernel maps in pieces of 64 KiB."""
COUNTED_LATE = 4
"""On so many CPUs at most a child has pages that are not counted yet: it lives for milliseconds."""
SPIN_NS = 200_000
"""How long before its instant a child stops to sleep, where a core is free to be kept busy."""


class StageError(Exception):
    """What is wrong with a stage, where an errno does not say it.

    :param number: errno, where a system call was refused all the same
    """

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


class Child:
    """The child's work.

    :param report: its end of the report socket
    :param descriptors: what came with the request, by name
    :param ignored: signals that the spawner ignores or catches
    """

    def __init__(
        self,
        plan: Plan,
        report: socket.socket,
        descriptors: dict[str, int],
        ignored: Sequence[int],
    ) -> None:
        self.plan = plan
        self.ignored = ignored
        self.report = report
        self.descriptors = descriptors
        self.stage = "clone"
        self._environment: dict[bytes, bytes] = {}
        self._files: list[bytes] = []

    def become(self, *, join_cgroup: bool) -> NoReturn:
        """Go through all stages.

        :param join_cgroup: the clone could not do it
        """
        try:
            self._tell("alive", os.getpid())
            if join_cgroup and "cgroup" in self.descriptors:
                self._join_cgroup()
            for stage, step in (
                ("close_range", self._close_range),
                ("session", os.setsid),
                ("signals", self._signals),
                ("stdio", self._stdio),
                ("stdio", self._control_terminal),
                ("rlimits", self._raise_limits),
                ("affinity", self._affinity),
                ("scheduler", self._scheduler),
                ("nice", self._nice),
                ("ionice", self._ionice),
                ("oom_score_adj", self._oom_score_adj),
                ("groups", self._groups),
                ("gid", self._gid),
                ("uid", self._uid),
                ("umask", self._umask),
                ("cwd", self._cwd),
                ("stdin", self._open_stdin),
                ("stdout", self._open_stdout),
                ("stderr", self._open_stderr),
                ("rlimits", self._lower_limits),
                ("gate", self._gate),
                ("exec", self._exec),
            ):
                self.stage = stage
                step()
        except OSError as error:
            self._fail(error.errno, explain(self.stage, error.errno, self.plan))
        except StageError as error:
            self._fail(error.number, str(error))
        except BaseException as error:  # the child must never return into the spawner's loop
            self._fail(None, repr(error))
        finally:
            os._exit(FAILED_STATUS)

    def _tell(self, *record: object) -> None:
        self.report.send(msgpack.packb(record))

    def _fail(self, number: int | None, detail: str | None) -> None:
        self._tell("failed", self.stage, number, detail)

    def _join_cgroup(self) -> None:
        procs = os.open(
            "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.descriptors["cgroup"]
        )
        os.write(procs, b"0")
        os.close(procs)

    def _close_range(self) -> None:
        """Keep 0 to 2, the report and what came with the request; those above 2 vanish at exec,
        since all of them are close-on-exec."""
        keep = sorted({self.report.fileno(), *self.descriptors.values()})
        start = 3
        for fd in keep:
            if fd >= start:
                os.closerange(start, fd)
                start = fd + 1
        os.closerange(start, 2**31 - 1)

    def _signals(self) -> None:
        """Neither clone nor exec resets ignored signals, and CPython ignores two."""
        for number in self.ignored:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        system.set_timer_slack()

    def _stdio(self) -> None:
        """Wire 0 to 2. Numbers that came below 3 would be overwritten: move them first."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        sources = []
        for name in ("stdin", "stdout", "stderr"):
            fd = self.descriptors.get("stdin" if self.plan.terminal else name, null)
            while fd < 3:
                fd = os.dup(fd)
                os.set_inheritable(fd, False)
            sources.append(fd)
        while self.report.fileno() < 3:
            self.report = self.report.dup()
        for target, fd in enumerate(sources):
            os.dup2(fd, target)
        if self.plan.stderr_to_stdout:
            os.dup2(1, 2)

    def _control_terminal(self) -> None:
        """The session has no terminal yet; its leader makes this one its own."""
        if self.plan.terminal:
            system.control_terminal(0)

    def _limits(self) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
        """(resource, wanted, present) with unlimited as RLIM_INFINITY."""
        result = []
        for number, soft, hard in self.plan.rlimits:
            wanted = (
                resource.RLIM_INFINITY if soft == UNLIMITED else soft,
                resource.RLIM_INFINITY if hard == UNLIMITED else hard,
            )
            result.append((number, wanted, resource.getrlimit(number)))
        return result

    def _raise_limits(self) -> None:
        for number, wanted, present in self._limits():
            raised = (_larger(wanted[0], present[0]), _larger(wanted[1], present[1]))
            if raised != present:
                _set_limit(number, raised, present)

    def _lower_limits(self) -> None:
        for number, wanted, present in self._limits():
            if wanted != present:
                _set_limit(number, wanted, present)

    def _affinity(self) -> None:
        if self.plan.affinity is not None:
            os.sched_setaffinity(0, self.plan.affinity)
            if os.sched_getaffinity(0) != set(self.plan.affinity):
                raise OSError(errno.EINVAL, "some of the CPUs may not be used")

    def _scheduler(self) -> None:
        if self.plan.scheduler is not None:
            policy, priority = self.plan.scheduler
            os.sched_setscheduler(0, policy, os.sched_param(priority))

    def _nice(self) -> None:
        if self.plan.nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, self.plan.nice)

    def _ionice(self) -> None:
        if self.plan.ionice is not None:
            system.set_io_priority(*self.plan.ionice)

    def _oom_score_adj(self) -> None:
        if self.plan.oom_score_adj is not None:
            fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, b"%d" % self.plan.oom_score_adj)
            os.close(fd)

    def _groups(self) -> None:
        if self.plan.groups is not None and sorted(self.plan.groups) != sorted(os.getgroups()):
            os.setgroups(self.plan.groups)

    def _gid(self) -> None:
        gid = self.plan.gid
        if gid is not None:
            os.setresgid(gid, gid, gid)
            if os.getresgid() != (gid, gid, gid):
                raise StageError("the group ids could not be verified")

    def _uid(self) -> None:
        uid = self.plan.uid
        if uid is not None:
            os.setresuid(uid, uid, uid)
            if os.getresuid() != (uid, uid, uid):
                raise StageError("the user ids could not be verified")

    def _umask(self) -> None:
        os.umask(self.plan.umask)

    def _cwd(self) -> None:
        self._tell("stage", "cwd")
        os.chdir(self.plan.cwd)

    def _open_stdin(self) -> None:
        if self.plan.stdin_path is not None:
            self._tell("stage", "stdin")
            _place(os.open(self.plan.stdin_path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC), 0)

    def _open_stdout(self) -> None:
        if self.plan.stdout_path is not None:
            self._open_output("stdout", self.plan.stdout_path, self.plan.stdout_append, 1)
            if self.plan.stderr_to_stdout:
                os.dup2(1, 2)

    def _open_stderr(self) -> None:
        if self.plan.stderr_path is not None:
            self._open_output("stderr", self.plan.stderr_path, self.plan.stderr_append, 2)

    def _open_output(self, name: str, path: bytes, append: bool, target: int) -> None:
        """O_APPEND in both cases, so that several writers never overwrite each other."""
        self._tell("stage", name)
        mode = os.O_APPEND if append else os.O_APPEND | os.O_TRUNC
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC | mode, 0o666)
        written = os.fstat(fd)
        try:
            reading = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            pass  # the target user may write this file but not read it: no reading report
        else:
            read = os.fstat(reading)
            if (read.st_dev, read.st_ino) == (written.st_dev, written.st_ino):
                self.report.sendmsg(
                    [msgpack.packb(["reading", name, written.st_size])],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reading]))],
                )
            os.close(reading)
        _place(fd, target)

    def _gate(self) -> None:
        """Wait to be let go, with nothing left to be done but the exec."""
        if not self.plan.gate:
            return
        self._prepare_exec()
        self._tell("held", *_clocks())
        message = self.report.recv(4096)
        if not message:
            os._exit(FAILED_STATUS)  # the daemon gave it up
        word, due, spin = msgpack.unpackb(message)
        if word != "release":
            raise StageError(f"an unknown message at the gate: {message!r}")
        if due is None:
            self._tell("released", False)
            return
        instant = due[0] * 10**9 + due[1]
        missed = time.clock_gettime_ns(time.CLOCK_REALTIME) > instant
        self._tell("released", missed)
        if not missed:
            _wait_for(instant, spin)

    def _prepare_exec(self) -> None:
        for entry in self.plan.env:
            name, _, value = entry.partition(b"=")
            self._environment[name] = value
        self._files = _candidates(self.plan, self._environment)

    def _exec(self) -> NoReturn:
        plan = self.plan
        if not plan.gate:
            self._prepare_exec()
        environment, candidates = self._environment, self._files
        room = _room_for_exec(plan)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._tell(
            "exec",
            *_clocks(),
            round(usage.ru_utime * 1e6),
            round(usage.ru_stime * 1e6),
            usage.ru_maxrss + room,
        )
        denied = False
        for candidate in candidates:
            try:
                os.execve(candidate, plan.argv, environment)
            except OSError as error:
                if len(candidates) == 1:
                    raise
                if error.errno == errno.EACCES:
                    denied = True
                elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise
        number = errno.EACCES if denied else errno.ENOENT
        raise OSError(number, os.strerror(number))


def _larger(first: int, second: int) -> int:
    if resource.RLIM_INFINITY in (first, second):
        return resource.RLIM_INFINITY
    return max(first, second)


def _room_for_exec(plan: Plan) -> int:
    """KiB by which this image can still grow until execve(2) lets go of it. What it has occupied
    by then, getrusage(2) counts for the program.

    os.execve copies every string, with pointers, headers and rounding. Since Linux 6.2 each CPU
    keeps back up to max(32, 2 * CPUs) pages of a size before it adds them to the sum.
    """
    strings = (*plan.argv, *plan.env)
    copies = sum(map(len, strings)) + 128 * len(strings)
    pages = EXEC_PAGES + COUNTED_LATE * max(32, 2 * (os.cpu_count() or 1))
    return (copies + pages * resource.getpagesize()) // 1024


def _set_limit(number: int, wanted: tuple[int, int], present: tuple[int, int]) -> None:
    try:
        system.set_limit(number, *wanted)
    except OSError as error:
        why = explain_limit(error.errno or 0, number, wanted, present)
        raise StageError(why, error.errno) from error


def _place(fd: int, target: int) -> None:
    os.dup2(fd, target)
    if fd != target:
        os.close(fd)


def _wait_for(instant: int, spin: bool) -> None:
    """Sleep until shortly before an instant of CLOCK_REALTIME and spin the rest, or sleep until
    it; never return before it."""
    system.set_timer_slack(1)
    system.sleep_until(instant - SPIN_NS if spin else instant)
    while time.clock_gettime_ns(time.CLOCK_REALTIME) < instant:
        pass
    system.set_timer_slack()


def _clocks() -> tuple[int, int, int, int]:
    realtime = time.clock_gettime_ns(time.CLOCK_REALTIME)
    monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return (*divmod(realtime, 10**9), *divmod(monotonic, 10**9))


def _candidates(plan: Plan, environment: dict[bytes, bytes]) -> list[bytes]:
    """The files that execvp(3) would try, in its order; an empty PATH element is the cwd."""
    if plan.executable is not None:
        return [plan.executable]
    name = plan.argv[0]
    if not name:
        return []
    if b"/" in name:
        return [name]
    path = environment.get(b"PATH", DEFAULT_PATH)
    return [directory + b"/" + name if directory else name for directory in path.split(b":")]
