"""A daemon as a service manager starts it: with sockets, and with an ear for what it says."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.daemons import DEADLINE

# LISTEN_PID has to be the daemon's own pid, and its descriptors 3, 4, …, which the test may need
# for something else: this is what a service manager does between fork and exec.
_MANAGER = """
import fcntl, os, sys
fds, names, argv = sys.argv[1].split(), sys.argv[2], sys.argv[3:]
copies = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in fds]
for index, copy in enumerate(copies):
    os.dup2(copy, 3 + index)
    os.close(copy)
for fd in map(int, fds):
    if fd >= 3 + len(fds):
        os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(argv[0], argv)
"""


def service_argv(
    arguments: Sequence[str], sockets: Sequence[int] = (), names: str = ""
) -> list[str]:
    """The command of a daemon that is given ``sockets``."""
    daemon = [sys.executable, "-P", "-m", "procnursery.daemon", *arguments]
    if not sockets:
        return daemon
    return [sys.executable, "-P", "-c", _MANAGER, " ".join(map(str, sockets)), names, *daemon]


class Service:
    """A running daemon that was started by us in the place of a service manager.

    :ivar said: the fields of each message so far
    """

    def __init__(self, process: subprocess.Popen[bytes], ear: socket.socket, log: Path) -> None:
        self.process = process
        self.said: list[dict[str, str]] = []
        self._ear = ear
        self._log = log

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def read_log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def hear(self) -> dict[str, str]:
        """The fields of its next message."""
        try:
            text = self._ear.recv(65_536).decode()
        except TimeoutError:
            raise AssertionError(f"the daemon says nothing: {self.read_log()}") from None
        self.said.append(dict(line.split("=", 1) for line in text.split("\n")))
        return self.said[-1]

    def hear_ready(self) -> dict[str, str]:
        """Wait until it is ready."""
        message = self.hear()
        assert message.get("READY") == "1", message
        return message

    def reload(self) -> dict[str, str]:
        """SIGHUP; its message when it is ready again."""
        self.process.send_signal(signal.SIGHUP)
        message = self.hear()
        assert message.get("RELOADING") == "1", message
        return self.hear_ready()

    def stop(self) -> None:
        """SIGTERM; it must end well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.hear().get("STOPPING") == "1"
        assert self.process.wait(DEADLINE) == 0, self.read_log()


@contextlib.contextmanager
def running_service(
    directory: Path,
    arguments: Sequence[str],
    *,
    sockets: Sequence[socket.socket] = (),
    names: str = "",
    abstract: bool = False,
) -> Iterator[Service]:
    """A daemon that is ready, and must end well.

    :param abstract: whether NOTIFY_SOCKET has an abstract name
    """
    log = directory / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, log.open("ab") as writing:
        name = f"procnursery-test-{os.getpid()}-{directory.name}"
        place = f"\0{name}" if abstract else str(directory / "notify")
        ear.bind(place)
        ear.settimeout(DEADLINE)
        fds = [one.fileno() for one in sockets]
        process = subprocess.Popen(
            service_argv(["--state-dir", str(directory / "state"), *arguments], fds, names),
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            cwd="/",
            env=os.environ | {"NOTIFY_SOCKET": f"@{name}" if abstract else place},
        )
        service = Service(process, ear, log)
        try:
            service.hear_ready()
            yield service
            if process.poll() is None:
                service.stop()
            assert "Traceback" not in service.read_log(), service.read_log()
        finally:
            process.kill()
            process.wait(DEADLINE)
