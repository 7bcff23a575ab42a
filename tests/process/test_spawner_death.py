"""The spawner can die at any time: starts go on with another, and nothing else notices."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from procnursery.client.blocking import connect
from procnursery.client.core import make_spec
from procnursery.errors import StartFailed
from procnursery.protocol.messages import StartParams
from tests.daemons import Daemon, eventually, wait_for_fifo


def test_a_dead_spawner_is_replaced(daemon: Daemon) -> None:
    with connect(daemon.address) as client:
        running = client.start(["sleep", "1000"])
        first = client.info().spawner.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: client.info().spawner.restarts == 1, "another spawner is there")
        assert client.info().spawner.pid not in (None, first)
        assert client.run(["echo", "x"]).stdout == b"x\n"
        assert running.info().state == "running"
    assert "the spawner died" in daemon.read_log()


def test_spawner_dies_during_a_start(daemon: Daemon, tmp_path: Path) -> None:
    """The child is the daemon's, so it is not lost; its start goes on without the spawner."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with connect(daemon.address) as client:
        spawner = client.info().spawner.pid
        assert spawner is not None
        replies: list[Any] = []
        spec = make_spec(["cat"], local=False, stdin=fifo, stdout="pipe")
        client.exchange.start(StartParams(spec=spec), lambda *reply: replies.append(reply))
        client.ping()
        wait_for_fifo(daemon.pid)
        os.kill(spawner, signal.SIGKILL)
        eventually(lambda: client.info().spawner.restarts == 1, "another spawner is there")
        fifo.write_text("late")
        client.pump_until(lambda: bool(replies))
        result, error = replies[0]
        assert error is None
        process = client.get(result.id)
        assert process.stdout is not None
        assert process.stdout.read() == b"late"


def test_killed_in_set_up(daemon: Daemon, tmp_path: Path) -> None:
    """A child that dies before exec closes its pipe without having executed anything."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with connect(daemon.address) as client, connect(daemon.address) as other:
        replies: list[Any] = []
        spec = make_spec(["true"], local=False, stdin=fifo)
        client.exchange.start(StartParams(spec=spec), lambda *reply: replies.append(reply))
        client.ping()
        os.kill(wait_for_fifo(daemon.pid), signal.SIGTERM)
        client.pump_until(lambda: bool(replies))
        _, error = replies[0]
        assert error.code == "start_failed"
        assert error.data.signal == "SIGTERM"
        assert error.data.stage == "stdin"
        with pytest.raises(StartFailed):
            other.start(["/no/such"])
        assert other.list() == []
