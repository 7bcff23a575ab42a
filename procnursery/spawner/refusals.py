"""Why the kernel refused a stage, in words, where an errno alone does not say what to change.

The words are found by the child that was refused, which knows what it was about to do and has
nothing else to do any more.
"""

from __future__ import annotations

import errno
import os
import resource

from procnursery.spawner.plan import Plan

_REFUSED = (errno.EPERM, errno.EACCES)
_LIMITS = {
    getattr(resource, name): name.removeprefix("RLIMIT_").lower()
    for name in sorted(dir(resource), reverse=True)  # of two names for one limit the first in order
    if name.startswith("RLIMIT_")
}
_POLICIES = {os.SCHED_FIFO: "fifo", os.SCHED_RR: "rr", os.SCHED_IDLE: "idle"}
_IO_CLASSES = ("none", "realtime", "best-effort", "idle")


def explain(stage: str, number: int | None, plan: Plan) -> str | None:
    """Words for the refusal of a stage with an errno; None: the errno says it all."""
    if stage in ("groups", "gid", "uid"):
        if number == errno.EPERM and os.geteuid() != 0:
            return "only root can change user or groups"
        if number == errno.EPERM:
            return f"changing user or groups needs {_privilege('CAP_SETUID and CAP_SETGID')}"
        if number == errno.EINVAL:
            return "there is no such id in this user namespace"
    elif stage == "affinity" and plan.affinity is not None:
        return _explain_affinity(plan.affinity)
    elif number in _REFUSED:
        return _explain_priorities(stage, plan)
    return None


def explain_limit(
    number: int, limit: int, wanted: tuple[int, int], present: tuple[int, int]
) -> str:
    """Words for the refusal of a resource limit.

    :param number: errno
    :param wanted: soft and hard limit
    """
    name = _LIMITS.get(limit, str(limit))
    if number == errno.EPERM and limit == resource.RLIMIT_NOFILE:
        most = _nr_open()
        if most is not None and _exceeds(wanted[1], most):
            return (
                f"{name}: the hard limit cannot be {_text(wanted[1])}: "
                f"fs.nr_open of this machine allows {most} at most"
            )
    if number == errno.EPERM and _exceeds(wanted[1], present[1]):
        return (
            f"{name}: the hard limit {_text(present[1])} cannot be raised to {_text(wanted[1])}: "
            f"that needs {_privilege('CAP_SYS_RESOURCE')}"
        )
    return f"{name}: {_text(wanted[0])}, hard {_text(wanted[1])}: {os.strerror(number)}"


def _explain_affinity(wanted: list[int]) -> str | None:
    """Ask for every CPU, of which the kernel grants those that there are and the cpuset allows."""
    try:
        os.sched_setaffinity(0, range(max(1024, os.cpu_count() or 1)))
    except OSError:
        return None
    allowed = os.sched_getaffinity(0)
    missing = sorted(set(wanted) - allowed)
    if not missing:
        return None
    what = f"CPU {missing[0]}" if len(missing) == 1 else f"CPUs {_ranges(missing)}"
    return f"{what} may not be used here, only {_ranges(sorted(allowed))}"


def _explain_priorities(stage: str, plan: Plan) -> str | None:
    if stage == "nice":
        return f"{plan.nice} needs {_privilege('CAP_SYS_NICE')}, or a limit nice that allows it"
    if stage == "scheduler" and plan.scheduler is not None:
        policy, priority = plan.scheduler
        what = _POLICIES.get(policy, f"policy {policy}")
        needed = f"{_privilege('CAP_SYS_NICE')}, or a limit rtprio that allows it"
        return f"{what} with priority {priority} needs {needed}"
    if stage == "ionice" and plan.ionice is not None:
        needed = _privilege("CAP_SYS_NICE or CAP_SYS_ADMIN")
        return f"class {_IO_CLASSES[plan.ionice[0]]} needs {needed}"
    if stage == "oom_score_adj":
        return f"lowering it to {plan.oom_score_adj} needs {_privilege('CAP_SYS_RESOURCE')}"
    return None


def _privilege(capability: str) -> str:
    return f"root ({capability})" if os.geteuid() != 0 else f"{capability}, which root lacks here"


def _exceeds(first: int, second: int) -> bool:
    if resource.RLIM_INFINITY in (first, second):
        return first == resource.RLIM_INFINITY != second
    return first > second


def _text(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _nr_open() -> int | None:
    try:
        fd = os.open("/proc/sys/fs/nr_open", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    return int(os.read(fd, 32))


def _ranges(numbers: list[int]) -> str:
    """``0-3,8`` for 0, 1, 2, 3, 8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
