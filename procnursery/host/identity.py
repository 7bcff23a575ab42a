"""Which machine this is."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def boot_id() -> str:
    """The kernel's id of this boot, random(4); empty where /proc does not show it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def hostname() -> str:
    """The host's name."""
    return socket.gethostname()


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def resident_bytes() -> int:
    """Resident set of this process, /proc/self/statm."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
