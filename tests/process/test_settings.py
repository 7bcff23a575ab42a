"""What a program finds when it begins: its own /proc/self, against a golden dump."""

from __future__ import annotations

import grp
import json
import os
import pwd
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procnursery.client.blocking import Connection, connect
from procnursery.model import IoNice, Scheduler
from tests.daemons import NOBODY, Daemon, why_no_other_user

DUMP = """
import ctypes, json, os, re, resource, signal, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
stat = open("/proc/self/stat").read().rpartition(")")[2].split()
libc = ctypes.CDLL(None)
print(json.dumps({
    "fds": sorted(int(one) for one in os.listdir("/proc/self/fd"))[:-1],
    "blocked": int(status["SigBlk"], 16),
    "ignored": int(status["SigIgn"], 16),
    "caught": int(status["SigCgt"], 16),
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()),
    "umask": int(status["Umask"], 8),
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "policy": os.sched_getscheduler(0), "priority": os.sched_getparam(0).sched_priority,
    "affinity": sorted(os.sched_getaffinity(0)),
    "ioprio": libc.syscall(%(ioprio_get)d, 1, 0),
    "oom_score_adj": int(open("/proc/self/oom_score_adj").read()),
    "timer_slack": libc.prctl(30, 0, 0, 0, 0),
    "dumpable": libc.prctl(3, 0, 0, 0, 0),
    "no_new_privs": libc.prctl(39, 0, 0, 0, 0),
    "subreaper": None,
    "pid": os.getpid(), "sid": os.getsid(0), "pgid": os.getpgid(0), "ppid": os.getppid(),
    "tty": int(stat[4]),
    "threads": int(status["Threads"]),
    "cwd": os.getcwd(),
    "limits": {name: resource.getrlimit(getattr(resource, name))
               for name in dir(resource) if re.match("RLIMIT_[A-Z]+$", name)},
    "env": dict(os.environ),
    "cgroup": open("/proc/self/cgroup").read(),
}))
"""
IOPRIO_GET = {"x86_64": 252, "aarch64": 31}.get(os.uname().machine, 31)
PYTHON_IGNORES = (1 << 12) | (1 << 24)  # SIGPIPE and SIGXFSZ, by the interpreter itself
PYTHON_CATCHES = 1 << 1  # SIGINT


@pytest.fixture
def connection(daemon: Daemon) -> Iterator[Connection]:
    with connect(daemon.address) as made:
        yield made


def dump(connection: Connection, **options: Any) -> dict[str, Any]:
    """What a Python program sees of itself."""
    code = DUMP % {"ioprio_get": IOPRIO_GET}
    result = connection.run([sys.executable, "-I", "-c", code], **options)
    assert result.outcome.code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_golden_dump(connection: Connection, daemon: Daemon) -> None:
    """Nothing of the daemon or its spawner is in the program but what the spec says."""
    found = dump(connection)
    user = pwd.getpwuid(os.getuid())
    assert found["fds"] == [0, 1, 2]
    assert found["blocked"] == 0
    assert found["ignored"] == PYTHON_IGNORES
    assert found["caught"] == PYTHON_CATCHES
    assert found["uids"] == [os.getuid()] * 3
    assert found["gids"] == [os.getgid()] * 3
    assert found["umask"] == 0o022
    assert (found["nice"], found["policy"], found["priority"]) == (0, os.SCHED_OTHER, 0)
    assert found["affinity"] == sorted(os.sched_getaffinity(daemon.pid))
    assert found["ioprio"] in (0, 4)  # none, or what none means for nice 0
    assert found["oom_score_adj"] == int(Path(f"/proc/{daemon.pid}/oom_score_adj").read_text())
    assert found["timer_slack"] == 50_000
    assert (found["dumpable"], found["no_new_privs"]) == (1, 0)
    assert found["pid"] == found["sid"] == found["pgid"]
    assert found["ppid"] == daemon.pid
    assert found["tty"] == 0
    assert found["threads"] == 1
    assert found["cwd"] == os.path.realpath(user.pw_dir)
    for name, limit in found["limits"].items():
        number = getattr(resource, name)
        assert tuple(limit) == resource.prlimit(daemon.pid, number), name
    for name in ("PROCNURSERY_HOST", "PYTHONPATH", "VIRTUAL_ENV", "NOTIFY_SOCKET"):
        assert name not in found["env"]
    cgroups = found["cgroup"].splitlines()
    own = Path(f"/proc/{daemon.pid}/cgroup").read_text().splitlines()
    assert [one for one in cgroups if not one.startswith("0::")] == [
        one for one in own if not one.startswith("0::")
    ]


