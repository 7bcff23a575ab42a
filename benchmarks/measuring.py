"""Daemons to measure, the compiled floor, and what /proc tells of costs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import psutil


@attrs.frozen
class Line:
    """One measured quantity.

    :ivar limit: text of what it has to be; None: only printed
    :ivar holds: whether it is
    """

    name: str
    value: str
    limit: str | None = None
    holds: bool = True


@contextlib.contextmanager
def running_daemon() -> Iterator[tuple[str, psutil.Process]]:
    """(address, process) of a daemon on a fresh socket."""
    with tempfile.TemporaryDirectory(prefix="pn-", dir="/tmp") as directory:
        reading, writing = os.pipe()
        command = [sys.executable, "-P", "-m", "procnursery.daemon"]
        with subprocess.Popen(
            [
                *command,
                *("--listen", f"unix://{directory}/s", "--state-dir", f"{directory}/state"),
                *("--ready-fd", str(writing)),
            ],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        ) as daemon:
            os.close(writing)
            with os.fdopen(reading) as ready:
                address: str = json.loads(ready.readline())["listen"][0]
            try:
                yield address, psutil.Process(daemon.pid)
            finally:
                daemon.terminate()


@contextlib.contextmanager
def compiled_floor() -> Iterator[Path | None]:
    """The program floor.c; None: there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "floor"
        source = Path(__file__).with_name("floor.c")
        subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
        yield program


def floor(program: Path, *arguments: str) -> float:
    """Seconds that the floor takes."""
    return float(floor_lines(program, *arguments)[0])


def floor_lines(program: Path, *arguments: str) -> list[str]:
    """What the floor prints."""
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.split()


def wakeups(pid: int) -> int:
    """Voluntary context switches of all threads so far: how often it woke up to do something."""
    return sum(
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def peak_bytes(pid: int) -> int:
    """Largest resident set so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/status has no VmHWM")


def megabytes(count: int) -> str:
    """For people."""
    return f"{count / 1e6:.1f} MB"
