"""Instants of a daemon's realtime clock, as callers write them."""

from __future__ import annotations

import datetime
import math

from procnursery.model import MAX_INT, Time

Instant = int | float | datetime.datetime | Time
"""Seconds since 1970, an aware datetime, or (seconds, nanoseconds)."""


def instant(at: Instant | None) -> Time | None:
    """``at`` as it travels.

    :raises ValueError: it is no instant
    """
    if at is None:
        return None
    if isinstance(at, tuple):
        seconds, nanoseconds = at
        whole = seconds * 10**9 + nanoseconds
    elif isinstance(at, datetime.datetime):
        if at.tzinfo is None:
            raise ValueError(f"{at!r} has no time zone, so it is no instant")
        whole = round(at.timestamp() * 10**6) * 1000
    elif math.isfinite(at):
        whole = round(at * 10**9)
    else:
        raise ValueError(f"{at!r} is no instant")
    result = divmod(whole, 10**9)
    if not 0 <= result[0] <= MAX_INT:
        raise ValueError(f"{at!r} is before 1970, or too far away")
    return result
