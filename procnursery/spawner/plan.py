"""What the daemon and the spawner say to each other.

Any program that does the following can be the spawner (``reference.py`` is the readable one).

It is started as ``SPAWNER --control-fd N [--main PID]… -- SWEEPER…``, where PIDs are those of main
processes that an earlier spawner has cloned. Descriptor N is one end of an
AF_UNIX SOCK_SEQPACKET socketpair. Each message on it asks for one child: a MessagePack map
``{"fds": [name, …]}`` that names, in order, the descriptors that come with it (SCM_RIGHTS):

``plan``
    a memfd with a plan (:meth:`Plan.to_bytes`); mandatory
``report``
    one end of a SOCK_SEQPACKET socketpair for the reports on this child; mandatory
``stdin``, ``stdout``, ``stderr``
    what the child gets there; absent: the file that the plan names, else /dev/null. With
    ``terminal`` in the plan ``stdin`` is a terminal, which the child gets as all three
``cgroup``
    the directory of the cgroup v2 leaf that the child is born into; absent: the spawner's own

The child is cloned with CLONE_PARENT, so that it is a child of the daemon. Nothing is answered on
the control socket. When that socket ends, the daemon is gone: the spawner executes
``SWEEPER… --mains``, with a line ``PID TICKS`` on its standard input for each main process that it
knows, those of earlier spawners included, where TICKS is CLOCK_BOOTTIME in clock ticks when it was
cloned, or when the spawner learnt of it.

Reports are one message each, a MessagePack array:

``["cloned", pid]``
    by the spawner, after clone
``["alive", pid]``
    by the child, as its first act: its pid is known even if the spawner dies
``["stage", name]``
    by the child, before a stage that opens a file of the user and may block for ever
``["reading", stream, start]`` with a descriptor
    a descriptor for reading the file just opened for ``stdout`` or ``stderr``, and the offset at
    which output starts; sent only if the target user may read the file
``["held", rt_sec, rt_nsec, mono_sec, mono_nsec]``
    the child waits at its gate for ``["release", [sec, nsec] or nil, spin]`` on its report socket,
    and executes at once, or at that instant of CLOCK_REALTIME, until which it ``spin``s at the end;
    at the end of the socket it exits
``["released", missed]``
    the child knows of its release; whether its instant had passed by then
``["failed", stage, errno or nil, detail or nil]``
    by the spawner (stage ``clone``) or the child, which then exits with status 127
``["exec", rt_sec, rt_nsec, mono_sec, mono_nsec, user_us, system_us, max_rss_kib]``
    the last act before execve(2): both clocks, the child's own CPU time so far, and the most that
    it can have had resident by the time execve lets go of its image, since the kernel hands that
    maximum on to the program

then end of file: execve closed the socket, or the child died. Only the flag PF_FORKNOEXEC of
/proc/PID/stat tells which.
"""

from __future__ import annotations

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

UNLIMITED = -1
"""RLIM_INFINITY in a plan."""


class Plan:
    """What a child is to become; a class without helpers, since they would double what this small
    program imports.

    :param env: ``NAME=value``, complete
    :param executable: exact path; None: argv[0] is looked up in the PATH of ``env``
    :param rlimits: [resource, soft, hard] each
    :param scheduler: [policy, priority]
    :param ionice: [class, level]
    :param terminal: ``stdin`` becomes stdout and stderr, too, and the controlling terminal
    """

    __slots__ = (
        "affinity",
        "argv",
        "cwd",
        "env",
        "executable",
        "gate",
        "gid",
        "groups",
        "ionice",
        "nice",
        "oom_score_adj",
        "rlimits",
        "scheduler",
        "stderr_append",
        "stderr_path",
        "stderr_to_stdout",
        "stdin_path",
        "stdout_append",
        "stdout_path",
        "terminal",
        "uid",
        "umask",
    )

    def __init__(
        self,
        *,
        argv: list[bytes],
        env: list[bytes],
        executable: bytes | None = None,
        cwd: bytes = b"/",
        uid: int | None = None,
        gid: int | None = None,
        groups: list[int] | None = None,
        umask: int = 0o022,
        rlimits: list[list[int]] | None = None,
        affinity: list[int] | None = None,
        nice: int | None = None,
        scheduler: list[int] | None = None,
        ionice: list[int] | None = None,
        oom_score_adj: int | None = None,
        stdin_path: bytes | None = None,
        stdout_path: bytes | None = None,
        stdout_append: bool = False,
        stderr_path: bytes | None = None,
        stderr_append: bool = False,
        stderr_to_stdout: bool = False,
        terminal: bool = False,
        gate: bool = False,
    ) -> None:
        self.argv = argv
        self.env = env
        self.executable = executable
        self.cwd = cwd
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.umask = umask
        self.rlimits = rlimits or []
        self.affinity = affinity
        self.nice = nice
        self.scheduler = scheduler
        self.ionice = ionice
        self.oom_score_adj = oom_score_adj
        self.stdin_path = stdin_path
        self.stdout_path = stdout_path
        self.stdout_append = stdout_append
        self.stderr_path = stderr_path
        self.stderr_append = stderr_append
        self.stderr_to_stdout = stderr_to_stdout
        self.terminal = terminal
        self.gate = gate

    def to_bytes(self) -> bytes:
        """The plan as a MessagePack map."""
        packed: bytes = msgpack.packb({name: getattr(self, name) for name in self.__slots__})
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Read a plan.

        :raises ValueError: if it is not one, or has other fields than this version knows
        """
        value = msgpack.unpackb(data)
        if not isinstance(value, dict) or set(value) != set(cls.__slots__):
            raise ValueError("not a plan of this version")
        return cls(**value)
