"""What the daemon and the spawner say to each other.

Any program that does the following can be the spawner (``reference.py`` is the readable one).

It is started as ``SPAWNER --control-fd N [--main PID]… -- SWEEPER…``, where PIDs are those of main
processes that an earlier spawner has cloned. Descriptor N is one end of an
AF_UNIX SOCK_SEQPACKET socketpair. Each message on it asks for one child: a MessagePack map
``{"fds": [name, …]}`` that names, in order, the descriptors that come with it (SCM_RIGHTS):

``plan``
    a memfd with a plan (:meth:`Plan.to_bytes`), behind which notes are written; mandatory
``report``
    one end of a SOCK_SEQPACKET socketpair for the reports on this child; mandatory
``stdin``, ``stdout``, ``stderr``
    what the child gets there; absent: the file that the plan names, else /dev/null
``cgroup``
    the directory of the cgroup v2 leaf that the child is born into; absent: the spawner's own

The child is cloned with CLONE_PARENT, so that it is a child of the daemon. Nothing is answered on
the control socket. When that socket ends, the daemon is gone: the spawner executes
``SWEEPER… --mains``, with a line ``PID TICKS`` on its standard input for each main process that it
knows, those of earlier spawners included, where TICKS is CLOCK_BOOTTIME in clock ticks when it was
cloned, or when the spawner learnt of it.

Notes are what the daemon reads when it wants to know, so that an ordinary start wakes it only
once, by the end of the report socket. They are in the byte order of the machine, at these offsets
behind the plan:

0: pid, 32 bits
    by the spawner after clone, and by the child as its first act: it is known even if either dies
4: stage, 8 bits: index in :data:`STAGES`
    by the child, before a stage that opens a file of the user and may block for ever
5: given up, 8 bits
    set by the daemon; the child looks at it after each note of a stage and before exec, and exits
    if it is set. So either the daemon finds the pid that it is to kill, or the child finds this.
8: 7 numbers of 64 bits: realtime s and ns, monotonic s and ns, own usage so far: user µs,
   system µs, largest resident set in KiB
    by the child, its last act before execve(2)

Reports are one message each, a MessagePack array:

``["reading", stream, start]`` with a descriptor
    a descriptor for reading the file just opened for ``stdout`` or ``stderr``, and the offset at
    which output starts; sent only if the target user may read the file
``["held", rt_sec, rt_nsec, mono_sec, mono_nsec]``
    the child waits at its gate for the message ``["release"]`` on its report socket
``["failed", stage, errno or nil, detail or nil]``
    by the spawner (stage ``clone``) or the child, which then exits with status 127
``["exec", …]`` with the 7 numbers
    instead of their note, where RLIMIT_FSIZE could forbid to write it

then end of file: execve closed the socket, or the child died. Only the flag PF_FORKNOEXEC of
/proc/PID/stat tells which.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgpack

STAGES = (
    "clone",
    "close_range",
    "session",
    "signals",
    "stdio",
    "rlimits",
    "affinity",
    "scheduler",
    "nice",
    "ionice",
    "oom_score_adj",
    "groups",
    "gid",
    "uid",
    "umask",
    "cwd",
    "stdin",
    "stdout",
    "stderr",
    "gate",
    "exec",
)
"""The stages of a start in the spawner and the child, in their order. Limits that are lowered are
set last before the gate, under the same name ``rlimits``: an early RLIMIT_AS, NOFILE or FSIZE
would break later stages."""

NOTE_PID = struct.Struct("=I")
NOTE_EXEC = struct.Struct("=7q")
PID_AT, STAGE_AT, GIVEN_UP_AT, EXEC_AT = 0, 4, 5, 8
NOTES_SIZE = EXEC_AT + NOTE_EXEC.size

UNLIMITED = -1
"""RLIM_INFINITY in a plan."""


class Plan(NamedTuple):
    """What a child is to become."""

    argv: list[bytes]
    env: list[bytes]
    """``NAME=value``, complete."""
    executable: bytes | None = None
    """Exact path; None: argv[0] is looked up in the PATH of ``env``."""
    cwd: bytes = b"/"
    uid: int | None = None
    gid: int | None = None
    groups: list[int] | None = None
    umask: int = 0o022
    rlimits: list[list[int]] = []  # noqa: RUF012 - never changed; a tuple would not survive msgpack
    """[resource, soft, hard]."""
    affinity: list[int] | None = None
    nice: int | None = None
    scheduler: list[int] | None = None
    """[policy, priority]."""
    ionice: list[int] | None = None
    """[class, level]."""
    oom_score_adj: int | None = None
    stdin_path: bytes | None = None
    stdout_path: bytes | None = None
    stdout_append: bool = False
    stderr_path: bytes | None = None
    stderr_append: bool = False
    stderr_to_stdout: bool = False
    gate: bool = False

    def to_bytes(self) -> bytes:
        """The plan as a MessagePack map."""
        packed: bytes = msgpack.packb(self._asdict())
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Read a plan.

        :raises ValueError: if it is not one, or has other fields than this version knows
        """
        value: Any = msgpack.unpackb(data)
        if not isinstance(value, dict) or set(value) != set(cls._fields):
            raise ValueError("not a plan of this version")
        return cls(**value)
