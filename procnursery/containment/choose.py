"""Which containment this daemon has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from procnursery.containment.cgroup import CgroupContainment, own_cgroup
from procnursery.containment.session import SessionContainment
from procnursery.containment.tree import ContainmentUnavailable


class Chosen(NamedTuple):
    """What was chosen, and why."""

    containment: CgroupContainment | SessionContainment
    kind: Literal["cgroup", "session"]
    reason: str


def choose(configured: str, *, instance: str, cgroup_root: str | None = None) -> Chosen:
    """Choose.

    :param configured: ``auto``: cgroup where it is possible; ``cgroup`` or ``session``
    :param instance: id of this run of the daemon
    :param cgroup_root: cgroup below which to work; None: the one that this process is in
    :raises ContainmentUnavailable: ``cgroup`` is demanded and not possible
    """
    if configured == "session":
        return Chosen(SessionContainment(instance), "session", "configured")
    try:
        root = own_cgroup() if cgroup_root is None else Path(cgroup_root)
        cgroup = CgroupContainment(root, instance)
    except ContainmentUnavailable as error:
        if configured == "cgroup":
            raise ContainmentUnavailable(
                f"containment = cgroup is not possible: {error}; or configure auto or session"
            ) from error
        return Chosen(SessionContainment(instance), "session", f"no cgroup: {error}")
    reason = "configured" if configured == "cgroup" else "a cgroup v2 is writable"
    return Chosen(cgroup, "cgroup", reason)
