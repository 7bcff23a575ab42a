"""Names of signals, signal(7), real-time ones included: SIGTERM, SIGRTMIN+3."""

from __future__ import annotations

import re
import signal

_REAL_TIME = re.compile(r"SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?")


def signal_number(name: str) -> int:
    """Number of the signal of this name on this machine.

    :raises ValueError: if there is none
    """
    matched = _REAL_TIME.fullmatch(name)
    if matched is not None:
        number = int(signal.SIGRTMIN if matched[1] == "MIN" else signal.SIGRTMAX)
        offset = int(matched[3] or 0)
        number += -offset if matched[2] == "-" else offset
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    elif name in signal.Signals.__members__:
        return int(signal.Signals[name])
    raise ValueError(f"there is no signal {name!r}; names are as SIGTERM or SIGRTMIN+1")


def signal_names() -> list[str]:
    """Names of the signals of this machine, in the order of their numbers; of the real-time ones
    only the first and the last."""
    return [one.name for one in sorted(signal.Signals)]


def signal_name(number: int) -> str:
    """Name of a signal; of real-time signals as SIGRTMIN+n."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # 32 and 33, which the C library keeps for itself
