"""Who a process is to be: user and group names resolved, and the clean environment of a user."""

from __future__ import annotations

import grp
import os
import pwd

import attrs

from procnursery import inherited
from procnursery.errors import StartFailed
from procnursery.model import ProcessSpec

ROOT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER_PATH = b"/usr/local/bin:/usr/bin:/bin"
_OF_THE_DAEMON = frozenset(
    {
        b"INVOCATION_ID",
        b"JOURNAL_STREAM",
        b"LISTEN_FDNAMES",
        b"LISTEN_FDS",
        b"LISTEN_PID",
        b"MAINPID",
        b"NOTIFY_SOCKET",
        b"SYSTEMD_EXEC_PID",
        b"WATCHDOG_PID",
        b"WATCHDOG_USEC",
    }
)
"""What systemd tells a service about itself, systemd.exec(5): not meant for its programs."""


@attrs.frozen(kw_only=True)
class Account:
    """The target user of a process.

    :ivar uid: to be set in the child, None: the daemon's own
    :ivar owner: uid that files and pipes for the child must belong to
    """

    uid: int | None
    gid: int | None
    groups: tuple[int, ...] | None
    owner: int
    owner_gid: int
    name: str
    home: bytes
    shell: bytes


def resolve(spec: ProcessSpec) -> Account:
    """The account that a spec asks for. May block on the machine's user database.

    :raises StartFailed: stage ``user`` or ``group``
    """
    privileged = os.geteuid() == 0
    wanted = os.geteuid() if spec.user is None else spec.user
    entry = _user(wanted)
    uid = entry.pw_uid if entry is not None else int(wanted)
    if spec.group is not None:
        gid: int | None = _group(spec.group, "group")
    elif spec.user is None:
        gid = None
    elif entry is not None:
        gid = entry.pw_gid
    else:
        raise StartFailed(
            f"uid {uid} has no account, so its group is not known: give a group, too "
            "(--group of the command)",
            stage="group",
        )
    if spec.groups is not None:
        groups: tuple[int, ...] | None = tuple(_group(group, "groups") for group in spec.groups)
    elif spec.user is None or (not privileged and uid == os.geteuid()):
        groups = None
    elif entry is not None and gid is not None:
        groups = tuple(os.getgrouplist(entry.pw_name, gid))
    else:
        groups = ()
    return Account(
        uid=None if spec.user is None else uid,
        gid=gid,
        groups=groups,
        owner=uid,
        owner_gid=os.getegid() if gid is None else gid,
        name=entry.pw_name if entry is not None else str(uid),
        home=os.fsencode(entry.pw_dir or "/") if entry is not None else b"/",
        shell=os.fsencode(entry.pw_shell or "/bin/sh") if entry is not None else b"/bin/sh",
    )


def _user(wanted: str | int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(wanted) if isinstance(wanted, int) else pwd.getpwnam(wanted)
    except KeyError:
        if isinstance(wanted, int):
            return None
        raise StartFailed(f"there is no user {wanted!r} on this machine", stage="user") from None


def _group(wanted: str | int, what: str) -> int:
    if isinstance(wanted, int):
        return wanted
    try:
        return grp.getgrnam(wanted).gr_gid
    except KeyError:
        raise StartFailed(
            f"{what}: there is no group {wanted!r} on this machine", stage="group"
        ) from None


def environment(spec: ProcessSpec, account: Account, markers: dict[bytes, bytes]) -> list[bytes]:
    """The environment as ``NAME=value``: the base, then the spec's pairs, then the markers by
    which the process's tree is found."""
    if spec.env_base == "inherit":
        values = {k: v for k, v in inherited.environment().items() if k not in _OF_THE_DAEMON}
    else:
        name = os.fsencode(account.name)
        values = {
            b"PATH": ROOT_PATH if account.owner == 0 else USER_PATH,
            b"HOME": account.home,
            b"USER": name,
            b"LOGNAME": name,
            b"SHELL": account.shell,
            b"LANG": os.environb.get(b"LANG", b"C.UTF-8"),
        }
    values.update(spec.env)
    values.update(markers)
    return [name + b"=" + value for name, value in values.items()]
