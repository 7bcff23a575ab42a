"""Waiting for an instant of the realtime clock, however that clock is set meanwhile."""

from __future__ import annotations

import ctypes
import errno
import os
import time

import trio

from procnursery.model import Time

TFD_NONBLOCK = os.O_NONBLOCK
TFD_CLOEXEC = os.O_CLOEXEC
TFD_TIMER_ABSTIME = 1
_ITIMERSPEC = ctypes.c_long * 4  # interval, then value: seconds and nanoseconds each
_libc = ctypes.CDLL(None, use_errno=True)


def has_passed(instant: Time) -> bool:
    """Whether CLOCK_REALTIME has reached an instant."""
    return divmod(time.clock_gettime_ns(time.CLOCK_REALTIME), 10**9) >= instant


async def wait_realtime(instant: Time) -> None:
    """Return at an instant of CLOCK_REALTIME and never before it; at once if it has passed.

    A timer on that clock (timerfd_create(2)) expires when the clock reaches the instant, also by a
    step.

    :raises OSError: no descriptor is left
    """
    if has_passed(instant):
        await trio.lowlevel.checkpoint()
        return
    timer = _libc.timerfd_create(time.CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)
    if timer < 0:
        raise _error("timerfd_create")
    try:
        value = _ITIMERSPEC(0, 0, *instant)
        if _libc.timerfd_settime(timer, TFD_TIMER_ABSTIME, ctypes.byref(value), None) != 0:
            raise _error("timerfd_settime")
        while not has_passed(instant):
            await trio.lowlevel.wait_readable(timer)
    finally:
        trio.lowlevel.notify_closing(timer)
        os.close(timer)


def _error(call: str) -> OSError:
    number = ctypes.get_errno() or errno.EINVAL
    return OSError(number, f"{call}: {os.strerror(number)}")
