"""Terminals of processes: what there is none of, and what is given back."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

import pytest

from procnursery.client.blocking import connect
from procnursery.errors import StartFailed
from procnursery.model import ProcessSpec, PtySpec
from procnursery.process import ends
from procnursery.process.account import resolve
from tests.daemons import Daemon, eventually


def test_no_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without /dev/ptmx is told from one that lacks a terminal at the moment."""
    account = resolve(ProcessSpec(argv=(b"true",)))

    def refusing(number: int) -> None:
        def openpty() -> NoReturn:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "openpty", openpty)

    refusing(errno.ENOENT)
    with pytest.raises(StartFailed, match="opening a terminal: ENOENT") as failed:
        ends.open_terminal(PtySpec(), account)
    assert failed.value.data["stage"] == "stdio"
    assert failed.value.data["errno_number"] == errno.ENOENT
    refusing(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        ends.open_terminal(PtySpec(), account)


def test_everything_is_given_back(daemon: Daemon) -> None:
    """By processes that ended, that were stopped, and that never ran."""

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    with connect(daemon.address) as connection:
        connection.run(["true"], pty=(24, 80))
        before = descriptors()
        processes = [connection.start(["cat"], pty=(24, 80)) for _ in range(5)]
        assert descriptors() > before
        for process in processes:
            connection.run(["true"], pty=(24, 80))
            with pytest.raises(StartFailed):
                connection.start(["/no/such/file"], pty=(24, 80))
            process.stop(grace=0)
        eventually(lambda: descriptors() == before, "as many descriptors as before")