def test_every_setting(connection: Connection) -> None:
    found = dump(
        connection,
        umask=0o077,
        nice=5,
        affinity=[min(os.sched_getaffinity(0))],
        ionice=IoNice(class_="best-effort", level=7),
        oom_score_adj=500,
        cwd="/usr",
        env={"A": "b"},
        rlimits={"nofile": (100, 200), "core": (0, 0), "stack": (1 << 20, 1 << 21)},
        scheduler=Scheduler(policy="batch"),
    )
    assert found["umask"] == 0o077
    assert found["nice"] == 5
    assert found["affinity"] == [min(os.sched_getaffinity(0))]
    assert found["ioprio"] == (2 << 13) | 7
    assert found["oom_score_adj"] == 500
    assert found["cwd"] == "/usr"
    assert found["env"]["A"] == "b"
    assert found["limits"]["RLIMIT_NOFILE"] == [100, 200]
    assert found["limits"]["RLIMIT_CORE"] == [0, 0]
    assert found["limits"]["RLIMIT_STACK"] == [1 << 20, 1 << 21]
    assert found["policy"] == os.SCHED_BATCH


def test_real_time(connection: Connection) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    found = dump(connection, scheduler=Scheduler(policy="fifo", priority=3))
    assert (found["policy"], found["priority"]) == (os.SCHED_FIFO, 3)


def test_lowered_limits_do_not_break_the_start(connection: Connection) -> None:
    """An early RLIMIT_NOFILE, FSIZE or AS would break the later stages."""
    limits = {"nofile": (4, 4), "fsize": (0, 0), "nproc": (1, 1)}
    result = connection.run(["/bin/sh", "-c", "ulimit -n; ulimit -f"], rlimits=limits)
    assert result.stdout == b"4\n0\n"


def test_another_user(connection: Connection) -> None:
    if (reason := why_no_other_user()) is not None and "root" in reason:
        pytest.skip(reason)
    nobody = pwd.getpwuid(NOBODY)
    script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; : >/dev/stdout"
    result = connection.run(["/bin/sh", "-c", script], user=nobody.pw_name, cwd="/")
    lines = result.stdout.decode().splitlines()
    groups = os.getgrouplist(nobody.pw_name, nobody.pw_gid)
    assert lines[:2] == [str(nobody.pw_uid), str(nobody.pw_gid)]
    assert sorted(map(int, lines[2].split())) == sorted(set(groups))
    assert lines[3] == f"{nobody.pw_dir} {nobody.pw_name} {nobody.pw_name}"
    assert result.outcome.code == 0, result.stderr  # it may open /dev/stdout


def test_user_and_groups_by_number(connection: Connection) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    options: dict[str, Any] = {"user": 12345, "group": 54321, "groups": [7, "daemon"], "cwd": "/"}
    result = connection.run(["/bin/sh", "-c", "id -u; id -g; id -G"], **options)
    daemon_group = grp.getgrnam("daemon").gr_gid
    uid, gid, groups = result.stdout.decode().splitlines()
    assert (uid, gid) == ("12345", "54321")
    assert set(map(int, groups.split())) == {54321, 7, daemon_group}
