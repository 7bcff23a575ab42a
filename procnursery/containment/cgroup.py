"""Containment by cgroup v2: one leaf per process, cgroups(7).

No controllers are enabled, so leaves can be made beside processes, and a mount without
controllers, as hybrid machines have it, does as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from procnursery.containment.family import Census, Family
from procnursery.containment.procfs import Stat, read_stat
from procnursery.containment.stopping import Stopper
from procnursery.containment.tree import (
    ContainmentUnavailable,
    CpuTime,
    Left,
    Standstill,
    TreeLoad,
    add_up,
    signal_all,
    why_alive,
)

LIMITATIONS = (
    (
        "a process with the privilege to leave its cgroup is recognised by the marker in its "
        "environment or by its session only"
    ),
)


def own_cgroup() -> Path:
    """Directory of the cgroup v2 that this process is in.

    :raises ContainmentUnavailable: there is none
    """
    relative = None
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            relative = line[3:]
    if relative is None:
        raise ContainmentUnavailable("this process is in no cgroup v2")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] != "cgroup2":
            continue
        root, mount_point = (_unescape(field) for field in fields.split()[3:5])
        with contextlib.suppress(ValueError):
            return Path(mount_point) / Path(relative).relative_to(root)
    raise ContainmentUnavailable(f"no mounted cgroup v2 file system shows the cgroup {relative}")


def _unescape(field: str) -> str:
    """mountinfo writes blanks and backslashes in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


