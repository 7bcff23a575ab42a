"""Stamps of both clocks of this host."""

from __future__ import annotations

import time

from procnursery.model import Stamp, Time

BILLION = 1_000_000_000


def split(nanoseconds: int) -> Time:
    """Nanoseconds as [seconds, nanoseconds]."""
    return divmod(nanoseconds, BILLION)


def stamp() -> Stamp:
    """Now, on CLOCK_REALTIME and CLOCK_MONOTONIC."""
    realtime = time.clock_gettime_ns(time.CLOCK_REALTIME)
    monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return Stamp(realtime=split(realtime), monotonic=split(monotonic))


def seconds_between(earlier: Time, later: Time) -> float:
    """Seconds from one reading of a clock to another of the same."""
    return later[0] - earlier[0] + (later[1] - earlier[1]) / BILLION


def monotonic_seconds(instant: Stamp) -> float:
    """The monotonic reading of a stamp in seconds."""
    seconds, nanoseconds = instant.monotonic
    return seconds + nanoseconds / BILLION
