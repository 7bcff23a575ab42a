"""Real daemons for tests: started on a fresh socket, always ended and reaped."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from procnursery.containment.cgroup import CgroupContainment, own_cgroup
from procnursery.containment.tree import ContainmentUnavailable

DEADLINE = 30.0
NOBODY = 65534


def eventually(condition: Callable[[], bool], what: str, timeout: float = DEADLINE) -> None:
    """Wait for a condition of another process, which nothing announces."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.01)


def why_no_cgroup() -> str | None:
    """Why the cgroup containment cannot be tested here; None: it can."""
    try:
        CgroupContainment(own_cgroup(), f"probe-{os.getpid()}").close()
    except ContainmentUnavailable as error:
        return str(error)
    return None


def why_no_other_user() -> str | None:
    """Why nothing can be run as another user here; None: it can."""
    if os.geteuid() != 0:
        return "needs root"
    unreadable = "another user may not read this Python or package"
    try:
        probe = subprocess.run(
            [sys.executable, "-P", "-c", "import procnursery.daemon.main"],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            cwd="/",
            check=False,
        )
    except PermissionError:
        return unreadable
    return None if probe.returncode == 0 else unreadable


def hiding(*files: str) -> list[str]:
    """Command that executes another one for which these files are empty."""
    mounts = " && ".join(f"mount --bind /dev/null {file}" for file in files)
    return ["unshare", "--mount", "sh", "-ec", f'{mounts} && exec "$@"', "sh"]


def why_no_hiding() -> str | None:
    """Why :func:`hiding` is not possible here; None: it is."""
    try:
        done = subprocess.run(
            [*hiding("/proc/meminfo"), "true"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    return None if done.returncode == 0 else f"no mount is possible: {done.stderr.strip()}"


def _environment(user: int | None) -> dict[str, str]:
    """This one; another user cannot write what a measurement of coverage collects."""
    dropped = () if user is None else ("COVERAGE_PROCESS_START",)
    return {key: value for key, value in os.environ.items() if key not in dropped}


class Daemon:
    """A running daemon.

    :ivar addresses: where it listens
    """

    def __init__(
        self,
        directory: Path,
        *,
        listen: list[str] | None = None,
        config: str = "",
        insecure: bool = False,
        user: int | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        if user is not None:
            os.chown(directory, user, user)
        (directory / "daemon.toml").write_text(config)
        reading, writing = os.pipe()
        self.log = (directory / "log").open("ab")
        self.process = subprocess.Popen(
            [
                *prefix,
                *(sys.executable, "-P", "-m", "procnursery.daemon"),
                *("--listen", *(listen or [f"unix://{directory}/s"])),
                *("--state-dir", str(directory / "state")),
                *("--config", str(directory / "daemon.toml")),
                *("--ready-fd", str(writing)),
                *(["--insecure"] if insecure else []),
            ],
            pass_fds=[writing],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
            cwd="/",
            env=_environment(user),
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            readable, _, _ = select.select([ready], [], [], DEADLINE)
            line = ready.readline() if readable else b""
        if not line:
            self.kill()
            raise AssertionError(f"the daemon did not start: {self.read_log()}")
        self.addresses: list[str] = json.loads(line)["listen"]

    @property
    def address(self) -> str:
        """The first address."""
        return self.addresses[0]

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def read_log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def sigkill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def kill(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(DEADLINE)
        self.log.close()


@contextlib.contextmanager
def running_daemon(
    directory: Path,
    *,
    listen: list[str] | None = None,
    config: str = "",
    insecure: bool = False,
    user: int | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Daemon]:
    """A daemon that must end well, unless the test has killed it.

    :param prefix: command that executes the daemon
    """
    daemon = Daemon(
        directory, listen=listen, config=config, insecure=insecure, user=user, prefix=prefix
    )
    try:
        yield daemon
        if daemon.process.poll() is None:
            assert daemon.stop() == 0, daemon.read_log()
        log = daemon.read_log()
        assert "Traceback" not in log, log
    finally:
        daemon.kill()


def processes_with(text: str) -> list[int]:
    """Pids of living processes whose command line contains ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def wait_for_fifo(daemon: int) -> int:
    """Wait until a child of the daemon waits for the other end of a FIFO; its pid."""
    places: dict[int, str] = {}

    def found() -> bool:
        for pid in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split():
            with contextlib.suppress(OSError):
                places[int(pid)] = Path(f"/proc/{pid}/wchan").read_text()
        return any("fifo" in one or "wait_for_partner" in one for one in places.values())

    try:
        eventually(found, "a child waits for a FIFO", 10)
    except AssertionError:
        if set(places.values()) <= {"", "0"}:
            pytest.skip("this kernel does not tell where a process waits")
        raise
    return next(pid for pid, one in places.items() if "fifo" in one or "wait_for_partner" in one)