class CgroupContainment:
    """Makes trees for one instance of the daemon, in a cgroup of its own.

    :param root: existing cgroup below which to work
    :raises ContainmentUnavailable: leaves cannot be made there, or lack what is needed
    :raises OSError: this process lacks descriptors or memory
    """

    kind = "cgroup"
    limitations = LIMITATIONS

    def __init__(self, root: Path, instance: str) -> None:
        self._instance = instance
        self.family = Family()
        self.path = root / f"procnursery-{instance}"
        try:
            self.path.mkdir()
            try:
                self._probe(root)
            except BaseException:
                self.path.rmdir()
                raise
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise  # that is not the cgroup's fault, and another containment mends nothing
            raise ContainmentUnavailable(
                f"{error.filename}: {error.strerror}; the cgroup {root} has to be delegated to "
                "this user (Delegate=yes in a systemd unit)"
            ) from error

    def _probe(self, root: Path) -> None:
        leaf = self.path / "probe"
        leaf.mkdir()
        try:
            kind = (leaf / "cgroup.type").read_text().strip()
            if kind != "domain":
                raise ContainmentUnavailable(f"cgroups below {root} are of type {kind!r}")
            (leaf / "cgroup.events").read_text()
            for directory in (leaf, root):
                os.close(os.open(directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        finally:
            leaf.rmdir()

    def new_tree(self, process_id: str) -> CgroupTree:
        """A tree for one process, with its leaf.

        :raises OSError: the leaf cannot be made
        """
        marker = f"PROCNURSERY_ID={self._instance}/{process_id}".encode()
        return CgroupTree(self.path / process_id, self.family, marker)

    def close(self) -> None:
        """Remove what was made, as far as it is empty."""
        remove_cgroups(self.path)


class CgroupTree:
    """One tree; see :class:`procnursery.containment.tree.Tree`."""

    def __init__(self, path: Path, family: Family, marker: bytes) -> None:
        self.path = path
        self._family = family
        self._marker = marker
        self._main: int | None = None
        self._main_alive = False
        self._stopper = Stopper(self._escaped)
        path.mkdir()
        try:
            self.directory_fd: int | None = os.open(
                path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except BaseException:
            path.rmdir()
            raise

    @property
    def events_path(self) -> str | None:
        """File that is modified when the tree becomes empty, or all of it is frozen."""
        return str(self.path / "cgroup.events")

    def set_main(self, pid: int) -> None:
        """The main process was cloned."""
        self._main = pid
        self._main_alive = True
        self._family.add_main(pid)

    def main_ended(self) -> None:
        """The main process was reaped."""
        if self._main is not None:
            self._main_alive = False
            self._family.main_ended(self._main)

    def _leaf_populated(self) -> bool:
        return is_populated(self.path)

    def populated(self) -> bool:
        """Whether any process of the tree is alive, in the leaf or escaped from it."""
        return (
            self._main_alive
            or self._leaf_populated()
            or self._family.has_orphans_of(self._main, self._marker)
        )

    def _inside(self) -> Iterator[Stat]:
        for directory, _, _ in os.walk(self.path):
            try:
                pids = Path(directory, "cgroup.procs").read_text().split()
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
                    raise
                continue  # removed meanwhile; or threaded, and its domain lists its processes
            for pid in pids:
                stat = read_stat(int(pid)) if pid != "0" else None
                if stat is not None and stat.alive:
                    yield stat

    def _members(self) -> list[Stat]:
        found = {one.pid: one for one in self._inside()}
        for one in self._family.members(self._main, self._marker):
            found.setdefault(one.pid, one)
        return list(found.values())

    def signal(self, number: int) -> int:
        """Send a signal to every process; to how many."""
        return signal_all(self._members, number)

    def kill(self) -> int:
        """SIGKILL to every process, stopped and frozen ones included; to how many."""
        count = len(self._members())
        if not kill_cgroup(self.path):
            self._freeze(True)
            try:
                signal_all(self._members, signal.SIGKILL)
            finally:
                self._freeze(False)
        signal_all(lambda: self._family.members(self._main, self._marker), signal.SIGKILL)
        return count

    def _escaped(self) -> list[Stat]:
        inside = {one.pid for one in self._inside()}
        members = self._family.members(self._main, self._marker)
        return [one for one in members if one.pid not in inside]

    def freeze(self) -> Standstill:
        """Freeze the leaf, and stop what has left it."""
        self._freeze(True)
        escaped = self._stopper.stop()
        if is_frozen(self.path):
            return Standstill(escaped, announced=False)
        inside = list(self._inside())
        # The kernel does not say who it is. A frozen process looks like one that sleeps.
        awake = [one for one in inside if one.state not in "ST"] or inside
        left = [Left(one.pid, one.state, one.command, why_alive(one)) for one in awake]
        return Standstill(left + escaped, announced=not escaped)

    def thaw(self) -> None:
        """Let the leaf go on, and what has left it."""
        self._freeze(False)
        self._stopper.go_on()

    def _freeze(self, frozen: bool) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.path / "cgroup.freeze").write_text("1" if frozen else "0")

    def survivors(self) -> list[Left]:
        """Who is alive."""
        inside = {one.pid for one in self._inside()}
        return [
            Left(
                one.pid,
                one.state,
                one.command,
                why_alive(one) if one.pid in inside else f"left the cgroup; {why_alive(one)}",
            )
            for one in self._members()
        ]

    def usage(self) -> CpuTime | None:
        """What the kernel counted for the leaf."""
        try:
            text = (self.path / "cpu.stat").read_text()
        except FileNotFoundError:
            return None
        counts = dict(line.split() for line in text.splitlines())
        try:
            return CpuTime(int(counts["user_usec"]) / 1e6, int(counts["system_usec"]) / 1e6)
        except KeyError:
            return None

    def load(self, census: Census) -> TreeLoad | None:
        """Of those in the leaf, which is what the kernel counts, too. Looking for some that have
        left it would take a look at every process of the machine."""
        return add_up(list(self._inside()), self.usage())

    def remove(self) -> None:
        """Remove the leaf and what the program made below it."""
        self.close()
        remove_cgroups(self.path)

    def close(self) -> None:
        """Forget the tree; its leaf stays."""
        self.main_ended()
        if self.directory_fd is not None:
            os.close(self.directory_fd)
            self.directory_fd = None


def is_populated(path: Path) -> bool:
    """Whether a cgroup, or one below it, has living processes; False: it is gone, too."""
    try:
        with open(path / "cgroup.events", "rb", buffering=0) as file:
            return b"populated 1" in file.read(4096)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return False


def is_frozen(path: Path) -> bool:
    """Whether all processes of a cgroup and of those below it are frozen."""
    return b"frozen 1" in (path / "cgroup.events").read_bytes()


def kill_cgroup(path: Path) -> bool:
    """Kill everything in a cgroup and below it; False: this kernel cannot (before 5.14)."""
    try:
        fd = os.open(path / "cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return not path.exists()
    try:
        os.write(fd, b"1")
    finally:
        os.close(fd)
    return True


def remove_cgroups(path: Path) -> None:
    """Remove a cgroup and those below it. What is not empty stays: a process that cannot be
    killed is in it, which its verdict has told."""
    for directory, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(directory)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENOTEMPTY):
                raise
