"""System calls that Python's standard library does not have, for the spawner."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import termios
import time

SYS_CLONE3 = 435
CLONE_PARENT = 0x0000_8000
CLONE_CLEAR_SIGHAND = 0x1_0000_0000
CLONE_INTO_CGROUP = 0x2_0000_0000
PR_SET_TIMERSLACK = 29
IOPRIO_WHO_PROCESS = 1
DEFAULT_TIMER_SLACK_NS = 50_000
_CLONE3_ARGS = ctypes.c_uint64 * 11

_LEGACY = {  # machine: (clone, ioprio_set)
    "x86_64": (56, 251),
    "aarch64": (220, 30),
    "riscv64": (220, 30),
    "ppc64le": (120, 273),
    "s390x": (120, 282),
}

_RT_SIGACTION = {"x86_64": 13, "aarch64": 134, "riscv64": 134, "ppc64le": 173, "s390x": 174}
_HIDDEN_SIGNALS = (32, 33)
"""The C library keeps them for itself and refuses them in sigaction(3), but they are inherited."""
_KERNEL_SIGACTION = ctypes.c_uint64 * 4  # handler, flags, restorer, mask
_SIGSET_BYTES = 8
_RLIMIT64 = ctypes.c_uint64 * 2
_TIMESPEC = ctypes.c_long * 2
TIMER_ABSTIME = 1

# PyDLL: the interpreter lock is not given up, so that the child has it when clone returns.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def _numbers() -> tuple[int, int]:
    machine = os.uname().machine
    if machine not in _LEGACY:
        raise OSError(38, f"system call numbers of {machine} are not known")
    return _LEGACY[machine]


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def clone3(flags: int, cgroup: int | None) -> int:
    """clone3(2) without a new stack, like fork: 0 in the child. The signal sent at its end is
    that of the caller's own, as CLONE_PARENT demands.

    :raises OSError: what the kernel says
    """
    if cgroup is not None:
        flags |= CLONE_INTO_CGROUP
    arguments = _CLONE3_ARGS(flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, cgroup or 0)
    return _checked(
        _syscall(
            ctypes.c_long(SYS_CLONE3),
            ctypes.byref(arguments),
            ctypes.c_size_t(ctypes.sizeof(arguments)),
        )
    )


def legacy_clone(flags: int) -> int:
    """clone(2) without a new stack: 0 in the child.

    :raises OSError: what the kernel says
    """
    zero = ctypes.c_long(0)
    number = ctypes.c_long(_numbers()[0])
    first, second = ctypes.c_ulong(flags | signal.SIGCHLD), zero
    if os.uname().machine == "s390x":  # the stack comes first there
        return _checked(_syscall(number, second, first, zero, zero, zero))
    return _checked(_syscall(number, first, second, zero, zero, zero))


def set_io_priority(ioclass: int, level: int) -> None:
    """ioprio_set(2) of the calling process."""
    _checked(
        _syscall(
            ctypes.c_long(_numbers()[1]),
            ctypes.c_int(IOPRIO_WHO_PROCESS),
            ctypes.c_int(0),
            ctypes.c_int(ioclass << 13 | level),
        )
    )


def set_timer_slack(nanoseconds: int = DEFAULT_TIMER_SLACK_NS) -> None:
    """prctl(PR_SET_TIMERSLACK): how late the kernel may wake this process, by default its own
    default of 50 µs."""
    _checked(
        _libc.prctl(
            ctypes.c_int(PR_SET_TIMERSLACK),
            ctypes.c_ulong(nanoseconds),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        )
    )


def sleep_until(nanoseconds: int) -> None:
    """Sleep until an instant of CLOCK_REALTIME, also across steps of that clock,
    clock_nanosleep(2).

    :raises OSError: what the kernel says
    """
    until = _TIMESPEC(*divmod(nanoseconds, 10**9))
    while True:
        error = _libc.clock_nanosleep(
            ctypes.c_int(time.CLOCK_REALTIME),
            ctypes.c_int(TIMER_ABSTIME),
            ctypes.byref(until),
            None,
        )
        if error == 0:
            return
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))


def reset_hidden_signals() -> None:
    """Give the signals that only the kernel's own call reaches their default disposition.

    :raises OSError: the kernel refuses
    """
    default = _KERNEL_SIGACTION()
    for number in _HIDDEN_SIGNALS:
        action = _RT_SIGACTION[os.uname().machine]
        if _syscall(action, number, ctypes.byref(default), None, _SIGSET_BYTES) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))


def control_terminal(fd: int) -> None:
    """TIOCSCTTY of tty_ioctl(4): the terminal becomes that of the caller's session, and the
    caller's process group its foreground.

    :raises OSError: it belongs to another session, or the caller does not lead one without
    """
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def set_limit(number: int, soft: int, hard: int) -> None:
    """prlimit(2) on this process; the resource module hides the errno of some refusals.

    :raises OSError: the kernel refuses
    """
    limits = _RLIMIT64(soft % 2**64, hard % 2**64)
    if _libc.prlimit64(0, number, ctypes.byref(limits), None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
