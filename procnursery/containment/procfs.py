"""What /proc tells of processes, proc(5)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

_PROCESS_IS_GONE = (FileNotFoundError, ProcessLookupError)
_FORKNOEXEC = 0x40
"""Flag of a process that was forked and has executed nothing since (include/linux/sched.h)."""


class Stat(NamedTuple):
    """Some fields of /proc/PID/stat."""

    pid: int
    command: str
    state: str
    ppid: int
    session: int
    start_time: int
    """Clock ticks after boot: with the pid, it names one process for ever."""
    threads: int
    user_ticks: int
    """Clock ticks of CPU time, those of the children it waited for included; so system_ticks."""
    system_ticks: int
    rss_pages: int
    execed: bool
    """Whether it has executed a program since it was forked."""

    @property
    def alive(self) -> bool:
        """Whether it still runs, or could."""
        return self.state not in "ZXx"


def parse_stat(text: bytes) -> Stat:
    """Read the text of a stat file; the command may contain anything, parentheses included.

    :raises ValueError: it is not such a text
    """
    opening, closing = text.index(b"("), text.rindex(b")")
    fields = text[closing + 1 :].split()
    if len(fields) < 22:
        raise ValueError(f"not the text of a stat file: {text!r}")
    return Stat(
        pid=int(text[:opening]),
        command=text[opening + 1 : closing].decode(errors="backslashreplace"),
        state=fields[0].decode(),
        ppid=int(fields[1]),
        session=int(fields[3]),
        start_time=int(fields[19]),
        threads=int(fields[17]),
        user_ticks=int(fields[11]) + int(fields[13]),
        system_ticks=int(fields[12]) + int(fields[14]),
        rss_pages=int(fields[21]),
        execed=not int(fields[6]) & _FORKNOEXEC,
    )


def read_stat(pid: int) -> Stat | None:
    """The stat of a process; None: there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return parse_stat(file.read())
    except _PROCESS_IS_GONE:
        return None


def thread_states(pid: int) -> list[str]:
    """The state letters of all threads of a process; none: it is gone."""
    states = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{thread}/stat", "rb", buffering=0) as file:
                    states.append(parse_stat(file.read()).state)
            except _PROCESS_IS_GONE:
                continue
    except _PROCESS_IS_GONE:
        return []
    return states


def all_stats() -> Iterator[Stat]:
    """Every process that this one may see."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None:
                yield stat


def environment_of(pid: int) -> list[bytes]:
    """The environment (``NAME=value``) that a process was executed with.

    Empty also where that cannot be read, as of another user's process.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return file.readall().split(b"\0")
    except (*_PROCESS_IS_GONE, PermissionError):
        return []


def has_variable(pid: int, entry: bytes) -> bool:
    """Whether a process was executed with ``entry`` in its environment, as far as that shows."""
    return entry in environment_of(pid)


def children_of(pid: int) -> set[int]:
    """Pids of the children of a process, zombies included.

    Of this process's own children, which nobody else can reap, none is missed, as long as only
    its main thread has any; orphans are given to that one, too. Of others' some may be missed
    while they come and go.
    """
    found: set[int] = set()
    try:
        threads = [str(pid)] if pid == os.getpid() else os.listdir(f"/proc/{pid}/task")
    except _PROCESS_IS_GONE:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found.update(map(int, file.readall().split()))
        except FileNotFoundError:
            if os.path.exists(f"/proc/{pid}/task/{thread}"):  # a kernel without this file
                return {stat.pid for stat in all_stats() if stat.ppid == pid}
        except ProcessLookupError:
            continue
    return found
